import { describe, expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import { openAiChat } from './openai.js';

type Body = Readonly<Record<string, unknown>>;

function answerOf(message: Body, finish: unknown = 'stop'): Body {
  const choices = [{ index: 0, message: { role: 'assistant', ...message }, logprobs: null, finish_reason: finish }];
  return { id: 'chatcmpl-1', object: 'chat.completion', created: 1741569952, model: 'gpt-5', choices };
}

function readFirst(message: Body, finish?: unknown): unknown {
  return openAiChat.readAnswer(answerOf(message, finish))?.choices[0];
}

// Bodies after https://platform.openai.com/docs/api-reference/chat/object
describe('an answer', () => {
  it('is read with its usage, tokens by what they were', () => {
    const usage = {
      prompt_tokens: 19,
      completion_tokens: 10,
      total_tokens: 29,
      prompt_tokens_details: { cached_tokens: 4, audio_tokens: 1 },
      completion_tokens_details: { reasoning_tokens: 6, audio_tokens: 0 },
    };
    expect(openAiChat.readAnswer({ ...answerOf({ content: 'Hi', refusal: null }), usage })).toEqual({
      id: 'chatcmpl-1',
      model: 'gpt-5',
      createdAt: 1741569952,
      choices: [{ content: [{ kind: 'text', text: 'Hi' }], finish: 'stop' }],
      usage: { input: 14, cacheRead: 4, audioInput: 1, output: 4, reasoning: 6, request: 1 },
    });
    expect(openAiChat.readUsage({ usage })).toEqual(openAiChat.readAnswer({ choices: [], usage })?.usage);
  });

  it.each([null, 'x', [], {}, { error: { message: 'no' } }, { choices: 'x' }])('is not %j', (body) => {
    expect(openAiChat.readAnswer(body)).toBeUndefined();
  });

  it('without a usage report has none', () => {
    expect(openAiChat.readAnswer(answerOf({ content: 'x' }))?.usage).toBeUndefined();
    expect(openAiChat.readUsage({})).toBeUndefined();
  });

  it('that refuses says so, though OpenAI calls it stop', () => {
    expect(readFirst({ content: null, refusal: 'I cannot.' })).toEqual({
      content: [{ kind: 'refusal', text: 'I cannot.' }],
      finish: 'refusal',
    });
  });

  it('that was forced to call a tool says so, though OpenAI calls it stop', () => {
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: '{"a":1}' } };
    expect(readFirst({ content: null, tool_calls: [call] })).toEqual({
      content: [{ kind: 'tool-call', id: 'c', name: 'f', argumentsJson: '{"a":1}' }],
      finish: 'tool-calls',
    });
  });

  it.each([
    ['stop', 'stop'],
    ['length', 'length'],
    ['tool_calls', 'tool-calls'],
    ['content_filter', 'content-filter'],
    ['model_length', 'length'],
    ['insufficient_system_resource', 'length'],
    ['something_new', 'stop'],
    [null, 'stop'],
  ])('that ended with %s ended with %s', (word, finish) => {
    expect(readFirst({ content: 'x' }, word)).toMatchObject({ finish });
  });

  it.each([
    // https://api-docs.deepseek.com/guides/thinking_mode
    [{ reasoning_content: 'hm', content: 'x' }],
    // https://console.groq.com/docs/reasoning
    [{ reasoning: 'hm', content: 'x' }],
    // https://docs.mistral.ai/capabilities/reasoning
    [
      {
        content: [
          {
            type: 'thinking',
            thinking: [
              { type: 'text', text: 'h' },
              { type: 'text', text: 'm' },
            ],
          },
          { type: 'text', text: 'x' },
        ],
      },
    ],
    // https://openrouter.ai/docs/use-cases/reasoning-tokens
    [{ reasoning: 'hm', reasoning_details: [{ type: 'reasoning.text', text: 'hm' }], content: 'x' }],
    [{ reasoning_details: [{ type: 'reasoning.summary', summary: 'hm' }], content: 'x' }],
  ])('shows what its model thought, in whichever field: %j', (message) => {
    expect(readFirst(message)).toMatchObject({
      content: [
        { kind: 'reasoning', text: 'hm' },
        { kind: 'text', text: 'x' },
      ],
    });
  });

  it('with calls that lack an id, or have their arguments as an object, is still whole', () => {
    const calls = [{ function: { name: 'f', arguments: { a: 1 } } }, { function: { name: 'g' } }];
    expect(readFirst({ tool_calls: calls })).toMatchObject({
      content: [
        { id: 'call_0', name: 'f', argumentsJson: '{"a":1}' },
        { id: 'call_1', name: 'g', argumentsJson: '{}' },
      ],
    });
  });

  it('to a caller has the shape that the official clients know, and the name that the caller gave', () => {
    const logprobs = { content: [{ token: 'x', logprob: -0.1, bytes: [120], top_logprobs: [] }], refusal: null };
    const written = openAiChat.writeAnswer(
      {
        id: 'msg_1',
        model: 'claude-there',
        createdAt: 1741569952,
        choices: [
          {
            content: [
              { kind: 'reasoning', text: 'hm', signature: 's' },
              { kind: 'text', text: 'a' },
              { kind: 'text', text: 'b' },
              { kind: 'tool-call', id: 'c', name: 'f', argumentsJson: '{}', signature: 'g' },
            ],
            finish: 'tool-calls',
            logprobs,
          },
        ],
        usage: { input: 5, cacheRead: 3, cacheWrite5m: 2, cacheWrite1h: 1, output: 7, reasoning: 4, request: 1 },
      },
      'alias',
    );
    expect(written).toEqual({
      id: 'msg_1',
      object: 'chat.completion',
      created: 1741569952,
      model: 'alias',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'ab',
            refusal: null,
            reasoning_content: 'hm',
            reasoning_details: [{ type: 'reasoning.text', text: 'hm', signature: 's', index: 0 }],
            tool_calls: [
              {
                id: 'c',
                type: 'function',
                function: { name: 'f', arguments: '{}' },
                extra_content: { google: { thought_signature: 'g' } },
              },
            ],
          },
          logprobs,
          finish_reason: 'tool_calls',
        },
      ],
      usage: {
        prompt_tokens: 11,
        completion_tokens: 11,
        total_tokens: 22,
        prompt_tokens_details: { cached_tokens: 3, audio_tokens: 0, cache_write_tokens: 3 },
        completion_tokens_details: { reasoning_tokens: 4, audio_tokens: 0 },
      },
    });
  });

  it('of a vendor that gives no date has the date of now', () => {
    const body = openAiChat.writeAnswer({ id: 'a', model: 'm', choices: [], usage: undefined }, 'm') as Body;
    expect(Math.abs(Number(body['created']) - Date.now() / 1000)).toBeLessThan(5);
    expect(body).not.toHaveProperty('usage');
  });
});

// https://platform.openai.com/docs/guides/error-codes
describe('an error', () => {
  it.each([
    ['invalid_api_key', 'authentication_error'],
    ['permission_denied', 'permission_error'],
    ['model_not_found', 'invalid_request_error'],
    ['invalid_request', 'invalid_request_error'],
    ['rate_limited', 'rate_limit_error'],
    ['not_ready', 'server_error'],
  ] satisfies [ErrorCode, string][])('%s is told as %s', (code, type) => {
    const { status, message } = ERROR_CODES[code];
    expect(openAiChat.writeError({ code, message, status, param: 'model' })).toEqual({
      error: { message, type, param: 'model', code },
    });
  });
});
