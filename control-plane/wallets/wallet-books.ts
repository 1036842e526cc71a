import { v7 as uuidv7 } from 'uuid';
import type { AccountKind, TransferKind } from '../billing/entities.js';
import type { Queryable } from '../database/sql.js';
import { settleCredits, type Credit, type Settlement } from './settle-credits.js';

/** One tenant's wallet of one currency, locked until the transaction ends. */
export interface LockedWallet {
  readonly tenantId: string;
  readonly currency: string;
  readonly accountIds: ReadonlyMap<AccountKind, string>;
  /** Units; leased money is not in it. Below zero where a postpaid tenant owes. */
  readonly balance: bigint;
  readonly leased: bigint;
  /** How far below zero the balance may go; zero for a prepaid tenant. */
  readonly creditLimit: bigint;
}

/**
 * Always locked together with the wallet, so that two transactions with one wallet lock the same accounts in the same order
 * and wait for one another instead of deadlocking. Whatever else of the tenant is booked on must be named beforehand too.
 */
const WALLET_KINDS = ['wallet', 'leased', 'adjustment'] as const satisfies readonly AccountKind[];

export async function lockWallet(
  database: Queryable,
  { tenantId, currency, also = [] }: { tenantId: string; currency: string; also?: readonly AccountKind[] },
): Promise<LockedWallet> {
  const kinds = [...WALLET_KINDS, ...also].sort();
  const opened = await database.query<{ kind: AccountKind; id: string }>({
    text: `select kind, ledger_account($1::uuid, kind, $2::text) as id
           from json_array_elements_text($3::json) with ordinality as wanted (kind, place) order by place`,
    values: [tenantId, currency, JSON.stringify(kinds)],
  });
  const accountIds = new Map(opened.rows.map(({ kind, id }) => [kind, id]));
  const locked = await database.query<{ id: string; held: string }>({
    text: `select id, (credits - debits)::text as held
           from lock_accounts(array(select json_array_elements_text($1::json)::uuid))`,
    values: [JSON.stringify([...accountIds.values()])],
  });
  const held = new Map(locked.rows.map((row) => [row.id, BigInt(row.held)]));
  const terms = await database.query<{ credit_limit: string }>({
    text: `
      select case tenant.billing_mode when 'postpaid' then coalesce(terms.credit_limit, 0) else 0 end::text as credit_limit
      from tenant left join wallet_terms terms on terms.tenant_id = tenant.id and terms.currency = $2::text
      where tenant.id = $1::uuid`,
    values: [tenantId, currency],
  });
  return {
    ...{ tenantId, currency, accountIds },
    balance: held.get(accountIds.get('wallet') ?? '') ?? 0n,
    leased: held.get(accountIds.get('leased') ?? '') ?? 0n,
    creditLimit: BigInt(terms.rows[0]?.credit_limit ?? 0),
  };
}

/** A transfer between accounts of a locked wallet. */
export interface Booking {
  readonly debit: AccountKind;
  readonly credit: AccountKind;
  /** Units, above zero. */
  readonly amount: bigint;
  readonly kind: TransferKind;
  readonly creditId?: string;
  readonly leaseId?: string;
  readonly correctsTransferId?: string;
  readonly idempotencyKey?: string;
  readonly reason?: string;
  readonly actorMemberId?: string | null;
}

/** @returns the transfer's id; null where the idempotency key was used already, then nothing is booked */
export async function book(database: Queryable, wallet: LockedWallet, booking: Booking): Promise<string | null> {
  const { rows } = await database.query<{ id: string }>({
    text: `
      insert into transfer (
        id, tenant_id, debit_account_id, credit_account_id, amount, kind, credit_id, lease_id, corrects_transfer_id,
        idempotency_key, reason, actor_member_id
      ) values (
        $1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::numeric, $6::text, $7::uuid, $8::uuid, $9::uuid, $10::text, $11::text,
        $12::uuid
      )
      on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing returning id`,
    values: [
      ...[uuidv7(), wallet.tenantId, wallet.accountIds.get(booking.debit), wallet.accountIds.get(booking.credit)],
      ...[booking.amount.toString(), booking.kind, booking.creditId ?? null, booking.leaseId ?? null],
      ...[booking.correctsTransferId ?? null, booking.idempotencyKey ?? null, booking.reason ?? null],
      booking.actorMemberId ?? null,
    ],
  });
  return rows[0]?.id ?? null;
}

/**
 * Brings the credits of a locked wallet up to date; to be done before a credit comes, is paid back or is leased.
 * @returns the wallet as it is after what has run out has left it, and its credits
 */
export async function settleWallet(
  database: Queryable,
  wallet: LockedWallet,
  at: number,
): Promise<{ readonly wallet: LockedWallet; readonly credits: readonly Credit[] }> {
  const before = await readCredits(database, wallet);
  const settlement = settleCredits(before, wallet.balance, at);
  await storeCredits(database, before, settlement);
  for (const { creditId, amount } of settlement.expiries) {
    await book(database, wallet, { debit: 'wallet', credit: 'adjustment', amount, kind: 'expiry', creditId });
  }
  return { wallet: { ...wallet, balance: settlement.balance }, credits: settlement.credits };
}

interface CreditRow {
  readonly id: string;
  readonly amount: string;
  readonly priority: number;
  readonly expires_at: string | null;
  readonly drawn: string;
  readonly expired: string;
  readonly refunded: string;
}

/** What can still be spent, and what was drawn and may come back; what has run out or was paid back whole is left out. */
export async function readCredits(
  database: Queryable,
  { tenantId, currency }: Pick<LockedWallet, 'tenantId' | 'currency'>,
): Promise<Credit[]> {
  const { rows } = await database.query<CreditRow>({
    text: `
      select id, amount::text, priority, (extract(epoch from expires_at) * 1000)::bigint::text as expires_at,
        drawn::text, expired::text, refunded::text
      from credit where tenant_id = $1::uuid and currency = $2::text and expired + refunded < amount`,
    values: [tenantId, currency],
  });
  return rows.map((row) => ({
    id: row.id,
    amount: BigInt(row.amount),
    priority: row.priority,
    expiresAt: row.expires_at === null ? null : Number(row.expires_at),
    drawn: BigInt(row.drawn),
    expired: BigInt(row.expired),
    refunded: BigInt(row.refunded),
  }));
}

async function storeCredits(database: Queryable, before: readonly Credit[], { credits }: Settlement): Promise<void> {
  const old = new Map(before.map((credit) => [credit.id, credit]));
  const changed = credits.filter(
    ({ id, drawn, expired }) => old.get(id)?.drawn !== drawn || old.get(id)?.expired !== expired,
  );
  if (changed.length === 0) return;
  const rows = changed.map(({ id, drawn, expired }) => ({ id, drawn: String(drawn), expired: String(expired) }));
  await database.query({
    text: `
      update credit set drawn = record.drawn, expired = record.expired
      from json_to_recordset($1::json) as record (id uuid, drawn numeric, expired numeric) where credit.id = record.id`,
    values: [JSON.stringify(rows)],
  });
}
