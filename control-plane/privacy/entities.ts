import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { SealedClient } from '@pingtoken/shared/usage-event';
import { instant, OF_TENANT } from '../database/columns.js';

/** A published privacy policy, never edited: a consent names the very text that it was given to. */
export const PolicyVersion = defineEntity({
  name: 'PolicyVersion',
  properties: {
    id: p.uuid().primary(),
    version: p.text().unique(),
    title: p.text(),
    body: p.text(),
    digest: p.text(),
    publishedAt: instant(),
  },
});
export type PolicyVersion = InferEntity<typeof PolicyVersion>;

export const Consent = defineEntity({
  name: 'Consent',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    personId: p.uuid(),
    policyVersionId: p.uuid(),
    clientSealed: p.json().$type<SealedClient>().strictNullable(),
    grantedAt: instant(),
    withdrawnAt: instant().strictNullable(),
  },
});
