import { column, columnSet } from '../database/column-set.js';
import type { Queryable } from '../database/sql.js';
import { joinTags, type SettledEvent } from './settle-event.js';

/**
 * The worker's writes, each one statement for a whole set. Whoever calls them holds a transaction. Locks are taken in one
 * order, here and wherever leases are granted or closed (events, leases, windows of budgets, accounts, rollups, each by id),
 * so that two transactions wait for one another instead of deadlocking.
 */

/** @returns ids of the events that are new; what the ledger held already is left as it is. */
export async function insertEvents(database: Queryable, settled: readonly SettledEvent[]): Promise<Set<string>> {
  const { rows } = await database.query<{ id: string }>({
    name: 'insert-usage-events',
    text: INSERT_EVENTS,
    values: EVENTS.values(settled),
  });
  return new Set(rows.map(({ id }) => id));
}

const EVENTS = columnSet<SettledEvent>([
  column.uuid('id', ({ event }) => event.eventId),
  column.uuid('tenant_id', ({ event }) => event.tenantId),
  column.uuid('api_key_id', ({ event }) => event.apiKeyId),
  column.uuid('member_id', ({ event }) => event.memberId),
  column.uuid('spool_id', ({ event }) => event.spoolId),
  column.bigint('seq', ({ event }) => event.seq),
  column.text('kind', ({ event }) => event.kind),
  column.text('operation', ({ event }) => event.operation),
  column.text('model', ({ event }) => event.model),
  column.boolean('streamed', ({ event }) => event.streamed),
  column.instant('admitted_at', ({ event }) => event.admittedAt),
  column.instant('ended_at', ({ event }) => event.endedAt),
  column.integer('first_byte_ms', ({ event }) => event.firstByteMs),
  column.text('outcome', ({ event }) => event.outcome),
  column.integer('status', ({ event }) => event.status),
  column.json('usage', ({ billed }) => billed?.usage ?? {}),
  column.text('counted_by', ({ billed }) => billed?.countedBy ?? 'none'),
  column.uuid('provider_id', ({ billed }) => billed?.providerId ?? null),
  column.uuid('price_card_version_id', ({ event }) => event.priceCardVersionId),
  column.numeric('amount', ({ amount }) => amount),
  column.text('currency', ({ currency }) => currency),
  column.numeric('cost_amount', ({ costs }) => sumOfFirstCurrency(costs)),
  column.text('cost_currency', ({ costs }) => costs[0]?.currency ?? null),
  column.json('attempts', ({ event }) => event.attempts),
  column.bigint('config_epoch', ({ event }) => event.config.epoch),
  column.bigint('config_seq', ({ event }) => event.config.seq),
  column.text('lease_ids', ({ event }) => event.leaseIds.join(',')),
  column.json('client_sealed', ({ event }) => event.client),
  column.text('service_tier', ({ billed }) => billed?.serviceTier ?? 'standard'),
  column.bigint('free_tokens', ({ freeTokens }) => freeTokens),
  column.integer('cache_share', ({ event }) => event.repeated?.priceShare ?? null),
  column.text('region', ({ region }) => region),
  column.text('tags', ({ event }) => joinTags(event)),
]);

const INSERT_EVENTS = `
  insert into usage_event (${EVENTS.names})
  select ${EVENTS.names
    .replace('lease_ids', `string_to_array(lease_ids, ',')::uuid[]`)
    .replace('tags', `string_to_array(tags, ',')`)}
  from ${EVENTS.record}
  order by id
  on conflict (id) do nothing
  returning id`;

/** Attempts may be charged in several currencies; the ledger has them all, the row sums those of the first. */
function sumOfFirstCurrency(costs: SettledEvent['costs']): bigint | null {
  const [first] = costs;
  if (first === undefined) return null;
  return costs.reduce((sum, cost) => (cost.currency === first.currency ? sum + cost.amount : sum), 0n);
}
