import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { SealedClient, UsageEvent as SharedEvent } from '@pingtoken/shared/usage-event';
import type { ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import { amount, instant, OF_TENANT } from '../database/columns.js';

/** Every account belongs to a tenant, the operator's side of its business included, so that tenants never share a row lock. */
export type AccountKind =
  'wallet' | 'leased' | 'funding' | 'revenue' | 'provider_cost' | 'provider_payable' | 'operator_loss' | 'adjustment';

/** Totals are kept by a trigger on transfers; no login may write them. */
export const Account = defineEntity({
  name: 'Account',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    kind: p.text().$type<AccountKind>(),
    currency: p.text(),
    debits: amount(),
    credits: amount(),
  },
});
export type Account = InferEntity<typeof Account>;

export type TransferKind =
  /** Money that was received. */
  | 'top_up'
  /** Money's worth that was given, by hand or for a code. */
  | 'credit_grant'
  | 'redemption'
  /** Received money that was paid back. */
  | 'refund'
  /** A credit that has run out. */
  | 'expiry'
  /** Set aside for a data plane, and what came back of it. */
  | 'lease'
  | 'lease_return'
  /** What a tenant pays for a call. */
  | 'usage'
  /** What a call cost beyond what could be charged to its tenant: the operator's loss. */
  | 'excess'
  | 'provider_cost'
  /** Takes an earlier transfer back, in whole or in part. */
  | 'correction';

/** A ledger entry: one row, balanced by construction, never changed. */
export const Transfer = defineEntity({
  name: 'Transfer',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    debitAccountId: p.uuid(),
    creditAccountId: p.uuid(),
    amount: amount(),
    kind: p.text().$type<TransferKind>(),
    eventId: p.uuid().strictNullable(),
    rateCardVersionId: p.uuid().strictNullable(),
    /** The credit that a refund or an expiry takes from. */
    creditId: p.uuid().strictNullable(),
    leaseId: p.uuid().strictNullable(),
    correctsTransferId: p.uuid().strictNullable(),
    idempotencyKey: p.text().strictNullable(),
    reason: p.text().strictNullable(),
    actorMemberId: p.uuid().strictNullable(),
    createdAt: instant(),
  },
});
export type Transfer = InferEntity<typeof Transfer>;

/** One admitted call, as priced. */
export const UsageEvent = defineEntity({
  name: 'UsageEvent',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    apiKeyId: p.uuid(),
    memberId: p.uuid(),
    spoolId: p.uuid(),
    seq: p.bigint('number'),
    kind: p.text().$type<SharedEvent['kind']>(),
    operation: p.text().$type<SharedEvent['operation']>(),
    model: p.text(),
    streamed: p.boolean(),
    admittedAt: instant(),
    endedAt: instant(),
    firstByteMs: p.integer().strictNullable(),
    outcome: p.text().$type<SharedEvent['outcome']>(),
    status: p.integer().strictNullable(),
    /** What is billed; empty where nothing is. */
    usage: p.json().$type<Usage>(),
    countedBy: p.text().$type<'provider' | 'estimated' | 'none'>(),
    providerId: p.uuid().strictNullable(),
    priceCardVersionId: p.uuid(),
    amount: amount(),
    currency: p.text(),
    costAmount: amount().strictNullable(),
    costCurrency: p.text().strictNullable(),
    attempts: p.json().$type<SharedEvent['attempts']>(),
    configEpoch: p.bigint('number'),
    configSeq: p.bigint('number'),
    leaseIds: p.array().$type<string[]>().columnType('uuid[]'),
    clientSealed: p.json().$type<SealedClient>().strictNullable(),
    serviceTier: p.text().$type<ServiceTier>(),
    freeTokens: p.bigint('number'),
    /** What is paid of the price, in ten-thousandths, where the answer was there already; else null. */
    cacheShare: p.integer().strictNullable(),
    receivedAt: instant(),
  },
});
export type UsageEvent = InferEntity<typeof UsageEvent>;
