import { Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { formatAmount } from '@pingtoken/shared/money';
import type { Balance } from '../billing/ledger.js';
import { TENANT_ARGUMENT } from '../graphql/context.js';
import { Decimal, Money, PageInfo, Payload, toMoney } from '../graphql/types.js';
import { remainingOf, type Credit } from './settle-credits.js';
import type { WalletTerms } from './wallet-terms.js';
import { WALLET_TRANSACTION_KINDS, type WalletTransaction, type WalletTransactionKind } from './wallet-transactions.js';

const BillingMode = { PREPAID: 'prepaid', POSTPAID: 'postpaid' } as const;
registerEnumType(BillingMode, {
  name: 'BillingMode',
  description: 'Prepaid: calls take what the wallet holds. Postpaid: it may go below zero, down to the credit limit.',
});

export const transactionKindEnum = Object.fromEntries(
  WALLET_TRANSACTION_KINDS.map((kind) => [kind.toUpperCase(), kind]),
);
registerEnumType(transactionKindEnum, {
  name: 'WalletTransactionKind',
  valuesConfig: {
    TOP_UP: { description: 'Money that was received.' },
    CREDIT_GRANT: { description: 'A credit that was given.' },
    REDEMPTION: { description: 'A code that was redeemed.' },
    REFUND: { description: 'Received money that was paid back.' },
    EXPIRY: { description: 'A credit that has run out.' },
    USAGE: { description: 'A call.' },
    CORRECTION: { description: 'A charge that was taken back, in whole or in part.' },
  },
});

@ObjectType({ description: "A tenant's money in one currency." })
export class Wallet {
  @Field(() => String, { description: 'ISO 4217' })
  currency!: string;

  @Field(() => Decimal, { description: 'What was credited less what was charged.' })
  balance!: string;

  @Field(() => Decimal, { description: 'Set aside for calls under way and to come, at the gateways.' })
  reserved!: string;

  @Field(() => Decimal, { description: 'How far below zero the balance may go.' })
  creditLimit!: string;

  @Field(() => Decimal, { description: 'What can still be set aside for new calls.' })
  available!: string;
}

export function toWallet({ currency, balance, reserved, creditLimit, available }: Balance): Wallet {
  return {
    currency,
    balance: formatAmount(balance),
    reserved: formatAmount(reserved),
    creditLimit: formatAmount(creditLimit),
    available: formatAmount(available),
  };
}

@ObjectType('WalletCredit', { description: 'What is left of something that was credited.' })
export class WalletCredit {
  @Field(() => ID)
  id!: string;

  @Field(() => Decimal)
  amount!: string;

  @Field(() => Decimal, { description: 'Neither spent nor set aside.' })
  remaining!: string;

  @Field(() => Int, { description: 'Lower is spent first; of equals what runs out first.' })
  priority!: number;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  expiresAt!: Date | null;
}

export function toWalletCredit(credit: Credit): WalletCredit {
  const { id, amount, priority, expiresAt } = credit;
  return {
    ...{ id, priority, amount: formatAmount(amount), remaining: formatAmount(remainingOf(credit)) },
    expiresAt: expiresAt === null ? null : new Date(expiresAt),
  };
}

@ObjectType('WalletTransaction')
export class WalletTransactionType {
  @Field(() => ID)
  id!: string;

  @Field(() => transactionKindEnum)
  kind!: WalletTransactionKind;

  @Field(() => Money, { description: 'Below zero for what left the wallet.' })
  amount!: Money;

  @Field(() => ID, { nullable: true, description: 'The call that was charged.' })
  usageEventId!: string | null;

  @Field(() => ID, { nullable: true, description: 'The credit that ran out or was paid back.' })
  creditId!: string | null;

  @Field(() => ID, { nullable: true, description: 'The charge that is taken back.' })
  correctsTransactionId!: string | null;

  @Field(() => String, { nullable: true })
  reason!: string | null;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

export function toTransaction(transaction: WalletTransaction): WalletTransactionType {
  const { id, kind, amount, currency, eventId, creditId, correctsTransferId, reason, createdAt } = transaction;
  return {
    ...{ id, kind, creditId, reason, createdAt, amount: toMoney(amount, currency) },
    ...{ usageEventId: eventId, correctsTransactionId: correctsTransferId },
  };
}

@ObjectType()
export class WalletTransactionConnection {
  @Field(() => [WalletTransactionType])
  nodes!: readonly WalletTransactionType[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@ObjectType('WalletTerms')
export class WalletTermsType {
  @Field(() => BillingMode)
  billingMode!: WalletTerms['billingMode'];

  @Field(() => String)
  currency!: string;

  @Field(() => Decimal)
  creditLimit!: string;

  @Field(() => Decimal, { nullable: true, description: 'The owners are told once when what is left falls below.' })
  lowBalance!: string | null;
}

export function toTerms({ billingMode, currency, creditLimit, lowBalance }: WalletTerms): WalletTermsType {
  const units = {
    creditLimit: formatAmount(creditLimit),
    lowBalance: lowBalance === null ? null : formatAmount(lowBalance),
  };
  return { billingMode, currency, ...units };
}

@InputType()
export class CreditWalletInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => Decimal, { description: 'Above zero.' })
  amount!: string;

  @Field(() => String, { defaultValue: 'USD', description: 'ISO 4217' })
  currency!: string;

  @Field(() => String, { description: 'Credits once, however often the same request is sent.' })
  idempotencyKey!: string;

  @Field(() => String, { description: 'Kept in the ledger, such as the number of a bank transfer.' })
  reason!: string;

  @Field(() => Boolean, { defaultValue: false, description: 'Given, and not received: it cannot be paid back.' })
  isGranted!: boolean;

  @Field(() => Int, { defaultValue: 100, description: 'From 0, spent first, to 1000.' })
  priority!: number;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'What is left then is lost; never if left out.' })
  expiresAt?: Date | null;
}

@InputType()
export class RefundCreditInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => ID, { description: 'A credit that money was received for.' })
  creditId!: string;

  @Field(() => Decimal, { nullable: true, description: 'All that is left of it if left out.' })
  amount?: string | null;

  @Field(() => String)
  reason!: string;

  @Field(() => String)
  idempotencyKey!: string;
}

@InputType()
export class CorrectChargeInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => ID, { description: 'A wallet transaction of kind USAGE.' })
  transactionId!: string;

  @Field(() => Decimal, { nullable: true, description: 'All that is left of it if left out.' })
  amount?: string | null;

  @Field(() => String)
  reason!: string;

  @Field(() => String)
  idempotencyKey!: string;
}

@InputType()
export class SetWalletTermsInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => BillingMode)
  billingMode!: WalletTerms['billingMode'];

  @Field(() => String, { defaultValue: 'USD' })
  currency!: string;

  @Field(() => Decimal, { nullable: true, description: 'Of a postpaid tenant.' })
  creditLimit?: string | null;
}

@InputType()
export class SetLowBalanceInput {
  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;

  @Field(() => String, { defaultValue: 'USD' })
  currency!: string;

  @Field(() => Decimal, { nullable: true, description: 'Null for no warning.' })
  amount!: string | null;
}

@ObjectType()
export class CreditWalletPayload extends Payload {
  @Field(() => ID, { nullable: true })
  transferId?: string;

  @Field(() => Wallet, { nullable: true, description: 'After the credit.' })
  wallet?: Wallet;
}

@ObjectType({ description: 'A booking on a wallet.' })
export class BookOnWalletPayload extends Payload {
  @Field(() => ID, { nullable: true })
  transactionId?: string;

  @Field(() => Money, { nullable: true })
  amount?: Money;
}

@ObjectType()
export class WalletTermsPayload extends Payload {
  @Field(() => WalletTermsType, { nullable: true })
  terms?: WalletTermsType;
}
