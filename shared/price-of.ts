import { compileRateCard, type PriceRange, type RateOrigin } from './compile-rate-card.js';
import { DIMENSIONS, isTokenDimension, PROMPT_DIMENSIONS } from './rate-card.js';
import type { Dimension, RateCardVersion, ServiceTier, Usage } from './rate-card.js';

/** What the price of a call depends on beside its usage and its card. */
export interface PriceContext {
  /** Milliseconds since 1970, when the call was admitted. */
  readonly at: number;
  /** Standard if left out. */
  readonly serviceTier?: ServiceTier | undefined;
  /** What is left of the tenant's free allowance; none if left out. */
  readonly freeTokens?: number | undefined;
  /** What is charged of the price, in ten-thousandths; all of it if left out. */
  readonly share?: number | undefined;
}

/** The whole of a price, in the units of a share. */
export const FULL_SHARE = 10_000;

export interface CallPrice {
  /** Units (10^-12 of the card's currency). */
  readonly amount: bigint;
  /** How many of the free tokens the call has used up: at most those that were left, at most those that it counts. */
  readonly freeTokens: number;
}

/** One line of a price: a dimension, what of it is charged, and by which part of the card. */
export interface PriceLine {
  readonly dimension: Dimension;
  readonly count: number;
  /** Of `count`, what the free allowance covers. */
  readonly freeCount: number;
  /** Units for one. */
  readonly rate: bigint;
  /** `rate` times what is not free. */
  readonly amount: bigint;
  readonly billedAs: Dimension;
  readonly origin: RateOrigin | null;
}

/** A call used a dimension for which its card, its fallbacks included, states no rate. */
export class UnpricedDimensionError extends Error {
  constructor(readonly dimension: Dimension) {
    super(`the rate card has no rate for ${dimension}`);
    this.name = 'UnpricedDimensionError';
  }
}

const IS_TOKEN = DIMENSIONS.map(isTokenDimension);

/**
 * The one price function of the platform: integer times integer, summed; nothing is rounded, but that a share of a price is
 * rounded down to a unit. Markups, discounts, ratios and
 * exchange rates are part of the card's rates, worked out once when the version was made.
 * @returns units (10^-12 of the card's currency)
 * @throws UnpricedDimensionError when something was used that the card cannot price; `request` alone may be unstated
 */
export function priceOf(usage: Usage, card: RateCardVersion, context: PriceContext): bigint {
  return priceCall(usage, card, context).amount;
}

/**
 * {@link priceOf}, with what it took of the free allowance. Free tokens cover a call's tokens in the order of the dimensions.
 * Priced again with just what it took, the call costs the same and takes the same.
 */
export function priceCall(usage: Usage, card: RateCardVersion, context: PriceContext): CallPrice {
  const { cells } = findRange(usage, card, context);
  const share = context.share ?? FULL_SHARE;
  // What is given away takes nothing of the allowance.
  const free = share === 0 ? 0 : (context.freeTokens ?? 0);
  let left = free;
  let amount = 0n;
  // On the way of every event: no closures and no objects.
  for (let index = 0; index < DIMENSIONS.length; index += 1) {
    const dimension = DIMENSIONS[index];
    if (dimension === undefined) break;
    const count = usage[dimension] ?? 0;
    if (count === 0) continue;
    const cell = cells[index];
    if (cell === undefined) throw new UnpricedDimensionError(dimension);
    const covered = IS_TOKEN[index] === true && left > 0 ? Math.min(left, count) : 0;
    left -= covered;
    amount += BigInt(count - covered) * cell.rate;
  }
  if (share !== FULL_SHARE) amount = (amount * BigInt(share)) / BigInt(FULL_SHARE);
  return { amount, freeTokens: free - left };
}

/** {@link priceOf} line by line, for whoever is to see how a price comes about; the lines sum to it. */
export function priceLines(usage: Usage, card: RateCardVersion, context: PriceContext): PriceLine[] {
  const { cells } = findRange(usage, card, context);
  let left = context.freeTokens ?? 0;
  return DIMENSIONS.flatMap((dimension, index) => {
    const count = usage[dimension] ?? 0;
    if (count === 0) return [];
    const cell = cells[index];
    if (cell === undefined) throw new UnpricedDimensionError(dimension);
    const freeCount = isTokenDimension(dimension) ? Math.min(left, count) : 0;
    left -= freeCount;
    return [{ dimension, count, freeCount, amount: BigInt(count - freeCount) * cell.rate, ...cell }];
  });
}

function findRange(usage: Usage, card: RateCardVersion, { at, serviceTier = 'standard' }: PriceContext): PriceRange {
  const plan = compileRateCard(card).planAt(serviceTier, at);
  let promptTokens = 0;
  for (const dimension of PROMPT_DIMENSIONS) promptTokens += usage[dimension] ?? 0;
  const range = plan.findLast(({ aboveInputTokens }) => promptTokens > aboveInputTokens);
  if (range === undefined) throw new RangeError('a count is negative');
  return range;
}
