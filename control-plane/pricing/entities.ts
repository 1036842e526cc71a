import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { RateCardVersion as SharedVersion } from '@pingtoken/shared/rate-card';
import { instant } from '../database/columns.js';

/** A price (what tenants pay) or a cost (what a provider charges the operator). */
export const RateCard = defineEntity({
  name: 'RateCard',
  properties: {
    id: p.uuid().primary(),
    name: p.text().unique(),
    purpose: p.text().$type<'price' | 'cost'>(),
    createdAt: instant(),
  },
});
export type RateCard = InferEntity<typeof RateCard>;

/** Superseded by a later one, never edited. */
export const RateCardVersion = defineEntity({
  name: 'RateCardVersion',
  properties: {
    id: p.uuid().primary(),
    rateCardId: p.uuid(),
    effectiveFrom: instant(),
    currency: p.text(),
    rates: p.json().$type<SharedVersion['rates']>(),
    contextTiers: p.json().$type<SharedVersion['contextTiers']>(),
    /** Where the prices come from: a vendor's page, the catalogue library and its version, a person's decision. */
    source: p.text(),
    createdAt: instant(),
  },
});
export type RateCardVersion = InferEntity<typeof RateCardVersion>;
