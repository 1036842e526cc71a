import { parse as parseUuid, stringify as stringifyUuid } from 'uuid';
import { z } from 'zod';
import { DIMENSIONS, type Dimension } from '@pingtoken/shared/rate-card';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import { asQueryable } from '../database/orm-queryable.js';
import type { Transaction } from '../database/transaction.js';
import { COUNT_COLUMNS } from './rollup-columns.js';
import { rollupSource, StatementValues } from './rollup-source.js';
import { UsageEvent } from './entities.js';

const usageFilterSchema = z.object({
  apiKeyId: z.uuid('is no id').nullish(),
  model: z
    .string()
    .max(256)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters')
    .nullish(),
  /** Calls admitted at `from` or later, and before `to`. */
  from: z.date().nullish(),
  to: z.date().nullish(),
});
export type UsageFilter = z.input<typeof usageFilterSchema>;

const usagePageSchema = z.object({
  ...usageFilterSchema.shape,
  first: z.int().min(1).max(100, 'at most 100').default(50),
  after: z.string().max(100).nullish(),
});
export type UsagePageInput = z.input<typeof usagePageSchema>;

export interface UsagePage {
  /** Newest first. */
  readonly events: readonly UsageEvent[];
  readonly hasNextPage: boolean;
}

/** Where in a listing an event stands; opaque to callers, and good for ever: events are never changed or removed. */
export function usageCursor(eventId: string): string {
  return Buffer.from(parseUuid(eventId)).toString('base64url');
}

function readCursor(cursor: string): string | undefined {
  const bytes = Buffer.from(cursor, 'base64url');
  // Exactly what usageCursor makes, so that one place has one cursor.
  if (bytes.length !== 16 || bytes.toString('base64url') !== cursor) return undefined;
  try {
    return stringifyUuid(bytes);
  } catch {
    return undefined;
  }
}

/** Pages by the id of the last event and not by counting, so that calls which come in meanwhile shift nothing. */
export async function listUsage({ em }: Transaction, input: UsagePageInput): Promise<UsagePage | Refusal> {
  const checked = checkInput(usagePageSchema, input);
  if (checked instanceof Refusal) return checked;
  const { first, after, apiKeyId, model, from, to } = checked;
  const afterId = after == null ? null : readCursor(after);
  if (afterId === undefined) return refuse('invalid_request', ['after'], 'The cursor is not one of this listing.');
  const rows = await em.find(
    UsageEvent,
    {
      ...(afterId !== null && { id: { $lt: afterId } }),
      ...(apiKeyId != null && { apiKeyId }),
      ...(model != null && { model }),
      ...((from != null || to != null) && {
        admittedAt: { ...(from != null && { $gte: from }), ...(to != null && { $lt: to }) },
      }),
    },
    { orderBy: { id: 'desc' }, limit: first + 1 },
  );
  return { events: rows.slice(0, first), hasNextPage: rows.length > first };
}

export interface UsageSummary {
  /** Admitted calls, interrupted and failed ones included. */
  readonly calls: number;
  /** Units, by currency. */
  readonly amounts: readonly { readonly currency: string; readonly amount: bigint }[];
  /** Of the billed attempts, dimensions that occurred only. */
  readonly counts: readonly { readonly dimension: Dimension; readonly count: bigint }[];
}

interface SummaryRow extends Record<string, string> {
  readonly currency: string;
  readonly calls: string;
  readonly amount: string;
}

/** Adds up the calls of the transaction's tenant: by rollups where these will do, by events at the ends of the time. */
export async function summariseUsage(transaction: Transaction, input: UsageFilter): Promise<UsageSummary | Refusal> {
  const checked = checkInput(usageFilterSchema, input);
  if (checked instanceof Refusal) return checked;
  const { text, values } = summaryStatement(transaction.scope.tenantId, checked);
  const { rows } = await asQueryable(transaction).query<SummaryRow>({ text, values });
  const total = (column: string): bigint => rows.reduce((sum, row) => sum + BigInt(row[column] ?? 0), 0n);
  return {
    calls: Number(total('calls')),
    amounts: rows.map(({ currency, amount }) => ({ currency, amount: BigInt(amount) })),
    counts: DIMENSIONS.map((dimension) => ({ dimension, count: total(COUNT_COLUMNS[dimension]) })).filter(
      ({ count }) => count > 0n,
    ),
  };
}

const HOUR_MS = 3_600_000;
/** The end of the year 9999, to the hour. */
const END_OF_TIME = Math.floor(253_402_300_799_999 / HOUR_MS) * HOUR_MS;
const SUMMED = ['calls', 'amount', ...DIMENSIONS.map((dimension) => COUNT_COLUMNS[dimension])];

function summaryStatement(
  tenantId: string,
  filter: z.output<typeof usageFilterSchema>,
): { readonly text: string; readonly values: (string | number)[] } {
  const values = new StatementValues();
  const from = filter.from?.getTime() ?? 0;
  const to = filter.to?.getTime() ?? END_OF_TIME;
  const [firstHour, lastHour] = [Math.ceil(from / HOUR_MS) * HOUR_MS, Math.floor(to / HOUR_MS) * HOUR_MS];
  const ends = firstHour <= lastHour ? [[from, firstHour] as const, [lastHour, to] as const] : [[from, to] as const];
  const parts = ends.filter(([begin, end]) => begin < end).map(([begin, end]) => eventsBetween(begin, end));
  if (firstHour < lastHour) {
    const range = { ...filter, from: firstHour, to: lastHour, usesDays: true };
    parts.push(`select currency, ${SUMMED.join(', ')} from (${rollupSource({ tenantId }, range, values)}) source`);
  }
  const source = parts.length === 0 ? NOTHING : parts.join(' union all ');
  const sums = SUMMED.map((name) => `sum(${name})::text as ${name}`).join(', ');
  const text = `select currency, ${sums} from (${source}) part group by currency having sum(calls) > 0 order by currency`;
  return { text, values: values.all };

  function eventsBetween(begin: number, end: number): string {
    const tests = [`tenant_id = ${values.add(tenantId)}::uuid`];
    tests.push(`admitted_at >= ${values.instant(begin)}`, `admitted_at < ${values.instant(end)}`);
    if (filter.apiKeyId != null) tests.push(`api_key_id = ${values.add(filter.apiKeyId)}::uuid`);
    if (filter.model != null) tests.push(`model = ${values.add(filter.model)}::text`);
    const counts = DIMENSIONS.map(
      (dimension) => `coalesce((usage->>'${dimension}')::numeric, 0) as ${COUNT_COLUMNS[dimension]}`,
    ).join(', ');
    return `select currency, 1 as calls, amount, ${counts} from usage_event where ${tests.join(' and ')}`;
  }
}

/** Of a time that is over before it begins. */
const NOTHING = `select '' as currency, ${SUMMED.map((name) => `0 as ${name}`).join(', ')} where false`;
