import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anthropicChat } from './anthropic.js';

/** Events as https://platform.claude.com/docs/en/build-with-claude/streaming shows them. */
const start = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-opus-4-6',
    content: [],
    stop_reason: null,
    usage: {
      input_tokens: 472,
      cache_creation_input_tokens: 300,
      cache_read_input_tokens: 5,
      cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
      output_tokens: 2,
    },
  },
};
const begin = (index: number, block: unknown) => ({ type: 'content_block_start', index, content_block: block });
const piece = (index: number, delta: unknown) => ({ type: 'content_block_delta', index, delta });
const stop = (index: number) => ({ type: 'content_block_stop', index });
const end = (delta: unknown, usage: unknown) => ({ type: 'message_delta', delta, usage });

function read(events: readonly unknown[]) {
  const reader = anthropicChat.createStreamReader();
  const follower = anthropicChat.createUsageReader();
  const found = events.map((event) => {
    const data = typeof event === 'string' ? event : JSON.stringify(event);
    return { steps: reader.push({ event: undefined, data }), usage: follower.push({ event: undefined, data }) };
  });
  return {
    events: found.flatMap(({ steps }) => steps),
    isWhole: reader.end(),
    usage: found.findLast(({ usage }) => usage !== undefined)?.usage,
  };
}

describe('a stream of the Messages API', () => {
  it('is read step by step, with the tools that the provider runs itself passed over', () => {
    const { events, isWhole, usage } = read([
      start,
      begin(0, { type: 'thinking', thinking: '', signature: '' }),
      { type: 'ping' },
      piece(0, { type: 'thinking_delta', thinking: 'Let me see.' }),
      piece(0, { type: 'signature_delta', signature: 'EqQB' }),
      stop(0),
      begin(1, { type: 'redacted_thinking', data: 'EmwK' }),
      stop(1),
      begin(2, { type: 'thinking', thinking: '', signature: '' }),
      piece(2, { type: 'signature_delta', signature: 'hidden' }),
      stop(2),
      begin(3, { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }),
      piece(3, { type: 'input_json_delta', partial_json: '{"query"' }),
      stop(3),
      begin(4, { type: 'text', text: '' }),
      piece(4, { type: 'text_delta', text: 'Okay' }),
      piece(4, { type: 'citations_delta', citation: { type: 'char_location' } }),
      stop(4),
      begin(5, { type: 'tool_use', id: 'toolu_1', name: 'get_weather', input: {} }),
      piece(5, { type: 'input_json_delta', partial_json: '' }),
      piece(5, { type: 'input_json_delta', partial_json: '{"location":' }),
      piece(5, { type: 'input_json_delta', partial_json: ' "Bonn"}' }),
      stop(5),
      begin(6, { type: 'tool_use', id: 'toolu_2', name: 'get_time', input: {} }),
      piece(6, { type: 'input_json_delta', partial_json: '' }),
      stop(6),
      end(
        { stop_reason: 'tool_use', stop_sequence: null },
        { output_tokens: 89, server_tool_use: { web_search_requests: 1 } },
      ),
      { type: 'message_stop' },
    ]);
    const early = { input: 472, output: 2, cacheRead: 5, cacheWrite5m: 100, cacheWrite1h: 200, request: 1 };
    const late = { ...early, output: 89, webSearch: 1 };
    expect(events).toEqual([
      { kind: 'start', id: 'msg_1', model: 'claude-opus-4-6' },
      { kind: 'usage', usage: early, ofPromptOnly: true },
      { kind: 'reasoning', choice: 0, text: 'Let me see.' },
      { kind: 'reasoning-signature', choice: 0, signature: 'EqQB' },
      { kind: 'reasoning-redacted', choice: 0, data: 'EmwK' },
      { kind: 'reasoning', choice: 0, text: '' },
      { kind: 'reasoning-signature', choice: 0, signature: 'hidden' },
      { kind: 'text', choice: 0, text: 'Okay' },
      { kind: 'tool-call', choice: 0, index: 0, id: 'toolu_1', name: 'get_weather' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: '{"location":' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: ' "Bonn"}' },
      { kind: 'tool-call', choice: 0, index: 1, id: 'toolu_2', name: 'get_time' },
      { kind: 'tool-arguments', choice: 0, index: 1, json: '{}' },
      { kind: 'finish', choice: 0, reason: 'tool-calls' },
      { kind: 'usage', usage: late },
    ]);
    expect([isWhole, usage]).toEqual([true, late]);
  });

  it('has a call’s arguments exactly where an imitation gives them whole at once', () => {
    const block = '{"type":"tool_use","id":"a","name":"f","input":{"id":9007199254740993}}';
    const { events } = read([`{"type":"content_block_start","index":0,"content_block":${block}}`, stop(0)]);
    expect(events).toEqual([
      { kind: 'tool-call', choice: 0, index: 0, id: 'a', name: 'f' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: '{"id":9007199254740993}' },
    ]);
  });

  it.each([
    ['end_turn', null, 'stop'],
    ['stop_sequence', 'END', 'stop'],
    ['max_tokens', null, 'length'],
    ['model_context_window_exceeded', null, 'length'],
    ['pause_turn', null, 'stop'],
    ['refusal', null, 'refusal'],
    ['a_reason_to_come', null, 'stop'],
  ])('that ends by %s says so', (reason, sequence, finish) => {
    const { events } = read([end({ stop_reason: reason, stop_sequence: sequence }, null)]);
    const stopSequence = sequence === null ? {} : { stopSequence: sequence };
    expect(events).toEqual([{ kind: 'finish', choice: 0, reason: finish, ...stopSequence }]);
  });

  it('cut off before it said why it ended is not whole', () => {
    expect(read([start, begin(0, { type: 'text', text: 'Hal' })]).isWhole).toBe(false);
  });

  it.each([
    ['overloaded_error', 'Overloaded', { code: 'upstream_overloaded', message: 'Overloaded' }],
    ['rate_limit_error', 'organization org-1 is over', { code: 'rate_limited', message: 'Too many requests.' }],
    ['authentication_error', 'key sk-1', { code: 'upstream_failed', message: 'The provider could not be reached.' }],
    ['timeout_error', 'Timed out', { code: 'upstream_timeout', message: 'Timed out' }],
    ['invalid_request_error', 'Too long', { code: 'invalid_request', message: 'Too long' }],
    ['request_too_large', '', { code: 'body_too_large', message: 'The request body is too large.' }],
    [7, 7, { code: 'upstream_failed', message: 'The provider could not be reached.' }],
  ])('that fails by %s says so, once, and tells nothing of our account', (type, message, error) => {
    const { events, isWhole } = read([
      { type: 'error', error: { type, message } },
      begin(0, { type: 'text', text: 'x' }),
    ]);
    expect(events).toEqual([{ kind: 'error', error }]);
    expect(isWhole).toBe(false);
  });

  it('never throws, whatever comes', () => {
    const odd = fc.oneof(fc.string(), fc.json());
    const kind = fc.constantFrom(
      'message_start',
      'content_block_start',
      'content_block_delta',
      'message_delta',
      'error',
    );
    const near = fc
      .record({
        type: kind,
        index: fc.nat(1),
        message: fc.jsonValue(),
        delta: fc.jsonValue(),
        content_block: fc.jsonValue(),
      })
      .map((event) => JSON.stringify(event));
    fc.assert(
      fc.property(fc.array(fc.oneof(odd, near)), (events) => {
        read(events);
      }),
    );
  });
});

describe('a usage report', () => {
  const reported = (report: unknown) => anthropicChat.readUsage({ usage: report });

  it('of zero is a report of zero, not the lack of one', () => {
    expect(reported({ input_tokens: 0, output_tokens: 0 })).toEqual({ input: 0, output: 0, request: 1 });
    expect(reported(undefined)).toBeUndefined();
    expect(anthropicChat.readUsage(null)).toBeUndefined();
  });

  it('has thinking told apart, which the vendor counts as output too', () => {
    const report = { input_tokens: 1, output_tokens: 50, output_tokens_details: { thinking_tokens: 30 } };
    expect(reported(report)).toEqual({ input: 1, output: 20, reasoning: 30, request: 1 });
  });

  it.each([
    [{ cache_creation_input_tokens: 300 }, { cacheWrite5m: 300 }],
    [
      { cache_creation_input_tokens: 300, cache_creation: { ephemeral_1h_input_tokens: 100 } },
      { cacheWrite5m: 200, cacheWrite1h: 100 },
    ],
    [{ cache_creation_input_tokens: 300, cache_creation: { ephemeral_1h_input_tokens: 'x' } }, { cacheWrite5m: 300 }],
    [
      { cache_creation: { ephemeral_5m_input_tokens: 7, ephemeral_1h_input_tokens: 8 } },
      { cacheWrite5m: 7, cacheWrite1h: 8 },
    ],
    [{ cache_creation_input_tokens: null, cache_read_input_tokens: -1, cache_creation: null }, {}],
    [{ output_tokens_details: { thinking_tokens: 99 } }, { output: 0, reasoning: 2 }],
  ])('counts every token once, whatever its details claim: %j', (details, expected) => {
    expect(reported({ input_tokens: 1, output_tokens: 2, ...details })).toEqual({
      input: 1,
      output: 2,
      request: 1,
      ...expected,
    });
  });

  it.each([{}, { input_tokens: 1 }, { input_tokens: -1, output_tokens: 1 }, { input_tokens: '1', output_tokens: 1 }])(
    'that is none counts nothing: %j',
    (report) => {
      expect(reported(report)).toBeUndefined();
    },
  );
});
