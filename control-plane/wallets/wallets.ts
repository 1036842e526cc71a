import { z } from 'zod';
import { parseAmount } from '@pingtoken/shared/money';
import { currencySchema, idempotencyKeySchema, payableSchema, reasonSchema } from '../billing/inputs.js';
import type { AccountKind } from '../billing/entities.js';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { inSpendingOrder, remainingOf, settleCredits, type Credit } from './settle-credits.js';
import { readTerms, setTerms, termsInput, warningInput, setWarning, type WalletTerms } from './wallet-terms.js';
import { book, lockWallet, readCredits, settleWallet, type LockedWallet } from './wallet-books.js';
import { listTransactions, type TransactionPage, type TransactionPageInput } from './wallet-transactions.js';

const refundInput = z.object({
  creditId: z.uuid('is no id'),
  /** What is left of the credit if not given. */
  amount: payableSchema.nullish(),
  reason: reasonSchema,
  idempotencyKey: idempotencyKeySchema,
});
export type RefundInput = z.input<typeof refundInput>;

const correctionInput = z.object({
  transferId: z.uuid('is no id'),
  /** What is left of the transfer if not given. */
  amount: payableSchema.nullish(),
  reason: reasonSchema,
  idempotencyKey: idempotencyKeySchema,
});
export type CorrectionInput = z.input<typeof correctionInput>;

/** A transfer that was booked now, or by the same request before. */
export interface Booked {
  readonly transferId: string;
  readonly currency: string;
  /** Units. */
  readonly amount: bigint;
}

export interface Wallets {
  /** What can still be spent, in the order in which it is. */
  credits(scope: Scope, currency: string): Promise<Credit[] | Refusal>;
  /** Newest first: all that changed the balance. */
  transactions(scope: Scope, input: TransactionPageInput): Promise<TransactionPage | Refusal>;
  /** Books that received money was paid back: at most what is left of the credit that it became. */
  refund(scope: Scope, input: RefundInput): Promise<Booked | Refusal>;
  /** Takes a charge back, in whole or in part. The money returns to the credits that paid last. */
  correct(scope: Scope, input: CorrectionInput): Promise<Booked | Refusal>;
  terms(scope: Scope, currency: string): Promise<WalletTerms | Refusal>;
  setTerms(scope: Scope, input: z.input<typeof termsInput>): Promise<WalletTerms | Refusal>;
  /** When the owners are told that the balance runs low; null for never. */
  setWarning(scope: Scope, input: z.input<typeof warningInput>): Promise<WalletTerms | Refusal>;
}

export function createWallets({ run }: { run: RunTransaction }): Wallets {
  const checked =
    <Schema extends z.ZodType, Result>(
      schema: Schema,
      work: (transaction: Transaction, input: z.output<Schema>) => Promise<Result | Refusal>,
    ) =>
    async (scope: Scope, input: z.input<Schema>): Promise<Result | Refusal> => {
      const parsed = checkInput(schema, input);
      return parsed instanceof Refusal ? parsed : run(scope, (transaction) => work(transaction, parsed));
    };
  const ofCurrency = z.object({ currency: currencySchema });
  const showCredits = checked(ofCurrency, listCredits);
  const showTerms = checked(ofCurrency, readTerms);
  return {
    credits: (scope, currency) => showCredits(scope, { currency }),
    transactions: (scope, input) => run(scope, (transaction) => listTransactions(transaction, input)),
    refund: checked(refundInput, refund),
    correct: checked(correctionInput, correct),
    terms: (scope, currency) => showTerms(scope, { currency }),
    setTerms: checked(termsInput, setTerms),
    setWarning: checked(warningInput, setWarning),
  };
}

/** As they would be settled now; reading stores nothing. */
async function listCredits(transaction: Transaction, { currency }: { currency: string }): Promise<Credit[]> {
  const database = asQueryable(transaction);
  const { tenantId } = transaction.scope;
  const { rows } = await database.query<{ held: string }>({
    text: `select (credits - debits)::text as held from account
           where tenant_id = $1::uuid and kind = 'wallet' and currency = $2::text`,
    values: [tenantId, currency],
  });
  const credits = await readCredits(database, { tenantId, currency });
  const settled = settleCredits(credits, BigInt(rows[0]?.held ?? 0), Date.now());
  return inSpendingOrder(settled.credits.filter((credit) => remainingOf(credit) > 0n));
}

async function refund(
  transaction: Transaction,
  { creditId, reason, idempotencyKey, ...input }: z.output<typeof refundInput>,
): Promise<Booked | Refusal> {
  const database = asQueryable(transaction);
  const { tenantId, actorMemberId } = transaction.scope;
  const { rows } = await database.query<{ currency: string; kind: string }>({
    text: `select credit.currency, transfer.kind from credit join transfer on transfer.id = credit.transfer_id
           where credit.id = $1::uuid and credit.tenant_id = $2::uuid`,
    values: [creditId, tenantId],
  });
  const [row] = rows;
  // What was given can be taken back, but is nothing that could be paid out.
  if (row?.kind !== 'top_up') return refuse('not_found', ['creditId']);
  const locked = await lockWallet(database, { tenantId, currency: row.currency, also: ['funding'] });
  const request = { idempotencyKey, kind: 'refund', subjectId: creditId, reason, amount: input.amount ?? null };
  const standing = await findBooked(transaction, request);
  if (standing !== null) return standing;
  const { wallet, credits } = await settleWallet(database, locked, Date.now());
  const credit = credits.find(({ id }) => id === creditId);
  const amount = input.amount == null ? (credit ? remainingOf(credit) : 0n) : parseAmount(input.amount);
  if (credit === undefined || amount === 0n || amount > remainingOf(credit)) {
    return refuse('insufficient_funds', ['amount'], 'More than is left of the credit.');
  }
  const booking = { amount, creditId, idempotencyKey, reason, actorMemberId } as const;
  const booked = await bookOnce(transaction, wallet, {
    debit: 'wallet',
    credit: 'funding',
    kind: 'refund',
    ...booking,
  });
  if (booked instanceof Refusal) return booked;
  await database.query({
    text: 'update credit set refunded = refunded + $2::numeric where id = $1::uuid',
    values: [creditId, amount.toString()],
  });
  return booked;
}

interface CorrectableRow {
  readonly currency: string;
  readonly amount: string;
  readonly corrected: string;
}

async function correct(
  transaction: Transaction,
  { transferId, reason, idempotencyKey, ...input }: z.output<typeof correctionInput>,
): Promise<Booked | Refusal> {
  const database = asQueryable(transaction);
  const { tenantId, actorMemberId } = transaction.scope;
  const correctable = async (): Promise<CorrectableRow | undefined> => {
    const { rows } = await database.query<CorrectableRow>({
      text: `
        select account.currency, transfer.amount::text,
          (select coalesce(sum(amount), 0)::text from transfer other where other.corrects_transfer_id = transfer.id) as corrected
        from transfer join account on account.id = transfer.debit_account_id
        where transfer.id = $1::uuid and transfer.tenant_id = $2::uuid and transfer.kind = 'usage'`,
      values: [transferId, tenantId],
    });
    return rows[0];
  };
  const found = await correctable();
  if (found === undefined) return refuse('not_found', ['transferId']);
  const { currency } = found;
  const wallet = await lockWallet(database, { tenantId, currency, also: ['revenue'] });
  const request = { idempotencyKey, kind: 'correction', subjectId: transferId, reason, amount: input.amount ?? null };
  const standing = await findBooked(transaction, request);
  if (standing !== null) return standing;
  // Read again: the lock may have been waited for while another correction was made.
  const now = (await correctable()) ?? found;
  const left = BigInt(now.amount) - BigInt(now.corrected);
  const amount = input.amount == null ? left : parseAmount(input.amount);
  if (amount === 0n || amount > left) {
    return refuse('invalid_request', ['amount'], 'More than is left of the charge.');
  }
  const booking = { correctsTransferId: transferId, amount, idempotencyKey, reason, actorMemberId } as const;
  return bookOnce(transaction, wallet, { debit: 'revenue', credit: 'wallet', kind: 'correction', ...booking });
}

interface Request {
  readonly idempotencyKey: string;
  readonly kind: string;
  readonly subjectId: string;
  readonly reason: string;
  readonly amount: string | null;
}

async function findBooked(
  transaction: Transaction,
  { idempotencyKey, kind, subjectId, reason, amount }: Request,
): Promise<Booked | Refusal | null> {
  const { rows } = await asQueryable(transaction).query<{
    id: string;
    amount: string;
    currency: string;
    same: boolean;
  }>({
    text: `
      select transfer.id, amount::text, account.currency,
        coalesce(transfer.kind = $3::text and coalesce(credit_id, corrects_transfer_id) = $4::uuid and reason = $5::text
          and ($6::numeric is null or amount = $6::numeric), false) as same
      from transfer join account on account.id = transfer.debit_account_id
      where transfer.tenant_id = $1::uuid and idempotency_key = $2::text`,
    values: [
      ...[transaction.scope.tenantId, idempotencyKey, kind, subjectId, reason],
      amount === null ? null : parseAmount(amount).toString(),
    ],
  });
  const [row] = rows;
  if (row === undefined) return null;
  if (!row.same) return refuse('idempotency_mismatch', ['idempotencyKey']);
  return { transferId: row.id, currency: row.currency, amount: BigInt(row.amount) };
}

async function bookOnce(
  transaction: Transaction,
  wallet: LockedWallet,
  booking: Parameters<typeof book>[2] & { readonly debit: AccountKind; readonly kind: 'refund' | 'correction' },
): Promise<Booked | Refusal> {
  const transferId = await book(asQueryable(transaction), wallet, booking);
  if (transferId === null) return refuse('idempotency_mismatch', ['idempotencyKey']);
  const { amount, kind } = booking;
  const details = { transferId, amount: amount.toString(), currency: wallet.currency };
  const action = kind === 'refund' ? 'credit-refunded' : 'charge-corrected';
  await transaction.audit({ action, subjectKind: 'tenant', subjectId: wallet.tenantId, details });
  return { transferId, currency: wallet.currency, amount };
}
