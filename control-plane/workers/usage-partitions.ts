import type { Logger } from 'pino';
import type { Queryable } from '../database/sql.js';

/** How often it is looked whether a month is about to begin without its partition. */
const INTERVAL_MS = 6 * 3600 * 1000;

export interface UsagePartitions {
  /** Makes the partitions of this month and the next. Never fails: without them, events go into the default partition. */
  readonly ensure: () => Promise<void>;
  readonly stop: () => void;
}

/**
 * Keeps a partition ready for each month. Made apart from any batch, and well ahead, for it takes a lock that waits for
 * running batches and is waited for by new ones.
 */
export function createUsagePartitions({ database, logger }: { database: Queryable; logger: Logger }): UsagePartitions {
  const ensure = async (): Promise<void> => {
    const now = new Date();
    for (const month of [now, new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1))]) {
      try {
        await database.query({ text: 'select ensure_usage_partition($1)', values: [month] });
      } catch (error) {
        // Such as events of that month which lie in the default partition already.
        const reason = error instanceof Error ? error.message : 'unknown';
        logger.warn({ month: month.toISOString().slice(0, 7), error: reason }, 'a usage partition could not be made');
      }
    }
  };
  const timer = setInterval(() => void ensure(), INTERVAL_MS).unref();
  return {
    ensure,
    stop: () => {
      clearInterval(timer);
    },
  };
}
