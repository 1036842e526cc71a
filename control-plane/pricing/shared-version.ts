import type { RateCardVersion as SharedVersion } from '@pingtoken/shared/rate-card';
import type { RateCardVersion } from './entities.js';

/** A stored version as both planes know it. */
export function toSharedVersion(version: RateCardVersion): SharedVersion {
  return {
    id: version.id,
    effectiveFrom: version.effectiveFrom.getTime(),
    currency: version.currency,
    rates: version.rates,
    contextTiers: version.contextTiers,
    serviceTiers: version.serviceTiers,
    windows: version.windows,
    freeTokensPerMonth: version.freeTokensPerMonth,
  };
}
