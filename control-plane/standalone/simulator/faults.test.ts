import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import OpenAI, { RateLimitError } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from './server.js';

let simulator: RunningSimulator;
let client: OpenAI;
const model = 'pingtoken-sim-large';

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  client = new OpenAI({ baseURL: `${simulator.url}/v1`, apiKey: 'sk-test', maxRetries: 0 });
});
beforeEach(async () => {
  await fetch(`${simulator.url}/faults`, { method: 'DELETE' });
  await fetch(`${simulator.url}/served`, { method: 'DELETE' });
});
afterAll(() => simulator.close());

/** Sends a chat call with the directives; the response as it comes, undecoded. */
async function open(directives: string, stream = true): Promise<IncomingMessage> {
  const headers = { authorization: 'Bearer k', 'x-request-id': 'the-call' };
  const request = httpRequest(`${simulator.url}/v1/chat/completions`, { method: 'POST', headers });
  const content = `Hi [[sim ${directives}]]`;
  const options = stream ? { stream_options: { include_usage: true } } : {};
  request.end(JSON.stringify({ model, stream, ...options, messages: [{ role: 'user', content }] }));
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

/** Reads a response to its end, however it ends. */
async function read(response: IncomingMessage): Promise<{ pieces: Buffer[]; text: string; whole: boolean }> {
  const pieces: Buffer[] = [];
  response.on('data', (piece: Buffer) => pieces.push(piece));
  response.on('error', () => undefined);
  if (!response.closed) await once(response, 'close').catch(() => undefined);
  return { pieces, text: Buffer.concat(pieces).toString('utf8'), whole: response.complete };
}

const eventsIn = (text: string): string[] => text.split(/\r?\n/).filter((line) => line.startsWith('data: {'));

async function record(): Promise<Record<string, unknown>> {
  const give = async () => (await fetch(`${simulator.url}/served/the-call`)).json() as Promise<{ records: unknown[] }>;
  for (let tries = 0; tries < 50; tries += 1) {
    const last = (await give()).records.at(-1) as Record<string, unknown>;
    if (last['outcome'] !== 'open') return last;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('The call stayed open.');
}

describe('faults of the whole answer', () => {
  it('status: an OpenAI error with retry-after, counted as an error and without tokens', async () => {
    const call = client.chat.completions.create(
      { model, messages: [{ role: 'user', content: '[[sim status=429 retry-after=2]]' }] },
      { headers: { 'x-request-id': 'the-call' } },
    );
    await expect(call).rejects.toThrow(RateLimitError);
    const error: unknown = await call.catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'rate_limit_exceeded' });
    expect((error as RateLimitError).headers.get('retry-after')).toBe('2');
    expect(await record()).toMatchObject({ status: 429, outcome: 'error', model, promptTokens: 0, usage: 'none' });
  });

  it.each([401, 402, 403, 500, 502, 503])('status=%i answers that status', async (status) => {
    const response = await open(`status=${status}`);
    expect(response.statusCode).toBe(status);
    expect(JSON.parse((await read(response)).text)).toHaveProperty('error.message');
  });

  it('delay: nothing before the time is over', async () => {
    const startedMs = performance.now();
    const response = await open('delay=150 tokens=1', false);
    expect(performance.now() - startedMs).toBeGreaterThan(140);
    expect((await read(response)).whole).toBe(true);
  });

  it('reset: the connection is reset before any byte', async () => {
    await expect(open('reset')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(await record()).toMatchObject({ status: 0, outcome: 'died', chunksSent: 0, completionTokens: 0 });
  });

  it('stall and die-after work on a plain answer too', async () => {
    const stalled = await open('stall=100', false);
    const startedMs = performance.now();
    expect((await read(stalled)).whole).toBe(true);
    expect(performance.now() - startedMs).toBeGreaterThan(80);
    const dead = await read(await open('die-after=1', false));
    expect(dead.whole).toBe(false);
    expect(dead.text.startsWith('{"id"')).toBe(true);
    expect(await record()).toMatchObject({ status: 200, outcome: 'died' });
  });
});

describe('faults inside a stream', () => {
  it('split=1: every byte on its own, and the text unharmed', async () => {
    const whole = await read(await open('tokens=9'));
    const { pieces, text } = await read(await open('tokens=9 split=1'));
    expect(pieces.every(({ length }) => length === 1)).toBe(true);
    const contents = (all: string) =>
      eventsIn(all).map((line) => (JSON.parse(line.slice(6)) as OpenAI.ChatCompletionChunk).choices[0]?.delta.content);
    expect(text).not.toContain('\ufffd');
    expect(contents(text).length).toBe(contents(whole.text).length);
    const stream = await client.chat.completions.create({
      model,
      stream: true,
      messages: [{ role: 'user', content: '[[sim split=1 tokens=9]]' }],
    });
    let heard = '';
    for await (const chunk of stream) heard += chunk.choices[0]?.delta.content ?? '';
    expect(heard.split(' ')).toHaveLength(9);
  });

  it('split=N: pieces of N bytes across events', async () => {
    const { pieces, whole } = await read(await open('tokens=9 split=700'));
    expect(whole).toBe(true);
    expect(new Set(pieces.slice(0, -1).map(({ length }) => length))).toEqual(new Set([700]));
  });

  it('die-after=N: exactly N events, then the socket is gone', async () => {
    const { text, whole } = await read(await open('tokens=20 die-after=5 split=64'));
    expect([eventsIn(text).length, whole]).toEqual([5, false]);
    expect(await record()).toMatchObject({ outcome: 'died', chunksSent: 5, completionTokens: 4, usage: 'none' });
  });

  it('error-in-stream=N: an error event after N, then an end without [DONE]', async () => {
    const { text, whole } = await read(await open('tokens=20 error-in-stream=3'));
    expect([eventsIn(text).length, whole, text.includes('[DONE]')]).toEqual([4, true, false]);
    expect(eventsIn(text).at(-1)).toContain('"error"');
    expect(await record()).toMatchObject({ status: 200, outcome: 'error', chunksSent: 3, completionTokens: 2 });
  });

  it('stall-after=N: silence until the caller leaves, which counts as aborted', async () => {
    const response = await open('tokens=20 stall-after=2');
    let text = '';
    response.on('data', (piece: Buffer) => (text += piece.toString()));
    response.on('error', () => undefined);
    await expect.poll(() => eventsIn(text).length).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(eventsIn(text)).toHaveLength(2);
    response.destroy();
    expect(await record()).toMatchObject({ outcome: 'aborted', chunksSent: 2, completionTokens: 1, promptTokens: 9 });
  });

  it('stall=ms and chunk-delay=ms: the answer comes whole, but late', async () => {
    const startedMs = performance.now();
    const { whole, text } = await read(await open('tokens=4 stall=60 stall-after=1 chunk-delay=20'));
    expect([whole, text.endsWith('data: [DONE]\n\n')]).toEqual([true, true]);
    expect(performance.now() - startedMs).toBeGreaterThan(60 + 6 * 20 - 20);
  });

  it('crlf and comments: line ends and pings that a parser must bear', async () => {
    const { text } = await read(await open('tokens=3 crlf comments'));
    expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/);
    expect(text.match(/^: ping\r$/gm)).toHaveLength(7);
    const stream = await client.chat.completions.create({
      model,
      stream: true,
      messages: [{ role: 'user', content: '[[sim tokens=3 crlf comments]]' }],
    });
    let chunks = 0;
    for await (const chunk of stream) chunks += chunk.choices.length;
    expect(chunks).toBe(5);
  });

  it('usage=none and usage=zero: not told, or told wrongly, yet counted', async () => {
    expect((await read(await open('tokens=3 usage=none'))).text).not.toContain('usage');
    expect(await record()).toMatchObject({ usage: 'none', completionTokens: 3, promptTokens: 8 });
    expect((await read(await open('tokens=3 usage=none', false))).text).not.toContain('usage');
    expect((await read(await open('tokens=3 usage=zero'))).text).toContain('"usage":{"prompt_tokens":0');
    expect(await record()).toMatchObject({ usage: 'zero', completionTokens: 3 });
  });
});

describe('/faults', () => {
  const put = (rules: object) => fetch(`${simulator.url}/faults`, { method: 'PUT', body: JSON.stringify(rules) });

  it('apply to the next calls of a model, and a directive of the call overrides them', async () => {
    expect((await put([{ status: 503, times: 2, model }, { tokens: 3 }])).status).toBe(200);
    expect((await open('tokens=1')).statusCode).toBe(503);
    expect((await open('status=500')).statusCode).toBe(500);
    const third = await open('comments', false);
    expect(JSON.parse((await read(third)).text)).toHaveProperty('usage.completion_tokens', 3);
    expect(await (await fetch(`${simulator.url}/faults`)).json()).toEqual({ rules: [{ tokens: 3 }] });
    expect((await client.models.list()).data).toHaveLength(3);
  });

  it('apply to calls without a model, and end with DELETE', async () => {
    await put({ status: 502 });
    await expect(client.files.list()).rejects.toMatchObject({ status: 502 });
    await fetch(`${simulator.url}/faults`, { method: 'DELETE' });
    expect((await client.files.list()).data).toEqual([]);
  });

  it('are refused with the field named', async () => {
    const refused = await put({ staus: 503 });
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain('staus');
  });
});
