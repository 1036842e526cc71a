import type { Logger } from 'pino';
import { inTransaction, type ConnectionPool } from '../database/sql.js';
import { PERIODS_LOCK, type Month } from './ledger-periods.js';
import { createPeriodicJob, type PeriodicJob } from './periodic-job.js';

const INTERVAL_MS = 3_600_000;

/** Closes months for good, some days after they have ended. */
export function createPeriodCloser({
  pool,
  graceDays,
  logger,
}: {
  readonly pool: ConnectionPool;
  readonly graceDays: number;
  readonly logger: Pick<Logger, 'info' | 'warn'>;
}): PeriodicJob {
  const run = async (): Promise<void> => {
    for (const month of await closePeriods(pool, { graceDays }))
      logger.info({ month }, 'a month of the ledger is closed');
  };
  return createPeriodicJob({ run, intervalMs: INTERVAL_MS, logger, what: 'months to close' });
}

/**
 * Closes every month that ended so many days ago, in order and from the first one that anything was booked in. Waits for the
 * bookings in earlier months that are under way; those that come later go into the first open month.
 * @param at for tests: what the time is
 */
export function closePeriods(
  pool: ConnectionPool,
  { graceDays, at = new Date() }: { readonly graceDays: number; readonly at?: Date },
): Promise<Month[]> {
  return inTransaction(pool, async (connection) => {
    await connection.query({ text: `select pg_advisory_xact_lock(${PERIODS_LOCK})` });
    const { rows } = await connection.query<{ month: Month }>({
      text: `
        insert into ledger_period (month, closed_at)
        select month::date, clock_timestamp() from generate_series(
          coalesce(
            (select max(month) + interval '1 month' from ledger_period), (select min(period)::timestamp from transfer)),
          ledger_month($1::timestamptz - make_interval(days => $2::integer)) - interval '1 month',
          interval '1 month') as month
        returning month::text`,
      values: [at, graceDays],
    });
    return rows.map(({ month }) => month).sort();
  });
}
