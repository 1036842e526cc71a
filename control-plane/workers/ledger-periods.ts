import type { Queryable } from '../database/sql.js';

/** First day of a month, `2026-11-01`. Months are UTC's. */
export type Month = string;

export interface LedgerMonths {
  /** By the database's clock. */
  readonly current: Month;
  /** The newest that is closed, and with it all before; null where none is. */
  readonly closed: Month | null;
}

/** The month that a call's transfers are booked in: its own while that is open, else the first that is. */
export type PeriodOf = (admittedAt: number) => Month;

function monthOf(at: number): Month {
  return `${new Date(at).toISOString().slice(0, 7)}-01`;
}

/**
 * Calls of an earlier month keep it open until the caller's transaction ends: whoever closes it waits. The present month is
 * never closed, so that almost every batch goes without.
 * @param months as they were when the transaction began
 */
export async function holdPeriods(
  database: Queryable,
  months: LedgerMonths,
  admissions: readonly number[],
): Promise<PeriodOf> {
  const first = admissions.reduce((least, at) => Math.min(least, at), Infinity);
  const isLate = Number.isFinite(first) && monthOf(first) < months.current;
  return createPeriodOf(isLate ? await holdMonths(database, months) : months);
}

/** Shared by bookings, held alone by the one who closes. */
export const PERIODS_LOCK = `hashtext('pingtoken-ledger-period')`;

async function holdMonths(database: Queryable, { current }: LedgerMonths): Promise<LedgerMonths> {
  await database.query({ name: 'hold-periods', text: `select pg_advisory_xact_lock_shared(${PERIODS_LOCK})` });
  const { rows } = await database.query<{ closed: string | null }>({
    name: 'closed-period',
    text: 'select max(month)::text as closed from ledger_period',
  });
  return { current, closed: rows[0]?.closed ?? null };
}

/** Pure. What claims to be of the future is booked now. */
export function createPeriodOf({ current, closed }: LedgerMonths): PeriodOf {
  const firstOpen = closed === null ? null : monthAfter(closed);
  // Nearly all calls of a batch are of one month.
  let lastFrom = 0;
  let lastTo = 0;
  let last: Month = current;
  return (admittedAt) => {
    if (admittedAt >= lastFrom && admittedAt < lastTo) return last;
    const own = monthOf(admittedAt);
    lastFrom = Date.parse(own);
    lastTo = Date.parse(monthAfter(own));
    const open = firstOpen !== null && own < firstOpen ? firstOpen : own;
    last = open > current ? current : open;
    return last;
  };
}

function monthAfter(month: Month): Month {
  const [year = 0, number = 1] = month.split('-').map(Number);
  return monthOf(Date.UTC(year, number, 1));
}
