import { DIMENSIONS, type Usage } from '@pingtoken/shared/rate-card';
import { COUNT_COLUMNS, SERIES_COLUMNS, SUM_COLUMNS } from '../billing/rollup-columns.js';
import { column, columnSet } from '../database/column-set.js';
import type { Queryable } from '../database/sql.js';
import type { Charge } from './charge-events.js';
import { isFailure, joinTags, type SettledEvent } from './settle-event.js';

/** What calls of one hour that agree in everything that is told apart add up to. */
interface HourOfUsage {
  readonly of: SettledEvent;
  readonly currency: string;
  /** Milliseconds since 1970. */
  readonly hour: number;
  readonly tags: string;
  calls: number;
  failures: number;
  amount: bigint;
  excess: bigint;
  cost: bigint;
  freeTokens: number;
  /** By the index of the dimension; safe integers, as MAX_COUNT keeps them. */
  readonly counts: number[];
}

const HOUR_MS = 3_600_000;

/**
 * Adds new events to their hours and days, in the transaction that stores them. The last locks that a batch takes, and in one
 * order: two batches with calls of one key wait for one another instead of deadlocking.
 */
export async function bookRollups(
  database: Queryable,
  settled: readonly SettledEvent[],
  losses: readonly Charge[],
): Promise<void> {
  if (settled.length === 0) return;
  const excess = new Map(losses.map((charge) => [charge.settled.event.eventId, charge.excess]));
  const hours = addUp(settled, excess);
  await database.query({ name: 'book-rollups', text: BOOK_ROLLUPS, values: HOURS.values(hours) });
}

/** @param excess of what a call cost, the operator's loss, by event id */
function addUp(settled: readonly SettledEvent[], excess: ReadonlyMap<string, bigint>): HourOfUsage[] {
  const hours = new Map<string, HourOfUsage>();
  for (const entry of settled) {
    const { event, billed, amount, currency, freeTokens, costs } = entry;
    const hour = openHour(hours, entry, currency);
    hour.calls += 1;
    if (isFailure(event.outcome)) hour.failures += 1;
    hour.amount += amount;
    hour.excess += excess.get(event.eventId) ?? 0n;
    hour.freeTokens += freeTokens;
    if (billed !== null) addCounts(hour.counts, billed.usage);
    for (const cost of costs) {
      if (cost.amount > 0n) openHour(hours, entry, cost.currency).cost += cost.amount;
    }
  }
  return [...hours.values()];
}

function addCounts(counts: number[], usage: Usage): void {
  for (let index = 0; index < DIMENSIONS.length; index += 1) {
    const dimension = DIMENSIONS[index];
    const count = dimension === undefined ? undefined : usage[dimension];
    if (count !== undefined) counts[index] = (counts[index] ?? 0) + count;
  }
}

function openHour(hours: Map<string, HourOfUsage>, of: SettledEvent, currency: string): HourOfUsage {
  const { event, billed, region } = of;
  const hour = Math.floor(event.admittedAt / HOUR_MS) * HOUR_MS;
  const tags = joinTags(event);
  const key = [hour, event.apiKeyId, billed?.providerId, currency, tags, region, event.model].join(' ');
  const known = hours.get(key);
  if (known !== undefined) return known;
  const counts = DIMENSIONS.map(() => 0);
  const sums = { calls: 0, failures: 0, amount: 0n, excess: 0n, cost: 0n, freeTokens: 0, counts };
  const opened = { of, currency, hour, tags, ...sums };
  hours.set(key, opened);
  return opened;
}

const HOURS = columnSet<HourOfUsage>([
  column.uuid('tenant_id', ({ of }) => of.event.tenantId),
  column.instant('bucket', ({ hour }) => hour),
  column.uuid('api_key_id', ({ of }) => of.event.apiKeyId),
  column.uuid('member_id', ({ of }) => of.event.memberId),
  column.text('model', ({ of }) => of.event.model),
  column.uuid('provider_id', ({ of }) => of.billed?.providerId ?? null),
  column.text('region', ({ of }) => of.region),
  column.text('tags', ({ tags }) => tags),
  column.text('currency', ({ currency }) => currency),
  column.bigint('calls', ({ calls }) => calls),
  column.bigint('failures', ({ failures }) => failures),
  column.numeric('amount', ({ amount }) => amount),
  column.numeric('excess', ({ excess }) => excess),
  column.numeric('cost', ({ cost }) => cost),
  column.numeric('free_tokens', ({ freeTokens }) => freeTokens),
  ...DIMENSIONS.map((dimension, index) =>
    column.numeric<HourOfUsage>(COUNT_COLUMNS[dimension], ({ counts }) => counts[index] ?? 0),
  ),
]);

const SERIES = SERIES_COLUMNS.join(', ');
const SUMS = SUM_COLUMNS.join(', ');

const addTo = (table: string): string => `
  on conflict (tenant_id, bucket, series) do update set
    ${SUM_COLUMNS.map((name) => `${name} = ${table}.${name} + excluded.${name}`).join(', ')}`;

/** Days are added up from the hours that were sent. */
const BOOK_ROLLUPS = `
  with part as materialized (
    select tenant_id, bucket, usage_series(api_key_id, provider_id, currency, tags, region, model) as series, ${SERIES}, ${SUMS}
    from (
      select ${HOURS.names.replace(/\btags\b/, `string_to_array(tags, ',') as tags`)} from ${HOURS.record}
    ) sent
  ), hours as (
    insert into usage_by_hour (tenant_id, bucket, series, ${SERIES}, ${SUMS})
    select tenant_id, bucket, series, ${SERIES}, ${SUMS} from part order by tenant_id, bucket, series
    ${addTo('usage_by_hour')}
  )
  insert into usage_by_day (tenant_id, bucket, series, ${SERIES}, ${SUMS})
  select tenant_id, day, series, ${SERIES}, ${SUM_COLUMNS.map((name) => `sum(${name})`).join(', ')}
  from (select *, date_trunc('day', bucket, 'UTC') as day from part) part
  group by tenant_id, day, series, ${SERIES} order by tenant_id, day, series
  ${addTo('usage_by_day')}`;
