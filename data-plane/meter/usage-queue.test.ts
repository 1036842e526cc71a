import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { UsageJob } from '@pingtoken/shared/usage-batch';
import { QUEUE_NAMESPACE, USAGE_QUEUE } from '@pingtoken/shared/wire';
import { Queue, UnrecoverableError, Worker, createPostgresBackend, runMigrations } from 'bullmq';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it, vi } from 'vitest';
import { hasRedis, startRedis, type TestRedis } from '../../test/kit/redis.js';
import { connectUsageQueue, type UsageQueue } from './usage-queue.js';

const logger = pino({ level: 'silent' });
const spoolId = randomUUID();
const jobOf = (firstSeq: number, count: number): UsageJob => ({
  dataPlaneId: randomUUID(),
  spoolId,
  firstSeq,
  count,
  records: 'bm9uZQ==',
});

describe.skipIf(!hasRedis)('the usage queue on Redis', () => {
  let redis: TestRedis;
  let queue: UsageQueue | undefined;
  const peek = async (): Promise<unknown[]> => {
    const reader = new Queue(USAGE_QUEUE, { connection: { url: redis.url }, prefix: QUEUE_NAMESPACE });
    const jobs = await reader.getJobs(['waiting', 'active', 'delayed', 'prioritized', 'failed']);
    await reader.close();
    return jobs.map(({ data }) => data as unknown);
  };

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterEach(async () => {
    await queue?.close();
  });
  afterAll(() => redis.remove());

  it('brings a batch to the worker as it is, and the same one once while it waits', async () => {
    queue = await connectUsageQueue({ queueUrl: redis.url, logger });
    const batch = jobOf(1, 3);
    await queue.put(batch);
    await queue.put(batch);
    expect(await peek()).toEqual([batch]);
    await queue.put(jobOf(1, 4));
    expect(await peek()).toHaveLength(2);
  });

  it('puts a batch in again when its job has failed for good, or is gone', async () => {
    await redis.restart();
    queue = await connectUsageQueue({ queueUrl: redis.url, logger });
    let fail = true;
    const seen: number[] = [];
    const worker = new Worker<UsageJob>(
      USAGE_QUEUE,
      (job) => {
        if (fail) return Promise.reject(new UnrecoverableError('the database is down'));
        seen.push(job.data.firstSeq);
        return Promise.resolve();
      },
      { connection: { url: redis.url, maxRetriesPerRequest: null }, prefix: QUEUE_NAMESPACE },
    );
    const failed = vi.fn();
    worker.on('failed', failed);
    await queue.put(jobOf(1, 2));
    await vi.waitFor(() => {
      expect(failed).toHaveBeenCalled();
    });
    fail = false;
    await queue.put(jobOf(1, 2));
    await vi.waitFor(() => {
      expect(seen).toEqual([1]);
    });
    await queue.put(jobOf(1, 2));
    await vi.waitFor(() => {
      expect(seen).toEqual([1, 1]);
    });
    await worker.close();
  });

  it('fails fast when Redis is gone, connecting or connected, and works again after', async () => {
    queue = await connectUsageQueue({ queueUrl: redis.url, logger });
    await redis.kill();
    await delay(50);
    const startedAt = performance.now();
    await expect(queue.put(jobOf(1, 1))).rejects.toThrow();
    await queue.close();
    await expect(connectUsageQueue({ queueUrl: redis.url, logger })).rejects.toThrow();
    expect(performance.now() - startedAt).toBeLessThan(6000);
    await redis.restart();
    queue = await connectUsageQueue({ queueUrl: redis.url, logger });
    await queue.put(jobOf(1, 1));
    expect(await peek()).toHaveLength(1);
  });

  it('refuses a Redis that may evict', async () => {
    const evicting = await startRedis({ policy: 'allkeys-lru' });
    await expect(connectUsageQueue({ queueUrl: evicting.url, logger })).rejects.toThrow(/noeviction, not allkeys-lru/);
    await evicting.remove();
  });
});

describe('the usage queue on PostgreSQL', () => {
  const name = `queue_${randomBytes(6).toString('hex')}`;
  const queueUrl = new URL(inject('adminUrl'));
  let queue: UsageQueue | undefined;
  const asAdmin = async (url: string, act: (client: pg.Client) => Promise<unknown>): Promise<void> => {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await act(client);
    await client.end();
  };

  beforeAll(async () => {
    await asAdmin(inject('adminUrl'), (client) => client.query(`create database ${name}`));
    queueUrl.pathname = `/${name}`;
  });
  afterAll(async () => {
    await queue?.close();
    await asAdmin(inject('adminUrl'), (client) => client.query(`drop database ${name} with (force)`));
  });

  it('is not there before the control plane has made its schema, and is right after', async () => {
    await expect(connectUsageQueue({ queueUrl: queueUrl.href, logger })).rejects.toThrow();
    await asAdmin(queueUrl.href, (client) => runMigrations(client, QUEUE_NAMESPACE));
    queue = await connectUsageQueue({ queueUrl: queueUrl.href, logger });
  });

  it('brings a batch to the worker as it is, once while it waits, again when it is gone', async () => {
    const batch = jobOf(1, 500);
    await queue?.put(batch);
    await queue?.put(batch);
    const seen: UsageJob[] = [];
    const connection = { connectionString: queueUrl.href, schema: QUEUE_NAMESPACE };
    const worker = new Worker(
      USAGE_QUEUE,
      (job) => {
        seen.push(job.data as UsageJob);
        return Promise.resolve();
      },
      { connection },
      createPostgresBackend,
    );
    await vi.waitFor(() => {
      expect(seen).toEqual([batch]);
    });
    await delay(200);
    expect(seen).toHaveLength(1);
    await queue?.put(batch);
    await vi.waitFor(() => {
      expect(seen).toHaveLength(2);
    });
    await worker.close();
  });
});
