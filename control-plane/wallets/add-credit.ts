import type { TransferKind } from '../billing/entities.js';
import type { Queryable } from '../database/sql.js';
import { refuse, type Refusal } from '../database/refusal.js';
import { book, lockWallet, settleWallet } from './wallet-books.js';

export const DEFAULT_PRIORITY = 100;

/** How money or money's worth gets into a wallet. */
export interface NewCredit {
  readonly tenantId: string;
  readonly currency: string;
  /** Units, above zero. */
  readonly amount: bigint;
  readonly kind: Extract<TransferKind, 'top_up' | 'credit_grant' | 'redemption'>;
  /** 0 to 1000; lower is spent first. */
  readonly priority: number;
  /** Null for never. */
  readonly expiresAt: Date | null;
  readonly idempotencyKey: string;
  readonly reason: string;
  readonly actorMemberId: string | null;
}

export interface AddedCredit {
  readonly transferId: string;
  /** False where the same request was made before. */
  readonly isNew: boolean;
}

/**
 * Credits a wallet, once for an idempotency key, in the caller's transaction. Of two requests with one key at once, the second
 * waits for the wallet's lock and then finds the first one's transfer.
 */
export async function addCredit(database: Queryable, credit: NewCredit): Promise<AddedCredit | Refusal> {
  const { tenantId, currency, amount, kind, idempotencyKey, reason, actorMemberId } = credit;
  const source = kind === 'top_up' ? 'funding' : 'adjustment';
  const locked = await lockWallet(database, { tenantId, currency, also: source === 'funding' ? [source] : [] });
  const standing = await findByKey(database, credit);
  if (standing !== null) return standing;
  const { wallet } = await settleWallet(database, locked, Date.now());
  const booking = { amount, kind, idempotencyKey, reason, actorMemberId };
  const transferId = await book(database, wallet, { debit: source, credit: 'wallet', ...booking });
  // In use for another currency, at this very moment.
  if (transferId === null) return refuse('idempotency_mismatch', ['idempotencyKey']);
  await database.query({
    text: `
      insert into credit (id, tenant_id, currency, transfer_id, amount, priority, expires_at)
      values ($1::uuid, $2::uuid, $3::text, $1::uuid, $4::numeric, $5::integer, $6::timestamptz)`,
    values: [transferId, tenantId, currency, String(amount), credit.priority, credit.expiresAt?.toISOString() ?? null],
  });
  await database.query({
    text: `
      update wallet_terms set low_balance_told = false
      where tenant_id = $1::uuid and currency = $2::text and low_balance_told and low_balance <= $3::numeric`,
    values: [tenantId, currency, String(wallet.balance + wallet.leased + wallet.creditLimit + amount)],
  });
  return { transferId, isNew: true };
}

interface StandingRow {
  readonly id: string;
  readonly is_same: boolean;
}

async function findByKey(database: Queryable, credit: NewCredit): Promise<AddedCredit | Refusal | null> {
  const { rows } = await database.query<StandingRow>({
    text: `
      select transfer.id, coalesce(
        transfer.kind = $3::text and transfer.amount = $4::numeric and transfer.reason = $5::text
          and credit.currency = $6::text and credit.priority = $7::integer
          and credit.expires_at is not distinct from $8::timestamptz, false) as is_same
      from transfer left join credit on credit.transfer_id = transfer.id
      where transfer.tenant_id = $1::uuid and transfer.idempotency_key = $2::text`,
    values: [
      ...[credit.tenantId, credit.idempotencyKey, credit.kind, credit.amount.toString(), credit.reason],
      ...[credit.currency, credit.priority, credit.expiresAt?.toISOString() ?? null],
    ],
  });
  const [standing] = rows;
  if (standing === undefined) return null;
  if (!standing.is_same) return refuse('idempotency_mismatch', ['idempotencyKey']);
  return { transferId: standing.id, isNew: false };
}
