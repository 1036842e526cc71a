import { z } from 'zod';
import { isTimeZone } from './time-window.js';

/**
 * What a call can be charged for. The counts of one call are disjoint: a token read from a cache is counted under
 * `cacheRead` and not under `input` too, a reasoning token not under `output` too. Translators make them so.
 *
 * Tokens: the first ten. `image`: pictures made, where a vendor charges by the piece. `request`: calls. `webSearch`: searches
 * made. `audioSeconds`: seconds of sound heard or made, each one that was begun counted whole. `characters`: characters
 * (Unicode code points) of text to be spoken.
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
  'imageInput',
  'imageOutput',
  'image',
  'request',
  'webSearch',
  'audioSeconds',
  'characters',
] as const;
export type Dimension = (typeof DIMENSIONS)[number];

/** The tokens of a prompt; together they decide about the context tier. */
export const PROMPT_DIMENSIONS = [
  'input',
  'cacheRead',
  'cacheWrite5m',
  'cacheWrite1h',
  'audioInput',
  'imageInput',
] as const satisfies readonly Dimension[];

/** The tokens of an answer. */
export const ANSWER_DIMENSIONS = [
  'output',
  'reasoning',
  'audioOutput',
  'imageOutput',
] as const satisfies readonly Dimension[];

const TOKEN_DIMENSIONS: ReadonlySet<Dimension> = new Set([...PROMPT_DIMENSIONS, ...ANSWER_DIMENSIONS]);

/** Whether the dimension counts tokens, which a free allowance is made of. */
export function isTokenDimension(dimension: Dimension): boolean {
  return TOKEN_DIMENSIONS.has(dimension);
}

/** Non-negative integer counts by dimension; a dimension that is absent counts zero. */
export const usageSchema = z.partialRecord(z.enum(DIMENSIONS), z.int().nonnegative());
export type Usage = z.infer<typeof usageSchema>;

/** How urgently a vendor served a call, where it sells that apart. */
export const SERVICE_TIERS = ['standard', 'batch', 'flex', 'priority'] as const;
export type ServiceTier = (typeof SERVICE_TIERS)[number];
export const serviceTierSchema = z.enum(SERVICE_TIERS);
/** Those that a card may state rates of their own for. */
export type SpecialTier = Exclude<ServiceTier, 'standard'>;
export const SPECIAL_TIERS = ['batch', 'flex', 'priority'] as const satisfies readonly SpecialTier[];

/** Units (10^-12 of the currency) for one of a dimension, as an integer in a string: JSON numbers lose large ones. */
const rateSchema = z.string().regex(/^\d{1,30}$/);
const ratesSchema = z.partialRecord(z.enum(DIMENSIONS), rateSchema);
export type Rates = z.infer<typeof ratesSchema>;

/** Rates, and what takes their place in calls with a long prompt. */
const priceTable = {
  rates: ratesSchema,
  /**
   * Long-context prices, a cliff: when a call's whole prompt is longer than `aboveInputTokens`, every rate that the tier
   * names holds for all of the call. Ascending; the highest that applies wins.
   */
  contextTiers: z.array(z.object({ aboveInputTokens: z.int().positive(), rates: ratesSchema })).default([]),
};
const priceTableSchema = z.object(priceTable);
export type PriceTable = z.infer<typeof priceTableSchema>;

/** See `WallClockWindow`. What counts is the instant at which the call was admitted. */
const timeWindowSchema = z.object({
  timeZone: z.string().max(64).refine(isTimeZone, 'is no time zone of the IANA database'),
  days: z.array(z.int().min(1).max(7)).min(1).max(7),
  fromMinute: z.int().min(0).max(1439),
  toMinute: z.int().min(1).max(1440),
  /** Calls of these service tiers go by the window, no others. */
  serviceTiers: z.array(serviceTierSchema).min(1).default(['standard']),
  ...priceTable,
});
export type TimeWindow = z.infer<typeof timeWindowSchema>;

/**
 * A version of a card: superseded by a later one, never edited, so that any past call can be priced again.
 *
 * Three tables may speak of one call, each more special than the one before: the card's own; that of the call's service tier;
 * the first window that the call was admitted in. Of a dimension's rates the most special one counts, and within a table that
 * of the context tier. What no special table names is charged by the general one: a service tier without rates of its own
 * costs what the standard costs.
 */
export const rateCardVersionSchema = z.object({
  id: z.uuid(),
  /** Milliseconds since 1970; in force until the next version's. */
  effectiveFrom: z.int(),
  currency: z.string().length(3),
  ...priceTable,
  serviceTiers: z.partialRecord(z.enum(SPECIAL_TIERS), priceTableSchema).default({}),
  windows: z.array(timeWindowSchema).max(20).default([]),
  /** Tokens that a tenant has for nothing in a calendar month (UTC) of one model; the worker keeps what is left. */
  freeTokensPerMonth: z.int().nonnegative().default(0),
});
export type RateCardVersion = z.infer<typeof rateCardVersionSchema>;

/** What a version states, without its name and its place in time: what one is made of. */
export type CardPrices = Pick<RateCardVersion, 'rates' | 'contextTiers' | 'serviceTiers' | 'windows'>;

/** @returns the version in force at an instant, or undefined before the first. Versions come in order of `effectiveFrom`. */
export function versionInForce(versions: readonly RateCardVersion[], atMs: number): RateCardVersion | undefined {
  return versions.findLast((version) => version.effectiveFrom <= atMs);
}
