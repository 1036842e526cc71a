import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { answerChat, type ChatAnswer } from '../chat/answer.js';
import { itemSchema, responsesTask } from '../chat/responses-request.js';
import { outputEvents, outputItems } from '../chat/responses-wire.js';
import { lastUserText } from '../chat/task.js';
import { parseDirectives, type Faults } from '../directives.js';
import { NO_TOKENS, type TokenCount } from '../tokens.js';
import { ONE_TOKEN_OF_SOUND } from './sound.js';

/** The way to the caller, and what a session needs of the simulator. */
export interface SessionLinks {
  readonly model: string;
  readonly send: (event: object) => void;
  /** Cuts the connection without a word. */
  readonly die: () => void;
  /** Aborted once the connection is gone. */
  readonly gone: AbortSignal;
  readonly takeFaults: () => Faults;
}

/** What a response is asked for with, and what a session sets for all of its responses. */
export const responseSchema = z.object({
  instructions: z.string().nullish(),
  input: z.array(itemSchema).nullish(),
  max_output_tokens: z.union([z.int().min(1), z.literal('inf')]).nullish(),
  tools: z
    .array(z.object({ type: z.string(), name: z.string().optional(), parameters: z.unknown().optional() }))
    .nullish(),
  tool_choice: z
    .union([z.enum(['none', 'auto', 'required']), z.object({ type: z.string(), name: z.string() })])
    .nullish(),
  output_modalities: z.array(z.enum(['text', 'audio'])).nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
});
export type ResponseWish = z.infer<typeof responseSchema>;

/** The fields of an error event. */
export function errorFields(type: string, message: string, code: string | null = null): object {
  return { error: { type, code, message, param: null, event_id: null } };
}

interface Asked {
  readonly links: SessionLinks;
  readonly send: (type: string, fields: object) => void;
  readonly asked: ResponseWish;
  /** The conversation so far. */
  readonly items: readonly object[];
  /** Tokens of the sound in it. */
  readonly soundTokens: number;
  /** Counts the responses of a session. */
  readonly number: number;
  readonly isCancelled: () => boolean;
}

interface Given {
  readonly output: readonly object[];
  /** As far as it was sent. */
  readonly tokens: TokenCount;
  readonly toldUsage: boolean;
}

const NOTHING: Given = { output: [], tokens: NO_TOKENS, toldUsage: false };

/** Answers the conversation with events, `response.done` the last. */
export async function giveResponse(call: Asked): Promise<Given> {
  const { links, send, asked, items, soundTokens, number, isCancelled } = call;
  const maximum = asked.max_output_tokens === 'inf' ? undefined : asked.max_output_tokens;
  const request = { ...asked, model: links.model, input: [], max_output_tokens: maximum };
  const task = responsesTask(request, asked.input ?? items);
  const own = parseDirectives(lastUserText(task));
  if ('problem' in own) {
    send('error', errorFields('invalid_request_error', `Simulator directive: ${own.problem}`, 'invalid_sim_directive'));
    return NOTHING;
  }
  const faults = { ...links.takeFaults(), ...own.value };
  const answer = answerChat(task, faults);
  const modality = asked.output_modalities?.includes('audio') === true ? 'audio' : 'text';
  const metadata = asked.metadata ?? null;
  const frame = { id: `resp_sim${number}`, object: 'realtime.response', output_modalities: [modality], metadata };
  const { status, completion, sound } = await deliver({ links, send, frame, answer, faults, isCancelled, modality });
  const reasoning = Math.min(answer.tokens.reasoning, completion);
  const prompt = answer.tokens.prompt + soundTokens;
  const tokens =
    status === 'failed' ? NO_TOKENS : { ...answer.tokens, prompt, completion: completion + sound, reasoning };
  if (status === undefined) return { ...NOTHING, tokens };
  const output = status === 'completed' ? outputItems(frame, answer) : [];
  const usage = usageOf(tokens, { heard: soundTokens, made: sound }, faults);
  send('response.done', { response: { ...frame, status, output, usage } });
  return { output, tokens, toldUsage: faults.usage !== 'none' && status !== 'failed' };
}

interface Delivery {
  readonly links: SessionLinks;
  readonly send: (type: string, fields: object) => void;
  readonly frame: { readonly id: string };
  readonly answer: ChatAnswer;
  readonly faults: Faults;
  readonly isCancelled: () => boolean;
  readonly modality: 'text' | 'audio';
}

interface Delivered {
  /** Tokens that were sent: of text, and of sound. */
  readonly completion: number;
  readonly sound: number;
  /** Undefined where the connection was cut. */
  readonly status: 'completed' | 'incomplete' | 'cancelled' | 'failed' | undefined;
}

async function deliver({ links, send, frame, answer, faults, isCancelled, modality }: Delivery): Promise<Delivered> {
  const wait = async (ms: number): Promise<void> => {
    if (ms > 0) await sleep(ms, undefined, { signal: links.gone }).catch(() => undefined);
  };
  await wait(faults.delay ?? 0);
  send('response.created', { response: { ...frame, status: 'in_progress', output: [], usage: null } });
  send('rate_limits.updated', {
    rate_limits: [{ name: 'tokens', limit: 40_000, remaining: 39_000, reset_seconds: 1 }],
  });
  if (faults.status !== undefined) {
    send('error', errorFields('server_error', `Simulated provider error ${faults.status}.`));
    return { completion: 0, sound: 0, status: 'failed' };
  }
  let completion = answer.hiddenReasoningTokens;
  let deltas = 0;
  let sound = 0;
  for (const { type, fields, tokens = 0 } of outputEvents(frame, answer)) {
    if (tokens > 0) {
      if (faults['die-after'] === deltas) links.die();
      deltas += 1;
      // Also lets a cancellation in.
      await wait(faults['chunk-delay'] ?? 0);
    }
    if (links.gone.aborted) return { completion, sound, status: undefined };
    if (isCancelled()) return { completion, sound, status: 'cancelled' };
    const isSpoken = modality === 'audio' && type.startsWith(WRITTEN);
    const spokenType = isSpoken ? type.replace(WRITTEN, 'response.output_audio_transcript') : type;
    send(spokenType, { response_id: frame.id, ...fields });
    completion += tokens;
    if (!isSpoken || tokens === 0) continue;
    send('response.output_audio.delta', { response_id: frame.id, ...fields, delta: ONE_TOKEN_OF_SOUND });
    sound += 1;
  }
  return { completion, sound, status: answer.finish === 'length' ? 'incomplete' : 'completed' };
}

const WRITTEN = 'response.output_text';

function usageOf(tokens: TokenCount, sound: { heard: number; made: number }, faults: Faults): object | null {
  if (faults.usage === 'none') return null;
  const isZero = faults.usage === 'zero';
  const { prompt, completion, cached } = isZero ? NO_TOKENS : tokens;
  const { heard, made } = isZero ? { heard: 0, made: 0 } : sound;
  return {
    total_tokens: prompt + completion,
    input_tokens: prompt,
    output_tokens: completion,
    input_token_details: {
      text_tokens: prompt - heard,
      audio_tokens: heard,
      image_tokens: 0,
      cached_tokens: cached,
      cached_tokens_details: { text_tokens: cached, audio_tokens: 0, image_tokens: 0 },
    },
    output_token_details: { text_tokens: completion - made, audio_tokens: made },
  };
}
