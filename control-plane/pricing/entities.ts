import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { RateCardVersion as SharedVersion } from '@pingtoken/shared/rate-card';
import type { StatedPrices } from './card-prices.js';
import { instant } from '../database/columns.js';

/** A price (what tenants pay) or a cost (what a provider charges the operator). */
export const RateCard = defineEntity({
  name: 'RateCard',
  properties: {
    id: p.uuid().primary(),
    name: p.text().unique(),
    purpose: p.text().$type<'price' | 'cost'>(),
    /** The card that its versions are worked out from; null for one that states its own prices. */
    baseCardId: p.uuid().strictNullable(),
    createdAt: instant(),
  },
});
export type RateCard = InferEntity<typeof RateCard>;

/** How a version's rates were worked out, so that anybody can do the sum again. */
export type Derivation =
  | DerivedTerms
  /** Stated with finer prices, or ratios, than rates can hold; this is what was stated. */
  | { readonly kind: 'rounded'; readonly stated: StatedPrices };

export interface DerivedTerms {
  readonly kind: 'derived';
  readonly baseVersionId: string;
  /** Added to each rate, in hundredths of a per cent; negative for a discount. */
  readonly basisPoints: number;
  /** Null where the currency is the same. */
  readonly exchangeRateId: string | null;
}

/** How much of the quote currency one of the base currency buys, from an instant on; superseded, never edited. */
export const ExchangeRate = defineEntity({
  name: 'ExchangeRate',
  properties: {
    id: p.uuid().primary(),
    baseCurrency: p.text(),
    quoteCurrency: p.text(),
    /** A plain decimal, as it was stated. */
    rate: p.text(),
    effectiveFrom: instant(),
    source: p.text(),
    createdAt: instant(),
  },
});
export type ExchangeRate = InferEntity<typeof ExchangeRate>;

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
    serviceTiers: p.json().$type<SharedVersion['serviceTiers']>(),
    windows: p.json().$type<SharedVersion['windows']>(),
    freeTokensPerMonth: p.bigint('number'),
    /** How the rates came about, where they are not just what somebody stated. */
    derivation: p.json().$type<Derivation>().strictNullable(),
    /** Where the prices come from: a vendor's page, the catalogue library and its version, a person's decision. */
    source: p.text(),
    createdAt: instant(),
  },
});
export type RateCardVersion = InferEntity<typeof RateCardVersion>;
