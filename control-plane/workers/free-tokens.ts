import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import type { Queryable } from '../database/sql.js';
import type { SettledEvent } from './settle-event.js';

/** A tenant's free tokens of one model in one month. */
interface Allowance {
  readonly tenantId: string;
  readonly model: string;
  /** Its first day, `2026-11-01`. Months are UTC's, and that of a call's admission counts. */
  readonly month: string;
}

/** What is left for the calls of one batch, while it is being priced. */
export interface FreeTokens {
  /**
   * How many free tokens a call may take. One that was priced before may take just what it took then, so that a second
   * delivery comes to the same price and takes nothing.
   */
  left(event: UsageEvent, card: RateCardVersion): number;
  took(event: UsageEvent, count: number): void;
}

/**
 * Locks the allowances that the events draw on until the transaction ends: of two workers with calls of one tenant and model
 * the second sees what the first has given away. In one order, so that they wait for one another instead of deadlocking.
 * @param events of tenants that exist, whose cards give tokens away
 */
export async function lockFreeTokens(database: Queryable, events: readonly UsageEvent[]): Promise<FreeTokens> {
  const used = new Map<string, number>();
  const taken = new Map<string, number>();
  if (events.length > 0) {
    const { rows } = await database.query<AllowanceRow>({
      name: 'lock-free-tokens',
      text: LOCK_ALLOWANCES,
      values: [JSON.stringify(distinct(events.map(allowanceOf)))],
    });
    for (const row of rows) used.set(`${row.tenant_id} ${row.month} ${row.model}`, Number(row.used));
    // Asked after the lock: who priced one of these calls before us has committed by now.
    const known = await database.query<{ id: string; free_tokens: string }>({
      name: 'free-tokens-of-events',
      text: 'select id, free_tokens from usage_event where id = any($1::uuid[])',
      values: [events.map(({ eventId }) => eventId)],
    });
    for (const row of known.rows) taken.set(row.id, Number(row.free_tokens));
  }
  return {
    left(event, { freeTokensPerMonth }) {
      if (freeTokensPerMonth === 0) return 0;
      return taken.get(event.eventId) ?? Math.max(0, freeTokensPerMonth - (used.get(keyOf(allowanceOf(event))) ?? 0));
    },
    took(event, count) {
      if (count === 0) return;
      if (taken.has(event.eventId)) return;
      taken.set(event.eventId, count);
      const key = keyOf(allowanceOf(event));
      used.set(key, (used.get(key) ?? 0) + count);
    },
  };
}

interface AllowanceRow {
  readonly tenant_id: string;
  readonly model: string;
  readonly month: string;
  readonly used: string;
}

/** The update changes nothing and locks the row, whether it was there or not. */
const LOCK_ALLOWANCES = `
  insert into free_token_use (tenant_id, model, month)
  select "tenantId", model, month
  from json_to_recordset($1::json) as record ("tenantId" uuid, model text, month date)
  order by "tenantId", model, month
  on conflict (tenant_id, model, month) do update set used = free_token_use.used
  returning tenant_id, model, to_char(month, 'YYYY-MM-DD') as month, used`;

/** Books what new events have taken; the caller holds the locks. */
export async function bookFreeTokens(database: Queryable, settled: readonly SettledEvent[]): Promise<void> {
  const takers = settled.filter(({ freeTokens }) => freeTokens > 0);
  if (takers.length === 0) return;
  const sums = new Map<string, Allowance & { count: number }>();
  for (const { event, freeTokens } of takers) {
    const allowance = allowanceOf(event);
    const key = keyOf(allowance);
    sums.set(key, { ...allowance, count: (sums.get(key)?.count ?? 0) + freeTokens });
  }
  await database.query({
    name: 'book-free-tokens',
    text: `
      update free_token_use set used = used + record.count
      from json_to_recordset($1::json) as record ("tenantId" uuid, model text, month date, count bigint)
      where free_token_use.tenant_id = record."tenantId" and free_token_use.model = record.model
        and free_token_use.month = record.month`,
    values: [JSON.stringify([...sums.values()])],
  });
}

function allowanceOf({ tenantId, model, admittedAt }: UsageEvent): Allowance {
  return { tenantId, model, month: `${new Date(admittedAt).toISOString().slice(0, 7)}-01` };
}

function keyOf({ tenantId, model, month }: Allowance): string {
  return `${tenantId} ${month} ${model}`;
}

function distinct(allowances: readonly Allowance[]): Allowance[] {
  return [...new Map(allowances.map((allowance) => [keyOf(allowance), allowance])).values()];
}
