import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { Limits } from '@pingtoken/shared/limits';
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
    /** Prepaid: calls take what the wallet holds. Postpaid: it may go below zero, down to the credit limit. */
    billingMode: p.text().$type<'prepaid' | 'postpaid'>(),
    /** What providers are told of the tenant's own end users. */
    endUsers: p.text().$type<'pseudonym' | 'drop'>(),
    /** Makes the pseudonyms, 32 bytes. With it goes all that ties them to anybody. */
    pseudonymKey: p.blob(),
    planId: p.uuid().strictNullable(),
    /** What bounds it besides its plan. */
    limits: p.json().$type<Limits>().strictNullable(),
  },
});
export type Tenant = InferEntity<typeof Tenant>;
