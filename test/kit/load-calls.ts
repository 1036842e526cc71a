import { parseJson } from '@pingtoken/shared/wire';

/** One call, as it is made and read. */
export interface DrawnCall {
  /** Below the gateway's address, with the version. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | FormData;
  /** The caller hangs up after so many bytes of the answer. */
  readonly leavesAfter: number | undefined;
  /** Whether an answer, from its beginning to its clean end, is all of it. */
  readonly isWhole: (text: string) => boolean;
}

/** How a call is spoken. `forms` is OpenAI's multipart. */
type Speech = 'openai' | 'anthropic' | 'gemini' | 'openai to anthropic' | 'embeddings' | 'forms';

/** Name, share of calls, how it is spoken, whether streamed, directives for the simulator. */
const KINDS = [
  ['plain', 28, 'openai', false, ''],
  ['streamed', 22, 'openai', true, ''],
  ['streamed, usage asked for', 10, 'openai', true, ''],
  ['slow', 7, 'openai', false, 'delay=150'],
  ['slowly streamed', 7, 'openai', true, 'chunk-delay=8 tokens=25'],
  ['reasoning and cached', 5, 'openai', true, 'reasoning=7 tokens=30 cached=5'],
  ['failing', 2, 'openai', false, 'status=500'],
  ['dying', 2, 'openai', true, 'die-after=3'],
  ['saying nothing of usage', 2, 'openai', false, 'usage=none'],
  ['left', 2, 'openai', true, 'chunk-delay=5 tokens=60'],
  ['embeddings', 4, 'embeddings', false, ''],
  ['messages', 3, 'anthropic', true, 'cached=3'],
  ['left', 2, 'anthropic', true, 'chunk-delay=5 tokens=60'],
  ['generateContent', 3, 'gemini', true, ''],
  ['left', 2, 'gemini', true, 'chunk-delay=5 tokens=60'],
  ['translated', 2, 'openai to anthropic', true, ''],
  ['left', 1, 'openai to anthropic', true, 'chunk-delay=5 tokens=60'],
  ['transcription', 2, 'forms', false, ''],
] as const satisfies readonly (readonly [string, number, Speech, boolean, string])[];

/** What a load calls. */
export const LOAD_MODELS = [
  'pingtoken-sim-small',
  'pingtoken-sim-large',
  'pingtoken-sim-embedding',
  'pingtoken-sim-anthropic',
  'pingtoken-sim-gemini',
  'pingtoken-sim-transcribe',
] as const;

export type DrawCall = (random: () => number, name: string) => DrawnCall;

/** A mix of calls: plain and streamed, quick and slow, good and failing, stayed for and left, in all dialects. */
export function drawMixedCall(random: () => number, name: string): DrawnCall {
  let left = random() * KINDS.reduce((sum, [, share]) => sum + share, 0);
  const [kind, , speech, isStream, directives] = KINDS.find(([, share]) => (left -= share) < 0) ?? KINDS[0];
  const text = textOf(random, name, directives);
  const leavesAfter = kind === 'left' ? 300 + 3_000 * random() : undefined;
  return { ...speak(speech, { text, isStream, asksUsage: kind.endsWith('asked for'), random }), leavesAfter };
}

/** A chat call of one model. @param directives for the simulator */
export function chatCall(model: string, text: string, isStream: boolean, asksUsage = false): DrawnCall {
  const body = {
    model,
    messages: [{ role: 'user', content: text }],
    ...(isStream && { stream: true }),
    ...(asksUsage && { stream_options: { include_usage: true } }),
  };
  const isWhole = isStream ? endsWith('data: [DONE]\n\n') : endsWith('}');
  return { ...json('/v1/chat/completions', body), leavesAfter: undefined, isWhole };
}

export function textOf(random: () => number, name: string, directives: string): string {
  return `call ${name} ${'word '.repeat(Math.floor(random() * 30))}${directives && `[[sim ${directives}]]`}`;
}

interface Said {
  readonly text: string;
  readonly isStream: boolean;
  readonly asksUsage: boolean;
  readonly random: () => number;
}

function speak(speech: Speech, { text, isStream, asksUsage, random }: Said): Omit<DrawnCall, 'leavesAfter'> {
  switch (speech) {
    case 'openai':
      return chatCall(random() < 0.8 ? LOAD_MODELS[0] : LOAD_MODELS[1], text, isStream, asksUsage);
    case 'openai to anthropic':
      return chatCall('pingtoken-sim-anthropic', text, isStream);
    case 'embeddings':
      return { ...json('/v1/embeddings', { model: 'pingtoken-sim-embedding', input: text }), isWhole: endsWith('}') };
    case 'anthropic': {
      const messages = [{ role: 'user', content: text }];
      const body = { model: 'pingtoken-sim-anthropic', max_tokens: 200, messages, stream: true };
      return { ...json('/v1/messages', body), isWhole: (answer) => answer.includes('event: message_stop\n') };
    }
    case 'gemini': {
      const path = '/v1beta/models/pingtoken-sim-gemini:streamGenerateContent?alt=sse';
      const body = { contents: [{ role: 'user', parts: [{ text }] }] };
      return { ...json(path, body), isWhole: (answer) => answer.includes('"finishReason"') };
    }
    case 'forms': {
      const body = new FormData();
      body.set('model', 'pingtoken-sim-transcribe');
      body.set('file', new Blob([new Uint8Array(2_000 + 40_000 * random())]), 'sound.wav');
      return { path: '/v1/audio/transcriptions', headers: {}, body, isWhole: endsWith('}') };
    }
  }
}

const json = (path: string, body: object): Pick<DrawnCall, 'path' | 'headers' | 'body'> => ({
  path,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
});

const endsWith =
  (end: string): DrawnCall['isWhole'] =>
  (text) =>
    text.trimEnd().endsWith(end.trimEnd());

/** Pieces of the answer's text that came whole in a stream: the simulator gives a word in each, a token at least. */
export function countWords(text: string): number {
  const events = text.split('\n\n').slice(0, -1);
  return events.filter((event) => {
    const data = /^data: (\{.*)$/m.exec(event)?.[1];
    return data !== undefined && saysText(parseJson(data));
  }).length;
}

/** A member or item of that name somewhere in an event, in whichever dialect it is. */
function saysText(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(saysText);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(
    ([name, member]) =>
      (['content', 'text'].includes(name) && typeof member === 'string' && member !== '') || saysText(member),
  );
}
