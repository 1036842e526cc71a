import { compileRateCard, type PriceRange } from './compile-rate-card.js';
import { UnpricedDimensionError } from './price-of.js';
import { ANSWER_DIMENSIONS, DIMENSIONS, PROMPT_DIMENSIONS } from './rate-card.js';
import type { Dimension, RateCardVersion, ServiceTier } from './rate-card.js';

/** The most that a call can use; what is left out it cannot use at all, but for one `request`. */
export interface UsageBounds {
  /** Of all kinds of prompt tokens together. */
  readonly inputTokens: number;
  /** Of all kinds of answer tokens together. */
  readonly outputTokens: number;
  readonly images?: number;
  readonly requests?: number;
  readonly webSearches?: number;
  readonly audioSeconds?: number;
  readonly characters?: number;
}

/** What is bounded together is charged by the dearest dimension of its group. */
const GROUPS: readonly (readonly Dimension[])[] = [
  PROMPT_DIMENSIONS,
  ANSWER_DIMENSIONS,
  ['image'],
  ['request'],
  ['webSearch'],
  ['audioSeconds'],
  ['characters'],
];

/** The dearest rates of a range, by group; null where the range prices nothing of it. */
interface Ceiling {
  readonly aboveInputTokens: number;
  readonly upToInputTokens: number;
  readonly rates: readonly (bigint | null)[];
}

const ceilings = new WeakMap<RateCardVersion, readonly Ceiling[]>();

/**
 * The most that a call within bounds can cost, at whatever hour, by whatever service tier, and however its tokens turn out to
 * be divided among the dimensions. What admission reserves: {@link priceOf} of any usage within the bounds is never above it.
 * @returns units (10^-12 of the card's currency)
 * @throws UnpricedDimensionError when the call could use something that the card cannot price
 */
export function dearestPriceOf(bounds: UsageBounds, card: RateCardVersion): bigint {
  const counts = countsOf(bounds);
  let dearest = 0n;
  for (const ceiling of ceilingsOf(card)) {
    if (ceiling.aboveInputTokens >= bounds.inputTokens) continue;
    const price = priceAt(ceiling, counts);
    if (price > dearest) dearest = price;
  }
  return dearest;
}

export interface ManyCalls {
  /** Of all of them together. */
  readonly sum: UsageBounds;
  /** The most that one of them has; chooses which rates can apply. */
  readonly longestInputTokens: number;
  readonly serviceTier: ServiceTier;
  /** Milliseconds since 1970, when all of them are admitted. */
  readonly at: number;
}

/**
 * The most that many calls of one service tier, admitted at one instant, can cost together, whatever each of them takes of the
 * sum.
 * @returns units (10^-12 of the card's currency)
 * @throws UnpricedDimensionError when they could use something that the card cannot price
 */
export function dearestSumOf({ sum, longestInputTokens, serviceTier, at }: ManyCalls, card: RateCardVersion): bigint {
  const ranges = compileRateCard(card)
    .planAt(serviceTier, at)
    .filter(({ aboveInputTokens }) => aboveInputTokens < longestInputTokens)
    .map(toCeiling);
  let price = 0n;
  for (const [group, count] of countsOf(sum).entries()) {
    if (count === 0) continue;
    const rates = ranges.map(({ rates: all }) => all[group] ?? null).filter((rate) => rate !== null);
    if (rates.length === 0) throw new UnpricedDimensionError(GROUPS[group]?.[0] ?? 'request');
    price += BigInt(count) * rates.reduce((dearest, rate) => (rate > dearest ? rate : dearest));
  }
  return price;
}

function countsOf(bounds: UsageBounds): readonly number[] {
  return [
    bounds.inputTokens,
    bounds.outputTokens,
    bounds.images ?? 0,
    bounds.requests ?? 1,
    bounds.webSearches ?? 0,
    bounds.audioSeconds ?? 0,
    bounds.characters ?? 0,
  ];
}

function priceAt({ rates, upToInputTokens }: Ceiling, counts: readonly number[]): bigint {
  let price = 0n;
  for (const [group, bound] of counts.entries()) {
    // A call of this range has a prompt of at most its upper bound.
    const count = group === 0 ? Math.min(bound, upToInputTokens) : bound;
    if (count === 0) continue;
    const rate = rates[group];
    if (rate == null) throw new UnpricedDimensionError(GROUPS[group]?.[0] ?? 'request');
    price += BigInt(count) * rate;
  }
  return price;
}

/** Ranges that can be the dearest; most cards have one or two. */
function ceilingsOf(card: RateCardVersion): readonly Ceiling[] {
  const known = ceilings.get(card);
  if (known !== undefined) return known;
  const all = compileRateCard(card).plans.flatMap((plan) => plan.map(toCeiling));
  const kept: Ceiling[] = [];
  for (const ceiling of all) {
    if (kept.some((other) => covers(other, ceiling))) continue;
    kept.splice(0, kept.length, ...kept.filter((other) => !covers(ceiling, other)), ceiling);
  }
  ceilings.set(card, kept);
  return kept;
}

function toCeiling({ aboveInputTokens, upToInputTokens, cells }: PriceRange): Ceiling {
  const rates = GROUPS.map((group) =>
    group.reduce<bigint | null>((dearest, dimension) => {
      const rate = cells[DIMENSIONS.indexOf(dimension)]?.rate;
      return rate !== undefined && (dearest === null || rate > dearest) ? rate : dearest;
    }, null),
  );
  return { aboveInputTokens, upToInputTokens, rates };
}

/** Whether no call can be dearer by the one than by the other. Only a range that prices the same groups can say so. */
function covers(one: Ceiling, other: Ceiling): boolean {
  return (
    one.aboveInputTokens <= other.aboveInputTokens &&
    one.upToInputTokens >= other.upToInputTokens &&
    other.rates.every((rate, group) => {
      const mine = one.rates[group] ?? null;
      return rate === null ? mine === null : mine !== null && mine >= rate;
    })
  );
}
