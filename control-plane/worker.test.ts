import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createPostgresBackend, Queue, type JobsOptions } from 'bullmq';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packRecords, type UsageBatch, type UsageJob } from '@pingtoken/shared/usage-batch';
import { QUEUE_NAMESPACE, USAGE_QUEUE } from '@pingtoken/shared/wire';
import { createBillingFixture, makeEvent, TestSpool } from '../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../test/kit/platform-database.js';
import { hasRedis, startRedis } from '../test/kit/redis.js';
import { verifyLedger } from './billing/verify-ledger.js';
import { openPool } from './database/sql.js';

let database: TestDatabase;
let fixture: BillingFixture;
let dataPlaneId: string;
let customer: Customer;
let priceId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  dataPlaneId = await fixture.createDataPlane();
  customer = await fixture.createCustomer();
  priceId = (await fixture.createVersion({ input: '3', output: '5' })).id;
});

afterAll(async () => {
  await fixture.close();
  await database.drop();
});

interface RunningWorker {
  readonly process: ChildProcess;
  readonly lines: string[];
}

/** The built program, as it runs in production. */
function launch(queueUrl: string, environment: Record<string, string> = {}): RunningWorker {
  const child = spawn(process.execPath, [fileURLToPath(new URL('dist/worker.js', import.meta.url))], {
    env: {
      WORKER_DATABASE_URL: database.urls.worker,
      PERSON_KEYS_DATABASE_URL: database.urls.personKeys,
      PERSON_KEYS_SECRET: randomBytes(32).toString('base64url'),
      QUEUE_URL: queueUrl,
      LOG_CALLS: 'true',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data: Buffer) =>
      lines.push(
        ...data
          .toString()
          .split('\n')
          .filter((line) => line !== ''),
      ),
    );
  }
  return { process: child, lines };
}

async function start(queueUrl: string): Promise<RunningWorker> {
  const worker = launch(queueUrl);
  const failed = once(worker.process, 'exit').then(() => Promise.reject(new Error(worker.lines.join('\n'))));
  const [message] = (await Promise.race([once(worker.process, 'message'), failed])) as unknown[];
  expect(message).toEqual({ type: 'ready', ports: [] });
  return worker;
}

async function end({ process: child }: RunningWorker, signal: NodeJS.Signals): Promise<number | null> {
  const exit = once(child, 'exit');
  child.kill(signal);
  return ((await exit) as [number | null])[0];
}

interface Producer {
  put(job: UsageJob, options?: JobsOptions): Promise<unknown>;
  close(): Promise<void>;
}

function createProducer(queueUrl: string): Producer {
  const defaultJobOptions = { attempts: 5, backoff: { type: 'fixed', delay: 200 }, removeOnComplete: true };
  const queue = queueUrl.startsWith('redis')
    ? new Queue(USAGE_QUEUE, { connection: { url: queueUrl }, prefix: QUEUE_NAMESPACE, defaultJobOptions })
    : new Queue(
        USAGE_QUEUE,
        { connection: { connectionString: queueUrl, schema: QUEUE_NAMESPACE }, defaultJobOptions },
        createPostgresBackend,
      );
  return { put: (job, options) => queue.add('batch', job, options), close: () => queue.close() };
}

async function jobOf({ events, ...place }: UsageBatch): Promise<UsageJob> {
  const records = await packRecords(events.map((event) => Buffer.from(JSON.stringify(event))));
  return { ...place, count: events.length, records };
}

const confirmed = async ({ spoolId }: TestSpool): Promise<number> =>
  Number(
    (await fixture.query<{ confirmed: string }>('select confirmed from usage_spool where id = $1', [spoolId]))[0]
      ?.confirmed,
  );

const countEvents = async ({ spoolId }: TestSpool): Promise<number> =>
  (await fixture.query('select 1 from usage_event where spool_id = $1', [spoolId])).length;

async function findDifferences(): Promise<unknown> {
  const pool = openPool({ url: database.urls.worker, size: 1, onError: () => undefined });
  const { differences } = await verifyLedger({ pool });
  await pool.end();
  return differences;
}

const appendCalls = (spool: TestSpool, count: number): UsageBatch =>
  spool.append(...Array.from({ length: count }, () => makeEvent(customer, priceId)));

/** The guarantees hold on either kind of queue. */
async function provesItself(queueUrl: string): Promise<void> {
  const first = await start(queueUrl);
  const producer = createProducer(queueUrl);
  const spools = Array.from({ length: 4 }, () => new TestSpool(dataPlaneId));

  // A call is settled and logged; batches in the wrong order heal; what is no batch harms nobody.
  const [spool] = spools as [TestSpool];
  const batches = [appendCalls(spool, 5), ...Array.from({ length: 3 }, () => appendCalls(spool, 5))] as const;
  await producer.put({ nonsense: true } as unknown as UsageJob);
  await producer.put({ ...(await jobOf(batches[0])), dataPlaneId: crypto.randomUUID() });
  for (const batch of batches.toReversed()) await producer.put(await jobOf(batch));
  await expect.poll(() => confirmed(spool), { timeout: 15_000 }).toBe(20);
  expect(first.lines.filter((line) => line.includes('"event":"call-settled"'))).toHaveLength(20);

  // Killed at work, with another one taking over: nothing is lost and nothing is booked twice.
  const all = spools.flatMap((each) => Array.from({ length: 25 }, () => appendCalls(each, 20)));
  const second = await start(queueUrl);
  for (const batch of all) await producer.put(await jobOf(batch));
  await end(first, 'SIGKILL');
  // A data plane delivers again what it sees no confirmation of, in batches that need not be the same.
  for (const each of spools) {
    for (let seq = 1; seq <= each.records.length; seq += 33) await producer.put(await jobOf(each.batch(seq, 33)));
  }
  for (const each of spools) await expect.poll(() => confirmed(each), { timeout: 25_000 }).toBe(each.records.length);
  for (const each of spools) expect(await countEvents(each)).toBe(each.records.length);
  expect(await findDifferences()).toEqual([]);

  const endedAt = performance.now();
  expect(await end(second, 'SIGTERM')).toBe(0);
  expect(performance.now() - endedAt).toBeLessThan(8000);
  await producer.close();
}

describe('the worker', () => {
  test('books exactly once through a kill, on PostgreSQL', () => provesItself(database.urls.queue), 60_000);

  test.skipIf(!hasRedis)(
    'books exactly once through a kill, on Redis',
    async () => {
      const redis = await startRedis();
      await provesItself(redis.url);
      await redis.remove();
    },
    60_000,
  );

  test('ends when its launcher is gone', async () => {
    const worker = await start(database.urls.queue);
    const exit = once(worker.process, 'exit');
    worker.process.disconnect();
    expect(await exit).toEqual([0, null]);
  });

  test.skipIf(!hasRedis)('refuses a Redis that may evict, in one sentence', async () => {
    const redis = await startRedis({ policy: 'allkeys-lru' });
    const worker = launch(redis.url);
    expect(((await once(worker.process, 'exit')) as [number])[0]).toBe(1);
    expect(
      worker.lines.filter((line) => line.includes('Redis must run with maxmemory-policy noeviction')),
    ).toHaveLength(1);
    await redis.remove();
  });

  test('names every setting that is missing or wrong, and no value', async () => {
    const worker = launch('ftp://user:secret@host', {
      WORKER_DATABASE_URL: '',
      WORKER_CONCURRENCY: '0',
      LOG_CALLS: 'yes',
    });
    expect(((await once(worker.process, 'exit')) as [number])[0]).toBe(1);
    const output = worker.lines.join('\n');
    for (const name of ['QUEUE_URL', 'WORKER_DATABASE_URL', 'WORKER_CONCURRENCY', 'LOG_CALLS'])
      expect(output).toContain(name);
    expect(output).not.toContain('secret@');
  });
});
