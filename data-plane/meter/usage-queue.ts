import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { UsageJob } from '@pingtoken/shared/usage-batch';
import { QUEUE_NAMESPACE, USAGE_QUEUE } from '@pingtoken/shared/wire';

/** A connected queue. Its calls fail fast: the spool is the buffer, and waiting here would only hide an outage. */
export interface UsageQueue {
  /**
   * Puts a batch in, unless the same one is waiting there or being worked on already.
   * @throws Error when the queue cannot be reached or did not take it
   */
  put(job: UsageJob): Promise<void>;
  close(): Promise<void>;
}

export interface ConnectUsageQueueOptions {
  /** `redis://…`, `rediss://…`, `postgres://…` or `postgresql://…`. */
  readonly queueUrl: string;
  readonly logger: Logger;
}

const TIMEOUT_MS = 5_000;

/**
 * A job whose worker cannot reach its database tries again for about an hour; then the spool puts it in anew. Never less often:
 * a pause that grew with the outage would keep the ledger behind for as long again, and every later batch of its spool with it.
 */
const JOB_OPTIONS = {
  attempts: 1_800,
  backoff: { type: 'fixed', delay: 2_000, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: { count: 1_000 },
};

/** @throws Error, fit for a log, when the queue is not there, not ready, or not safe to use */
export async function connectUsageQueue(options: ConnectUsageQueueOptions): Promise<UsageQueue> {
  const { protocol } = new URL(options.queueUrl);
  const isRedis = protocol === 'redis:' || protocol === 'rediss:';
  return withTimeout(isRedis ? connectRedis(options) : connectPostgres(options), 'the queue did not answer');
}

async function connectRedis({ queueUrl, logger }: ConnectUsageQueueOptions): Promise<UsageQueue> {
  // Loaded when the gateway is up already: the two take some 100 ms, and no call waits for them.
  const [{ Redis }, { Queue }] = await Promise.all([import('ioredis'), import('bullmq')]);
  const redis = new Redis(queueUrl, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: TIMEOUT_MS,
    commandTimeout: TIMEOUT_MS,
    // A lost connection is a failed put; the enqueuer then connects anew.
    retryStrategy: () => null,
  });
  redis.on('error', (error: Error) => {
    logger.debug({ reason: error.message }, 'queue connection');
  });
  try {
    await redis.connect();
    await refuseEviction(redis, logger);
    const queue = new Queue(USAGE_QUEUE, {
      connection: redis,
      prefix: QUEUE_NAMESPACE,
      defaultJobOptions: JOB_OPTIONS,
    });
    return await createUsageQueue(queue, () => {
      redis.disconnect();
    });
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}

/** A Redis that may evict keys loses jobs, silently and in part. Read from INFO, for hosted servers refuse CONFIG GET. */
async function refuseEviction(redis: Redis, logger: Logger): Promise<void> {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await redis.info('memory').catch(() => ''))?.[1];
  if (policy === undefined) {
    logger.warn('Redis does not tell its maxmemory-policy; it must be noeviction');
  } else if (policy !== 'noeviction') {
    throw new Error(
      `Redis must run with maxmemory-policy noeviction, not ${policy}: nothing is enqueued until it does`,
    );
  }
}

async function connectPostgres({ queueUrl, logger }: ConnectUsageQueueOptions): Promise<UsageQueue> {
  const { Queue, createPostgresBackend } = await import('bullmq');
  const connection = {
    connectionString: queueUrl,
    schema: QUEUE_NAMESPACE,
    max: 2,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    application_name: 'pingtoken-data-plane',
  };
  // The schema is the control plane's to make. Where it is not there yet, this fails and is tried again.
  const queue = new Queue(USAGE_QUEUE, { connection, defaultJobOptions: JOB_OPTIONS }, createPostgresBackend);
  queue.on('error', (error: Error) => {
    logger.debug({ reason: error.message }, 'queue connection');
  });
  try {
    return await createUsageQueue(queue, () => undefined);
  } catch (error) {
    await queue.close().catch(() => undefined);
    throw error;
  }
}

/** What both kinds of queue have. */
interface AnyQueue {
  waitUntilReady(): Promise<unknown>;
  add(name: string, data: UsageJob, options: { readonly jobId: string }): Promise<unknown>;
  getJobState(jobId: string): Promise<string>;
  remove(jobId: string): Promise<number>;
  close(): Promise<void>;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

async function createUsageQueue(queue: AnyQueue, disconnect: () => void): Promise<UsageQueue> {
  queue.on('error', () => undefined);
  await queue.waitUntilReady();
  return {
    put: (job) =>
      withTimeout(
        (async () => {
          const jobId = `${job.spoolId}.${job.firstSeq}.${job.firstSeq + job.count - 1}`;
          // BullMQ takes no second job of an id that it knows. While the first one waits that is right: a dead worker must
          // not fill the queue with copies. Once it has failed for good it must make room.
          if ((await queue.getJobState(jobId)) === 'failed') await queue.remove(jobId);
          await queue.add('batch', job, { jobId });
        })(),
        'the queue did not take a batch in time',
      ),
    close: async () => {
      await withTimeout(queue.close(), 'the queue did not close').catch(() => undefined);
      disconnect();
    },
  };
}

async function withTimeout<Value>(work: Promise<Value>, message: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(message));
    }, TIMEOUT_MS);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
