import { decide, gatherFaults, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, streamFailure, type Refusal } from '../errors.js';
import { findModel } from '../models.js';
import { readForm, type Form } from '../multipart.js';
import { jsonPayload, dataEvent, type Chunk, type Payload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import { NO_TOKENS, promptTokens, type TokenCount } from '../tokens.js';

/** Audio is taken for as long as it would be at this rate. */
const BYTES_PER_SECOND = 16_000;
const TOKENS_PER_SECOND = 10;

/** `POST /v1/audio/transcriptions` */
export function decideTranscription(call: ProviderCall): Decision {
  return decideHearing(call, 'transcribe');
}

/** `POST /v1/audio/translations` */
export function decideTranslation(call: ProviderCall): Decision {
  return decideHearing(call, 'translate');
}

interface Heard {
  readonly task: 'transcribe' | 'translate';
  readonly text: string;
  readonly seconds: number;
  readonly bytes: number;
  readonly tokens: TokenCount;
  /** As the vendor reports it: tokens, or with the model `whisper-1` the duration. Undefined where it is not to be told. */
  readonly usage: object | undefined;
}

/**
 * Any model's name is accepted. Directives are read from the first MiB of the body, whichever field they are in. One
 * second for every 16,000 bytes of audio, at least one; ten input tokens a second, and one output token a word.
 */
function decideHearing(call: ProviderCall, task: Heard['task']): Decision {
  const form = readForm(call);
  if ('status' in form) return refuse(call, form);
  const [file] = form.value.files('file');
  if (!file) return refuse(call, invalidRequest("Missing required parameter: 'file'.", 'file'));
  const directives = call.body.bytes.subarray(0, 1024 * 1024);
  const name = form.value.text('model') ?? '';
  const model = findModel(name, 'transcription') ?? null;
  const found = gatherFaults(call, directives.includes('[[sim') ? directives.toString('latin1') : '', model);
  if ('status' in found) return refuse(call, found);
  const faults = found.value;
  const seconds = Math.max(1, Math.ceil(file.bytes.length / BYTES_PER_SECOND));
  const text = `A simulated transcript of ${call.body.length} bytes, naïve but certain.`;
  const audio = seconds * TOKENS_PER_SECOND;
  const hint = form.value.text('prompt') ?? '';
  const prompt = audio + (hint === '' ? 0 : promptTokens([hint]));
  const tokens = { ...NO_TOKENS, prompt, completion: text.split(' ').length };
  const usage =
    faults.usage === 'none' ? undefined : usageOf({ name, seconds, audio, tokens, isZero: faults.usage === 'zero' });
  const answer = shape(form.value, { task, text, seconds, bytes: call.body.length, tokens, usage });
  if ('status' in answer) return refuse(call, answer);
  const units = { images: 0, audioSeconds: seconds, searches: 0 };
  return decide(call, { model, faults, tokens, units, answer: () => answer.value });
}

function usageOf(count: { name: string; seconds: number; audio: number; tokens: TokenCount; isZero: boolean }): object {
  const { name, tokens, isZero } = count;
  if (name.startsWith('whisper')) return { type: 'duration', seconds: isZero ? 0 : count.seconds };
  const { prompt, completion } = isZero ? NO_TOKENS : tokens;
  const audio = isZero ? 0 : count.audio;
  const details = { audio_tokens: audio, text_tokens: prompt - audio };
  const total = prompt + completion;
  return {
    type: 'tokens',
    input_tokens: prompt,
    input_token_details: details,
    output_tokens: completion,
    total_tokens: total,
  };
}

function shape(form: Form, heard: Heard): { value: Payload } | Refusal {
  const { text, seconds, usage, bytes } = heard;
  const tellsUsage = usage !== undefined;
  if (form.text('stream') === 'true') {
    return { value: { events: transcriptEvents(heard), failure: streamFailure('openai') } };
  }
  const format = form.text('response_format') ?? 'json';
  switch (format) {
    case 'json':
      return { value: jsonPayload({ text, bytes, usage }, tellsUsage) };
    case 'verbose_json': {
      const segments = [{ id: 0, seek: 0, start: 0, end: seconds, text, tokens: [], temperature: 0 }];
      const verbose = { task: heard.task, language: 'english', duration: seconds, text, segments, usage };
      return { value: jsonPayload(verbose, tellsUsage) };
    }
    case 'text':
      return { value: { body: `${text}\n`, contentType: 'text/plain; charset=utf-8', tellsUsage: false } };
    default:
      return invalidRequest(`The simulator has no response_format '${format}'.`, 'response_format');
  }
}

function* transcriptEvents({ text, usage }: Heard): Generator<Chunk> {
  for (const delta of text.split(/(?= )/)) yield dataEvent({ type: 'transcript.text.delta', delta }, 1);
  yield dataEvent({ type: 'transcript.text.done', text, usage }, 0, usage !== undefined);
}
