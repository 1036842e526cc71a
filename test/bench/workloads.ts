import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { WorkloadName } from './options.js';
import { anthropicStream, geminiStream } from './translated-streams.js';

/** One kind of call: what is asked, and what the upstream always answers. */
export interface Workload {
  readonly name: WorkloadName;
  readonly title: string;
  readonly streamed: boolean;
  readonly requestBody: string;
  readonly answer: { readonly contentType: string; readonly body: string };
  readonly concurrencies: readonly number[];
  /** What the upstream speaks, and where it serves it behind the base path. */
  readonly provider: Dialect;
  readonly providerPath: string;
  /** What it is called by at the gateway, behind `/v1`. */
  readonly callerPath: string;
  /** Caller and provider speak differently: nobody but PingToken is measured, beside its own `sse`. */
  readonly isTranslated: boolean;
}

const SAME_DIALECT = {
  provider: 'openai',
  providerPath: '/chat/completions',
  callerPath: '/chat/completions',
  isTranslated: false,
} as const;

/** Where the upstream serves a workload; the dialect's own paths follow. */
export const basePathOf = (name: WorkloadName): string => `/${name}/v1`;
export const CHAT_PATH = '/chat/completions';
/** Name of the model, at the gateway and at the upstream alike. */
export const modelOf = (name: WorkloadName): string => `bench-${name}`;

/** Pause between two chunks of the paced stream. */
export const PACE_MS = 5;
const STREAM_CHUNKS = 20;

const USAGE = { prompt_tokens: 212, completion_tokens: 160, total_tokens: 372 };
const HEAD = { id: 'chatcmpl-bench0000000000000000000', created: 1_750_000_000 };
const WORDS = 'The quick brown fox jumps over the lazy dog and then it rests for a while in the shade. ';

/** About 1 KB, as a short conversation is. */
function requestBody(name: WorkloadName, streamed: boolean): string {
  return JSON.stringify({
    model: modelOf(name),
    messages: [
      { role: 'system', content: 'You are a helpful assistant that answers briefly.' },
      { role: 'user', content: WORDS.repeat(9).trim() },
    ],
    temperature: 0.7,
    max_tokens: 256,
    // Asked for, so that the gateway has nothing to hide and the answer stays the provider's byte for byte.
    ...(streamed && { stream: true, stream_options: { include_usage: true } }),
  });
}

/** About 1 KB, with its usage at the end, as OpenAI sends it. */
function jsonAnswer(name: WorkloadName): string {
  return JSON.stringify({
    ...HEAD,
    object: 'chat.completion',
    model: modelOf(name),
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: WORDS.repeat(7).trim(), refusal: null, annotations: [] },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: {
      ...USAGE,
      prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
      completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0 },
    },
    service_tier: 'default',
    system_fingerprint: 'fp_bench',
  });
}

/** One a chunk; the first chunk of the stream has none. */
const STREAM_WORDS = WORDS.repeat(2).split(' ').slice(0, STREAM_CHUNKS);

/** The events of a stream: its chunks, the usage, the end. */
export function streamEvents(name: WorkloadName): readonly string[] {
  const chunk = { ...HEAD, object: 'chat.completion.chunk', model: modelOf(name), system_fingerprint: 'fp_bench' };
  const words = STREAM_WORDS;
  const deltas = Array.from({ length: STREAM_CHUNKS }, (_, index) => {
    const delta = index === 0 ? { role: 'assistant', content: '' } : { content: `${words[index] ?? ''} ` };
    const finished = index === STREAM_CHUNKS - 1;
    const choice = { index: 0, delta, logprobs: null, finish_reason: finished ? 'stop' : null };
    return { ...chunk, choices: [choice], usage: null };
  });
  const data = [
    ...deltas.map((delta) => JSON.stringify(delta)),
    JSON.stringify({ ...chunk, choices: [], usage: USAGE }),
  ];
  return [...data, '[DONE]'].map((each) => `data: ${each}\n\n`);
}

function stream(name: WorkloadName, title: string, concurrencies: readonly number[]): Workload {
  const answer = { contentType: 'text/event-stream', body: streamEvents(name).join('') };
  return { name, title, streamed: true, requestBody: requestBody(name, true), answer, concurrencies, ...SAME_DIALECT };
}

/** The same words as those of `sse`, in as many events, between a caller and a provider that speak differently. */
function translated(
  name: WorkloadName,
  call: Pick<Workload, 'title' | 'provider' | 'providerPath' | 'callerPath' | 'requestBody'> & {
    readonly body: string;
  },
): Workload {
  const { body, ...rest } = call;
  const answer = { contentType: 'text/event-stream', body };
  return { name, streamed: true, answer, concurrencies: [32], isTranslated: true, ...rest };
}

/** What the words of the streams are, for a look at what came of them. */
export const STREAMED_TEXT = STREAM_WORDS.slice(1)
  .map((word) => `${word} `)
  .join('');

export const WORKLOADS: Readonly<Record<WorkloadName, Workload>> = {
  json: {
    name: 'json',
    title: 'chat call, 1 KB in, 1 KB out',
    streamed: false,
    requestBody: requestBody('json', false),
    answer: { contentType: 'application/json', body: jsonAnswer('json') },
    concurrencies: [32, 1],
    ...SAME_DIALECT,
  },
  sse: stream('sse', `streamed chat call, ${STREAM_CHUNKS} chunks, usage and end, all at once`, [32, 1]),
  paced: stream('paced', `streamed chat call, ${STREAM_CHUNKS} chunks, usage and end, one each ${PACE_MS} ms`, [128]),
  'from-anthropic': translated('from-anthropic', {
    title: 'the same stream to a caller of OpenAI’s dialect from a provider of Anthropic’s',
    provider: 'anthropic',
    providerPath: '/messages',
    callerPath: CHAT_PATH,
    requestBody: requestBody('from-anthropic', true),
    body: anthropicStream(STREAM_WORDS.slice(1)),
  }),
  'from-gemini': translated('from-gemini', {
    title: 'the same stream to a caller of OpenAI’s dialect from a provider of Gemini’s',
    provider: 'gemini',
    providerPath: `/models/${modelOf('from-gemini')}:streamGenerateContent`,
    callerPath: CHAT_PATH,
    requestBody: requestBody('from-gemini', true),
    body: geminiStream(STREAM_WORDS.slice(1)),
  }),
  'to-anthropic': translated('to-anthropic', {
    title: 'the same stream to a caller of Anthropic’s dialect from a provider of OpenAI’s',
    provider: 'openai',
    providerPath: CHAT_PATH,
    callerPath: '/messages',
    requestBody: JSON.stringify({
      model: modelOf('to-anthropic'),
      system: 'You are a helpful assistant that answers briefly.',
      messages: [{ role: 'user', content: WORDS.repeat(9).trim() }],
      temperature: 0.7,
      max_tokens: 256,
      stream: true,
    }),
    body: streamEvents('to-anthropic').join(''),
  }),
};
