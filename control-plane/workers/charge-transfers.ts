import type { AccountKind, TransferKind } from '../billing/entities.js';
import { column, columnSet } from '../database/column-set.js';
import { makeIds } from '../database/make-ids.js';
import type { Queryable } from '../database/sql.js';
import type { Charge, HeldLease, HeldWallet } from './charge-events.js';
import type { Month } from './ledger-periods.js';
import type { SettledEvent } from './settle-event.js';

export interface LockedAccounts {
  idOf(tenantId: string, kind: AccountKind, currency: string): string;
  readonly findWallet: (tenantId: string, currency: string) => HeldWallet | undefined;
}

/** Tenants of whom something is booked in a currency, and the accounts that it may be booked on. */
const SALE_KINDS = ['wallet', 'leased', 'revenue'] as const satisfies readonly AccountKind[];
const COST_KINDS = ['provider_cost', 'provider_payable'] as const satisfies readonly AccountKind[];

/**
 * Locks every account that the charges of a batch may touch, in the order that posting locks them in, and opens those that a
 * tenant does not have yet. A loss is found out only afterwards; its account is opened then, and nobody holds it while waiting
 * for a wallet.
 */
export async function lockAccounts(
  database: Queryable,
  settled: readonly SettledEvent[],
  leases: ReadonlyMap<string, HeldLease>,
): Promise<LockedAccounts> {
  const wanted = new Set<string>();
  const isLeased = leases.size > 0;
  for (const { event, amount, currency, costs } of settled) {
    for (const kind of amount > 0n ? SALE_KINDS : []) {
      if (kind !== 'leased' || isLeased) wanted.add(accountKey(event.tenantId, kind, currency));
    }
    for (const cost of costs.filter((each) => each.amount > 0n)) {
      for (const kind of COST_KINDS) wanted.add(accountKey(event.tenantId, kind, cost.currency));
    }
  }
  const ids = await openAccounts(database, [...wanted]);
  const { rows } = await database.query<{ id: string; held: string; is_prepaid: boolean }>({
    name: 'lock-accounts',
    text: `
      select account.id, account.credits - account.debits as held, tenant.billing_mode = 'prepaid' as is_prepaid
      from lock_accounts($1::uuid[]) account join tenant on tenant.id = account.tenant_id`,
    values: [[...ids.values()]],
  });
  const held = new Map(rows.map((row) => [row.id, { balance: BigInt(row.held), isPrepaid: row.is_prepaid }]));
  return {
    idOf: (tenantId, kind, currency) => {
      const id = ids.get(accountKey(tenantId, kind, currency));
      if (id === undefined) throw new Error(`an account of kind ${kind} is missing`);
      return id;
    },
    findWallet: (tenantId, currency) => held.get(ids.get(accountKey(tenantId, 'wallet', currency)) ?? ''),
  };
}

interface AccountRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly kind: string;
  readonly currency: string;
}

/** @returns ids by key: those that are there are read in one go, the others opened in one order */
async function openAccounts(database: Queryable, keys: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await database.query<AccountRow>({
    name: 'find-accounts',
    text: 'select id, tenant_id, kind, currency from account where tenant_id = any($1::uuid[])',
    values: [[...new Set(keys.map((key) => key.split('|')[0]))]],
  });
  const known = new Map(rows.map(({ id, tenant_id, kind, currency }) => [accountKey(tenant_id, kind, currency), id]));
  const ids = new Map<string, string>();
  for (const key of keys.toSorted()) {
    const id = known.get(key) ?? (await openAccount(database, key));
    ids.set(key, id);
  }
  return ids;
}

async function openAccount(database: Queryable, key: string): Promise<string> {
  const { rows } = await database.query<{ id: string }>({
    name: 'open-account',
    text: 'select ledger_account($1::uuid, $2, $3) as id',
    values: key.split('|'),
  });
  const id = rows[0]?.id;
  if (id === undefined) throw new Error('an account could not be opened');
  return id;
}

const accountKey = (tenantId: string, kind: string, currency: string): string => `${tenantId}|${kind}|${currency}`;

/** One booking that follows from an event; accounts by kind, in the event's tenant. */
interface Posting {
  readonly tenantId: string;
  readonly kind: Extract<TransferKind, 'usage' | 'excess' | 'provider_cost'>;
  readonly debit: AccountKind;
  readonly credit: AccountKind;
  readonly eventId: string;
  readonly rateCardVersionId: string;
  readonly leaseId: string | null;
  readonly amount: bigint;
  readonly currency: string;
  readonly period: Month;
}

/** Nothing is booked where nothing is owed: a transfer's amount is above zero. */
function postingsOf({ settled, fromLease, fromWallet, excess }: Charge): Posting[] {
  const { event, currency, costs, period } = settled;
  const { tenantId, eventId, priceCardVersionId: rateCardVersionId } = event;
  const sale = { tenantId, eventId, rateCardVersionId, currency, credit: 'revenue', leaseId: null, period } as const;
  const purchase = { tenantId, eventId, leaseId: null, credit: 'provider_payable', period } as const;
  const leased = { leaseId: fromLease?.leaseId ?? null, amount: fromLease?.amount ?? 0n };
  const postings: Posting[] = [
    { ...sale, kind: 'usage', debit: 'leased', ...leased },
    { ...sale, kind: 'usage', debit: 'wallet', amount: fromWallet },
    { ...sale, kind: 'excess', debit: 'operator_loss', amount: excess },
    ...costs.map((cost) => ({ ...purchase, kind: 'provider_cost', debit: 'provider_cost', ...cost }) as const),
  ];
  return postings.filter(({ amount }) => amount > 0n);
}

/** Books what new events cost their tenants and the operator, all in one statement. */
export async function bookTransfers(
  database: Queryable,
  charges: readonly Charge[],
  accounts: LockedAccounts,
): Promise<void> {
  const postings = charges.flatMap(postingsOf);
  if (postings.length === 0) return;
  const lossKeys = new Set(
    postings
      .filter(({ debit }) => debit === 'operator_loss')
      .map(({ tenantId, currency }) => accountKey(tenantId, 'operator_loss', currency)),
  );
  const losses = lossKeys.size === 0 ? new Map<string, string>() : await openAccounts(database, [...lossKeys]);
  const idOf = (tenantId: string, kind: AccountKind, currency: string): string =>
    losses.get(accountKey(tenantId, kind, currency)) ?? accounts.idOf(tenantId, kind, currency);
  const ids = makeIds(postings.length);
  const rows = postings.map((posting, index) => ({
    posting,
    id: ids[index] ?? '',
    debitId: idOf(posting.tenantId, posting.debit, posting.currency),
    creditId: idOf(posting.tenantId, posting.credit, posting.currency),
  }));
  await database.query({ name: 'insert-transfers', text: INSERT_TRANSFERS, values: TRANSFERS.values(rows) });
}

interface TransferRow {
  readonly posting: Posting;
  readonly id: string;
  readonly debitId: string;
  readonly creditId: string;
}

const TRANSFERS = columnSet<TransferRow>([
  column.uuid('id', ({ id }) => id),
  column.uuid('tenant_id', ({ posting }) => posting.tenantId),
  column.uuid('debit_account_id', ({ debitId }) => debitId),
  column.uuid('credit_account_id', ({ creditId }) => creditId),
  column.numeric('amount', ({ posting }) => posting.amount),
  column.text('kind', ({ posting }) => posting.kind),
  column.uuid('event_id', ({ posting }) => posting.eventId),
  column.uuid('rate_card_version_id', ({ posting }) => posting.rateCardVersionId),
  column.uuid('lease_id', ({ posting }) => posting.leaseId),
  column.text('period', ({ posting }) => posting.period),
]);

const INSERT_TRANSFERS = `
  insert into transfer (${TRANSFERS.names})
  select ${TRANSFERS.names.replace('period', 'period::date')} from ${TRANSFERS.record}`;

/** Owners who wanted to know that their balance runs low are told, once until it has risen again. */
export async function tellLowBalances(database: Queryable, charges: readonly Charge[]): Promise<void> {
  const tenantIds = new Set(charges.map(({ settled }) => settled.event.tenantId));
  await database.query({
    name: 'tell-low-balances',
    text: `
      with fallen as (
        update wallet_terms terms set low_balance_told = true
        from tenant, (
          select tenant_id, currency, sum(credits - debits) as balance from account
          where kind in ('wallet', 'leased') and tenant_id = any($1::uuid[]) group by tenant_id, currency
        ) held
        where terms.tenant_id = held.tenant_id and terms.currency = held.currency and tenant.id = terms.tenant_id
          and not terms.low_balance_told
          and terms.low_balance > held.balance + case tenant.billing_mode when 'postpaid' then terms.credit_limit else 0 end
        returning terms.tenant_id, terms.currency, held.balance
      )
      insert into outbox (id, tenant_id, topic, payload)
      select gen_random_uuid(), tenant_id, 'tell-owners',
        jsonb_build_object('notice', 'low-balance', 'currency', currency, 'balance', balance::text)
      from fallen`,
    values: [[...tenantIds]],
  });
}
