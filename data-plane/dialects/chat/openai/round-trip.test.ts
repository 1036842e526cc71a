import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJsonExactly, stringifyExactly } from '../json.js';
import type { AssistantPart, ChatAnswer, ChatEvent, ChatMessage, ChatRequest, TextPart, UserMessage } from '../chat.js';
import { openAiChat } from './openai.js';
import { readAll, writeAll } from '../../../../test/kit/openai-stream.js';

/*
 * What this dialect can express comes back as it was said. It cannot express: where one text ends and the next begins, the
 * order of thoughts, texts and calls within a message, cache marks, and thoughts that led to no call.
 */

const text = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' });
const name = fc.stringMatching(/^[a-z]{1,6}$/);
const json = fc.dictionary(name, fc.oneof(fc.integer(), text, fc.boolean()), { maxKeys: 3 });
const argumentsJson = json.map((value) => JSON.stringify(value));
const textPart = text.map((words): TextPart => ({ kind: 'text', text: words }));

/** Keys of which each may be absent. */
const optional = <Values extends object>(values: { [Key in keyof Values]: fc.Arbitrary<Values[Key]> }) =>
  fc.record(values, { requiredKeys: [] });

const media = fc.oneof(
  fc.record({
    kind: fc.constant('media' as const),
    mediaType: fc.constantFrom('image/png', 'image/jpeg', 'audio/wav', 'audio/mpeg'),
    source: fc.record({ kind: fc.constant('base64' as const), data: fc.base64String({ minLength: 4 }) }),
  }),
  fc.record({
    kind: fc.constant('media' as const),
    mediaType: fc.constant(undefined),
    source: fc.record({ kind: fc.constant('url' as const), url: fc.webUrl() }),
    detail: fc.constantFrom('auto' as const, 'low' as const, 'high' as const),
  }),
  fc.record({
    kind: fc.constant('media' as const),
    mediaType: fc.constant('application/pdf'),
    source: fc.record({ kind: fc.constant('base64' as const), data: fc.base64String({ minLength: 4 }) }),
    fileName: name.map((base) => `${base}.pdf`),
  }),
);

const userTurn: fc.Arbitrary<ChatMessage[]> = fc.oneof(
  textPart.map((part): ChatMessage[] => [{ role: 'user', content: [part] }]),
  fc
    .tuple(media, fc.array(fc.oneof(textPart, media), { maxLength: 3 }))
    .map(([first, rest]): ChatMessage[] => [{ role: 'user', content: [first, ...rest] }]),
);

const thought = fc.option(
  text.map((words): AssistantPart => ({ kind: 'reasoning', text: words })),
  { nil: undefined },
);

/** A turn that calls tools, thinking first perhaps, and the results of all its calls. */
const toolTurn: fc.Arbitrary<ChatMessage[]> = fc
  .tuple(
    thought,
    fc.uniqueArray(fc.record({ id: name, name, argumentsJson, result: text }), {
      minLength: 1,
      maxLength: 3,
      selector: (call) => call.id,
    }),
  )
  .map(([reasoning, calls]) => [
    {
      role: 'assistant',
      content: [
        ...(reasoning === undefined ? [] : [reasoning]),
        ...calls.map(({ id, name: tool, argumentsJson: given }) => {
          return { kind: 'tool-call', id, name: tool, argumentsJson: given } as const;
        }),
      ],
    },
    {
      role: 'user',
      content: calls.map(({ id, name: toolName, result }): UserMessage['content'][number] => {
        return { kind: 'tool-result', callId: id, toolName, content: [{ kind: 'text', text: result }] };
      }),
    },
  ]);

const saidTurn: fc.Arbitrary<ChatMessage[]> = fc
  .tuple(textPart, fc.option(text, { nil: undefined }))
  .map(([part, refusal]) => [
    {
      role: 'assistant',
      content: refusal === undefined ? [part] : [part, { kind: 'refusal', text: refusal }],
    },
  ]);

const tools = fc.array(
  fc
    .tuple(fc.record({ name }), optional({ description: text, strict: fc.boolean(), parameters: json }))
    .map(([required, rest]) => ({ ...required, ...rest })),
  { minLength: 1, maxLength: 3 },
);

const toolWishes = fc.record(
  {
    tools,
    toolChoice: fc.oneof(
      fc.record({ kind: fc.constantFrom('auto' as const, 'none' as const, 'required' as const) }),
      fc.record({ kind: fc.constant('tool' as const), name }),
    ),
    parallelToolCalls: fc.boolean(),
  },
  { requiredKeys: ['tools'] },
);

const number = fc.double({ noNaN: true, noDefaultInfinity: true, min: -2, max: 2 }).map((value) => value + 0);

const wishes = optional({
  maxOutputTokens: fc.integer({ min: 1 }),
  temperature: number,
  topP: number,
  frequencyPenalty: number,
  presencePenalty: number,
  seed: fc.maxSafeInteger(),
  stop: fc.array(text, { minLength: 1, maxLength: 4 }),
  responseFormat: fc.oneof(
    fc.constant({ kind: 'json' as const }),
    fc.record({ kind: fc.constant('json-schema' as const), name, schema: json, strict: fc.boolean() }),
  ),
  reasoning: fc.record({
    effort: fc.constantFrom('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'),
  }),
  answerCount: fc.integer({ min: 1, max: 8 }),
  logprobs: fc.record({ top: fc.integer({ min: 0, max: 20 }) }),
  verbosity: fc.constantFrom('low' as const, 'medium' as const, 'high' as const),
  serviceTier: fc.constantFrom('default', 'flex', 'priority'),
  endUser: text,
});

const request: fc.Arbitrary<ChatRequest> = fc
  .record({
    streamed: fc.boolean(),
    system: fc.array(textPart, { maxLength: 1 }),
    turns: fc.array(fc.oneof(userTurn, toolTurn, saidTurn), { maxLength: 5 }),
    model: fc.constantFrom('gpt-5', 'deepseek-chat'),
    toolWishes: fc.oneof(toolWishes, fc.constant({ tools: [] })),
    wishes,
  })
  .map(({ streamed, system, turns, model, toolWishes: asked, wishes: more }) => {
    const basics = { model, streamed, wantsStreamUsage: streamed, system, messages: turns.flat() };
    return { ...basics, ...asked, ...more };
  });

const usage = fc.record({
  input: fc.nat(1000),
  output: fc.nat(1000),
  request: fc.constant(1),
  cacheRead: fc.integer({ min: 1, max: 1000 }),
  cacheWrite5m: fc.integer({ min: 1, max: 1000 }),
  audioInput: fc.integer({ min: 1, max: 1000 }),
  reasoning: fc.integer({ min: 1, max: 1000 }),
  audioOutput: fc.integer({ min: 1, max: 1000 }),
});

const reasoningPart: fc.Arbitrary<AssistantPart> = fc.oneof(
  text.map((words) => ({ kind: 'reasoning', text: words }) as const),
  fc.tuple(text, text).map(([words, signature]) => ({ kind: 'reasoning', text: words, signature }) as const),
  text.map((data) => ({ kind: 'reasoning', text: '', redacted: data }) as const),
);

const callPart: fc.Arbitrary<AssistantPart> = fc
  .tuple(
    fc.record({ kind: fc.constant('tool-call' as const), id: name, name, argumentsJson }),
    optional({ signature: text }),
  )
  .map(([call, rest]) => ({ ...call, ...rest }));

const choice = fc
  .tuple(
    fc.array(reasoningPart, { maxLength: 3 }),
    fc.array(textPart, { maxLength: 1 }),
    fc.oneof(
      fc.array(callPart, { minLength: 1, maxLength: 3 }).map((parts) => ({ parts, finish: 'tool-calls' as const })),
      text.map((words) => ({ parts: [{ kind: 'refusal' as const, text: words }], finish: 'refusal' as const })),
      fc
        .constantFrom('stop' as const, 'length' as const, 'content-filter' as const)
        .map((finish) => ({ parts: [], finish })),
    ),
  )
  .map(([thoughts, texts, { parts, finish }]) => ({ content: [...thoughts, ...texts, ...parts], finish }));

const answer: fc.Arbitrary<ChatAnswer> = fc.record({
  id: name,
  model: name,
  createdAt: fc.integer({ min: 1 }),
  choices: fc.array(choice, { minLength: 1, maxLength: 3 }),
  usage: fc.option(usage, { nil: undefined }),
});

describe('what is written in this dialect and read again is the same', () => {
  it('for requests', () => {
    fc.assert(
      fc.property(request, (asked) => {
        const { body, unsupported } = openAiChat.writeRequest(asked, asked.model);
        expect(unsupported).toEqual([]);
        const sent = parseJsonExactly(stringifyExactly(body));
        expect(openAiChat.readRequest(sent, { model: undefined, streamed: undefined })).toEqual(asked);
      }),
    );
  });

  it('for answers', () => {
    fc.assert(
      fc.property(answer, (given) => {
        const sent = parseJsonExactly(stringifyExactly(openAiChat.writeAnswer(given, given.model)));
        expect(openAiChat.readAnswer(sent)).toEqual(given);
      }),
    );
  });

  it('for streams, with several answers at once in any order', () => {
    fc.assert(
      fc.property(answer, fc.infiniteStream(fc.nat(2)), (given, picks) => {
        const events = eventsOf(given, picks);
        const { events: read, isWhole } = readAll(writeAll(events, { model: given.model, wantsUsage: true }));
        expect(read).toEqual(events);
        expect(isWhole).toBe(true);
      }),
    );
  });
});

/** An answer as the steps of a stream; `picks` says whose step comes next. */
function eventsOf({ id, model, createdAt, choices, usage: total }: ChatAnswer, picks: Iterator<number>): ChatEvent[] {
  const queues = choices.map((one, index) => [
    ...stepsOf(one.content, index),
    { kind: 'finish', choice: index, reason: one.finish } as const,
  ]);
  const events: ChatEvent[] = [{ kind: 'start', id, model, ...(createdAt === undefined ? {} : { createdAt }) }];
  for (let open = queues; open.length > 0; open = open.filter((queue) => queue.length > 0)) {
    const pick: unknown = picks.next().value;
    const step = open[typeof pick === 'number' ? pick % open.length : 0]?.shift();
    if (step !== undefined) events.push(step);
  }
  if (total !== undefined) events.push({ kind: 'usage', usage: total });
  return events;
}

function stepsOf(content: readonly AssistantPart[], index: number): ChatEvent[] {
  let calls = -1;
  return content.flatMap((part): ChatEvent[] => {
    switch (part.kind) {
      case 'reasoning': {
        if (part.redacted !== undefined) return [{ kind: 'reasoning-redacted', choice: index, data: part.redacted }];
        const step = { kind: 'reasoning', choice: index, text: part.text } as const;
        if (part.signature === undefined) return [step];
        return [step, { kind: 'reasoning-signature', choice: index, signature: part.signature }];
      }
      case 'text':
      case 'refusal':
        return Array.from(part.text, (letter) => ({ kind: part.kind, choice: index, text: letter }));
      case 'tool-call': {
        calls += 1;
        const { id, name: tool, signature, argumentsJson: given } = part;
        const place = { choice: index, index: calls };
        return [
          { kind: 'tool-call', ...place, id, name: tool, ...(signature === undefined ? {} : { signature }) },
          { kind: 'tool-arguments', ...place, json: given.slice(0, 1) },
          { kind: 'tool-arguments', ...place, json: given.slice(1) },
        ];
      }
    }
  });
}
