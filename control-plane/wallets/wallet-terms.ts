import { LockMode } from '@mikro-orm/core';
import { z } from 'zod';
import { parseAmount } from '@pingtoken/shared/money';
import { currencySchema, payableSchema } from '../billing/inputs.js';
import { asQueryable } from '../database/orm-queryable.js';
import { refuse, type Refusal } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { publishTenant } from '../providers/providers.js';
import { Tenant } from '../tenants/entities.js';

/** What was agreed about a tenant's wallet of one currency. */
export interface WalletTerms {
  readonly billingMode: Tenant['billingMode'];
  readonly currency: string;
  /** Units; counts for a postpaid tenant only. */
  readonly creditLimit: bigint;
  /** Units. The owners are told once when what is left falls below; null for never. */
  readonly lowBalance: bigint | null;
}

export const termsInput = z.object({
  billingMode: z.enum(['prepaid', 'postpaid']),
  currency: currencySchema,
  /** Of a postpaid tenant; null for none, which lets nothing be called beyond what the wallet holds. */
  creditLimit: payableSchema.nullish(),
});

export const warningInput = z.object({ currency: currencySchema, lowBalance: payableSchema.nullable() });

export async function readTerms(transaction: Transaction, { currency }: { currency: string }): Promise<WalletTerms> {
  const { rows } = await asQueryable(transaction).query<TermsRow>({
    text: `
      select tenant.billing_mode, coalesce(terms.credit_limit, 0)::text as credit_limit, terms.low_balance::text
      from tenant left join wallet_terms terms on terms.tenant_id = tenant.id and terms.currency = $2::text
      where tenant.id = $1::uuid`,
    values: [transaction.scope.tenantId, currency],
  });
  const [row] = rows;
  return {
    billingMode: row?.billing_mode ?? 'prepaid',
    currency,
    creditLimit: BigInt(row?.credit_limit ?? 0),
    lowBalance: row?.low_balance == null ? null : BigInt(row.low_balance),
  };
}

interface TermsRow {
  readonly billing_mode: Tenant['billingMode'];
  readonly credit_limit: string;
  readonly low_balance: string | null;
}

/** A lower limit holds for what is leased from then on; what is out already is used up or comes back. */
export async function setTerms(
  transaction: Transaction,
  { billingMode, currency, creditLimit }: z.output<typeof termsInput>,
): Promise<WalletTerms | Refusal> {
  const { em, scope } = transaction;
  if (billingMode === 'prepaid' && creditLimit != null) {
    return refuse('invalid_request', ['creditLimit'], 'A prepaid tenant has no credit limit.');
  }
  const tenant = await em.findOne(Tenant, { id: scope.tenantId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (tenant === null) return refuse('not_found', ['tenantId']);
  tenant.billingMode = billingMode;
  await em.flush();
  await asQueryable(transaction).query({
    text: `
      insert into wallet_terms (tenant_id, currency, credit_limit) values ($1::uuid, $2::text, $3::numeric)
      on conflict (tenant_id, currency) do update set credit_limit = excluded.credit_limit`,
    values: [scope.tenantId, currency, creditLimit == null ? '0' : parseAmount(creditLimit).toString()],
  });
  const details = { billingMode, currency, creditLimit: creditLimit ?? null };
  await publishTenant(transaction, tenant);
  await transaction.audit({ action: 'wallet-terms-set', subjectKind: 'tenant', subjectId: scope.tenantId, details });
  return readTerms(transaction, { currency });
}

export async function setWarning(
  transaction: Transaction,
  { currency, lowBalance }: z.output<typeof warningInput>,
): Promise<WalletTerms | Refusal> {
  const { em, scope } = transaction;
  if ((await em.findOne(Tenant, { id: scope.tenantId })) === null) return refuse('not_found', ['tenantId']);
  await asQueryable(transaction).query({
    text: `
      insert into wallet_terms (tenant_id, currency, low_balance) values ($1::uuid, $2::text, $3::numeric)
      on conflict (tenant_id, currency) do update set low_balance = excluded.low_balance, low_balance_told = false`,
    values: [scope.tenantId, currency, lowBalance === null ? null : parseAmount(lowBalance).toString()],
  });
  const details = { currency, lowBalance };
  await transaction.audit({ action: 'low-balance-set', subjectKind: 'tenant', subjectId: scope.tenantId, details });
  return readTerms(transaction, { currency });
}
