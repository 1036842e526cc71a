import { DIMENSIONS, type Dimension } from '@pingtoken/shared/rate-card';
import { asQueryable } from '../database/orm-queryable.js';
import { Refusal } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { COUNT_COLUMNS, SUM_COLUMNS } from './rollup-columns.js';
import { rollupSource, StatementValues, type SpendOf } from './rollup-source.js';
import {
  checkSpend,
  type CheckedSpend,
  type SpendDimension,
  type SpendInput,
  type SpendPlace,
} from './spend-inputs.js';

/** What calls of one interval, of one key, model or the like, and of one currency add up to. */
export interface Spend extends SpendPlace {
  /** Calls whose price is in this currency. */
  readonly calls: number;
  readonly failures: number;
  /** Units, what tenants were charged. */
  readonly amount: bigint;
  /** Units, what could not be charged to tenants: the operator's loss. */
  readonly excess: bigint;
  /** Units, what providers charge the operator. */
  readonly cost: bigint;
  readonly freeTokens: bigint;
  /** Of the billed attempts, dimensions that occurred only. */
  readonly counts: readonly { readonly dimension: Dimension; readonly count: bigint }[];
}

export interface SpendPage {
  readonly rows: readonly Spend[];
  readonly hasNextPage: boolean;
}

/** Adds rollups up, newest interval first; pages by the place of the last row, so that what comes in meanwhile shifts nothing. */
export async function listSpend(
  transaction: Transaction,
  of: SpendOf,
  input: SpendInput,
): Promise<SpendPage | Refusal> {
  const checked = checkSpend(input, Date.now());
  if (checked instanceof Refusal) return checked;
  const { text, values } = spendStatement(of, checked, transaction.scope.operator);
  const { rows } = await asQueryable(transaction).query<Record<string, string>>({ text, values });
  return { rows: rows.slice(0, checked.first).map(toSpend), hasNextPage: rows.length > checked.first };
}

function toSpend(row: Record<string, string>): Spend {
  const units = (name: string): bigint => BigInt(row[name] ?? 0);
  return {
    start: Number(row['start_ms']),
    key: row['key'] ?? '',
    currency: row['currency'] ?? '',
    calls: Number(row['calls']),
    failures: Number(row['failures']),
    amount: units('amount') - units('excess'),
    excess: units('excess'),
    cost: units('cost'),
    freeTokens: units('free_tokens'),
    counts: DIMENSIONS.map((dimension) => ({ dimension, count: units(COUNT_COLUMNS[dimension]) })).filter(
      ({ count }) => count > 0n,
    ),
  };
}

const KEYS: Readonly<Record<SpendDimension, string>> = {
  tenant: 'tenant_id::text',
  'api-key': 'api_key_id::text',
  member: 'member_id::text',
  model: 'model',
  provider: `coalesce(provider_id::text, '')`,
  region: 'region',
  tag: `coalesce(tag, '')`,
};

/** Pure. @param showsCosts whether rows are wanted of currencies in which nothing was sold */
function spendStatement(
  of: SpendOf,
  spend: CheckedSpend,
  showsCosts: boolean,
): { text: string; values: (string | number)[] } {
  const values = new StatementValues();
  const { by, interval, timeZone, from, after, first } = spend;
  const start = interval == null ? values.instant(from) : truncate(interval, timeZone, values);
  const key = by == null ? `''` : KEYS[by];
  const tags = by === 'tag' ? `left join lateral unnest(tags) as tag on true` : '';
  const unsold = showsCosts ? '' : 'having sum(calls) > 0';
  const text = `
    select (extract(epoch from start) * 1000)::bigint::text as start_ms, key, currency,
      ${SUM_COLUMNS.map((name) => `${name}::text`).join(', ')}
    from (
      select ${start} as start, ${key} as key, currency, ${SUM_COLUMNS.map((name) => `sum(${name}) as ${name}`).join(', ')}
      from (${rollupSource(of, { ...spend, usesDays: interval == null || (interval !== 'hour' && timeZone === 'UTC') }, values)}) source ${tags}
      group by 1, 2, 3 ${unsold}
    ) spend
    ${after === null ? '' : `where ${isAfter(after, values)}`}
    order by start desc, key, currency limit ${values.add(first + 1)}::integer`;
  return { text, values: values.all };
}

/** By the clock on the wall: a day on which clocks change has 23 or 25 hours. */
function truncate(interval: string, timeZone: string, values: StatementValues): string {
  return interval === 'hour' ? 'bucket' : `date_trunc('${interval}', bucket, ${values.add(timeZone)}::text)`;
}

function isAfter({ start, key, currency }: SpendPlace, values: StatementValues): string {
  const [at, again] = [values.instant(start), values.instant(start)];
  const place = `${values.add(key)}::text, ${values.add(currency)}::text`;
  return `(start < ${at} or (start = ${again} and (key, currency) > (${place})))`;
}
