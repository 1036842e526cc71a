import { z } from 'zod';
import { formatAmount, isExactAmount, parseAmount } from '@pingtoken/shared/money';
import { DIMENSIONS, isTokenDimension, type Dimension, type Rates } from '@pingtoken/shared/rate-card';

/**
 * Prices as people write them. Tokens and characters are quoted per million, everything else per piece, or however else the
 * vendor does it; all become units for one of a dimension. A price that is no whole number of units for one is refused, unless
 * it is said to be rounded.
 */
export interface Price {
  readonly dimension: Dimension;
  /** Decimal, such as `2.50`. */
  readonly amount: string;
  /** How many of the dimension the amount buys, such as 60 seconds. */
  readonly per?: number | null | undefined;
  /** To the nearest unit for one, half to even: the one rounding of the price, made with the version. */
  readonly round?: boolean | null | undefined;
}

/** How many of a dimension a price buys where it does not say. */
function quotedPer(dimension: Dimension): number {
  return isTokenDimension(dimension) || dimension === 'characters' ? 1_000_000 : 1;
}

function divisorOf({ dimension, per }: Pick<Price, 'dimension' | 'per'>): bigint {
  return BigInt(per ?? quotedPer(dimension));
}

/** Above this a price is a slip of the keyboard. */
const MAX_PRICE = parseAmount('1000000');

const priceSchema = z
  .object({
    dimension: z.enum(DIMENSIONS),
    amount: z.string().max(40),
    per: z.int().positive().max(1_000_000_000).nullish(),
    round: z.boolean().nullish(),
  })
  .superRefine((price, context) => {
    const { amount, per, round } = price;
    // Refused already; nothing can be divided by it.
    if (per != null && !(Number.isSafeInteger(per) && per > 0)) return;
    const refuse = (message: string): void => {
      context.addIssue({ code: 'custom', path: ['amount'], message });
    };
    if (!/^\d+(?:\.\d+)?$/.test(amount)) refuse('a decimal number that is not negative, such as "2.50"');
    else if (parseAmount(amount) > MAX_PRICE) refuse('at most 1000000');
    else if (round !== true && !isExactAmount(amount, divisorOf(price))) {
      refuse('is no whole number of 10^-12 for one; say that it is to be rounded');
    }
  });

function refuseTwice(prices: readonly Price[], context: z.RefinementCtx): void {
  const seen = new Set<Dimension>();
  for (const [index, { dimension }] of prices.entries()) {
    if (seen.has(dimension)) {
      context.addIssue({ code: 'custom', path: [index, 'dimension'], message: 'is priced twice' });
    }
    seen.add(dimension);
  }
}

/** At most one price for a dimension. */
export const anyPricesSchema = z.array(priceSchema).superRefine(refuseTwice);
/** At least one. */
export const pricesSchema = z.array(priceSchema).min(1).superRefine(refuseTwice);

export const contextTiersSchema = z
  .array(z.object({ aboveInputTokens: z.int().positive().max(1_000_000_000), prices: pricesSchema }))
  .max(10)
  .refine(
    (tiers) =>
      tiers.every((tier, index) => index === 0 || (tiers[index - 1]?.aboveInputTokens ?? 0) < tier.aboveInputTokens),
    'must ascend by aboveInputTokens',
  );

/** @param prices checked by {@link pricesSchema} */
export function toRates(prices: readonly Price[]): Rates {
  return Object.fromEntries(
    prices.map((price) => [price.dimension, parseAmount(price.amount, divisorOf(price)).toString()]),
  );
}

/** Whether {@link toRates} rounds any of them. */
export function isRounded(prices: readonly Price[]): boolean {
  return prices.some((price) => !isExactAmount(price.amount, divisorOf(price)));
}

/** The prices that rates amount to, per million or per piece, in the order of the dimensions. */
export function toPrices(rates: Rates): Price[] {
  return DIMENSIONS.flatMap((dimension) => {
    const rate = rates[dimension];
    return rate === undefined ? [] : [{ dimension, amount: formatAmount(BigInt(rate) * BigInt(quotedPer(dimension))) }];
  });
}
