import { z } from 'zod';
import { formatAmount, parseAmount } from '@pingtoken/shared/money';
import { DIMENSIONS, type Dimension, type RateCardVersion } from '@pingtoken/shared/rate-card';

/**
 * Prices as people write them. Tokens are quoted per million, everything else per piece; both become units for one of a
 * dimension, exactly: a price that would have to be rounded is refused.
 */
export interface Price {
  readonly dimension: Dimension;
  /** Decimal, such as `2.50`. */
  readonly amount: string;
}

type Rates = RateCardVersion['rates'];

const PER_PIECE: ReadonlySet<Dimension> = new Set(['image', 'request', 'webSearch']);

/** How many of a dimension a quoted price buys. */
function quotedPer(dimension: Dimension): bigint {
  return PER_PIECE.has(dimension) ? 1n : 1_000_000n;
}

/** Above this a price is a slip of the keyboard. */
const MAX_PRICE = parseAmount('1000000');
/** Beyond these decimal places a price is not a whole number of units any more. */
const MAX_DECIMALS = { perMillion: 6, perPiece: 12 };

const priceSchema = z
  .object({ dimension: z.enum(DIMENSIONS), amount: z.string().max(40) })
  .superRefine(({ dimension, amount }, context) => {
    const decimals = PER_PIECE.has(dimension) ? MAX_DECIMALS.perPiece : MAX_DECIMALS.perMillion;
    const refuse = (message: string): void => {
      context.addIssue({ code: 'custom', path: ['amount'], message });
    };
    if (!/^\d+(?:\.\d+)?$/.test(amount)) refuse('a decimal number that is not negative, such as "2.50"');
    else if ((amount.split('.')[1] ?? '').replace(/0+$/, '').length > decimals) {
      refuse(`at most ${decimals} decimal places, so that nothing is rounded`);
    } else if (parseAmount(amount) > MAX_PRICE) refuse('at most 1000000');
  });

/** At least one price, at most one for a dimension. */
export const pricesSchema = z
  .array(priceSchema)
  .min(1)
  .superRefine((prices, context) => {
    const seen = new Set<Dimension>();
    for (const [index, { dimension }] of prices.entries()) {
      if (seen.has(dimension)) {
        context.addIssue({ code: 'custom', path: [index, 'dimension'], message: 'is priced twice' });
      }
      seen.add(dimension);
    }
  });

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
    prices.map(({ dimension, amount }) => [dimension, parseAmount(amount, quotedPer(dimension)).toString()]),
  );
}

/** The prices that rates were made from, in the order of the dimensions. */
export function toPrices(rates: Rates): Price[] {
  return DIMENSIONS.flatMap((dimension) => {
    const rate = rates[dimension];
    return rate === undefined ? [] : [{ dimension, amount: formatAmount(BigInt(rate) * quotedPer(dimension)) }];
  });
}
