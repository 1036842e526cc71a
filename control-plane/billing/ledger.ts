import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { parseAmount } from '@pingtoken/shared/money';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { Tenant } from '../tenants/entities.js';
import { Account, Transfer } from './entities.js';
import { listUsage, summariseUsage } from './usage.js';
import type { UsageFilter, UsagePage, UsagePageInput, UsageSummary } from './usage.js';

const MAX_TOP_UP = parseAmount('1000000000');

function isCreditable(text: string): boolean {
  if (!/^\d{1,10}(\.\d{1,12})?$/.test(text)) return false;
  const amount = parseAmount(text);
  return amount > 0n && amount <= MAX_TOP_UP;
}

const printable = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters');
const currencySchema = z.string().regex(/^[A-Z]{3}$/, 'three capital letters (ISO 4217)');
const topUpInput = z.object({
  /** Decimal, above zero and at most 10^9, such as `100.00`. */
  amount: z.string().refine(isCreditable, 'a decimal number such as "100.00", above zero and at most 1000000000'),
  currency: currencySchema,
  /** The same key with the same input credits once, however often it is sent. */
  idempotencyKey: printable(200),
  reason: printable(500),
});
export type TopUpInput = z.input<typeof topUpInput>;

/** Units of one currency. */
export interface Balance {
  readonly currency: string;
  /** Settled: what was credited less what was charged. */
  readonly balance: bigint;
  /** Held by leases for calls under way. */
  readonly reserved: bigint;
  /** What new calls may use. */
  readonly available: bigint;
}

export interface Ledger {
  /** Credits the wallet of the scope's tenant, once for an idempotency key; refused where the key stood for something else. */
  topUp(scope: Scope, input: TopUpInput): Promise<Transfer | Refusal>;
  /** Zero where the tenant has no wallet of that currency. */
  balanceOf(scope: Scope, currency: string): Promise<Balance | Refusal>;
  /** Of every currency that the tenant has a wallet in, by its code. */
  balances(scope: Scope): Promise<Balance[]>;
  listUsage(scope: Scope, input: UsagePageInput): Promise<UsagePage | Refusal>;
  summariseUsage(scope: Scope, input: UsageFilter): Promise<UsageSummary | Refusal>;
}

export function createLedger({ run }: { run: RunTransaction }): Ledger {
  return {
    async topUp(scope, input) {
      const checked = checkInput(topUpInput, input);
      if (checked instanceof Refusal) return checked;
      if (!z.uuid().safeParse(scope.tenantId).success) return refuse('not_found', ['tenantId']);
      return run(scope, (transaction) => topUp(transaction, checked));
    },

    async balanceOf(scope, currency) {
      const checked = checkInput(z.object({ currency: currencySchema }), { currency });
      if (checked instanceof Refusal) return checked;
      const balances = await run(scope, findBalances);
      return balances.find((balance) => balance.currency === currency) ?? toBalance(currency, []);
    },

    balances: (scope) => run(scope, findBalances),
    listUsage: (scope, input) => run(scope, (transaction) => listUsage(transaction, input)),
    summariseUsage: (scope, input) => run(scope, (transaction) => summariseUsage(transaction, input)),
  };
}

async function topUp(transaction: Transaction, input: z.output<typeof topUpInput>): Promise<Transfer | Refusal> {
  const { em, scope } = transaction;
  if ((await em.findOne(Tenant, { id: scope.tenantId })) === null) return refuse('not_found', ['tenantId']);
  const amount = parseAmount(input.amount);
  // Accounts in the order that the worker opens them in, see workers/usage-statements.
  const fundingId = await openAccount(transaction, 'funding', input.currency);
  const walletId = await openAccount(transaction, 'wallet', input.currency);
  // Of two requests with one key at once, the second waits here for the first and then finds its transfer.
  const inserted = await em.execute<{ id: string }[]>(
    `insert into transfer (
       id, tenant_id, debit_account_id, credit_account_id, amount, kind, idempotency_key, reason, actor_member_id
     ) values (?, ?, ?, ?, ?, 'top_up', ?, ?, ?)
     on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing
     returning id`,
    [
      ...[uuidv7(), scope.tenantId, fundingId, walletId, amount.toString()],
      ...[input.idempotencyKey, input.reason, scope.actorMemberId],
    ],
  );
  const transfer = await em.findOneOrFail(Transfer, { idempotencyKey: input.idempotencyKey });
  if (inserted.length === 0) {
    const isSame =
      transfer.creditAccountId === walletId && transfer.amount === amount && transfer.reason === input.reason;
    return isSame ? transfer : refuse('idempotency_mismatch', ['idempotencyKey']);
  }
  const details = { transferId: transfer.id, amount: input.amount, currency: input.currency };
  await transaction.audit({ action: 'wallet-credited', subjectKind: 'tenant', subjectId: scope.tenantId, details });
  return transfer;
}

async function openAccount({ em, scope }: Transaction, kind: 'funding' | 'wallet', currency: string): Promise<string> {
  const rows = await em.execute<{ id: string }[]>('select ledger_account(?, ?, ?) as id', [
    ...[scope.tenantId, kind, currency],
  ]);
  const id = rows[0]?.id;
  if (id === undefined) throw new Error('the account could not be opened');
  return id;
}

async function findBalances({ em }: Transaction): Promise<Balance[]> {
  const accounts = await em.find(Account, { kind: { $in: ['wallet', 'leased'] } });
  return [...Map.groupBy(accounts, (account) => account.currency)]
    .map(([currency, rows]) => toBalance(currency, rows))
    .sort((a, b) => (a.currency < b.currency ? -1 : 1));
}

function toBalance(currency: string, accounts: readonly Account[]): Balance {
  const heldIn = (kind: Account['kind']): bigint => {
    const account = accounts.find((candidate) => candidate.kind === kind);
    return account === undefined ? 0n : account.credits - account.debits;
  };
  const [balance, reserved] = [heldIn('wallet'), heldIn('leased')];
  return { currency, balance, reserved, available: balance - reserved };
}
