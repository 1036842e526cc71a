import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { Limits } from '@pingtoken/shared/limits';
import type { SealedClient } from '@pingtoken/shared/usage-event';
import { instant, OF_TENANT } from '../database/columns.js';

/** A natural person. Who they are stands in the sealed columns only, under a key of their own. */
export const Person = defineEntity({
  name: 'Person',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    emailIndex: p.text().unique(),
    emailSealed: p.blob(),
    nameSealed: p.blob(),
    contactSealed: p.blob().strictNullable(),
    passwordHash: p.text(),
    sealingKey: p.text(),
    emailVerifiedAt: instant().strictNullable(),
    createdAt: instant(),
  },
});
export type Person = InferEntity<typeof Person>;

/** A person's place in a tenant; the pseudonym that keys, usage, ledger and audit know. */
export const Member = defineEntity({
  name: 'Member',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    personId: p.uuid(),
    role: p.text().$type<'operator' | 'owner' | 'member'>(),
    createdAt: instant(),
    /** What bounds the member's keys together. */
    limits: p.json().$type<Limits>().strictNullable(),
  },
});
export type Member = InferEntity<typeof Member>;

export const Session = defineEntity({
  name: 'Session',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    memberId: p.uuid(),
    tokenHash: p.text().unique(),
    clientSealed: p.json().$type<SealedClient>().strictNullable(),
    createdAt: instant(),
    expiresAt: instant(),
    revokedAt: instant().strictNullable(),
  },
});

export const EmailVerification = defineEntity({
  name: 'EmailVerification',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    personId: p.uuid(),
    tokenHash: p.text().unique(),
    createdAt: instant(),
    expiresAt: instant(),
    usedAt: instant().strictNullable(),
  },
});

/** Admits one registration where `REGISTRATION` is `invited`. */
export const Invitation = defineEntity({
  name: 'Invitation',
  properties: {
    id: p.uuid().primary(),
    codeHash: p.text().unique(),
    createdAt: instant(),
    expiresAt: instant(),
    usedAt: instant().strictNullable(),
  },
});
