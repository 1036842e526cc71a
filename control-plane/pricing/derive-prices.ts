import { divideHalfEven } from '@pingtoken/shared/money';
import type { CardPrices } from '@pingtoken/shared/rate-card';
import { mapTable } from './card-prices.js';

export interface DerivationTerms {
  /** Added to each rate, in hundredths of a per cent; from -10000 (free) on. */
  readonly basisPoints: number;
  /** A decimal: how much of the derived card's currency one of the base card's buys; null where it is the same. */
  readonly exchangeRate: string | null;
}

const WHOLE = 10_000n;

/**
 * A card's prices with a markup or a discount, in this or another currency. Each rate is rounded once, half to even, whatever
 * is applied; an event is then priced by the result with integers alone, like by any other card.
 */
export function derivePrices(base: CardPrices, { basisPoints, exchangeRate }: DerivationTerms): CardPrices {
  const [whole = '', fraction = ''] = (exchangeRate ?? '1').split('.');
  const numerator = (WHOLE + BigInt(basisPoints)) * BigInt(whole + fraction);
  const denominator = WHOLE * 10n ** BigInt(fraction.length);
  const change = (rate: bigint): bigint => divideHalfEven(rate * numerator, denominator);
  return {
    ...mapTable(base, change),
    serviceTiers: Object.fromEntries(
      Object.entries(base.serviceTiers).map(([serviceTier, table]) => [serviceTier, mapTable(table, change)]),
    ),
    windows: base.windows.map((window) => ({ ...window, ...mapTable(window, change) })),
  };
}
