import OpenAI, { APIError } from 'openai';
import { describe, expect, it } from 'vitest';
import type { ChatEvent } from '../chat.js';
import { openAiChat } from './openai.js';
import { readAll, writeAll } from '../../../../test/kit/openai-stream.js';

type Body = Readonly<Record<string, unknown>>;

/** A chunk after https://platform.openai.com/docs/api-reference/chat-streaming */
function chunk(delta: Body, finish: string | null = null, more: Body = {}): string {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
  const facts = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1694268190, model: 'gpt-5' };
  return JSON.stringify({ ...facts, choices, ...more });
}

const START: ChatEvent = { kind: 'start', id: 'chatcmpl-1', model: 'gpt-5', createdAt: 1694268190 };
const STOP: ChatEvent = { kind: 'finish', choice: 0, reason: 'stop' };

function callPiece(piece: Body): string {
  return chunk({ tool_calls: [piece] });
}

describe('a stream', () => {
  it('is read from its first chunk to [DONE], usage included', () => {
    const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
    const { events, isWhole } = readAll([
      chunk({ role: 'assistant', content: '', refusal: null }),
      chunk({ content: 'Hel' }),
      chunk({ content: 'lo' }),
      chunk({}, 'stop'),
      chunk({}, null, { choices: [], usage }),
      '[DONE]',
    ]);
    expect(events).toEqual([
      START,
      { kind: 'text', choice: 0, text: 'Hel' },
      { kind: 'text', choice: 0, text: 'lo' },
      STOP,
      { kind: 'usage', usage: { input: 3, output: 2, request: 1 } },
    ]);
    expect(isWhole).toBe(true);
  });

  it('gives parallel calls and their arguments piece by piece', () => {
    const { events } = readAll([
      callPiece({ index: 0, id: 'c1', type: 'function', function: { name: 'f', arguments: '' } }),
      callPiece({ index: 0, function: { arguments: '{"a"' } }),
      callPiece({ index: 0, function: { arguments: ':1}' } }),
      callPiece({ index: 1, id: 'c2', type: 'function', function: { name: 'g', arguments: '{}' } }),
      chunk({}, 'tool_calls'),
    ]);
    expect(events).toEqual([
      START,
      { kind: 'tool-call', choice: 0, index: 0, id: 'c1', name: 'f' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: '{"a"' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: ':1}' },
      { kind: 'tool-call', choice: 0, index: 1, id: 'c2', name: 'g' },
      { kind: 'tool-arguments', choice: 0, index: 1, json: '{}' },
      { kind: 'finish', choice: 0, reason: 'tool-calls' },
    ]);
  });

  it.each([
    ['counts from one', [1, 'c1', 2, 'c2']],
    ['counts wrongly', [0, 'c1', 0, 'c2']],
    ['does not count', [undefined, 'c1', undefined, 'c2']],
  ])('whose provider %s keeps two calls apart', (_how, [first, firstId, second, secondId]) => {
    const { events } = readAll([
      callPiece({ index: first, id: firstId, function: { name: 'f', arguments: '{' } }),
      callPiece({ index: first, id: firstId, function: { name: 'f', arguments: '}' } }),
      callPiece({ index: second, id: secondId, function: { name: 'f', arguments: '{' } }),
      callPiece({ index: second, function: { arguments: '}' } }),
    ]);
    expect(events.filter((event) => event.kind === 'tool-call').map((event) => [event.index, event.id])).toEqual([
      [0, 'c1'],
      [1, 'c2'],
    ]);
    expect(events.filter((event) => event.kind === 'tool-arguments').map((event) => event.index)).toEqual([0, 0, 1, 1]);
  });

  it('holds the arguments of a call until its name has come', () => {
    const { events } = readAll([
      callPiece({ index: 0, id: 'c', function: { arguments: '{' } }),
      callPiece({ index: 0, function: { name: 'f', arguments: '}' } }),
    ]);
    expect(events.slice(1)).toEqual([
      { kind: 'tool-call', choice: 0, index: 0, id: 'c', name: 'f' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: '{}' },
    ]);
  });

  it('gives signatures and ciphertexts of thoughts, and no thought twice', () => {
    // https://openrouter.ai/docs/use-cases/reasoning-tokens
    const { events } = readAll([
      chunk({ reasoning: 'hm', reasoning_details: [{ type: 'reasoning.text', text: 'hm', index: 0 }] }),
      chunk({ reasoning_details: [{ type: 'reasoning.text', signature: 's', index: 0 }] }),
      chunk({ reasoning_details: [{ type: 'reasoning.encrypted', data: 'x', index: 1 }] }),
    ]);
    expect(events.slice(1)).toEqual([
      { kind: 'reasoning', choice: 0, text: 'hm' },
      { kind: 'reasoning-signature', choice: 0, signature: 's' },
      { kind: 'reasoning-redacted', choice: 0, data: 'x' },
    ]);
  });

  it.each(['', 'ping', '7', 'null', '[]', '{', '{"choices":7}', '{"usage":{}}'])(
    'takes no notice of what it does not know: %s',
    (data) => {
      expect(readAll([data]).events).toEqual([]);
    },
  );

  it('starts with the first chunk that says something, whether it has an id or not', () => {
    const filtered = '{"id":"","model":"","created":0,"choices":[],"prompt_filter_results":[]}';
    expect(readAll([filtered, chunk({ content: '' })]).events).toEqual([START]);
    expect(readAll(['{"choices":[null,{"delta":7}]}']).events).toEqual([{ kind: 'start', id: '', model: '' }]);
  });

  it('that breaks off was not whole', () => {
    expect(readAll([]).isWhole).toBe(false);
    expect(readAll([chunk({ content: 'x' })]).isWhole).toBe(false);
    expect(readAll([chunk({ content: 'x' }, 'stop')]).isWhole).toBe(true);
    const second = { choices: [{ index: 1, delta: { content: 'y' }, finish_reason: null }] };
    expect(readAll([chunk({ content: 'x' }, 'stop'), chunk({}, null, second)]).isWhole).toBe(false);
  });

  it.each([
    [{ error: { message: 'sk-secret', type: 'server_error', code: null } }, 'upstream_failed'],
    [{ error: { message: 'sk-secret', type: 'requests', code: 'rate_limit_exceeded' } }, 'rate_limited'],
    [{ error: { message: 'sk-secret', code: 429 } }, 'rate_limited'],
    [{ error: 'sk-secret' }, 'upstream_failed'],
  ])('reports an error inside of it, without the words of the provider, and nothing after it: %j', (error, code) => {
    const { events, isWhole } = readAll([
      chunk({ content: 'x' }),
      JSON.stringify(error),
      chunk({ content: 'y' }),
      '[DONE]',
    ]);
    expect(events.at(-1)).toMatchObject({ kind: 'error', error: { code } });
    expect(JSON.stringify(events)).not.toContain('secret');
    expect(isWhole).toBe(false);
  });

  it('reports an event that is named an error', () => {
    const reader = openAiChat.createStreamReader();
    expect(reader.push({ event: 'error', data: '{"message":"x"}' })).toMatchObject([{ kind: 'error' }]);
  });
});

describe('the usage of a stream that is relayed as it is', () => {
  it('is the last that was reported; a null is no report', () => {
    const reader = openAiChat.createUsageReader();
    const push = (data: string): unknown => reader.push({ event: undefined, data });
    expect(push(chunk({ content: '"usage"' }, null, { usage: null }))).toBeUndefined();
    expect(push(chunk({}, null, { usage: { prompt_tokens: 1, completion_tokens: 1 } }))).toMatchObject({ output: 1 });
    expect(push(chunk({}, null, { usage: { prompt_tokens: 1, completion_tokens: 2 } }))).toMatchObject({ output: 2 });
    expect(push('[DONE]')).toMatchObject({ output: 2 });
  });
});

describe('a stream to a caller', () => {
  const usage: ChatEvent = { kind: 'usage', usage: { input: 1, output: 2, request: 1 } };

  it('has the chunks that the official clients know, and the name that the caller gave', () => {
    const events: ChatEvent[] = [START, { kind: 'text', choice: 0, text: 'a"\n' }, STOP, usage];
    const written = writeAll(events, { model: 'alias', wantsUsage: true });
    const facts = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1694268190, model: 'alias' };
    const expected = (delta: Body, finish: string | null = null): Body => ({
      ...facts,
      choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
      usage: null,
    });
    expect(written.slice(0, -2).map((data) => JSON.parse(data) as unknown)).toEqual([
      expected({ role: 'assistant', content: '', refusal: null }),
      expected({ content: 'a"\n' }),
      expected({}, 'stop'),
    ]);
    expect(JSON.parse(written.at(-2) ?? '')).toMatchObject({ ...facts, choices: [], usage: { total_tokens: 3 } });
    expect(written.at(-1)).toBe('[DONE]');
  });

  it('carries usage only for those who asked', () => {
    expect(writeAll([START, STOP, usage], { model: 'm', wantsUsage: false }).join('')).not.toContain('usage');
  });

  it('says of each choice who speaks, once', () => {
    const text = (choice: number): ChatEvent => ({ kind: 'text', choice, text: 'x' });
    const written = writeAll([START, text(1), text(0), text(1)], { model: 'm', wantsUsage: false });
    expect(written.filter((data) => data.includes('"role"'))).toHaveLength(2);
  });

  it('gives each signature with the thought that it signs, and no other', () => {
    const thought = (text: string): ChatEvent => ({ kind: 'reasoning', choice: 0, text });
    const signature = (text: string): ChatEvent => ({ kind: 'reasoning-signature', choice: 0, signature: text });
    const said: ChatEvent = { kind: 'text', choice: 0, text: 'x' };
    const events = [
      START,
      thought('a'),
      said,
      thought('b'),
      thought('c'),
      signature('1'),
      thought('d'),
      signature('2'),
    ];
    const written = writeAll(events, { model: 'm', wantsUsage: false }).filter((data) => data.includes('_details'));
    expect(written.map((data) => (JSON.parse(data) as { choices: [{ delta: unknown }] }).choices[0].delta)).toEqual([
      { reasoning_details: [{ type: 'reasoning.text', text: 'bc', signature: '1', index: 0 }] },
      { reasoning_details: [{ type: 'reasoning.text', text: 'd', signature: '2', index: 1 }] },
    ]);
  });

  it('that breaks off has the error as its last event', () => {
    const error: ChatEvent = { kind: 'error', error: { code: 'upstream_failed', message: 'It failed.' } };
    const written = writeAll([START, error, STOP], { model: 'm', wantsUsage: true });
    expect(JSON.parse(written.at(-1) ?? '')).toEqual({
      error: { message: 'It failed.', type: 'server_error', param: null, code: 'upstream_failed' },
    });
  });

  it('is put together by the official client as it was said', async () => {
    const events: ChatEvent[] = [
      START,
      { kind: 'reasoning', choice: 0, text: 'hm' },
      { kind: 'reasoning-signature', choice: 0, signature: 's' },
      { kind: 'text', choice: 0, text: 'It is ' },
      { kind: 'text', choice: 0, text: 'so' },
      { kind: 'tool-call', choice: 0, index: 0, id: 'c1', name: 'f' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: '{"a"' },
      { kind: 'tool-call', choice: 0, index: 1, id: 'c2', name: 'g' },
      { kind: 'tool-arguments', choice: 0, index: 0, json: ':1}' },
      { kind: 'tool-arguments', choice: 0, index: 1, json: '{}' },
      { kind: 'finish', choice: 0, reason: 'tool-calls' },
      usage,
    ];
    const completion = await officialClient(writeAll(events, { model: 'alias', wantsUsage: true }))
      .chat.completions.stream({ model: 'alias', messages: [], stream_options: { include_usage: true } })
      .finalChatCompletion();
    expect(completion).toMatchObject({
      id: 'chatcmpl-1',
      model: 'alias',
      usage: { prompt_tokens: 1, completion_tokens: 2 },
      choices: [
        {
          finish_reason: 'tool_calls',
          message: {
            content: 'It is so',
            reasoning_details: [{ type: 'reasoning.text', text: 'hm', signature: 's' }],
            tool_calls: [
              { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } },
              { id: 'c2', type: 'function', function: { name: 'g', arguments: '{}' } },
            ],
          },
        },
      ],
    });
  });

  it('that breaks off raises the official client its error', async () => {
    const error: ChatEvent = { kind: 'error', error: { code: 'rate_limited', message: 'Too many.' } };
    const datas = writeAll([START, error], { model: 'm', wantsUsage: false });
    const chunks = await officialClient(datas).chat.completions.create({ model: 'm', messages: [], stream: true });
    const readAllOfIt = async (): Promise<void> => {
      for await (const one of chunks) expect(one.object).toBe('chat.completion.chunk');
    };
    await expect(readAllOfIt()).rejects.toSatisfy(
      (reason) => reason instanceof APIError && reason.code === 'rate_limited' && reason.type === 'rate_limit_error',
    );
  });
});

/** OpenAI's client, given what a server would send. */
function officialClient(datas: readonly string[]): OpenAI {
  const body = datas.map((data) => `data: ${data}\n\n`).join('');
  const response = (): Response => new Response(body, { headers: { 'content-type': 'text/event-stream' } });
  return new OpenAI({ apiKey: 'none', baseURL: 'http://localhost/v1', fetch: () => Promise.resolve(response()) });
}
