import fc from 'fast-check';
import { DIMENSIONS, rateCardVersionSchema, SERVICE_TIERS, SPECIAL_TIERS } from '@pingtoken/shared/rate-card';
import type { Dimension, PriceTable, RateCardVersion, Rates, Usage } from '@pingtoken/shared/rate-card';
import type { PriceContext } from '@pingtoken/shared/price-of';

/** Usages, cards and contexts for property tests of prices. */

/** A version of a card, with what a test wants of it. */
export const makeVersion = (parts: object): RateCardVersion =>
  rateCardVersionSchema.parse({ id: crypto.randomUUID(), effectiveFrom: 0, currency: 'USD', rates: {}, ...parts });

// Rates go far beyond what a double holds; counts and bounds meet, so that cliffs are stood upon.
const rate = fc.bigInt({ min: 0n, max: 10n ** 24n }).map(String);
export const count = fc.oneof(fc.integer({ min: 0, max: 12 }), fc.nat(2_000_000_000));
const dimensionRecord = <Value>(value: fc.Arbitrary<Value>, requiredKeys: Dimension[] = []) =>
  fc.record(Object.fromEntries(DIMENSIONS.map((dimension) => [dimension, value])) as Record<Dimension, typeof value>, {
    requiredKeys,
  }) as fc.Arbitrary<Partial<Record<Dimension, Value>>>;
export const usages: fc.Arbitrary<Usage> = dimensionRecord(count);
export const fullRates: fc.Arbitrary<Rates> = dimensionRecord(rate, [
  ...(['input', 'output', 'image', 'webSearch', 'audioSeconds', 'characters'] as const),
]);
const contextTiers = (rates: fc.Arbitrary<Rates>) =>
  fc
    .uniqueArray(
      fc.record({
        aboveInputTokens: fc.oneof(
          fc.integer({ min: 1, max: 12 }),
          count.filter((n) => n > 0),
        ),
        rates,
      }),
      {
        selector: ({ aboveInputTokens }) => aboveInputTokens,
        maxLength: 3,
      },
    )
    .map((tiers) => tiers.toSorted((a, b) => a.aboveInputTokens - b.aboveInputTokens));
const table: fc.Arbitrary<PriceTable> = fc.record({
  rates: dimensionRecord(rate),
  contextTiers: contextTiers(dimensionRecord(rate)),
});
/** Milliseconds since 1970. */
export const instants = fc.integer({ min: Date.parse('2020-01-01'), max: Date.parse('2035-01-01') });
const zones = fc.constantFrom(
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Pacific/Apia',
);
export const hours = fc.record({
  timeZone: zones,
  days: fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
  fromMinute: fc.integer({ min: 0, max: 1439 }),
  toMinute: fc.integer({ min: 1, max: 1440 }),
});
const windows = fc.tuple(hours, table, fc.uniqueArray(fc.constantFrom(...SERVICE_TIERS), { minLength: 1 }));
/** Cards without service tiers or hours. */
export const plainCards: fc.Arbitrary<RateCardVersion> = fc
  .record({ rates: fullRates, contextTiers: contextTiers(dimensionRecord(rate)) })
  .map(makeVersion);
/** Every feature of a card at once. What every call needs has a rate. */
export const cards: fc.Arbitrary<RateCardVersion> = fc
  .record({
    rates: fullRates,
    contextTiers: contextTiers(dimensionRecord(rate)),
    serviceTiers: fc.record(
      Object.fromEntries(SPECIAL_TIERS.map((tier) => [tier, table])) as Record<string, typeof table>,
      { requiredKeys: [] },
    ),
    windows: fc.array(
      windows.map(([clock, prices, serviceTiers]) => ({ ...clock, ...prices, serviceTiers })),
      { maxLength: 3 },
    ),
  })
  .map(makeVersion);
export const contexts: fc.Arbitrary<PriceContext> = fc.record({
  at: instants,
  serviceTier: fc.constantFrom(...SERVICE_TIERS),
  freeTokens: fc.oneof(fc.constant(0), count),
});
