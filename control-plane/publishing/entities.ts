import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { ConfigAck } from '@pingtoken/shared/config-snapshot';
import { instant, OF_TENANT } from '../database/columns.js';

/** A data plane that may fetch config: known by an Ed25519 key of its own, and sealed to by its X25519 key. */
export const DataPlane = defineEntity({
  name: 'DataPlane',
  properties: {
    id: p.uuid().primary(),
    name: p.text().unique(),
    region: p.text(),
    verifyKey: p.text(),
    sealingKey: p.text(),
    status: p.text().$type<'enrolled' | 'revoked'>(),
    enrolledAt: instant(),
    lastContactAt: instant().strictNullable(),
    ackedEpoch: p.bigint('number').strictNullable(),
    ackedSeq: p.bigint('number').strictNullable(),
    lastRefusal: p.json().$type<Extract<ConfigAck, { status: 'refused' }>>().strictNullable(),
  },
});
export type DataPlane = InferEntity<typeof DataPlane>;

/** Something to do once its transaction has committed, at least once. The payload holds ids and sealed values only. */
export const OutboxMessage = defineEntity({
  name: 'OutboxMessage',
  tableName: 'outbox',
  filters: OF_TENANT,
  properties: {
    id: p.uuid().primary(),
    tenantId: p.uuid(),
    topic: p.text(),
    payload: p.json().$type<unknown>(),
    createdAt: instant(),
    availableAt: instant(),
    attempts: p.integer(),
    processedAt: instant().strictNullable(),
    lastError: p.text().strictNullable(),
  },
});
export type OutboxMessage = InferEntity<typeof OutboxMessage>;
