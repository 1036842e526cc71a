import { FULL_SHARE, priceCall, priceOf, UnpricedDimensionError } from '@pingtoken/shared/price-of';
import type { RateCardVersion, ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import type { Attempt } from '@pingtoken/shared/usage-event';
import { createRateCardVersions, type RateCardVersions } from '../workers/rate-card-versions.js';
import { ROLLUP_CHECKS } from './rollup-checks.js';
import { WALLET_CHECKS, type LedgerDifference } from './wallet-checks.js';
import { inTransaction, type ConnectionPool, type Queryable } from '../database/sql.js';

export interface LedgerReport {
  readonly accounts: number;
  readonly events: number;
  readonly transfers: number;
  /** None where all is well; at most {@link MAX_DIFFERENCES}. */
  readonly differences: readonly LedgerDifference[];
}

const MAX_DIFFERENCES = 1000;

async function findOtherDifferences(connection: Queryable): Promise<LedgerDifference[]> {
  const found: LedgerDifference[] = [];
  for (const { about, text } of [...WALLET_CHECKS, ...ROLLUP_CHECKS]) {
    found.push(...(await findDifferences(connection, `${text} limit ${MAX_DIFFERENCES}`, about)));
  }
  return found;
}

const PAGE_SIZE = 1000;

/**
 * Computes the ledger again from what cannot be edited: totals of accounts from transfers, transfers from usage events and
 * rate card versions, and from both what is used up of free tokens, credits, leases and budgets, and the rollups. Reads one consistent state,
 * while calls go on, and changes nothing. Needs the `worker` login.
 */
export function verifyLedger({ pool }: { pool: ConnectionPool }): Promise<LedgerReport> {
  return inTransaction(pool, async (connection) => {
    await connection.query({ text: 'set transaction isolation level repeatable read, read only' });
    await connection.query({ text: 'set local statement_timeout = 0' });
    const { rows } = await connection.query<Record<'accounts' | 'events' | 'transfers', string>>({
      text: `select (select count(*) from account) as accounts, (select count(*) from usage_event) as events,
             (select count(*) from transfer) as transfers`,
    });
    const differences = [
      ...(await findDifferences(connection, WRONG_TOTALS, 'account')),
      ...(await findDifferences(connection, WRONG_TRANSFERS, 'transfer')),
      ...(await findDifferences(connection, WRONG_FREE_TOKENS, 'free-tokens')),
      ...(await findOtherDifferences(connection)),
      ...(await findWrongEvents(connection)),
    ].slice(0, MAX_DIFFERENCES);
    const counted = (key: 'accounts' | 'events' | 'transfers'): number => Number(rows[0]?.[key]);
    return { accounts: counted('accounts'), events: counted('events'), transfers: counted('transfers'), differences };
  });
}

async function findDifferences(
  database: Queryable,
  text: string,
  about: LedgerDifference['about'],
): Promise<LedgerDifference[]> {
  const { rows } = await database.query<Omit<LedgerDifference, 'about'>>({ text });
  return rows.map((row) => ({ about, ...row }));
}

const WRONG_TOTALS = `
  with leg as (
    select debit_account_id as account_id, amount as debit, 0 as credit from transfer
    union all select credit_account_id, 0, amount from transfer
  ), total as (select account_id, sum(debit) as debits, sum(credit) as credits from leg group by account_id)
  select account.id, format('debits %s, credits %s', coalesce(total.debits, 0), coalesce(total.credits, 0)) as expected,
    format('debits %s, credits %s', account.debits, account.credits) as found
  from account left join total on total.account_id = account.id
  where account.debits <> coalesce(total.debits, 0) or account.credits <> coalesce(total.credits, 0)
  limit ${MAX_DIFFERENCES}`;

/** Both accounts are the transfer's tenant's, in one currency, of the kinds that its own kind moves money between. */
const WRONG_TRANSFERS = `
  select transfer.id, 'accounts of its tenant and kind, and an event where it names one' as expected,
    format('%s from %s %s to %s %s', transfer.kind, debit.kind, debit.currency, credit.kind, credit.currency) as found
  from transfer
    join account debit on debit.id = transfer.debit_account_id
    join account credit on credit.id = transfer.credit_account_id
    left join usage_event event on event.id = transfer.event_id
  where debit.tenant_id <> transfer.tenant_id or credit.tenant_id <> transfer.tenant_id
    or debit.currency <> credit.currency
    or (transfer.kind, debit.kind, credit.kind) not in (
      ('top_up', 'funding', 'wallet'), ('credit_grant', 'adjustment', 'wallet'), ('redemption', 'adjustment', 'wallet'),
      ('refund', 'wallet', 'funding'), ('expiry', 'wallet', 'adjustment'), ('correction', 'revenue', 'wallet'),
      ('lease', 'wallet', 'leased'), ('lease_return', 'leased', 'wallet'),
      ('usage', 'wallet', 'revenue'), ('usage', 'leased', 'revenue'), ('excess', 'operator_loss', 'revenue'),
      ('provider_cost', 'provider_cost', 'provider_payable')
    )
    or (transfer.kind in ('usage', 'excess', 'provider_cost')) <> (transfer.event_id is not null)
    or (transfer.kind = 'usage' and (debit.kind = 'leased') <> (transfer.lease_id is not null))
    or (transfer.event_id is not null and event.id is null)
  limit ${MAX_DIFFERENCES}`;

const WRONG_FREE_TOKENS = `
  with taken as (
    select tenant_id, model, date_trunc('month', admitted_at, 'UTC') as month, sum(free_tokens) as tokens
    from usage_event where free_tokens > 0 group by 1, 2, 3
  ), used as (
    select tenant_id, model, month::timestamp at time zone 'UTC' as month, used from free_token_use where used > 0
  )
  select coalesce(taken.tenant_id, used.tenant_id) as id, format('%s free tokens', coalesce(taken.tokens, 0)) as expected,
    format('%s free tokens', coalesce(used.used, 0)) as found
  from taken full join used using (tenant_id, model, month)
  where coalesce(taken.tokens, 0) <> coalesce(used.used, 0)
  limit ${MAX_DIFFERENCES}`;

interface EventRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly usage: Usage;
  readonly price_card_version_id: string;
  readonly amount: string;
  readonly currency: string;
  readonly attempts: readonly Attempt[];
  readonly admitted_at: Date;
  readonly service_tier: ServiceTier;
  readonly free_tokens: string;
  readonly cache_share: number | null;
  /** Kind, version, tenant, currency, amount of each transfer of the event. */
  readonly booked: readonly string[] | null;
}

async function findWrongEvents(database: Queryable): Promise<LedgerDifference[]> {
  const versions = createRateCardVersions();
  const differences: LedgerDifference[] = [];
  let after: string | null = null;
  while (differences.length < MAX_DIFFERENCES) {
    const rows: EventRow[] = await readPage(database, after);
    await versions.load(database, rows.flatMap(versionIdsOf));
    for (const row of rows) {
      const expected = describe(priceAgain(row, versions));
      const found = describe([`event ${row.currency} ${row.amount} free ${row.free_tokens}`, ...(row.booked ?? [])]);
      if (expected !== found) differences.push({ about: 'event', id: row.id, expected, found });
    }
    if (rows.length < PAGE_SIZE) break;
    after = rows.at(-1)?.id ?? null;
  }
  return differences;
}

async function readPage(database: Queryable, after: string | null): Promise<EventRow[]> {
  const { rows } = await database.query<EventRow>({
    name: 'verify-events',
    text: `
      select event.id, event.tenant_id, event.usage, event.price_card_version_id, event.amount, event.currency, event.attempts,
        event.admitted_at, event.service_tier, event.free_tokens, event.cache_share,
        (select array_agg(concat_ws(' ', kind, rate_card_version_id, tenant_id, currency, amount))
         from (
           select sale.kind, booking.rate_card_version_id, booking.tenant_id, account.currency, sum(booking.amount) as amount
           from (select * from transfer where event_id = event.id and kind = 'usage'
                 union all select * from transfer where event_id = event.id and kind = 'excess'
                 union all select * from transfer where event_id = event.id and kind = 'provider_cost') booking
             join account on account.id = booking.debit_account_id
             -- What the tenant pays and what the operator loses are the price together.
             cross join lateral (select case booking.kind when 'excess' then 'usage' else booking.kind end as kind) sale
           group by 1, 2, 3, 4
         ) summed) as booked
      from usage_event event
      where $1::uuid is null or event.id > $1::uuid
      order by event.id limit ${PAGE_SIZE}`,
    values: [after],
  });
  return rows;
}

function versionIdsOf({ price_card_version_id: priceId, attempts }: EventRow): string[] {
  return [priceId, ...attempts.flatMap(({ costCardVersionId }) => costCardVersionId ?? [])];
}

/** What the event must say and what must be booked for it, worked out from its counts. */
function priceAgain(row: EventRow, versions: RateCardVersions): string[] {
  try {
    const card = findVersion(versions, row.price_card_version_id);
    const at = row.admitted_at.getTime();
    const price = priceCall(row.usage, card, {
      ...{ at, serviceTier: row.service_tier, share: row.cache_share ?? FULL_SHARE },
      // As many as it took then; how many were left is not kept, nor needed to come to the same price.
      freeTokens: Number(row.free_tokens),
    });
    const costs = new Map<RateCardVersion, bigint>();
    for (const { costCardVersionId, usage, serviceTier } of row.attempts) {
      if (costCardVersionId === null) continue;
      const cost = findVersion(versions, costCardVersionId);
      costs.set(cost, (costs.get(cost) ?? 0n) + priceOf(usage, cost, { at, serviceTier }));
    }
    const booking = (kind: string, { id, currency }: RateCardVersion, amount: bigint): string[] =>
      amount > 0n ? [`${kind} ${id} ${row.tenant_id} ${currency} ${amount}`] : [];
    return [
      `event ${card.currency} ${price.amount} free ${price.freeTokens}`,
      ...booking('usage', card, price.amount),
      ...[...costs].flatMap(([cost, amount]) => booking('provider_cost', cost, amount)),
    ];
  } catch (error) {
    if (error instanceof UnpricedDimensionError || error instanceof MissingVersionError) return [error.message];
    throw error;
  }
}

class MissingVersionError extends Error {}

function findVersion(versions: RateCardVersions, id: string): RateCardVersion {
  const version = versions.find(id);
  if (version === undefined) throw new MissingVersionError(`the rate card version ${id} is missing`);
  return version;
}

function describe(bookings: readonly string[]): string {
  return bookings.toSorted().join('; ');
}
