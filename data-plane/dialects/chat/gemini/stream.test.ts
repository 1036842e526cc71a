import { ApiError, GoogleGenAI, type GenerateContentResponse } from '@google/genai';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { ChatEvent } from '../chat.js';
import { gatherChatStream } from '../../../../test/kit/gather-chat-stream.js';
import { geminiChat } from './gemini.js';

const sse = (...chunks: unknown[]) => chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join('');
const chunk = (parts: unknown[], fields: Record<string, unknown> = {}) => ({
  candidates: [{ content: { parts, role: 'model' }, ...fields }],
  modelVersion: 'gemini-3-pro',
  responseId: 'abc',
});

// https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
describe('a stream of Gemini’s', () => {
  it('is read event by event, a signature with the thought that it follows', () => {
    const usageMetadata = { promptTokenCount: 5, candidatesTokenCount: 3 };
    const stream = sse(
      chunk([{ text: 'Hm', thought: true }]),
      chunk([{ text: '', thoughtSignature: 'c2ln' }]),
      chunk([{ functionCall: { name: 'f', args: { n: 1 } }, thoughtSignature: 'c2lnMg==' }]),
      { ...chunk([{ text: '' }], { finishReason: 'STOP' }), usageMetadata },
    );
    const { events, isWhole } = gatherChatStream(geminiChat, stream);
    expect(events).toEqual([
      { kind: 'start', id: 'abc', model: 'gemini-3-pro' },
      { kind: 'reasoning', choice: 0, text: 'Hm' },
      { kind: 'reasoning-signature', choice: 0, signature: 'c2ln' },
      { kind: 'tool-call', choice: 0, index: 0, id: 'call_abc_0_0', name: 'f', signature: 'c2lnMg==' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: '{"n":1}' },
      { kind: 'finish', choice: 0, reason: 'tool-calls' },
      { kind: 'usage', usage: { input: 5, output: 3, request: 1 } },
    ]);
    expect(isWhole).toBe(true);
  });

  it('keeps a 64-bit number in the arguments of a call', () => {
    const stream = sse(chunk([{ functionCall: { name: 'f', args: { n: 'BIG' } } }])).replace(
      '"BIG"',
      '9007199254740993',
    );
    expect(gatherChatStream(geminiChat, stream).events).toContainEqual({
      kind: 'tool-arguments',
      choice: 0,
      index: 0,
      json: '{"n":9007199254740993}',
    });
  });

  it.each([
    ['nothing at all', ''],
    ['no reason for its end', sse(chunk([{ text: 'Hi' }]))],
    [
      'one answer of two unfinished',
      sse(chunk([{ text: 'Hi' }]), chunk([{ text: 'Ho' }], { index: 1, finishReason: 'STOP' })),
    ],
    [
      'an error',
      sse(chunk([{ text: 'Hi' }], { finishReason: 'STOP' }), { error: { code: 503, status: 'UNAVAILABLE' } }),
    ],
  ])('is not whole with %s', (_what, stream) => {
    expect(gatherChatStream(geminiChat, stream).isWhole).toBe(false);
  });

  it('of a prompt that was blocked is whole, and withheld by a filter', () => {
    const { events, isWhole } = gatherChatStream(geminiChat, sse({ promptFeedback: { blockReason: 'SAFETY' } }));
    expect(events.at(-1)).toEqual({ kind: 'finish', choice: 0, reason: 'content-filter' });
    expect(isWhole).toBe(true);
  });

  it('that breaks off says so once, and nothing follows', () => {
    const stream = sse(
      chunk([{ text: 'Hi' }]),
      { error: { code: 503, status: 'UNAVAILABLE' } },
      chunk([{ text: 'Ho' }]),
    );
    const { events } = gatherChatStream(geminiChat, stream);
    expect(events.at(-1)).toMatchObject({ kind: 'error', error: { code: 'upstream_overloaded' } });
  });

  it.each(['', '[DONE]', 'null', '7', '[]', '{}', '{"candidates":', '{"candidates":[null,{"content":{"parts":[7]}}]}'])(
    'that is odd is no fault: %s',
    (data) => {
      const reader = geminiChat.createStreamReader();
      for (const event of [undefined, 'ping']) {
        const kinds = reader.push({ event, data }).map(({ kind }) => kind);
        expect(kinds.filter((kind) => kind !== 'start')).toEqual([]);
      }
      expect(reader.end()).toBe(false);
    },
  );

  it('carries log probabilities both ways', () => {
    const logprobsResult = {
      topCandidates: [{ candidates: [] }],
      chosenCandidates: [{ token: 'Hi', logProbability: -0.5 }],
    };
    const { events } = gatherChatStream(geminiChat, sse(chunk([{ text: 'Hi' }], { logprobsResult })));
    const logprobs = { content: [{ token: 'Hi', logprob: -0.5, bytes: [72, 105], top_logprobs: [] }], refusal: null };
    expect(events).toContainEqual(expect.objectContaining({ kind: 'text', logprobs }));
    const writer = geminiChat.createStreamWriter({ model: 'alias', wantsUsage: true });
    const written = events.map((event) => writer.push(event)).join('');
    expect(gatherChatStream(geminiChat, written).events).toEqual(events.map((event) => aliased(event)));
  });
});

const aliased = (event: ChatEvent): ChatEvent => (event.kind === 'start' ? { ...event, model: 'alias' } : event);

describe('a stream to Google’s own client', () => {
  const EVENTS: ChatEvent[] = [
    { kind: 'start', id: 'abc', model: 'provider-model' },
    { kind: 'reasoning', choice: 0, text: 'Two cities' },
    { kind: 'reasoning-signature', choice: 0, signature: 'c2ln' },
    { kind: 'text', choice: 0, text: 'I will ' },
    { kind: 'text', choice: 0, text: 'look.' },
    { kind: 'tool-call', choice: 0, index: 0, id: 'a', name: 'weather' },
    { kind: 'tool-arguments', choice: 0, index: 0, json: '{"city":' },
    { kind: 'tool-arguments', choice: 0, index: 0, json: '"Bern"}' },
    { kind: 'tool-call', choice: 0, index: 1, id: 'b', name: 'clock' },
    { kind: 'finish', choice: 0, reason: 'tool-calls' },
    { kind: 'usage', usage: { input: 5, output: 3, request: 1 } },
  ];

  it('is read by it: text, thoughts, whole calls with their ids, the reason for the end and usage', async () => {
    const chunks = await streamThroughSdk(writeAll(EVENTS));
    const parts = chunks.flatMap((answer) => answer.candidates?.[0]?.content?.parts ?? []);
    expect(parts).toEqual([
      { text: 'Two cities', thought: true },
      { text: '', thoughtSignature: 'c2ln' },
      { text: 'I will ' },
      { text: 'look.' },
      { functionCall: { id: 'a', name: 'weather', args: { city: 'Bern' } } },
      { functionCall: { id: 'b', name: 'clock', args: {} } },
      { text: '' },
    ]);
    expect(chunks.map((answer) => answer.candidates?.[0]?.finishReason)).toEqual([...Array<undefined>(5), 'STOP']);
    const last = chunks.at(-1);
    expect(last?.usageMetadata).toMatchObject({ promptTokenCount: 5, candidatesTokenCount: 3, totalTokenCount: 8 });
    expect(last).toMatchObject({ modelVersion: 'alias', responseId: 'abc' });
  });

  it('that breaks off raises its typed error', async () => {
    const events: ChatEvent[] = [
      ...EVENTS.slice(0, 4),
      { kind: 'error', error: { code: 'rate_limited', message: 'Too many requests.' } },
    ];
    const failure = streamThroughSdk(writeAll(events, false));
    await expect(failure).rejects.toBeInstanceOf(ApiError);
    await expect(failure).rejects.toMatchObject({ status: 429 });
  });

  it('says of a call that is no JSON what Google says', async () => {
    const stream = writeAll(EVENTS.filter((event) => event.kind !== 'tool-arguments' || event.json !== '"Bern"}'));
    expect(stream).toContain('"finishMessage":"Malformed function call: weather({\\"city\\":)"');
    const chunks = await streamThroughSdk(stream);
    expect(chunks.at(-1)?.candidates?.[0]?.finishReason).toBe('MALFORMED_FUNCTION_CALL');
  });
});

function writeAll(events: readonly ChatEvent[], isWhole = true): string {
  const writer = geminiChat.createStreamWriter({ model: 'alias', wantsUsage: true });
  return events.map((event) => writer.push(event)).join('') + (isWhole ? writer.end() : '');
}

async function streamThroughSdk(stream: string): Promise<GenerateContentResponse[]> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const client = new GoogleGenAI({ apiKey: 'key', httpOptions: { baseUrl: `http://127.0.0.1:${port}` } });
    const chunks: GenerateContentResponse[] = [];
    const answers = await client.models.generateContentStream({ model: 'alias', contents: 'Hello' });
    for await (const answer of answers) chunks.push(answer);
    return chunks;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
