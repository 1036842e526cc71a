import { createSecretKey, randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasRedis, startRedis, type TestRedis } from '../../test/kit/redis.js';
import { waitFor } from '../../test/kit/wait-for.js';
import { AnswerStore, type AnswerClaim, type AnswerQuestion, type FoundAnswer } from './answer-store.js';
import type { EntryStore } from './entry-store.js';
import type { KeptAnswer } from './kept-answer.js';
import { createLocalEntries } from './local-entries.js';
import { RedisEntries } from './redis-entries.js';

const logger = pino({ level: 'silent' });
const TEXT = 'the very words of the answer';

function answerOf(text = TEXT): KeptAnswer {
  const headers = ['content-type', 'application/json'];
  return { status: 200, headers, isTooLong: false, keyHash: 'h', billed: null, body: Buffer.from(text) };
}

function questionOf(change: Partial<AnswerQuestion> = {}): AnswerQuestion {
  const name = randomBytes(32).toString('base64url');
  return { name, fingerprint: randomBytes(32), encryption: createSecretKey(randomBytes(32)), ...change };
}

function claimOf(found: FoundAnswer): AnswerClaim {
  if (found.kind !== 'claimed') throw new Error(`the name is not free: ${found.kind}`);
  return found.claim;
}

const opened: AnswerStore[] = [];
function open(entries: EntryStore): AnswerStore {
  const store = new AnswerStore({ entries, logger, pollMs: 20 });
  opened.push(store);
  return store;
}
afterEach(() => {
  for (const store of opened.splice(0)) store.close();
});

/** Until it has been written. */
const keptBy = (store: AnswerStore, question: AnswerQuestion): Promise<FoundAnswer> =>
  waitFor(
    async () => {
      const found = await store.find(question);
      return found.kind === 'kept' && found;
    },
    { timeoutMs: 20_000, what: 'the kept answer' },
  );

describe('answers of one process', () => {
  it('are found again by the same question, and only by it', async () => {
    const store = open(createLocalEntries({ maxBytes: 10_000 }));
    const question = questionOf();
    claimOf(await store.find(question)).keep(answerOf(), 60_000);
    expect(await keptBy(store, question)).toEqual({ kind: 'kept', answer: answerOf() });
    expect(await store.find({ ...question, fingerprint: randomBytes(32) })).toEqual({ kind: 'mismatch' });
  });

  it('are over when their time is', async () => {
    let now = 0;
    const store = open(createLocalEntries({ maxBytes: 10_000, clock: () => now }));
    const question = questionOf();
    claimOf(await store.find(question)).keep(answerOf(), 100);
    await keptBy(store, question);
    now = 100;
    expect((await store.find(question)).kind).toBe('claimed');
  });

  it('take no more than their bound of bytes: the oldest make room', async () => {
    const store = open(createLocalEntries({ maxBytes: 10_000 }));
    const questions = Array.from({ length: 30 }, () => questionOf());
    for (const question of questions) {
      claimOf(await store.find(question)).keep(answerOf('x'.repeat(1_000)), 60_000);
      await keptBy(store, question);
    }
    const found = [];
    for (const question of questions) found.push((await store.find(question)).kind);
    expect(found.slice(0, 20)).toEqual(found.slice(0, 20).map(() => 'claimed'));
    expect(found.slice(-5)).toEqual(found.slice(-5).map(() => 'kept'));
  });

  it('go to those who wait; where there is none, one of them works on it next', async () => {
    const store = open(createLocalEntries({ maxBytes: 10_000 }));
    const question = questionOf();
    const claim = claimOf(await store.find(question));
    const waiting = await store.find(question);
    if (waiting.kind !== 'pending') throw new Error(waiting.kind);
    claim.giveUp();
    expect(await waiting.wait()).toBeUndefined();
    const next = claimOf(await store.find(question));
    const still = await store.find(question);
    if (still.kind !== 'pending') throw new Error(still.kind);
    next.giveUp(answerOf('an error'));
    expect(await still.wait()).toEqual(answerOf('an error'));
    await waitFor(async () => (await store.find(question)).kind === 'claimed', { timeoutMs: 20_000, what: 'freedom' });
  });
});

describe.skipIf(!hasRedis)('answers of processes that share a Redis', () => {
  let redis: TestRedis;
  let reader: Redis;
  beforeAll(async () => {
    redis = await startRedis();
    reader = new Redis(redis.url);
    reader.on('error', () => undefined);
  });
  afterAll(async () => {
    reader.disconnect();
    await redis.remove();
  });

  async function connect(maxBytes = 1_000_000): Promise<AnswerStore> {
    const entries = new RedisEntries({ url: redis.url, maxBytes, logger });
    const store = open(entries);
    await waitFor(
      () =>
        entries.find('x').then(
          () => true,
          () => false,
        ),
      { timeoutMs: 20_000, what: 'a connection' },
    );
    return store;
  }

  it('go to whoever asks, and can be read in Redis by nobody', async () => {
    const [one, other] = [await connect(), await connect()];
    const question = questionOf();
    const claim = claimOf(await one.find(question));
    const waiting = await other.find(question);
    if (waiting.kind !== 'pending') throw new Error(waiting.kind);
    expect(await other.find({ ...question, fingerprint: randomBytes(32) })).toEqual({ kind: 'mismatch' });
    claim.keep(answerOf(), 60_000);
    expect(await waiting.wait()).toEqual(answerOf());
    expect(await keptBy(other, question)).toEqual({ kind: 'kept', answer: answerOf() });
    for (const key of await reader.keys('*')) {
      const type = await reader.type(key);
      const text = type === 'string' ? (await reader.getBuffer(key))?.toString('latin1') : '';
      expect(text).not.toContain('words');
    }
    const foreign = { ...question, encryption: createSecretKey(randomBytes(32)) };
    expect((await (await connect()).find(foreign)).kind).not.toBe('kept');
  });

  it('are worked on by the next when the process that did so is gone', async () => {
    const [dead, next] = [await connect(), await connect()];
    const question = questionOf();
    const left = claimOf(await dead.find(question));
    const key = `{pingtoken-replay}:${question.name}`;
    // What nobody renews ends by itself, soon.
    const leftMs = await reader.pttl(key);
    expect(leftMs).toBeGreaterThan(0);
    expect(leftMs).toBeLessThanOrEqual(10_000);
    const waiting = await next.find(question);
    if (waiting.kind !== 'pending') throw new Error(waiting.kind);
    await reader.pexpire(key, 1);
    expect(await waiting.wait()).toBeUndefined();
    const claim = claimOf(await next.find(question));
    claim.keep(answerOf(), 60_000);
    await keptBy(next, question);
    left.keep(answerOf('of the dead'), 60_000);
    // It has come back to life, and does not take its successor's place.
    expect(await keptBy(await connect(), question)).toEqual({ kind: 'kept', answer: answerOf() });
  });

  it('take no more than their bound of bytes, whoever keeps them', async () => {
    await reader.flushall();
    const stores = [await connect(20_000), await connect(20_000)];
    const questions = Array.from({ length: 60 }, () => questionOf());
    for (const [index, question] of questions.entries()) {
      const store = stores[index % 2];
      if (store === undefined) continue;
      claimOf(await store.find(question)).keep(answerOf('x'.repeat(1_000)), 60_000 + index);
      await keptBy(store, question);
    }
    const sizes = await Promise.all((await reader.keys('*')).map((key) => reader.memory('USAGE', key)));
    expect(sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)).toBeLessThan(40_000);
    expect(await reader.zcard('{pingtoken-replay}:index')).toBeLessThan(20);
    const last = questions.at(-1);
    if (last !== undefined) expect((await stores[0]?.find(last))?.kind).toBe('kept');
  });

  it('are done without while Redis does not answer, or is not there; and with again afterwards', async () => {
    const store = await connect();
    redis.pause();
    const question = questionOf();
    const claim = claimOf(await store.find(question));
    expect((await store.find(question)).kind).toBe('pending');
    claim.keep(answerOf(), 60_000);
    await waitFor(async () => (await store.find(question)).kind === 'claimed', { timeoutMs: 20_000, what: 'an end' });
    redis.resume();
    await redis.kill();
    claimOf(await store.find(questionOf())).giveUp();
    await redis.restart();
    await waitFor(
      async () => {
        const again = questionOf();
        claimOf(await store.find(again)).keep(answerOf(), 60_000);
        return (await reader.exists(`{pingtoken-replay}:${again.name}`).catch(() => 0)) === 1;
      },
      { timeoutMs: 25_000, what: 'an answer in Redis', intervalMs: 100 },
    );
  });
});
