import { z } from 'zod';
import { parseAmount } from '@pingtoken/shared/money';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { Tenant } from '../tenants/entities.js';
import { addCredit, DEFAULT_PRIORITY } from '../wallets/add-credit.js';
import { Account, Transfer } from './entities.js';
import {
  currencySchema,
  futureSchema,
  idempotencyKeySchema,
  payableSchema,
  prioritySchema,
  reasonSchema,
} from './inputs.js';
import type { SpendOf } from './rollup-source.js';
import { listSpend, type SpendPage } from './spend.js';
import type { SpendInput } from './spend-inputs.js';
import { listUsage, summariseUsage } from './usage.js';
import type { UsageFilter, UsagePage, UsagePageInput, UsageSummary } from './usage.js';

const topUpInput = z.object({
  amount: payableSchema,
  currency: currencySchema,
  idempotencyKey: idempotencyKeySchema,
  reason: reasonSchema,
  /** Whether money was received for it, or it is given. */
  isGranted: z.boolean().default(false),
  priority: prioritySchema.default(DEFAULT_PRIORITY),
  expiresAt: z.date().nullish(),
});
export type TopUpInput = z.input<typeof topUpInput>;

/** Units of one currency. */
export interface Balance {
  readonly currency: string;
  /** Settled: what was credited less what was charged. Below zero where a postpaid tenant owes. */
  readonly balance: bigint;
  /** Set aside for data planes, for calls under way and to come. */
  readonly reserved: bigint;
  /** How far below zero the balance may go. */
  readonly creditLimit: bigint;
  /** What can still be set aside for new calls. */
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
  /** @param of other than the scope's own tenant for the operator's scope only */
  listSpend(scope: Scope, of: SpendOf, input: SpendInput): Promise<SpendPage | Refusal>;
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
      return balances.find((balance) => balance.currency === currency) ?? toBalance(currency, [], 0n);
    },

    balances: (scope) => run(scope, findBalances),
    listUsage: (scope, input) => run(scope, (transaction) => listUsage(transaction, input)),
    summariseUsage: (scope, input) => run(scope, (transaction) => summariseUsage(transaction, input)),
    listSpend: (scope, of, input) => run(scope, (transaction) => listSpend(transaction, of, input)),
  };
}

async function topUp(transaction: Transaction, input: z.output<typeof topUpInput>): Promise<Transfer | Refusal> {
  const { em, scope } = transaction;
  if ((await em.findOne(Tenant, { id: scope.tenantId })) === null) return refuse('not_found', ['tenantId']);
  const { currency, priority, idempotencyKey, reason, expiresAt = null } = input;
  const added = await addCredit(asQueryable(transaction), {
    ...{ tenantId: scope.tenantId, actorMemberId: scope.actorMemberId, currency, priority, expiresAt },
    ...{ idempotencyKey, reason, amount: parseAmount(input.amount), kind: input.isGranted ? 'credit_grant' : 'top_up' },
  });
  if (added instanceof Refusal) return added;
  const transfer = await em.findOneOrFail(Transfer, { id: added.transferId });
  if (!added.isNew) return transfer;
  // Asked for the first time only: a repetition may come when the time is over.
  const isOver = expiresAt !== null && !futureSchema.safeParse(expiresAt).success;
  if (isOver) return refuse('invalid_request', ['expiresAt'], 'must lie in the future');
  const details = { transferId: transfer.id, amount: input.amount, currency };
  await transaction.audit({ action: 'wallet-credited', subjectKind: 'tenant', subjectId: scope.tenantId, details });
  return transfer;
}

interface TermsRow {
  readonly currency: string;
  readonly credit_limit: string;
}

async function findBalances({ em, scope }: Transaction): Promise<Balance[]> {
  const accounts = await em.find(Account, { kind: { $in: ['wallet', 'leased'] } });
  const terms = await em.execute<TermsRow[]>(
    `select currency, credit_limit::text from wallet_terms join tenant on tenant.id = wallet_terms.tenant_id
     where tenant.id = ?::uuid and tenant.billing_mode = 'postpaid'`,
    [scope.tenantId],
  );
  const limits = new Map(terms.map((row) => [row.currency, BigInt(row.credit_limit)]));
  const byCurrency = Map.groupBy(accounts, (account) => account.currency);
  return [...new Set([...byCurrency.keys(), ...limits.keys()])]
    .sort()
    .map((currency) => toBalance(currency, byCurrency.get(currency) ?? [], limits.get(currency) ?? 0n));
}

function toBalance(currency: string, accounts: readonly Account[], creditLimit: bigint): Balance {
  const heldIn = (kind: Account['kind']): bigint => {
    const account = accounts.find((candidate) => candidate.kind === kind);
    return account === undefined ? 0n : account.credits - account.debits;
  };
  const [free, reserved] = [heldIn('wallet'), heldIn('leased')];
  return { currency, balance: free + reserved, reserved, creditLimit, available: free + creditLimit };
}
