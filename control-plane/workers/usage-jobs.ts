import type { Logger } from 'pino';
import { formatAmount } from '@pingtoken/shared/money';
import { openUsageJob, UnreadableBatchError, usageJobSchema, type UsageJob } from '@pingtoken/shared/usage-batch';
import { EarlyJobError, HopelessJobError } from '../queue.js';
import { SpoolGapError, type IngestResult, type IngestUsage } from './ingest-usage.js';
import { BatchRefusedError } from './spool-row.js';

export interface UsageJobsOptions {
  readonly ingest: IngestUsage;
  readonly logger: Logger;
  /** Told of each batch once it is in the ledger. */
  readonly onIngested: (result: IngestResult) => void;
}

/**
 * What the queue's jobs do. Batches of one spool go one after the other within this process, so that none of them holds a
 * database connection only to wait for the other's lock on the spool.
 */
export function createUsageJobs({ ingest, logger, onIngested }: UsageJobsOptions): (data: unknown) => Promise<void> {
  const lastOfSpool = new Map<string, Promise<void>>();

  /** Opened and read while the batch before it is being written: neither waits for the other. */
  const settle = async (job: UsageJob, turn: Promise<void>): Promise<void> => {
    const { spoolId, firstSeq, count } = job;
    const place = { spoolId, firstSeq, count };
    try {
      const result = await ingest(await openUsageJob(job), turn);
      for (const { seq, reason } of result.quarantined)
        logger.warn({ ...place, seq, reason }, 'a usage record was set aside');
      for (const { settled, excess } of result.losses) {
        const { eventId, tenantId } = settled.event;
        const loss = { amount: formatAmount(excess), currency: settled.currency };
        logger.error({ ...place, eventId, tenantId, ...loss }, 'a call cost more than its tenant can be charged with');
      }
      if (result.duplicates > 0) logger.info({ ...place, duplicates: result.duplicates }, 'usage was known already');
      onIngested(result);
    } catch (error) {
      // Another worker may be at the batch before this one.
      if (error instanceof SpoolGapError) throw new EarlyJobError(error.message);
      if (error instanceof BatchRefusedError || error instanceof UnreadableBatchError)
        throw new HopelessJobError(error.message);
      throw error;
    }
  };

  return async (data) => {
    const { data: job } = usageJobSchema.safeParse(data);
    if (job === undefined) throw new HopelessJobError('the job is no batch of usage events');
    const before = lastOfSpool.get(job.spoolId) ?? Promise.resolve();
    const work = settle(job, before);
    const quiet = work.catch(() => undefined);
    lastOfSpool.set(job.spoolId, quiet);
    try {
      await work;
    } finally {
      if (lastOfSpool.get(job.spoolId) === quiet) lastOfSpool.delete(job.spoolId);
    }
  };
}
