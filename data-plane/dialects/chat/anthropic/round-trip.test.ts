import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Usage } from '@pingtoken/shared/rate-card';
import type { AssistantPart, ChatAnswer, ChatEvent, ChatMessage, ChatRequest, MediaPart, SseEvent } from '../chat.js';
import { parseJsonExactly, stringifyExactly } from '../json.js';
import { anthropicChat } from './anthropic.js';

/** What the vendor can express, in the neutral form, generated. */
const text = fc.string({ minLength: 1 }).filter((value) => value.trim() !== '');
const identifier = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/);
const json = fc.dictionary(identifier, fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string())));
const cache = fc.constantFrom({ ttl: '5m' as const }, { ttl: '1h' as const });
/** An object of which any optional field may be missing. */
const partial = <Required, Optional>(required: fc.Arbitrary<Required>, optional: fc.Arbitrary<Optional>) =>
  fc.tuple(required, optional).map(([always, sometimes]) => ({ ...always, ...sometimes }));
const cached = <Part>(part: fc.Arbitrary<Part>) => partial(part, fc.record({ cache }, { requiredKeys: [] }));

const textPart = cached(fc.record({ kind: fc.constant('text' as const), text }));
const base64 = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const url = fc.webUrl({ validSchemes: ['https'] });
const mediaPart: fc.Arbitrary<MediaPart> = cached(
  fc.oneof(
    fc.record({
      kind: fc.constant('media' as const),
      mediaType: fc.constantFrom('image/png', 'image/jpeg', 'image/gif', 'image/webp', 'application/pdf'),
      source: fc.record({ kind: fc.constant('base64' as const), data: base64 }),
    }),
    fc.record({
      kind: fc.constant('media' as const),
      mediaType: fc.constant(undefined),
      source: fc.record({ kind: fc.constant('url' as const), url: url.filter((value) => !value.includes('.pdf')) }),
    }),
    fc.record({
      kind: fc.constant('media' as const),
      mediaType: fc.constant('application/pdf'),
      fileName: text,
      source: fc.record({ kind: fc.constant('url' as const), url }),
    }),
    fc.record({
      kind: fc.constant('media' as const),
      mediaType: fc.constant('text/plain'),
      source: text.map((data) => ({ kind: 'base64' as const, data: Buffer.from(data).toString('base64') })),
    }),
  ),
);
const reasoningPart = fc.oneof(
  fc.record({ kind: fc.constant('reasoning' as const), text: fc.string(), signature: identifier }),
  fc.record({ kind: fc.constant('reasoning' as const), text: fc.constant(''), redacted: identifier }),
);
const toolCallPart = fc.record({
  kind: fc.constant('tool-call' as const),
  id: identifier,
  name: identifier,
  argumentsJson: json.map(stringifyExactly),
});

/** A turn of the user's, the model's answer to it, and the results of what that one called. */
const exchange = fc
  .record({
    asked: fc.array(fc.oneof(textPart, mediaPart), { minLength: 1, maxLength: 3 }),
    thought: fc.array(reasoningPart, { maxLength: 2 }),
    said: fc.array(textPart, { minLength: 1, maxLength: 2 }),
    calls: fc.uniqueArray(cached(toolCallPart), { maxLength: 3, selector: ({ id }) => id }),
    results: fc.array(
      fc.record(
        { content: fc.array(fc.oneof(textPart, mediaPart), { maxLength: 2 }), isError: fc.boolean(), cache },
        { requiredKeys: ['content'] },
      ),
      { minLength: 3, maxLength: 3 },
    ),
  })
  .map(({ asked, thought, said, calls, results }) => ({
    asked,
    answered: [...thought, ...said, ...calls],
    returned: calls.map(({ id, name }, index) => ({
      kind: 'tool-result' as const,
      callId: id,
      toolName: name,
      ...(results[index] ?? { content: [] }),
    })),
  }));

/** Ids are unique in a conversation: each exchange's calls bear its number. */
const messages = fc.array(exchange, { minLength: 1, maxLength: 3 }).map((exchanges): ChatMessage[] => {
  const written: ChatMessage[] = [];
  for (const [turn, { asked, answered }] of exchanges.entries()) {
    const returned = turn === 0 ? [] : (exchanges[turn - 1]?.returned ?? []);
    const results = returned.map((result) => ({ ...result, callId: `${turn - 1}-${result.callId}` }));
    const named = answered.map((part) => (part.kind === 'tool-call' ? { ...part, id: `${turn}-${part.id}` } : part));
    written.push({ role: 'user', content: [...results, ...asked] }, { role: 'assistant', content: named });
  }
  return written;
});

const request: fc.Arbitrary<ChatRequest> = fc.record(
  {
    model: fc.constant('alias'),
    streamed: fc.boolean(),
    system: fc.array(textPart, { maxLength: 2 }),
    messages,
    tools: fc.array(
      fc.record(
        {
          name: identifier,
          description: text,
          parameters: json.map((fields) => ({ ...fields, type: 'object' })),
          cache,
        },
        { requiredKeys: ['name', 'parameters'] },
      ),
      { maxLength: 2 },
    ),
    toolChoice: fc.oneof(
      fc.constantFrom({ kind: 'auto' as const }, { kind: 'none' as const }, { kind: 'required' as const }),
      fc.record({ kind: fc.constant('tool' as const), name: identifier }),
    ),
    parallelToolCalls: fc.boolean(),
    maxOutputTokens: fc.integer({ min: 1, max: 100_000 }),
    temperature: fc.integer({ min: 0, max: 10 }).map((tenths) => tenths / 10),
    topP: fc.constantFrom(0.5, 0.95, 1),
    topK: fc.nat(100),
    stop: fc.array(text, { minLength: 1, maxLength: 2 }),
    responseFormat: fc.record({
      kind: fc.constant('json-schema' as const),
      name: fc.constant('response'),
      schema: json,
      strict: fc.constant(true),
    }),
    reasoning: fc.record(
      {
        effort: fc.constantFrom('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'),
        budgetTokens: fc.nat(40_000),
        isAdaptive: fc.constant(true),
        isVisible: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
    serviceTier: fc.constantFrom('auto', 'default'),
    endUser: identifier,
    wantsStreamUsage: fc.constant(true),
  },
  { requiredKeys: ['model', 'streamed', 'system', 'messages', 'tools', 'wantsStreamUsage'] },
);

function roundRequest(given: ChatRequest, model: string): ChatRequest {
  const body = parseJsonExactly(stringifyExactly(anthropicChat.writeRequest(given, model).body));
  const read = anthropicChat.readRequest(body, { model: undefined, streamed: undefined });
  if ('unreadable' in read) throw new Error(`${read.unreadable.field}: ${read.unreadable.message}`);
  return read;
}

const count = fc.integer({ min: 1, max: 1_000_000 });
const usage: fc.Arbitrary<Usage> = fc.record(
  {
    input: fc.nat(1_000_000),
    output: fc.nat(1_000_000),
    request: fc.constant(1),
    cacheRead: count,
    cacheWrite5m: count,
    cacheWrite1h: count,
    reasoning: count,
    webSearch: count,
  },
  { requiredKeys: ['input', 'output', 'request'] },
);
const content: fc.Arbitrary<AssistantPart[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('text' as const), text: fc.string({ minLength: 1 }) }),
    reasoningPart,
    fc.record({ kind: fc.constant('reasoning' as const), text: fc.string({ minLength: 1 }) }),
    partial(toolCallPart, fc.record({ signature: identifier }, { requiredKeys: [] })),
  ),
  { maxLength: 6 },
);
const ending = fc.oneof(
  fc.record({ finish: fc.constantFrom('stop' as const, 'length' as const, 'tool-calls' as const) }),
  fc.record({ finish: fc.constant('stop' as const), stopSequence: text }),
  fc.record({ finish: fc.constant('refusal' as const), refusal: text }),
);
const answer: fc.Arbitrary<ChatAnswer> = fc
  .record({ id: identifier, content, ending, usage })
  .map(({ id, content: parts, ending: { finish, ...rest }, usage: used }) => ({
    id,
    model: 'alias',
    choices: [
      {
        content: 'refusal' in rest ? [...parts, { kind: 'refusal', text: rest.refusal }] : parts,
        finish,
        ...('stopSequence' in rest ? { stopSequence: rest.stopSequence } : {}),
      },
    ],
    usage: used,
  }));

/** An answer as the steps of its stream, its texts cut in two. */
function eventsOf({ id, model, choices, usage: used }: ChatAnswer): ChatEvent[] {
  const events: ChatEvent[] = [{ kind: 'start', id, model }];
  let calls = 0;
  for (const part of choices[0]?.content ?? []) {
    if (part.kind === 'tool-call') {
      const { argumentsJson, kind, ...call } = part;
      events.push({ kind, choice: 0, index: calls, ...call });
      for (const piece of halves(argumentsJson)) {
        events.push({ kind: 'tool-arguments', choice: 0, index: calls, json: piece });
      }
      calls += 1;
    } else if (part.kind === 'reasoning' && part.redacted !== undefined) {
      events.push({ kind: 'reasoning-redacted', choice: 0, data: part.redacted });
    } else {
      for (const piece of halves(part.text)) events.push({ kind: part.kind, choice: 0, text: piece });
      if (part.kind === 'reasoning' && part.signature !== undefined) {
        events.push({ kind: 'reasoning-signature', choice: 0, signature: part.signature });
      }
    }
  }
  const stopSequence = choices[0]?.stopSequence;
  events.push({
    kind: 'finish',
    choice: 0,
    reason: choices[0]?.finish ?? 'stop',
    ...(stopSequence === undefined ? {} : { stopSequence }),
  });
  if (used !== undefined) events.push({ kind: 'usage', usage: used });
  return events;
}

function halves(whole: string): string[] {
  return [whole.slice(0, whole.length / 2), whole.slice(whole.length / 2)];
}

/** What a stream says in all: the text of a part joined, the last usage alone. */
function sumOf(events: readonly ChatEvent[]): unknown[] {
  const sum: unknown[] = [];
  let open = '';
  for (const event of events) {
    const name = 'index' in event ? `${event.kind}${event.index}` : event.kind;
    const piece = 'text' in event ? event.text : 'json' in event ? event.json : undefined;
    if (event.kind === 'usage' || piece === '') continue;
    if (piece !== undefined && open === name) sum.push(`${String(sum.pop())}${piece}`);
    else sum.push(piece === undefined ? event : `${name}: ${piece}`);
    open = name;
  }
  return [...sum, events.findLast(({ kind }) => kind === 'usage')];
}

function writeStream(events: readonly ChatEvent[]): string {
  const writer = anthropicChat.createStreamWriter({ model: 'alias', wantsUsage: true });
  return events.map((event) => writer.push(event)).join('') + writer.end();
}

function parseSse(stream: string): SseEvent[] {
  return stream.split('\n\n').flatMap((block) => {
    const match = /^event: (.*)\ndata: (.*)$/.exec(block);
    return match === null ? [] : [{ event: match[1], data: match[2] ?? '' }];
  });
}

function readStream(stream: string): { readonly events: readonly ChatEvent[]; readonly isWhole: boolean } {
  const reader = anthropicChat.createStreamReader();
  const events = parseSse(stream).flatMap((event) => reader.push(event));
  return { events, isWhole: reader.end() };
}

describe('what is written in the Messages API and read again', () => {
  it('is the same request, whatever the model takes of its sampling and its thinking', () => {
    const models = fc.constantFrom(
      'claude-3-7-sonnet',
      'claude-haiku-4-5',
      'claude-opus-4-6',
      'claude-sonnet-5',
      'kimi',
    );
    fc.assert(
      fc.property(request, models, (given, model) => {
        const once = roundRequest(given, model);
        const { system, messages: said, tools, stop, responseFormat, streamed, serviceTier, endUser } = once;
        expect({ system, messages: said, tools, stop, responseFormat, streamed, serviceTier, endUser }).toEqual({
          system: given.system,
          messages: given.messages,
          tools: given.tools,
          stop: given.stop,
          responseFormat: given.responseFormat,
          streamed: given.streamed,
          serviceTier: given.serviceTier,
          endUser: given.endUser,
        });
        expect(roundRequest(once, model)).toEqual(once);
      }),
    );
  });

  it('is the same answer', () => {
    fc.assert(
      fc.property(answer, (given) => {
        const body = parseJsonExactly(stringifyExactly(anthropicChat.writeAnswer(given, 'alias')));
        expect(anthropicChat.readAnswer(body)).toEqual(given);
        expect(anthropicChat.readUsage(body)).toEqual(given.usage);
      }),
    );
  });

  it('is the same stream', () => {
    fc.assert(
      fc.property(answer, (given) => {
        const events = eventsOf(given);
        const read = readStream(writeStream(events));
        expect(sumOf(read.events)).toEqual(sumOf(events));
        expect(read.isWhole).toBe(true);
      }),
    );
  });

  it('is a grammatical stream, each block begun once, filled only while open, and ended before the next begins', () => {
    fc.assert(
      fc.property(answer, (given) => {
        const types = parseSse(writeStream(eventsOf(given))).map(({ event, data }) => {
          const parsed = JSON.parse(data) as { type: string; index?: number };
          expect(event).toBe(parsed.type);
          return `${parsed.type.replace('content_block_', '')}${parsed.index ?? ''}`;
        });
        let sentence = types.join(' ');
        for (let index = 0; sentence.includes(`start${index} `); index += 1) {
          sentence = sentence.replace(new RegExp(` start${index}(?: delta${index})* stop${index}(?= )`), '');
        }
        expect(sentence).toBe('message_start message_delta message_stop');
      }),
    );
  });
});
