import { z } from 'zod';

/**
 * What a call can be charged for. The counts of one call are disjoint: a token read from a cache is counted under
 * `cacheRead` and not under `input` too, a reasoning token not under `output` too. Translators make them so.
 */
export const DIMENSIONS = [
  'input',
  'output',
  'cacheRead',
  'cacheWrite5m',
  'cacheWrite1h',
  'reasoning',
  'audioInput',
  'audioOutput',
  'image',
  'request',
  'webSearch',
] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** Non-negative integer counts by dimension; a dimension that is absent counts zero. */
export const usageSchema = z.partialRecord(z.enum(DIMENSIONS), z.int().nonnegative());
export type Usage = z.infer<typeof usageSchema>;

/** Units (10^-12 of the currency) for one of a dimension, as an integer in a string: JSON numbers lose large ones. */
const rateSchema = z.string().regex(/^\d{1,30}$/);
const ratesSchema = z.partialRecord(z.enum(DIMENSIONS), rateSchema);

/** A version of a card: superseded by a later one, never edited, so that any past call can be priced again. */
export const rateCardVersionSchema = z.object({
  id: z.uuid(),
  /** Milliseconds since 1970; in force until the next version's. */
  effectiveFrom: z.int(),
  currency: z.string().length(3),
  rates: ratesSchema,
  /**
   * Long-context prices, a cliff: when a call's whole prompt is longer than `aboveInputTokens`, every rate that the tier
   * names holds for all of the call. Ascending; the highest that applies wins.
   */
  contextTiers: z.array(z.object({ aboveInputTokens: z.int().positive(), rates: ratesSchema })).default([]),
});
export type RateCardVersion = z.infer<typeof rateCardVersionSchema>;

/** Where a card states no rate of its own for a dimension, the vendor bills it as this one. */
const BILLED_AS: Partial<Record<Dimension, Dimension>> = {
  cacheRead: 'input',
  cacheWrite5m: 'input',
  cacheWrite1h: 'cacheWrite5m',
  audioInput: 'input',
  reasoning: 'output',
  audioOutput: 'output',
};

const PROMPT_DIMENSIONS = ['input', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h', 'audioInput'] as const;

/** A call used a dimension for which its card, its fallbacks included, states no rate. */
export class UnpricedDimensionError extends Error {
  constructor(readonly dimension: Dimension) {
    super(`the rate card has no rate for ${dimension}`);
    this.name = 'UnpricedDimensionError';
  }
}

/**
 * The one price function of the platform: integer times integer, summed; nothing is rounded.
 * @returns units (10^-12 of the card's currency)
 * @throws UnpricedDimensionError when something was used that the card cannot price; `request` alone may be unstated
 */
export function priceOf(usage: Usage, card: RateCardVersion): bigint {
  const promptTokens = PROMPT_DIMENSIONS.reduce((sum, dimension) => sum + (usage[dimension] ?? 0), 0);
  const tier = card.contextTiers.findLast((candidate) => promptTokens > candidate.aboveInputTokens);
  const rates = { ...card.rates, ...tier?.rates };
  let total = 0n;
  for (const dimension of DIMENSIONS) {
    const count = usage[dimension] ?? 0;
    if (count > 0) total += BigInt(count) * rateOf(dimension, rates);
  }
  return total;
}

/** @returns the version in force at an instant, or undefined before the first. Versions come in order of `effectiveFrom`. */
export function versionInForce(versions: readonly RateCardVersion[], atMs: number): RateCardVersion | undefined {
  return versions.findLast((version) => version.effectiveFrom <= atMs);
}

function rateOf(dimension: Dimension, rates: z.infer<typeof ratesSchema>): bigint {
  for (let key: Dimension | undefined = dimension; key !== undefined; key = BILLED_AS[key]) {
    const rate = rates[key];
    if (rate !== undefined) return BigInt(rate);
  }
  if (dimension === 'request') return 0n;
  throw new UnpricedDimensionError(dimension);
}
