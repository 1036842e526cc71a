import type { SettledEvent } from './settle-event.js';
import type { Queryable } from '../database/sql.js';

/**
 * The worker's writes, each one statement for a whole set: the rows travel as one JSON text. Whoever calls them holds a
 * transaction. Locks are taken in one order, here and wherever leases are granted or closed (events, leases, windows of
 * budgets, accounts, each by id), so that two transactions wait for one another instead of deadlocking.
 */

/** @returns ids of the events that are new; what the ledger held already is left as it is. */
export async function insertEvents(database: Queryable, settled: readonly SettledEvent[]): Promise<Set<string>> {
  const { rows } = await database.query<{ id: string }>({
    name: 'insert-usage-events',
    text: INSERT_EVENTS,
    values: [JSON.stringify(settled.map(eventRow))],
  });
  return new Set(rows.map(({ id }) => id));
}

const INSERT_EVENTS = `
  insert into usage_event (
    id, tenant_id, api_key_id, member_id, spool_id, seq, kind, operation, model, streamed, admitted_at, ended_at,
    first_byte_ms, outcome, status, usage, counted_by, provider_id, price_card_version_id, amount, currency, cost_amount,
    cost_currency, attempts, config_epoch, config_seq, lease_ids, client_sealed, service_tier, free_tokens
  )
  select
    id, tenant_id, api_key_id, member_id, spool_id, seq, kind, operation, model, streamed,
    to_timestamp(admitted_ms / 1000.0), to_timestamp(ended_ms / 1000.0),
    first_byte_ms, outcome, status, usage, counted_by, provider_id, price_card_version_id, amount, currency, cost_amount,
    cost_currency, attempts, config_epoch, config_seq, lease_ids, client_sealed, service_tier, free_tokens
  from json_to_recordset($1::json) as record (
    id uuid, tenant_id uuid, api_key_id uuid, member_id uuid, spool_id uuid, seq bigint, kind text, operation text,
    model text, streamed boolean, admitted_ms bigint, ended_ms bigint, first_byte_ms integer, outcome text, status integer,
    usage jsonb, counted_by text, provider_id uuid, price_card_version_id uuid, amount numeric, currency text,
    cost_amount numeric, cost_currency text, attempts jsonb, config_epoch bigint, config_seq bigint, lease_ids uuid[],
    client_sealed jsonb, service_tier text, free_tokens bigint
  )
  order by id
  on conflict (id) do nothing
  returning id`;

function eventRow({ event, billed, amount, currency, freeTokens, costs }: SettledEvent): Record<string, unknown> {
  const costCurrency = costs[0]?.currency ?? null;
  // Attempts may be charged in several currencies; the ledger has them all, the row sums those of the first.
  const costAmount = costs.reduce((sum, cost) => (cost.currency === costCurrency ? sum + cost.amount : sum), 0n);
  return {
    id: event.eventId,
    tenant_id: event.tenantId,
    api_key_id: event.apiKeyId,
    member_id: event.memberId,
    spool_id: event.spoolId,
    seq: event.seq,
    kind: event.kind,
    operation: event.operation,
    model: event.model,
    streamed: event.streamed,
    admitted_ms: event.admittedAt,
    ended_ms: event.endedAt,
    first_byte_ms: event.firstByteMs,
    outcome: event.outcome,
    status: event.status,
    usage: billed?.usage ?? {},
    counted_by: billed?.countedBy ?? 'none',
    provider_id: billed?.providerId ?? null,
    price_card_version_id: event.priceCardVersionId,
    amount: amount.toString(),
    currency,
    cost_amount: costCurrency === null ? null : costAmount.toString(),
    cost_currency: costCurrency,
    attempts: event.attempts,
    config_epoch: event.config.epoch,
    config_seq: event.config.seq,
    lease_ids: event.leaseIds,
    client_sealed: event.client,
    service_tier: billed?.serviceTier ?? 'standard',
    free_tokens: freeTokens,
  };
}
