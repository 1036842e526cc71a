import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import { instant } from '../database/columns.js';

/** A customer, or the operator itself. Its row-level security goes by its own id. */
export const Tenant = defineEntity({
  name: 'Tenant',
  properties: {
    id: p.uuid().primary(),
    kind: p.text().$type<'operator' | 'person' | 'enterprise'>(),
    organizationName: p.text().strictNullable(),
    status: p.text().$type<'active' | 'suspended'>(),
    createdAt: instant(),
  },
});
export type Tenant = InferEntity<typeof Tenant>;
