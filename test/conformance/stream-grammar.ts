import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { expect } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { parseJson } from '@pingtoken/shared/wire';

/** What the grammar of each vendor's streams demands of every one of them; the pages are named where each is checked. */
export interface StreamCheck {
  /** What `model` of every event has to be. */
  readonly model: string;
  readonly wantsUsage: boolean;
  /** Whether an answer without any content is right. */
  readonly mayBeEmpty: boolean;
}

export function readEvents(text: string): EventSourceMessage[] {
  const events: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event) });
  parser.feed(text);
  return events;
}

export const GRAMMARS: Readonly<Record<Dialect, (events: readonly EventSourceMessage[], check: StreamCheck) => void>> =
  {
    openai: expectOpenAiGrammar,
    anthropic: expectAnthropicGrammar,
    gemini: expectGeminiGrammar,
  };

type Fields = Readonly<Record<string, unknown>>;
const fieldsOf = ({ data }: EventSourceMessage): Fields => parseJson(data) as Fields;

/**
 * Chunks of one id, that of the role first and that of the finish last, then the usage with no choices where it was asked
 * for, then `[DONE]`. https://platform.openai.com/docs/api-reference/chat-streaming
 */
function expectOpenAiGrammar(events: readonly EventSourceMessage[], { model, wantsUsage }: StreamCheck): void {
  expect(events.at(-1)?.data).toBe('[DONE]');
  expect(events.every(({ event }) => event === undefined)).toBe(true);
  const chunks = events.slice(0, -1).map(fieldsOf);
  expect(new Set(chunks.map(({ id, object, created }) => JSON.stringify([id, object, created]))).size).toBe(1);
  expect(chunks[0]).toMatchObject({ object: 'chat.completion.chunk', id: expect.any(String), model });
  const said = wantsUsage ? chunks.slice(0, -1) : chunks;
  if (wantsUsage) {
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: expect.any(Number) } });
    expect(said.every(({ usage }) => usage === null)).toBe(true);
  } else expect(chunks.every(({ usage }) => usage === undefined || usage === null)).toBe(true);
  const choices = said.map((chunk) => (chunk['choices'] as readonly [Fields])[0]);
  expect(choices.map(({ index }) => index)).toEqual(choices.map(() => 0));
  expect(choices[0]).toMatchObject({ delta: { role: 'assistant' }, finish_reason: null });
  expect(choices.slice(1).filter(({ delta }) => 'role' in (delta as Fields))).toEqual([]);
  expect(choices.slice(0, -1).every((choice) => choice['finish_reason'] === null)).toBe(true);
  expect(choices.at(-1)).toMatchObject({ delta: {}, finish_reason: expect.any(String) });
  expectOpenAiCalls(choices.flatMap(({ delta }) => ((delta as Fields)['tool_calls'] as Fields[] | undefined) ?? []));
}

/** Each call is begun once, with its id and name, and its pieces bear its number. */
function expectOpenAiCalls(pieces: readonly Fields[]): void {
  const begun = pieces.filter(({ id }) => id !== undefined);
  expect(begun.map(({ index }) => index)).toEqual(begun.map((_, index) => index));
  for (const piece of begun) {
    expect(piece).toMatchObject({ type: 'function', function: { name: expect.any(String), arguments: '' } });
  }
  let current: unknown;
  for (const { id, index } of pieces) {
    if (id !== undefined) current = index;
    expect(index).toBe(current);
  }
}

const DELTAS: Readonly<Record<string, readonly string[]>> = {
  text: ['text_delta'],
  thinking: ['thinking_delta', 'signature_delta'],
  tool_use: ['input_json_delta'],
  redacted_thinking: [],
};

/**
 * `message_start`, then block after block, each begun, filled by deltas of its own kind and ended before the next one, then
 * `message_delta` and `message_stop`; each event is named as its type. https://platform.claude.com/docs/en/build-with-claude/streaming
 */
function expectAnthropicGrammar(events: readonly EventSourceMessage[], { model, mayBeEmpty }: StreamCheck): void {
  const messages = events.map(fieldsOf);
  expect(events.map(({ event }) => event)).toEqual(messages.map(({ type }) => type));
  const told = messages.filter(({ type }) => type !== 'ping');
  const [start, ...rest] = told;
  expect(start).toMatchObject({
    type: 'message_start',
    message: { type: 'message', role: 'assistant', model, content: [], stop_reason: null, usage: expect.any(Object) },
  });
  expect(rest.at(-1)).toEqual({ type: 'message_stop' });
  expect(rest.at(-2)).toMatchObject({
    type: 'message_delta',
    delta: { stop_reason: expect.any(String) },
    usage: { input_tokens: expect.any(Number), output_tokens: expect.any(Number) },
  });
  let blocks = 0;
  let open: string | undefined;
  for (const event of rest.slice(0, -2)) {
    if (event['type'] === 'content_block_start') {
      expect([open, event['index']]).toEqual([undefined, blocks]);
      open = String((event['content_block'] as Fields)['type']);
    } else if (event['type'] === 'content_block_delta') {
      expect(event['index']).toBe(blocks);
      expect(DELTAS[open ?? '']).toContain((event['delta'] as Fields)['type']);
    } else {
      expect(event).toEqual({ type: 'content_block_stop', index: blocks });
      expect(open).toBeDefined();
      open = undefined;
      blocks += 1;
    }
  }
  expect(open).toBeUndefined();
  if (!mayBeEmpty) expect(blocks).toBeGreaterThan(0);
}

/**
 * Answers with the next parts of a candidate, of one id; the last says why it ended and what the whole used; nothing closes
 * the stream. https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
 */
function expectGeminiGrammar(events: readonly EventSourceMessage[], { model }: StreamCheck): void {
  expect(events.every(({ event }) => event === undefined)).toBe(true);
  const answers = events.map(fieldsOf);
  expect(new Set(answers.map(({ responseId }) => responseId)).size).toBe(1);
  expect(answers.map(({ modelVersion }) => modelVersion)).toEqual(answers.map(() => model));
  const candidates = answers.map((answer) => (answer['candidates'] as readonly [Fields])[0]);
  for (const candidate of candidates) {
    expect(candidate).toMatchObject({ index: 0, content: { role: 'model', parts: expect.any(Array) } });
    for (const part of (candidate['content'] as { parts: Fields[] }).parts) {
      const kinds = ['text', 'functionCall'].filter((name) => name in part);
      expect(kinds).toHaveLength(1);
    }
  }
  expect(candidates.slice(0, -1).filter((candidate) => 'finishReason' in candidate)).toEqual([]);
  expect(candidates.at(-1)).toMatchObject({ finishReason: expect.any(String) });
  expect(answers.at(-1)).toMatchObject({ usageMetadata: { totalTokenCount: expect.any(Number) } });
}
