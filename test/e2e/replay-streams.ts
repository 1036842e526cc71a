import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import type { Usage } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';

export interface StreamEvent {
  /** Of the `event:` line, where the vendor has one. */
  readonly name?: string;
  readonly data: string;
}

/** A provider's stream, event by event. */
export interface ReplayedStream {
  readonly title: string;
  readonly dialect: Dialect;
  readonly events: readonly StreamEvent[];
  /** What it must be billed as, where it was worked out by hand. */
  readonly usage?: Usage;
}

const SENTENCE = ['Grüße aus ', '東京 und ', 'Łódź: 👩‍👩‍👧 ', '“✓”\n\n', '{"no": "event"}'];

/** https://platform.openai.com/docs/api-reference/chat-streaming */
function openAiEvents(deltas: readonly object[], finish: string): StreamEvent[] {
  const head = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_741_569_952, model: 'gpt-5' };
  const usage = {
    prompt_tokens: 19,
    completion_tokens: 12,
    total_tokens: 31,
    prompt_tokens_details: { cached_tokens: 4, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 5, audio_tokens: 0 },
  };
  const chunk = (delta: object, finishReason: string | null): object => ({
    ...head,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    usage: null,
  });
  const chunks = [
    chunk({ role: 'assistant', content: '', refusal: null }, null),
    ...deltas.map((delta) => chunk(delta, null)),
    chunk({}, finish),
    { ...head, choices: [], usage },
  ];
  return [...chunks.map((each) => ({ data: JSON.stringify(each) })), { data: '[DONE]' }];
}
const OPENAI_USAGE: Usage = { input: 15, cacheRead: 4, output: 7, reasoning: 5, request: 1 };

/** https://platform.claude.com/docs/en/build-with-claude/streaming */
function anthropicEvents(
  blocks: readonly { start: object; deltas: readonly object[] }[],
  reason: string,
): StreamEvent[] {
  const usage = { input_tokens: 20, cache_read_input_tokens: 6, cache_creation_input_tokens: 3, output_tokens: 1 };
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude', content: [], usage };
  const told = blocks.flatMap(({ start, deltas }, index) => [
    { type: 'content_block_start', index, content_block: start },
    ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
    { type: 'content_block_stop', index },
  ]);
  const all = [
    { type: 'message_start', message },
    { type: 'ping' },
    ...told,
    { type: 'message_delta', delta: { stop_reason: reason, stop_sequence: null }, usage: { output_tokens: 42 } },
    { type: 'message_stop' },
  ];
  return all.map((event) => ({ name: event.type, data: JSON.stringify(event) }));
}
const ANTHROPIC_USAGE: Usage = { input: 20, cacheRead: 6, cacheWrite5m: 3, output: 42, request: 1 };

/** https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent */
function geminiEvents(parts: readonly object[]): StreamEvent[] {
  const answers = [...parts, { text: '' }].map((part, index) => {
    const isLast = index === parts.length;
    return {
      candidates: [{ content: { parts: [part], role: 'model' }, ...(isLast && { finishReason: 'STOP' }), index: 0 }],
      usageMetadata: {
        promptTokenCount: 9,
        candidatesTokenCount: index,
        totalTokenCount: 9 + index + 11,
        thoughtsTokenCount: 11,
        ...(isLast && { cachedContentTokenCount: 2 }),
      },
      modelVersion: 'gemini-3-pro',
      responseId: 'r-1',
    };
  });
  return answers.map((answer) => ({ data: JSON.stringify(answer) }));
}
const geminiUsage = (parts: number): Usage => ({ input: 7, cacheRead: 2, output: parts, reasoning: 11, request: 1 });

/** The project's own: words of several bytes, tool calls, thoughts, and one event of a megabyte, in each dialect. */
export function ownStreams(): ReplayedStream[] {
  const long = '1 MB: ✓ '.repeat(105_000);
  const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'weather', arguments: '' } };
  const pieces = ['{"city": "Kö', 'ln", "id": 9007199254740993}'];
  const thought = {
    start: { type: 'thinking', thinking: '', signature: '' },
    deltas: [
      { type: 'thinking_delta', thinking: 'Hm … ' },
      { type: 'signature_delta', signature: 'EqQBCkYIAR==' },
    ],
  };
  const spoken = (texts: readonly string[]) => ({
    start: { type: 'text', text: '' },
    deltas: texts.map((text) => ({ type: 'text_delta', text })),
  });
  const used = {
    start: { type: 'tool_use', id: 'toolu_1', name: 'weather', input: {} },
    deltas: pieces.map((json) => ({ type: 'input_json_delta', partial_json: json })),
  };
  const geminiParts = [
    { text: 'Hm … ', thought: true },
    ...SENTENCE.map((text) => ({ text })),
    { functionCall: { id: 'f1', name: 'weather', args: { city: 'Köln' } }, thoughtSignature: 'c2ln' },
  ];
  return [
    {
      title: 'words, thoughts and a call',
      dialect: 'openai',
      usage: OPENAI_USAGE,
      events: openAiEvents(
        [
          { reasoning_content: 'Hm … ' },
          ...SENTENCE.map((content) => ({ content })),
          { tool_calls: [call] },
          ...pieces.map((json) => ({ tool_calls: [{ index: 0, function: { arguments: json } }] })),
        ],
        'tool_calls',
      ),
    },
    {
      title: 'an event of 1 MB',
      dialect: 'openai',
      usage: OPENAI_USAGE,
      events: openAiEvents([{ content: long }], 'stop'),
    },
    {
      title: 'words, thoughts and a call',
      dialect: 'anthropic',
      usage: ANTHROPIC_USAGE,
      events: anthropicEvents([thought, spoken(SENTENCE), used], 'tool_use'),
    },
    {
      title: 'an event of 1 MB',
      dialect: 'anthropic',
      usage: ANTHROPIC_USAGE,
      events: anthropicEvents([spoken([long])], 'end_turn'),
    },
    {
      title: 'words, thoughts and a call',
      dialect: 'gemini',
      usage: geminiUsage(geminiParts.length),
      events: geminiEvents(geminiParts),
    },
    { title: 'an event of 1 MB', dialect: 'gemini', usage: geminiUsage(1), events: geminiEvents([{ text: long }]) },
  ];
}

const RECORDINGS = new URL('../../../shared/provider-recordings/', import.meta.url);
const VENDORS: readonly (readonly [vendor: string, Dialect])[] = [
  ['anthropic', 'anthropic'],
  ['google', 'gemini'],
  ['openai', 'openai'],
  ['deepseek', 'openai'],
  ['groq', 'openai'],
  ['mistral', 'openai'],
  ['xai', 'openai'],
];

/** Real streams of chat calls, where they lie beside the project: one event's data a line. */
export function recordedStreams(): ReplayedStream[] {
  return VENDORS.flatMap(([vendor, dialect]) => {
    const folder = new URL(`${vendor}/`, RECORDINGS);
    if (!existsSync(folder)) return [];
    const files = readdirSync(folder).filter((file) => file.endsWith('.chunks.txt'));
    return files.flatMap((file): ReplayedStream[] => {
      const lines = readFileSync(new URL(file, folder), 'utf8')
        .split('\n')
        .filter((line) => line.trim() !== '');
      const isChat = dialect !== 'openai' || lines[0]?.includes('chat.completion.chunk') === true;
      return isChat ? [{ title: file, dialect, events: wrap(dialect, lines) }] : [];
    });
  });
}

function wrap(dialect: Dialect, lines: readonly string[]): StreamEvent[] {
  if (dialect === 'anthropic') {
    return lines.map((data) => ({ name: (parseJson(data) as { type: string }).type, data }));
  }
  const events = lines.map((data) => ({ data }));
  return dialect === 'openai' ? [...events, { data: '[DONE]' }] : events;
}

/** How the same events may be written. https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream */
export type Style = 'plain' | 'CRLF' | 'CR' | 'comments and pings' | 'data of several lines';
export const STYLES: readonly Style[] = ['plain', 'CRLF', 'CR', 'comments and pings', 'data of several lines'];

export function encodeEvents(events: readonly StreamEvent[], style: Style): Buffer {
  const end = { CRLF: '\r\n', CR: '\r' }[style as string] ?? '\n';
  const text = events.map(({ name, data }, index) => {
    const lines = name === undefined ? [] : [`event: ${name}`];
    // Between the tokens of JSON a line may end: the brace, then the rest.
    if (style === 'data of several lines' && data.startsWith('{')) lines.push('data: {', `data: ${data.slice(1)}`);
    else lines.push(`data: ${data}`);
    if (style !== 'comments and pings') return [...lines, '', ''].join(end);
    return [`: keep-alive ${index}`, '', ':', ...lines, 'id: 7', 'retry: 10', '', ''].join(end);
  });
  return Buffer.from(text.join(''));
}
