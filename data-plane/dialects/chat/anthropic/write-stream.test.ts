import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import type { ChatAnswer, ChatEvent } from '../chat.js';
import { stringifyExactly } from '../json.js';
import { anthropicChat } from './anthropic.js';

const usage = {
  input: 10,
  cacheRead: 3,
  cacheWrite1h: 2,
  output: 5,
  reasoning: 4,
  audioInput: 1,
  webSearch: 1,
  request: 1,
};
const events: ChatEvent[] = [
  { kind: 'start', id: 'chatcmpl-1', model: 'gpt-5' },
  { kind: 'reasoning', choice: 0, text: 'Hm, ' },
  { kind: 'reasoning', choice: 0, text: 'two calls.' },
  { kind: 'text', choice: 0, text: 'Let me ' },
  { kind: 'text', choice: 1, text: 'another answer' },
  { kind: 'text', choice: 0, text: 'look.' },
  { kind: 'tool-call', choice: 0, index: 0, id: 'call_1', name: 'get_weather', signature: 'CpcB' },
  { kind: 'tool-arguments', choice: 0, index: 0, json: '{"city":' },
  { kind: 'tool-arguments', choice: 0, index: 0, json: '"Köln"}' },
  { kind: 'tool-call', choice: 0, index: 1, id: 'call_2', name: 'get_time' },
  { kind: 'tool-arguments', choice: 0, index: 1, json: '{}' },
  { kind: 'finish', choice: 0, reason: 'tool-calls' },
  { kind: 'usage', usage },
];
const message = {
  id: 'chatcmpl-1',
  type: 'message',
  role: 'assistant',
  model: 'alias',
  content: [
    { type: 'thinking', thinking: 'Hm, two calls.' },
    { type: 'text', text: 'Let me look.' },
    { type: 'tool_use', id: 'call_1', name: 'get_weather', input: { city: 'Köln' }, signature: 'CpcB' },
    { type: 'tool_use', id: 'call_2', name: 'get_time', input: {} },
  ],
  stop_reason: 'tool_use',
  stop_sequence: null,
  stop_details: null,
  usage: {
    input_tokens: 11,
    cache_read_input_tokens: 3,
    cache_creation_input_tokens: 2,
    output_tokens: 9,
    output_tokens_details: { thinking_tokens: 4 },
    server_tool_use: { web_search_requests: 1 },
  },
};

/** The vendor's own client on an answer of ours: only the wire between is left out. */
function clientOf(answer: () => Response): Anthropic {
  return new Anthropic({ apiKey: 'none', maxRetries: 0, fetch: () => Promise.resolve(answer()) });
}

function streamOf(steps: readonly ChatEvent[]): Response {
  const writer = anthropicChat.createStreamWriter({ model: 'alias', wantsUsage: true });
  const body = steps.map((step) => writer.push(step)).join('') + writer.end();
  return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
}

const question = { model: 'alias', max_tokens: 10, messages: [{ role: 'user' as const, content: 'Hi' }] };

describe('an answer of another provider’s', () => {
  it('streamed is put together by the vendor’s own client', async () => {
    const client = clientOf(() => streamOf(events));
    expect(await client.messages.stream(question).finalMessage()).toMatchObject(message);
  });

  it('has each signed thought in a block of its own', async () => {
    const thoughts = ['a', 'b'].flatMap((signature): ChatEvent[] => [
      { kind: 'reasoning', choice: 0, text: 'Hm.' },
      { kind: 'reasoning-signature', choice: 0, signature },
    ]);
    const client = clientOf(() => streamOf(thoughts));
    const { content } = await client.messages.stream(question).finalMessage();
    expect(content).toEqual(['a', 'b'].map((signature) => ({ type: 'thinking', thinking: 'Hm.', signature })));
  });

  it('given whole is read by the vendor’s own client', async () => {
    const answer: ChatAnswer = {
      id: 'chatcmpl-1',
      model: 'gpt-5',
      usage,
      choices: [
        {
          finish: 'tool-calls',
          content: [
            { kind: 'reasoning', text: 'Hm, two calls.' },
            { kind: 'text', text: 'Let me look.' },
            {
              kind: 'tool-call',
              id: 'call_1',
              name: 'get_weather',
              argumentsJson: '{"city":"Köln"}',
              signature: 'CpcB',
            },
            { kind: 'tool-call', id: 'call_2', name: 'get_time', argumentsJson: '' },
          ],
        },
      ],
    };
    const client = clientOf(() => Response.json(anthropicChat.writeAnswer(answer, 'alias')));
    expect(await client.messages.create(question)).toMatchObject(message);
  });

  it('that refuses says so in the reason of its end', async () => {
    const refusal: ChatEvent = { kind: 'refusal', choice: 0, text: 'I will not.' };
    const client = clientOf(() => streamOf([refusal, { kind: 'finish', choice: 0, reason: 'stop' }]));
    const refused = await client.messages.stream(question).finalMessage();
    expect(refused).toMatchObject({
      content: [],
      stop_reason: 'refusal',
      stop_details: { type: 'refusal', explanation: 'I will not.' },
    });
    const filtered = anthropicChat.writeAnswer(
      { id: '', model: '', usage: undefined, choices: [{ content: [], finish: 'content-filter' }] },
      'alias',
    );
    expect(filtered).toMatchObject({ stop_reason: 'refusal', stop_details: { explanation: null } });
  });

  it('that breaks off is an error to the vendor’s own client, and nothing follows it', async () => {
    const broken: ChatEvent[] = [
      { kind: 'text', choice: 0, text: 'Hal' },
      { kind: 'error', error: { code: 'upstream_failed', message: 'Overloaded' } },
      { kind: 'text', choice: 0, text: 'lo' },
    ];
    const text = await streamOf(broken).text();
    expect(text).toMatch(
      /event: error\ndata: \{"type":"error","error":\{"type":"api_error","message":"Overloaded"\}\}\n\n$/,
    );
    const client = clientOf(() => streamOf(broken));
    await expect(client.messages.stream(question).finalMessage()).rejects.toThrow(/Overloaded/);
  });

  it('keeps a number that a double would alter in the arguments of a call', () => {
    const call = { kind: 'tool-call', id: 'a', name: 'f', argumentsJson: '{"id":9007199254740993}' } as const;
    const choices = [{ content: [call], finish: 'stop' as const }];
    const body = anthropicChat.writeAnswer({ id: '', model: '', usage: undefined, choices }, 'alias');
    expect(stringifyExactly(body)).toContain('{"id":9007199254740993}');
  });
});

describe('an error', () => {
  /** https://platform.claude.com/docs/en/api/errors#http-errors */
  it.each([
    [400, 'invalid_request_error', Anthropic.BadRequestError],
    [401, 'authentication_error', Anthropic.AuthenticationError],
    [402, 'billing_error', Anthropic.APIError],
    [403, 'permission_error', Anthropic.PermissionDeniedError],
    [404, 'not_found_error', Anthropic.NotFoundError],
    [405, 'invalid_request_error', Anthropic.APIError],
    [409, 'conflict_error', Anthropic.ConflictError],
    [413, 'request_too_large', Anthropic.APIError],
    [429, 'rate_limit_error', Anthropic.RateLimitError],
    [500, 'api_error', Anthropic.InternalServerError],
    [502, 'api_error', Anthropic.InternalServerError],
    [503, 'overloaded_error', Anthropic.APIError],
    [504, 'timeout_error', Anthropic.APIError],
    [529, 'overloaded_error', Anthropic.APIError],
  ])('with status %i is raised by the vendor’s own client as its own type: %s', async (status, type, kind) => {
    const error = { code: 'invalid_request', message: 'It is wrong.', status, param: null } as const;
    const client = clientOf(() => Response.json(anthropicChat.writeError(error), { status }));
    const raised: unknown = await client.messages.create(question).catch((cause: unknown) => cause);
    expect(raised).toBeInstanceOf(kind);
    expect(raised).toMatchObject({ status, error: { type: 'error', error: { type, message: 'It is wrong.' } } });
  });

  it('begins with the field at fault, for which the vendor has no place of its own', () => {
    const error = { code: 'invalid_request', message: 'Not here.', status: 400 } as const;
    const body = (param: string) => anthropicChat.writeError({ ...error, param });
    expect(body('top_k')).toMatchObject({ error: { message: 'top_k: Not here.' } });
    expect(anthropicChat.writeError({ ...error, message: 'No "top_k".', param: 'top_k' })).toMatchObject({
      error: { message: 'No "top_k".' },
    });
  });
});
