import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Usage } from '@pingtoken/shared/rate-card';
import type {
  AssistantPart,
  ChatAnswer,
  ChatEvent,
  ChatRequest,
  MediaPart,
  ToolCallPart,
  UserMessage,
} from '../chat.js';
import { parseJsonExactly, stringifyExactly } from '../json.js';
import { geminiChat } from './gemini.js';
import { gatherChatStream } from '../../../../test/kit/gather-chat-stream.js';
import { joinPieces } from './pieces.js';

const MODEL = 'gemini-3-flash';
const text = fc.string({ minLength: 1, maxLength: 12 });
const word = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);
const base64 = fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const argumentsJson = fc.dictionary(word, fc.jsonValue()).map(stringifyExactly);

const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
/** Absent, not undefined. */
const compact = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T;

const textPart = text.map((value) => ({ kind: 'text' as const, text: value }));
const mediaPart = fc.oneof(
  base64.map((data) => ({ kind: 'media' as const, mediaType: 'image/png', source: { kind: 'base64' as const, data } })),
  word.map((name) => ({
    kind: 'media' as const,
    mediaType: 'application/pdf',
    source: { kind: 'url' as const, url: `https://example.com/${name}` },
  })),
);
const detail = fc.constantFrom(undefined, 'low' as const, 'high' as const);
const mediaWithDetail = fc
  .tuple(mediaPart, detail)
  .map(([part, level]) => compact({ ...part, detail: level }) as MediaPart);

const reasoningPart = fc
  .record({ kind: fc.constant('reasoning' as const), text, signature: optional(base64) })
  .map((part) => compact(part) as AssistantPart);
const callPart = fc
  .record({ kind: fc.constant('tool-call' as const), name: word, argumentsJson, signature: optional(base64) })
  .map((part) => compact({ ...part, id: '' }) as ToolCallPart);

/** As streams and histories are joined, so that no piece stands beside another of its kind; ids are unlike. */
const assistantContent = fc
  .array(fc.oneof(textPart, reasoningPart, callPart), { minLength: 1, maxLength: 5 })
  .map((parts) => joinPieces(parts));

/** A turn of the model and the user's behind it, which answers every call and then says something. */
const exchange = fc.tuple(
  assistantContent,
  fc.array(fc.oneof(textPart, mediaWithDetail), { minLength: 1, maxLength: 3 }),
  fc.array(fc.tuple(text, fc.boolean(), fc.array(mediaPart, { maxLength: 1 })), { minLength: 5, maxLength: 5 }),
);

const conversation = fc.array(exchange, { maxLength: 3 }).map((exchanges) => {
  const messages: ChatRequest['messages'][number][] = [{ role: 'user', content: [{ kind: 'text', text: 'begin' }] }];
  exchanges.forEach(([content, said, results], turn) => {
    const identified = content.map((part, index) =>
      part.kind === 'tool-call' ? { ...part, id: `id_${turn}_${index}` } : part,
    );
    const answered = identified.filter((part) => part.kind === 'tool-call');
    const toolResults = answered.map((call, index): UserMessage['content'][number] => {
      const [result, isError, media] = results[index] ?? ['', false, []];
      const inline = media.filter((part) => part.source.kind === 'base64');
      return compact({
        kind: 'tool-result' as const,
        callId: call.id,
        toolName: call.name,
        content: [{ kind: 'text' as const, text: result }, ...inline],
        ...(isError && { isError }),
      });
    });
    messages.push({ role: 'assistant', content: identified }, { role: 'user', content: [...toolResults, ...said] });
  });
  return messages;
});

const tools = fc
  .uniqueArray(
    fc.record({ name: word, description: optional(text), parameters: optional(fc.dictionary(word, fc.jsonValue())) }),
    { selector: (tool) => tool.name, minLength: 1, maxLength: 3 },
  )
  .map((list) => list.map(compact));

const request: fc.Arbitrary<ChatRequest> = fc
  .record({
    model: fc.constant(MODEL),
    streamed: fc.constant(false),
    wantsStreamUsage: fc.constant(true),
    system: fc.array(textPart, { maxLength: 2 }),
    messages: conversation,
    tools,
    toolChoice: fc.constantFrom(undefined, ...(['auto', 'none', 'required'] as const).map((kind) => ({ kind }))),
    maxOutputTokens: optional(fc.nat()),
    temperature: optional(fc.double({ min: 0, max: 2, noNaN: true })),
    topP: optional(fc.double({ min: 0, max: 1, noNaN: true })),
    topK: optional(fc.nat(100)),
    frequencyPenalty: optional(fc.double({ min: -2, max: 2, noNaN: true })),
    presencePenalty: optional(fc.double({ min: -2, max: 2, noNaN: true })),
    seed: optional(fc.integer()),
    stop: optional(fc.array(text, { minLength: 1, maxLength: 5 })),
    responseFormat: optional(
      fc.oneof(
        fc.constant({ kind: 'json' as const }),
        fc
          .dictionary(word, fc.jsonValue())
          .map((schema) => ({ kind: 'json-schema' as const, name: 'response', schema })),
      ),
    ),
    reasoning: optional(
      fc
        .tuple(
          fc.constantFrom(
            ...(['minimal', 'low', 'medium', 'high'] as const).map((effort) => ({ effort })),
            { budgetTokens: 2048 },
            { isAdaptive: true },
          ),
          optional(fc.boolean()),
        )
        .map(([amount, isVisible]) => compact({ ...amount, isVisible })),
    ),
    answerCount: optional(fc.integer({ min: 1, max: 8 })),
    logprobs: optional(fc.nat(20).map((top) => ({ top }))),
    serviceTier: fc.constantFrom(undefined, 'default', 'flex', 'priority'),
  })
  .map((value) => compact(value) as ChatRequest);

const usage: fc.Arbitrary<Usage> = fc
  .record({
    input: fc.nat(1000),
    output: fc.nat(1000),
    cacheRead: optional(fc.integer({ min: 1, max: 99 })),
    audioInput: optional(fc.integer({ min: 1, max: 99 })),
    reasoning: optional(fc.integer({ min: 1, max: 99 })),
    audioOutput: optional(fc.integer({ min: 1, max: 99 })),
  })
  .map((counts) => compact({ ...counts, request: 1 }) as Usage);

const content = fc
  .oneof(
    assistantContent,
    fc.constant([{ kind: 'reasoning' as const, text: '', redacted: 'another vendor’s ciphertext' }]),
    fc.tuple(textPart, base64).map(([part, signature]) => [part, { kind: 'reasoning' as const, text: '', signature }]),
  )
  .map((parts: readonly AssistantPart[]) =>
    parts.map((part, index) => (part.kind === 'tool-call' ? { ...part, id: `call_${index}` } : part)),
  );

const answer: fc.Arbitrary<ChatAnswer> = fc
  .tuple(
    word,
    fc.array(fc.tuple(content, fc.constantFrom('stop', 'length', 'content-filter')), { minLength: 1, maxLength: 3 }),
    usage,
  )
  .map(([id, choices, counts]) => ({
    id,
    model: 'alias',
    choices: choices.map(([parts, finish]) => ({
      content: parts,
      finish: finish === 'stop' && parts.some((part) => part.kind === 'tool-call') ? 'tool-calls' : finish,
    })),
    usage: counts,
  }));

describe('what Gemini can express', () => {
  it('is the same request after it was written and read', () => {
    fc.assert(
      fc.property(request, (value) => {
        const { body, unsupported } = geminiChat.writeRequest(value, MODEL);
        expect(unsupported).toEqual([]);
        const read = geminiChat.readRequest(parseJsonExactly(stringifyExactly(body)), {
          model: MODEL,
          streamed: false,
        });
        expect(stringifyExactly(sorted(read))).toBe(stringifyExactly(sorted(value)));
      }),
    );
  });

  it('is the same answer after it was written and read', () => {
    fc.assert(
      fc.property(answer, (value) => {
        const body = parseJsonExactly(stringifyExactly(geminiChat.writeAnswer(value, 'alias')));
        expect(stringifyExactly(sorted(geminiChat.readAnswer(body)))).toBe(stringifyExactly(sorted(value)));
      }),
    );
  });

  it('is the same answer after it was streamed, in pieces of any size and with its choices interleaved', () => {
    fc.assert(
      fc.property(answer, fc.integer({ min: 1, max: 5 }), (value, size) => {
        const writer = geminiChat.createStreamWriter({ model: 'alias', wantsUsage: true });
        const events = [...cut(value, size)];
        const { answer: read, isWhole } = gatherChatStream(
          geminiChat,
          events.map((event) => writer.push(event)).join('') + writer.end(),
        );
        expect(isWhole).toBe(true);
        expect(stringifyExactly(sorted(read))).toBe(stringifyExactly(sorted(value)));
      }),
    );
  });
});

/** The events of an answer, its choices in turn. */
function* cut({ id, model, choices, usage: counts }: ChatAnswer, size: number): Generator<ChatEvent> {
  yield { kind: 'start', id, model };
  const streams = choices.map((choice, index) => [...cutChoice(choice, index, size)]);
  const longest = Math.max(...streams.map((stream) => stream.length));
  for (let step = 0; step < longest; step++) for (const stream of streams) yield* stream.slice(step, step + 1);
  if (counts !== undefined) yield { kind: 'usage', usage: counts };
}

function* cutChoice(choice: ChatAnswer['choices'][number], index: number, size: number): Generator<ChatEvent> {
  let calls = 0;
  for (const part of choice.content) {
    if (part.kind === 'tool-call') {
      const { id, name, signature } = part;
      yield compact({ kind: 'tool-call' as const, choice: index, index: calls, id, name, signature }) as ChatEvent;
      for (const json of pieces(part.argumentsJson, size)) {
        yield { kind: 'tool-arguments', choice: index, index: calls, json };
      }
      calls += 1;
    } else if (part.kind === 'reasoning' && part.redacted !== undefined) {
      yield { kind: 'reasoning-redacted', choice: index, data: part.redacted };
    } else {
      if (part.text === '') yield { kind: part.kind, choice: index, text: '' };
      for (const piece of pieces(part.text, size)) yield { kind: part.kind, choice: index, text: piece };
      if (part.kind === 'reasoning' && part.signature !== undefined) {
        yield { kind: 'reasoning-signature', choice: index, signature: part.signature };
      }
    }
  }
  yield { kind: 'finish', choice: index, reason: choice.finish };
}

function pieces(value: string, size: number): string[] {
  const letters = Array.from(value);
  return Array.from({ length: Math.ceil(letters.length / size) }, (_none, index) =>
    letters.slice(index * size, (index + 1) * size).join(''),
  );
}

/** Objects with their keys in order: how a value is spelt is not what it means. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, field]) => [key, sorted(field)] as const);
  return Object.fromEntries(entries.sort(([one], [other]) => (one < other ? -1 : 1)));
}
