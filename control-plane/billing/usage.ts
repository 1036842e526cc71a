import { parse as parseUuid, stringify as stringifyUuid } from 'uuid';
import { z } from 'zod';
import { DIMENSIONS, type Dimension } from '@pingtoken/shared/rate-card';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
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

/** Adds up the calls of the transaction's tenant. */
export async function summariseUsage({ em, scope }: Transaction, input: UsageFilter): Promise<UsageSummary | Refusal> {
  const checked = checkInput(usageFilterSchema, input);
  if (checked instanceof Refusal) return checked;
  const { apiKeyId, model, from, to } = checked;
  const rows = await em.execute<SummaryRow[]>(SUMMARY, [
    scope.tenantId,
    ...[apiKeyId, apiKeyId, model, model, from, from, to, to].map((value) => value ?? null),
  ]);
  const total = (column: string): bigint => rows.reduce((sum, row) => sum + BigInt(row[column] ?? 0), 0n);
  return {
    calls: Number(total('calls')),
    amounts: rows.map(({ currency, amount }) => ({ currency, amount: BigInt(amount) })),
    counts: DIMENSIONS.map((dimension) => ({ dimension, count: total(dimension) })).filter(({ count }) => count > 0n),
  };
}

const SUMMARY = `
  select currency, count(*)::text as calls, sum(amount)::text as amount,
    ${DIMENSIONS.map((name) => `coalesce(sum((usage->>'${name}')::numeric), 0)::text as "${name}"`).join(', ')}
  from usage_event
  where tenant_id = ?
    and (?::uuid is null or api_key_id = ?::uuid) and (?::text is null or model = ?::text)
    and (?::timestamptz is null or admitted_at >= ?::timestamptz)
    and (?::timestamptz is null or admitted_at < ?::timestamptz)
  group by currency order by currency`;
