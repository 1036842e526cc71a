import { createPostgresBackend, DelayedError, UnrecoverableError, Worker, type WorkerOptions } from 'bullmq';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { QUEUE_NAMESPACE } from '@pingtoken/shared/wire';

/** A job that can never succeed: it is set aside as failed, and not tried again. */
export class HopelessJobError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'HopelessJobError';
  }
}

/** A job that came too early: it is tried again in a moment, which does not count as a failure of its own. */
export class EarlyJobError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'EarlyJobError';
  }
}

export interface QueueWorkerOptions {
  /** `redis://…`, `rediss://…`, `postgres://…` or `postgresql://…`. */
  readonly queueUrl: string;
  readonly queueName: string;
  /** Jobs at work at once. */
  readonly concurrency: number;
  readonly logger: Logger;
  /** Throws to have the job tried again, as often as its producer allows. */
  readonly process: (data: unknown) => Promise<void>;
}

export interface QueueWorker {
  /** Takes no further job and resolves when those at work are done. */
  close(): Promise<void>;
}

/**
 * All workers of a queue must agree on how long a silent one is waited for: a job whose worker was killed is given to another
 * after at most the sum of both.
 */
const LOCK_DURATION_MS = 5_000;
const STALLED_INTERVAL_MS = 2_000;
/** Deaths of its workers that a job outlives; the spool delivers it again in any case. */
const MAX_STALLED_COUNT = 10;

const EARLY_DELAY_MS = 100;
/** After so many starts an early job is treated as a failed one, with the producer's back-off. */
const MAX_EARLY_STARTS = 50;

/** @throws Error, fit for a terminal, when the queue is not safe to use */
export async function openQueueWorker(options: QueueWorkerOptions): Promise<QueueWorker> {
  const { protocol } = new URL(options.queueUrl);
  const isRedis = protocol === 'redis:' || protocol === 'rediss:';
  return isRedis ? openRedisWorker(options) : openPostgresWorker(options);
}

async function openRedisWorker(options: QueueWorkerOptions): Promise<QueueWorker> {
  const { queueUrl, queueName, logger } = options;
  const redis = new Redis(queueUrl, { maxRetriesPerRequest: null });
  redis.on('error', (error: Error) => {
    logger.warn({ error: error.message }, 'the connection to Redis failed');
  });
  try {
    await refuseEviction(redis, logger);
    const connection = { connection: redis, prefix: QUEUE_NAMESPACE };
    const worker = new Worker(queueName, createProcessor(options), { ...connection, ...sharedOptions(options) });
    return await startWorker(worker, logger, () => {
      redis.disconnect();
    });
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}

/** A Redis that may evict keys loses jobs, silently. Read from INFO, for hosted servers refuse CONFIG GET. */
async function refuseEviction(redis: Redis, logger: Logger): Promise<void> {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await redis.info('memory').catch(() => ''))?.[1];
  if (policy === undefined) logger.warn('Redis does not tell its maxmemory-policy; it must be noeviction');
  else if (policy !== 'noeviction') {
    throw new Error(`Redis must run with maxmemory-policy noeviction, not ${policy}, or it would lose usage records.`);
  }
}

function openPostgresWorker(options: QueueWorkerOptions): Promise<QueueWorker> {
  const { queueUrl, queueName, concurrency, logger } = options;
  const connection = {
    connectionString: queueUrl,
    schema: QUEUE_NAMESPACE,
    // Two starts at once wait for one another.
    migrate: true,
    max: Math.min(concurrency + 2, 10),
    application_name: 'pingtoken-worker',
  };
  const settings = { connection, ...sharedOptions(options) };
  return startWorker(new Worker(queueName, createProcessor(options), settings, createPostgresBackend), logger, () => {
    // The worker ends its own connections.
  });
}

function sharedOptions({ concurrency }: QueueWorkerOptions) {
  return {
    autorun: false,
    concurrency,
    lockDuration: LOCK_DURATION_MS,
    stalledInterval: STALLED_INTERVAL_MS,
    maxStalledCount: MAX_STALLED_COUNT,
    removeOnComplete: { count: 0 },
    removeOnFail: { count: 1_000 },
  } satisfies Partial<WorkerOptions>;
}

/** The part of BullMQ's job that is used, the same on either kind of queue. */
interface TakenJob {
  readonly data: unknown;
  readonly attemptsStarted: number;
  moveToDelayed(timestamp: number, token?: string): Promise<void>;
}

function createProcessor({ process }: QueueWorkerOptions) {
  return async (job: TakenJob, token?: string): Promise<void> => {
    try {
      await process(job.data);
    } catch (error) {
      if (error instanceof HopelessJobError) throw new UnrecoverableError(error.message);
      if (!(error instanceof EarlyJobError) || job.attemptsStarted >= MAX_EARLY_STARTS) throw error;
      await job.moveToDelayed(Date.now() + EARLY_DELAY_MS, token);
      throw new DelayedError();
    }
  };
}

/** What both kinds of worker have. */
interface AnyWorker {
  waitUntilReady(): Promise<unknown>;
  run(): Promise<void>;
  close(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'failed', listener: (job: { readonly id?: string } | undefined, error: Error) => void): unknown;
}

async function startWorker(worker: AnyWorker, logger: Logger, disconnect: () => void): Promise<QueueWorker> {
  worker.on('error', (error) => {
    logger.warn({ error: error.message }, 'the queue failed');
  });
  worker.on('failed', (job, error) => {
    logger.warn({ job: job?.id, error: error.message }, 'a job failed');
  });
  await worker.waitUntilReady();
  worker.run().catch((error: unknown) => {
    logger.error({ error: error instanceof Error ? error.message : 'unknown' }, 'the queue worker ended');
  });
  return {
    async close() {
      await worker.close();
      disconnect();
    },
  };
}
