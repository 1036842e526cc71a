import { z } from 'zod';
import { decide, gatherFaults, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { modelNotFound, streamFailure } from '../errors.js';
import { findModel } from '../models.js';
import { dataEvent, type Chunk, type Payload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { NO_TOKENS, NO_UNITS, promptTokens } from '../tokens.js';
import { hash, mix } from '../words.js';

const WORDS_PER_SECOND = 3;
const BYTES_PER_SECOND = 1600;
const TOKENS_PER_SECOND = 20;

const MEDIA_TYPES = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
} as const;

const schema = z.object({
  model: z.string().min(1),
  input: z.string().min(1).max(4096),
  voice: z.union([z.string(), z.object({ id: z.string() })]),
  instructions: z.string().nullish(),
  response_format: z.enum(['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm']).nullish(),
  speed: z.number().min(0.25).max(4).nullish(),
  stream_format: z.enum(['audio', 'sse']).nullish(),
});

/**
 * `POST /v1/audio/speech`. The sound is no sound, but bytes that follow from the input: a begun second for every three
 * words, 1600 bytes and twenty output tokens a second. Only `stream_format: sse` tells the usage.
 */
export function decideSpeech(call: ProviderCall): Decision {
  const parsed = parseRequest(call, schema);
  if ('status' in parsed) return refuse(call, parsed);
  const request = parsed.value;
  const model = findModel(request.model, 'speech');
  if (!model) return refuse(call, modelNotFound(request.model));
  const found = gatherFaults(call, request.input, model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const seconds = Math.ceil(request.input.split(/\s+/).length / WORDS_PER_SECOND);
  const seed = hash([request.input]);
  const sound = Buffer.from(
    Uint8Array.from({ length: seconds * BYTES_PER_SECOND }, (_, index) => mix(seed + index) & 0xff),
  );
  const completion = seconds * TOKENS_PER_SECOND;
  const tokens = { ...NO_TOKENS, prompt: promptTokens([request.input, request.instructions ?? '']), completion };
  const told = faults.usage === 'zero' ? NO_TOKENS : tokens;
  const usage = faults.usage === 'none' ? undefined : usageOf(told.prompt, told.completion);
  const whole = (): Payload => {
    return { body: sound, contentType: MEDIA_TYPES[request.response_format ?? 'mp3'], tellsUsage: false };
  };
  const streamed = (): Payload => ({ events: soundEvents(sound, usage), failure: streamFailure('openai') });
  return decide(call, {
    model,
    faults,
    tokens,
    units: { ...NO_UNITS, audioSeconds: seconds },
    answer: request.stream_format === 'sse' ? streamed : whole,
  });
}

function usageOf(input: number, output: number): object {
  return { input_tokens: input, output_tokens: output, total_tokens: input + output };
}

function* soundEvents(sound: Buffer, usage: object | undefined): Generator<Chunk> {
  for (let at = 0; at < sound.length; at += BYTES_PER_SECOND) {
    const audio = sound.subarray(at, at + BYTES_PER_SECOND).toString('base64');
    yield dataEvent({ type: 'speech.audio.delta', audio }, TOKENS_PER_SECOND);
  }
  yield dataEvent({ type: 'speech.audio.done', usage }, 0, usage !== undefined);
}
