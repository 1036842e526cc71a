import { inTransaction, type ConnectionPool, type Queryable } from '../database/sql.js';
import { daysOfHours } from './rollup-checks.js';
import { SERIES_COLUMNS, SUM_COLUMNS } from './rollup-columns.js';

export interface RebuildOptions {
  readonly pool: ConnectionPool;
  /** Whole days in UTC that lie between them are rebuilt; all where they are left out. */
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
  /** Told of each day when it is done, with its rows. */
  readonly onDay?: (day: Date, rows: number) => void;
}

const HOUR_MS = 3_600_000;
const HOURS_A_DAY = 24;

/**
 * Works usage by hour and day out again from events and transfers, an hour at a time, while workers go on: whoever has
 * written to a table is waited for, and whoever is about to waits until the hour is done, some moments. Needs the `worker`
 * login.
 * @returns how many days were rebuilt
 */
export async function rebuildRollups({ pool, from, to, onDay }: RebuildOptions): Promise<number> {
  const days = await inTransaction(pool, (connection) => findDays(connection, from, to));
  for (const day of days) {
    let rows = 0;
    for (let hour = 0; hour < HOURS_A_DAY; hour += 1) {
      const start = new Date(day.getTime() + hour * HOUR_MS);
      rows += await inTransaction(pool, (connection) => rebuildHour(connection, start));
    }
    rows += await inTransaction(pool, (connection) => rebuildDay(connection, day));
    onDay?.(day, rows);
  }
  return days.length;
}

/** Those that have calls, and those that have rollups and should perhaps not. */
async function findDays(connection: Queryable, from?: Date, to?: Date): Promise<Date[]> {
  await connection.query({ text: 'set local statement_timeout = 0' });
  const { rows } = await connection.query<{ day: Date }>({
    text: `
      select day from (
        select date_trunc('day', admitted_at, 'UTC') as day from usage_event
          where ($1::timestamptz is null or admitted_at >= $1) and ($2::timestamptz is null or admitted_at < $2)
        union select date_trunc('day', bucket, 'UTC') from usage_by_hour
        union select bucket from usage_by_day
      ) found
      where ($1::timestamptz is null or day >= $1) and ($2::timestamptz is null or day + interval '1 day' <= $2)
      order by day`,
    values: [from ?? null, to ?? null],
  });
  return rows.map(({ day }) => day);
}

/**
 * Only who has the lock on the table has written to it, so that what the next statement sees is whole: of a batch both its
 * events and what they added, or neither. One table at a time is locked, for a batch locks both in an order of its own.
 */
async function rebuildHour(connection: Queryable, hour: Date): Promise<number> {
  const range = [hour, new Date(hour.getTime() + HOUR_MS)];
  await connection.query({ text: 'lock table usage_by_hour in share row exclusive mode' });
  await connection.query({
    name: 'drop-hour',
    text: 'delete from usage_by_hour where bucket >= $1::timestamptz and bucket < $2::timestamptz',
    values: range,
  });
  const { rowCount } = await connection.query({
    name: 'rebuild-hour',
    text: `insert into usage_by_hour select * from rollup_usage('hour', $1::timestamptz, $2::timestamptz)`,
    values: range,
  });
  return rowCount ?? 0;
}

const COLUMNS = ['tenant_id', 'bucket', 'series', ...SERIES_COLUMNS, ...SUM_COLUMNS].join(', ');

async function rebuildDay(connection: Queryable, day: Date): Promise<number> {
  const range = [day, new Date(day.getTime() + HOURS_A_DAY * HOUR_MS)];
  await connection.query({ text: 'lock table usage_by_day in share row exclusive mode' });
  await connection.query({
    name: 'drop-day',
    text: 'delete from usage_by_day where bucket >= $1::timestamptz and bucket < $2::timestamptz',
    values: range,
  });
  const { rowCount } = await connection.query({
    name: 'rebuild-day',
    text: `
      insert into usage_by_day (${COLUMNS})
      select ${COLUMNS}
      from (${daysOfHours('where bucket >= $1::timestamptz and bucket < $2::timestamptz')}) day`,
    values: range,
  });
  return rowCount ?? 0;
}
