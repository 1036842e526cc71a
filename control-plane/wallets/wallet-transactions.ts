import { z } from 'zod';
import { currencySchema } from '../billing/inputs.js';
import type { TransferKind } from '../billing/entities.js';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';

/** What a tenant sees of its ledger: leases only move money within the wallet, and the operator's costs are its own. */
export const WALLET_TRANSACTION_KINDS = [
  'top_up',
  'credit_grant',
  'redemption',
  'refund',
  'expiry',
  'usage',
  'correction',
] as const satisfies readonly TransferKind[];
export type WalletTransactionKind = (typeof WALLET_TRANSACTION_KINDS)[number];

const pageSchema = z.object({
  currency: currencySchema.nullish(),
  kinds: z.array(z.enum(WALLET_TRANSACTION_KINDS)).min(1).nullish(),
  first: z.int().min(1).max(100, 'at most 100').default(50),
  /** The id of the last one of the page before. */
  after: z.uuid('is no cursor').nullish(),
});
export type TransactionPageInput = z.input<typeof pageSchema>;

export interface WalletTransaction {
  readonly id: string;
  readonly kind: WalletTransactionKind;
  /** Units; below zero for what left the wallet. */
  readonly amount: bigint;
  readonly currency: string;
  readonly eventId: string | null;
  readonly creditId: string | null;
  readonly correctsTransferId: string | null;
  readonly reason: string | null;
  readonly createdAt: Date;
}

export interface TransactionPage {
  readonly transactions: readonly WalletTransaction[];
  readonly hasNextPage: boolean;
}

interface TransactionRow {
  readonly id: string;
  readonly kind: WalletTransactionKind;
  readonly amount: string;
  readonly currency: string;
  readonly event_id: string | null;
  readonly credit_id: string | null;
  readonly corrects_transfer_id: string | null;
  readonly reason: string | null;
  readonly created_at: Date | string;
}

/** Pages by the id of the last one and not by counting, so that what comes in meanwhile shifts nothing. */
export async function listTransactions(
  transaction: Transaction,
  input: TransactionPageInput,
): Promise<TransactionPage | Refusal> {
  const checked = checkInput(pageSchema, input);
  if (checked instanceof Refusal) return checked;
  const { first, after, currency, kinds } = checked;
  const { rows } = await asQueryable(transaction).query<TransactionRow>({
    text: `
      select transfer.id, transfer.kind, account.currency, transfer.event_id, transfer.credit_id,
        transfer.corrects_transfer_id, transfer.reason, transfer.created_at,
        (case when transfer.kind in ('usage', 'refund', 'expiry') then -transfer.amount else transfer.amount end)::text as amount
      from transfer
        join account on account.id in (transfer.debit_account_id, transfer.credit_account_id)
          and account.kind in ('wallet', 'leased')
      where transfer.tenant_id = $1::uuid and ($2::uuid is null or transfer.id < $2::uuid)
        and transfer.kind in (select json_array_elements_text($3::json))
        and ($4::text is null or account.currency = $4::text)
      order by transfer.id desc limit $5::integer`,
    values: [
      ...[transaction.scope.tenantId, after ?? null, JSON.stringify(kinds ?? WALLET_TRANSACTION_KINDS)],
      ...[currency ?? null, first + 1],
    ],
  });
  const transactions = rows.slice(0, first).map((row) => ({
    id: row.id,
    kind: row.kind,
    amount: BigInt(row.amount),
    currency: row.currency,
    eventId: row.event_id,
    creditId: row.credit_id,
    correctsTransferId: row.corrects_transfer_id,
    reason: row.reason,
    createdAt: new Date(row.created_at),
  }));
  return { transactions, hasNextPage: rows.length > first };
}
