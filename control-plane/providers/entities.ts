import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { AuthScheme, Dialect } from '@pingtoken/shared/config-snapshot';
import { instant, OF_TENANT } from '../database/columns.js';

export const Provider = defineEntity({
  name: 'Provider',
  properties: {
    id: p.uuid().primary(),
    slug: p.text().unique(),
    name: p.text(),
    baseUrl: p.text(),
    dialect: p.text().$type<Dialect>(),
    auth: p.text().$type<AuthScheme>(),
    region: p.text().strictNullable(),
    termsUrl: p.text(),
    privacyUrl: p.text(),
    /** Whether the vendor trains on what its API is sent, unless told otherwise; null where it is not known. */
    trainsOnData: p.boolean().strictNullable(),
    /** For how long the vendor keeps what its API is sent, unless told otherwise; null where it is not known. */
    retentionDays: p.integer().strictNullable(),
    status: p.text().$type<'active' | 'disabled'>(),
    createdAt: instant(),
  },
});
export type Provider = InferEntity<typeof Provider>;

/** A key that provider credentials are encrypted under, itself sealed under the platform's secret. */
export const ContentKey = defineEntity({
  name: 'ContentKey',
  properties: { id: p.uuid().primary(), sealedKey: p.blob(), createdAt: instant() },
});

/** A provider's secret, write-only. Without a tenant it is the operator's and serves everyone. */
export const Credential = defineEntity({
  name: 'Credential',
  properties: {
    id: p.uuid().primary(),
    providerId: p.uuid(),
    tenantId: p.uuid().strictNullable(),
    name: p.text(),
    /** Where alone the secret may be sent: the provider's origin when the credential was made. */
    origin: p.text(),
    contentKeyId: p.uuid(),
    sealedSecret: p.blob(),
    createdAt: instant(),
  },
});
export type Credential = InferEntity<typeof Credential>;

/** A tenant was shown a provider's terms and privacy policy and allowed its use. */
export const ProviderGrant = defineEntity({
  name: 'ProviderGrant',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    providerId: p.uuid(),
    memberId: p.uuid(),
    termsUrl: p.text(),
    privacyUrl: p.text(),
    grantedAt: instant(),
    revokedAt: instant().strictNullable(),
  },
});
export type ProviderGrant = InferEntity<typeof ProviderGrant>;
