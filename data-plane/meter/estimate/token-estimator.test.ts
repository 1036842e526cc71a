import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createTokenEstimator,
  isEstimatedOperation,
  type DeliveredCounter,
  type TokenEstimator,
  type TokenEstimatorOptions,
} from './token-estimator.js';

const logger = pino({ level: 'silent' });
const open: TokenEstimator[] = [];
// The machine may be busy: what is counted is what is tested, and not how soon.
const PATIENT_MS = 25_000;

function estimatorWith(options: Partial<TokenEstimatorOptions> = {}): TokenEstimator {
  const estimator = createTokenEstimator({ logger, timeoutMs: PATIENT_MS, ...options });
  open.push(estimator);
  return estimator;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((estimator) => estimator.close()));
});

const requestOf = (content: unknown): Buffer => Buffer.from(JSON.stringify({ messages: [{ role: 'user', content }] }));
const eventOf = (content: string): Buffer =>
  Buffer.from(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }], usage: null })}\n\n`);
const AROUND = 4 + 3;

function openChat(estimator: TokenEstimator, requestBody = requestOf('Hello')): DeliveredCounter {
  return estimator.open({ dialect: 'openai', operation: 'chat-completions', requestBody });
}

describe('an estimate', () => {
  it('is the prompt plus what was delivered, and one request', async () => {
    const estimator = estimatorWith();
    const counter = openChat(estimator, requestOf('How are you today?'));
    counter.push(eventOf('I am '));
    counter.push(eventOf('fine, thanks.'));
    expect(await counter.result()).toEqual({
      input: AROUND + countTokens('How are you today?'),
      output: countTokens('I am fine, thanks.'),
      request: 1,
    });
    expect(await estimator.inspect()).toEqual({ calls: 0, bytes: 0 });
  });

  it('is of the prompt alone where nothing was answered, and nothing is kept of it', async () => {
    const estimator = estimatorWith();
    const prompts = ['How are you today?', 'Hello'].map((text) =>
      estimator.countPrompt({ dialect: 'openai', requestBody: requestOf(text) }),
    );
    expect(await Promise.all(prompts)).toEqual([
      { input: AROUND + countTokens('How are you today?') },
      { input: AROUND + countTokens('Hello') },
    ]);
    expect(await estimator.countPrompt({ dialect: 'openai', requestBody: Buffer.from('{') })).toBeUndefined();
    expect(await estimator.inspect()).toEqual({ calls: 0, bytes: 0 });
  });

  it('takes the prompt’s tokens as reported, where the provider has told them already', async () => {
    const counter = estimatorWith().open({
      dialect: 'anthropic',
      operation: 'chat-completions',
      requestBody: requestOf('Hello'),
    });
    counter.push(
      Buffer.from('data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi!"}}\n\n'),
    );
    expect(await counter.result({ input: 3, cacheRead: 900 })).toEqual({
      input: 3,
      cacheRead: 900,
      output: countTokens('Hi!'),
      request: 1,
    });
  });

  it('of a stream that is longer than is held here is the same, though the thread got it in parts', async () => {
    const counter = openChat(estimatorWith());
    const words = Array.from({ length: 3000 }, (_, index) => ` word${index % 10}`);
    const bytes = Buffer.concat(words.map(eventOf));
    for (let at = 0; at < bytes.length; at += 777) counter.push(bytes.subarray(at, at + 777));
    expect(await counter.result()).toEqual({
      input: AROUND + countTokens('Hello'),
      output: countTokens(words.join('')),
      request: 1,
    });
  });

  it('does not detach bytes that others still read', async () => {
    const counter = openChat(estimatorWith());
    const chunk = eventOf('x'.repeat(70_000));
    const small = eventOf('y');
    counter.push(chunk);
    counter.push(small);
    await counter.result();
    expect(chunk.length).toBeGreaterThan(70_000);
    expect(small.toString()).toContain('"y"');
  });

  it('of embeddings is their prompt alone', async () => {
    const body = Buffer.from(JSON.stringify({ input: ['one text', 'another'] }));
    const counter = estimatorWith().open({ dialect: 'openai', operation: 'embeddings', requestBody: body });
    for (let at = 0; at < 100; at += 1) counter.push(Buffer.from(at === 0 ? '{"data":[{"embedding":[' : '0.125,'));
    expect(await counter.result()).toEqual({
      input: countTokens('one text') + countTokens('another'),
      output: 0,
      request: 1,
    });
  });

  it('is none where nothing was delivered, nothing of an answer, or the call is over', async () => {
    const estimator = estimatorWith();
    expect(await openChat(estimator).result()).toBeUndefined();
    const pinged = openChat(estimator);
    pinged.push(Buffer.from(': ping\n\n'));
    expect(await pinged.result()).toBeUndefined();
    const reported = openChat(estimator);
    reported.push(eventOf('Hello'));
    reported.discard();
    reported.push(eventOf('Hello'));
    expect(await reported.result()).toBeUndefined();
  });

  it('is none where the request is no JSON', async () => {
    const counter = openChat(estimatorWith(), Buffer.from('{"messages":'));
    counter.push(eventOf('Hello'));
    expect(await counter.result()).toBeUndefined();
  });

  it('comes where loading the tokenizer alone takes longer than counting may', async () => {
    const counter = openChat(estimatorWith({ timeoutMs: 300 }));
    counter.push(eventOf('Hello'));
    expect(await counter.result()).toMatchObject({ output: 1 });
  });

  it('is none in the end where it takes too long, and the thread forgets it', async () => {
    const estimator = estimatorWith({ timeoutMs: 1 });
    const counter = openChat(estimator, requestOf('word and '.repeat(100_000)));
    counter.push(eventOf('Hello'));
    expect(await counter.result()).toBeUndefined();
    expect(await estimator.inspect()).toEqual({ calls: 0, bytes: 0 });
  });

  it.each([
    ['Chinese without a full stop', '我们今天去公园看花然后吃饭'.repeat(8000)],
    ['one letter', 'a'.repeat(200_000)],
    ['emoji', '👨‍👩‍👧'.repeat(20_000)],
    ['white space', ' \n'.repeat(100_000)],
    ['control tokens', '<|endoftext|>'.repeat(10_000)],
    ['halves of characters', '\ud83d'.repeat(100_000)],
  ])('comes for %s too', async (_name, text) => {
    const counter = openChat(estimatorWith(), requestOf(text));
    counter.push(eventOf(text.slice(0, 60_000)));
    const usage = await counter.result();
    expect(usage?.input).toBeGreaterThan(text.length / 200);
    expect(usage?.output).toBeGreaterThan(300);
  });
});

describe('the thread that counts', () => {
  it('holds nothing of a thousand calls whose provider reported', async () => {
    const estimator = estimatorWith();
    const counters = Array.from({ length: 1000 }, () => openChat(estimator));
    const chunk = eventOf('x'.repeat(2000));
    for (let turn = 0; turn < 40; turn += 1) for (const counter of counters) counter.push(chunk);
    expect((await estimator.inspect()).calls).toBe(1000);
    for (const counter of counters) counter.discard();
    expect(await estimator.inspect()).toEqual({ calls: 0, bytes: 0 });
  });

  it('keeps no more unread than its bound, however much is delivered', async () => {
    const estimator = estimatorWith();
    const counter = openChat(estimator);
    const chunk = eventOf('some words of text '.repeat(1000));
    for (let at = 0; at < 2000; at += 1) {
      counter.push(chunk);
      if (at % 500 === 0) expect((await estimator.inspect()).bytes).toBeLessThanOrEqual(16 * 1024 * 1024);
    }
    expect((await counter.result())?.output).toBeGreaterThan(2000 * 4000 * 0.9);
  });

  it('does not keep the event loop from turning while it counts 5 MB', async () => {
    const counter = openChat(estimatorWith(), requestOf('word and '.repeat(600_000)));
    counter.push(eventOf('Hello'));
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 2);
    const usage = await counter.result();
    clearInterval(timer);
    expect(usage?.input).toBeGreaterThan(1_190_000);
    expect(usage?.input).toBeLessThan(1_210_000);
    expect(turns).toBeGreaterThan(3);
  });

  it('counts a short call while a long one is still at it', async () => {
    const estimator = estimatorWith();
    const long = openChat(estimator, requestOf('我们今天去公园看花然后吃饭'.repeat(70_000)));
    const short = openChat(estimator);
    long.push(eventOf('Hello'));
    short.push(eventOf('Hello'));
    const order: string[] = [];
    await Promise.all([long.result().then(() => order.push('long')), short.result().then(() => order.push('short'))]);
    expect(order).toEqual(['short', 'long']);
  });

  it('that ends in mid-count takes its calls with it, and the next call is counted by another', async () => {
    const estimator = estimatorWith();
    const first = openChat(estimator);
    first.push(eventOf('Hello'));
    expect(await first.result()).toBeDefined();
    const half = openChat(estimator);
    half.push(eventOf('x'.repeat(70_000)));
    const counted = openChat(estimator, requestOf('我们今天去公园看花然后吃饭'.repeat(70_000)));
    counted.push(eventOf('Hello'));
    const usage = counted.result();
    while ((await estimator.inspect()).calls < 2) await delay(1);
    await estimator.close();
    expect(await usage).toBeUndefined();
    const next = openChat(estimator);
    next.push(eventOf('Hello'));
    expect(await next.result()).toMatchObject({ output: countTokens('Hello') });
    // A part of this one was with the thread that ended.
    half.push(eventOf('Hello'));
    expect(await half.result()).toBeUndefined();
  });

  it('counts every one of many calls that end together', async () => {
    const estimator = estimatorWith();
    const counters = Array.from({ length: 200 }, (_, index) => {
      const counter = openChat(estimator, requestOf(`Call ${index}. ${'Some words. '.repeat(index)}`));
      counter.push(eventOf('Hello'));
      return counter;
    });
    const usages = await Promise.all(counters.map((counter) => counter.result()));
    usages.forEach((usage, index) => {
      expect(usage?.input).toBe(AROUND + countTokens(`Call ${index}. ${'Some words. '.repeat(index)}`));
    });
  });

  it('runs beside the compiled program too, is not started before it is needed, and never holds the process', async () => {
    const program = new URL('../../dist/meter/estimate/token-estimator.js', import.meta.url).href;
    const script = `
      import { createTokenEstimator } from '${program}';
      const started = process.getActiveResourcesInfo().length;
      const estimator = createTokenEstimator({ logger: { warn() {}, error() {} } });
      const open = () => estimator.open({ dialect: 'openai', operation: 'chat-completions',
        requestBody: Buffer.from('{"messages":[{"role":"user","content":"Hello"}]}') });
      const idle = open();
      idle.push(Buffer.from('data: {}\\n\\n'));
      idle.discard();
      const isIdle = process.getActiveResourcesInfo().length === started;
      const counter = open();
      counter.push(Buffer.from('data: {"choices":[{"delta":{"content":"Hello"}}]}\\n\\n'));
      console.log(JSON.stringify({ isIdle, usage: await counter.result() }));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 25_000,
    });
    expect(JSON.parse(stdout)).toEqual({ isIdle: true, usage: { input: 8, output: 1, request: 1 } });
  });
});

describe('an operation', () => {
  it('is estimated where its prompt and answer are text', () => {
    expect(['chat-completions', 'completions', 'responses', 'embeddings'].every(isEstimatedOperation)).toBe(true);
    expect(['images', 'speech', 'rerank', 'passthrough'].some(isEstimatedOperation)).toBe(false);
  });
});
