import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { Limits } from '@pingtoken/shared/limits';
import { instant } from '../database/columns.js';

/** What tenants have in common: how much they may call, and by which prices they pay. */
export const Plan = defineEntity({
  name: 'Plan',
  properties: {
    id: p.uuid().primary(),
    name: p.text().unique(),
    limits: p.json().$type<Limits>().strictNullable(),
    /** By the id of a model's price card: the one that the plan's tenants pay by instead. */
    priceCards: p.json().$type<Readonly<Record<string, string>>>(),
    createdAt: instant(),
  },
});
export type Plan = InferEntity<typeof Plan>;
