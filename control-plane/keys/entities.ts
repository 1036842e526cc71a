import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { Limits } from '@pingtoken/shared/limits';
import { instant, OF_TENANT } from '../database/columns.js';

/** An API key. The secret is shown at creation and kept nowhere; its hash is what the data planes know. */
export const ApiKey = defineEntity({
  name: 'ApiKey',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    memberId: p.uuid(),
    name: p.text(),
    hash: p.text().unique(),
    hint: p.text(),
    tags: p.array().$type<string[]>(),
    status: p.text().$type<'active' | 'revoked'>(),
    expiresAt: instant().strictNullable(),
    createdAt: instant(),
    revokedAt: instant().strictNullable(),
    idempotency: p.boolean(),
    cache: p.boolean(),
    limits: p.json().$type<Limits>().strictNullable(),
  },
});
export type ApiKey = InferEntity<typeof ApiKey>;
