import { v7 as uuidv7 } from 'uuid';
import type { SettledEvent } from './settle-event.js';
import type { Queryable } from '../database/sql.js';

/**
 * The worker's writes, each one statement for a whole set: the rows travel as one JSON text. Whoever calls them holds a
 * transaction. Locks are taken in one order (events by id, accounts by tenant, kind, currency), so that two workers wait for
 * one another instead of deadlocking.
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

/** One booking that follows from an event; accounts by kind, in the event's tenant. */
interface Posting {
  readonly tenantId: string;
  readonly kind: 'usage' | 'provider_cost';
  readonly debit: 'wallet' | 'provider_cost';
  readonly credit: 'revenue' | 'provider_payable';
  readonly eventId: string;
  readonly rateCardVersionId: string;
  readonly amount: bigint;
  readonly currency: string;
}

/** Nothing is booked where nothing is owed: a transfer's amount is above zero. */
function postingsOf({ event, amount, currency, costs }: SettledEvent): Posting[] {
  const { tenantId, eventId, priceCardVersionId } = event;
  const sale = { tenantId, eventId, kind: 'usage', debit: 'wallet', credit: 'revenue' } as const;
  const purchase = {
    tenantId,
    eventId,
    kind: 'provider_cost',
    debit: 'provider_cost',
    credit: 'provider_payable',
  } as const;
  return [
    { ...sale, rateCardVersionId: priceCardVersionId, amount, currency },
    ...costs.map((cost) => ({ ...purchase, ...cost })),
  ].filter((posting) => posting.amount > 0n);
}

/** Books what new events cost their tenants and the operator, all in one statement. */
export async function insertTransfers(database: Queryable, settled: readonly SettledEvent[]): Promise<void> {
  const postings = settled.flatMap(postingsOf);
  if (postings.length === 0) return;
  const accountOf = await findAccounts(database, postings);
  const rows = postings.map((posting) => ({
    id: uuidv7(),
    tenant_id: posting.tenantId,
    debit_account_id: accountOf(posting.tenantId, posting.debit, posting.currency),
    credit_account_id: accountOf(posting.tenantId, posting.credit, posting.currency),
    amount: posting.amount.toString(),
    kind: posting.kind,
    event_id: posting.eventId,
    rate_card_version_id: posting.rateCardVersionId,
  }));
  await database.query({ name: 'insert-transfers', text: INSERT_TRANSFERS, values: [JSON.stringify(rows)] });
}

const INSERT_TRANSFERS = `
  insert into transfer (
    id, tenant_id, debit_account_id, credit_account_id, amount, kind, event_id, rate_card_version_id
  )
  select id, tenant_id, debit_account_id, credit_account_id, amount, kind, event_id, rate_card_version_id
  from json_to_recordset($1::json) as record (
    id uuid, tenant_id uuid, debit_account_id uuid, credit_account_id uuid, amount numeric, kind text, event_id uuid,
    rate_card_version_id uuid
  )`;

interface AccountRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly kind: string;
  readonly currency: string;
}

/** Accounts are read in one go; those that a tenant does not have yet are opened. */
async function findAccounts(
  database: Queryable,
  postings: readonly Posting[],
): Promise<(tenantId: string, kind: string, currency: string) => string> {
  const { rows } = await database.query<AccountRow>({
    name: 'find-accounts',
    text: 'select id, tenant_id, kind, currency from account where tenant_id = any($1::uuid[])',
    values: [[...new Set(postings.map(({ tenantId }) => tenantId))]],
  });
  const ids = new Map(rows.map(({ id, tenant_id, kind, currency }) => [accountKey(tenant_id, kind, currency), id]));
  const wanted = new Set(
    postings.flatMap(({ tenantId, debit, credit, currency }) => [
      accountKey(tenantId, debit, currency),
      accountKey(tenantId, credit, currency),
    ]),
  );
  for (const key of [...wanted].filter((candidate) => !ids.has(candidate)).sort()) {
    const opened = await database.query<{ id: string }>({
      name: 'open-account',
      text: 'select ledger_account($1::uuid, $2, $3) as id',
      values: key.split('|'),
    });
    const id = opened.rows[0]?.id;
    if (id !== undefined) ids.set(key, id);
  }
  return (tenantId, kind, currency) => {
    const id = ids.get(accountKey(tenantId, kind, currency));
    if (id === undefined) throw new Error('an account could not be opened');
    return id;
  };
}

const accountKey = (tenantId: string, kind: string, currency: string): string => `${tenantId}|${kind}|${currency}`;
