import { describe, expect, test } from 'vitest';
import { dearestPriceOf } from './dearest-price.js';
import { priceCall, priceOf, UnpricedDimensionError, type PriceContext } from './price-of.js';
import { ANSWER_DIMENSIONS, DIMENSIONS, PROMPT_DIMENSIONS, rateCardVersionSchema } from './rate-card.js';
import type { RateCardVersion, ServiceTier, Usage } from './rate-card.js';
import { isWithinWindow } from './time-window.js';

/** Prices by example; `test/prices` holds the same functions against a second telling of the rules. */
const NOON: PriceContext = { at: Date.parse('2026-11-25T12:00:00Z') };

const makeVersion = (parts: object): RateCardVersion =>
  rateCardVersionSchema.parse({ id: crypto.randomUUID(), effectiveFrom: 0, currency: 'USD', rates: {}, ...parts });

describe('a price', () => {
  test.each(DIMENSIONS.filter((dimension) => dimension !== 'request'))(
    'of %s without a rate is refused, never zero',
    (dimension) => {
      const price = (): bigint =>
        priceOf({ [dimension]: 1 }, makeVersion({ rates: { request: '5' } }), { ...NOON, freeTokens: 9 });
      expect(price).toThrow(new UnpricedDimensionError(dimension));
    },
  );

  test('of a request is zero where the card does not name it', () => {
    expect(priceOf({ request: 3 }, makeVersion({}), NOON)).toBe(0n);
    expect(priceOf({ request: 3 }, makeVersion({ rates: { request: '7' } }), NOON)).toBe(21n);
  });

  test('of a document as it was before there were service tiers and hours is what it was', () => {
    const card = rateCardVersionSchema.parse({
      ...{
        id: crypto.randomUUID(),
        effectiveFrom: 0,
        currency: 'USD',
        rates: { input: '3', output: '7', cacheRead: '1' },
      },
      contextTiers: [{ aboveInputTokens: 1000, rates: { input: '6', output: '11' } }],
    });
    expect(priceOf({ input: 999, cacheRead: 1, output: 13, reasoning: 2 }, card, NOON)).toBe(999n * 3n + 1n + 15n * 7n);
    expect(priceOf({ input: 1000, cacheRead: 1, output: 13 }, card, { ...NOON, serviceTier: 'flex' })).toBe(
      1000n * 6n + 1n + 13n * 11n,
    );
  });
});

describe('a context tier', () => {
  const card = makeVersion({
    rates: { input: '2', output: '10' },
    contextTiers: [
      { aboveInputTokens: 100, rates: { input: '4' } },
      { aboveInputTokens: 200, rates: { input: '8', output: '30' } },
    ],
  });

  test.each(PROMPT_DIMENSIONS)(
    'is a cliff in the whole prompt: one token of %s more changes every rate that it names',
    (dimension) => {
      const price = (more: number): bigint =>
        priceOf({ input: 150, [dimension]: (dimension === 'input' ? 150 : 0) + more, output: 1 }, card, NOON);
      expect(price(50)).toBe(200n * 4n + 10n);
      expect(price(51)).toBe(201n * 8n + 30n);
    },
  );

  test.each(ANSWER_DIMENSIONS)('does not count %s', (dimension) => {
    expect(priceOf({ input: 100, [dimension]: 5000 }, card, NOON)).toBe(200n + 50_000n);
  });

  test('of several the highest that applies counts alone', () => {
    const odd = makeVersion({
      ...card,
      contextTiers: [...card.contextTiers, { aboveInputTokens: 300, rates: { output: '1' } }],
    });
    expect(priceOf({ input: 301, output: 1 }, odd, NOON)).toBe(301n * 2n + 1n);
  });
});

describe('a service tier', () => {
  const card = makeVersion({
    rates: { input: '20', output: '100', webSearch: '7' },
    contextTiers: [{ aboveInputTokens: 100, rates: { input: '40' } }],
    serviceTiers: {
      batch: { rates: { input: '10', output: '50' } },
      priority: { rates: { input: '35' }, contextTiers: [{ aboveInputTokens: 100, rates: { input: '70' } }] },
    },
  });
  const price = (serviceTier: ServiceTier, usage: Usage): bigint => priceOf(usage, card, { ...NOON, serviceTier });

  test('has its own rates, its own cliffs, and the standard ones for what it does not name', () => {
    expect(price('batch', { input: 1, output: 1, webSearch: 1 })).toBe(10n + 50n + 7n);
    expect(price('batch', { input: 101 })).toBe(1010n);
    expect(price('priority', { input: 100, output: 1 })).toBe(3500n + 100n);
    expect(price('priority', { input: 101 })).toBe(7070n);
    expect(price('flex', { input: 101, output: 1 })).toBe(price('standard', { input: 101, output: 1 }));
  });
});

describe('hours of the day', () => {
  const berlin = { timeZone: 'Europe/Berlin', days: [1, 2, 3, 4, 5, 6, 7], fromMinute: 150, toMinute: 210 };
  const rates = { input: '10' };
  const card = makeVersion({ rates, windows: [{ ...berlin, rates: { input: '1' } }] });
  const at = (instant: string): bigint => priceOf({ input: 1 }, card, { at: Date.parse(instant) });

  test('begin and end to the millisecond, by the instant of admission', () => {
    expect(at('2026-01-15T01:29:59.999Z')).toBe(10n);
    expect(at('2026-01-15T01:30:00.000Z')).toBe(1n);
    expect(at('2026-01-15T02:29:59.999Z')).toBe(1n);
    expect(at('2026-01-15T02:30:00.000Z')).toBe(10n);
  });

  test('follow summer time: an hour earlier by UTC, half of it skipped in spring, half of it twice in autumn', () => {
    expect([at('2026-07-15T00:29:59Z'), at('2026-07-15T00:30:00Z'), at('2026-07-15T01:30:00Z')]).toEqual([
      10n,
      1n,
      10n,
    ]);
    // 29 March 2026: after 01:59:59 comes 03:00:00.
    expect([at('2026-03-29T00:59:59Z'), at('2026-03-29T01:00:00Z'), at('2026-03-29T01:30:00Z')]).toEqual([
      10n,
      1n,
      10n,
    ]);
    // 25 October 2026: after 02:59:59 comes 02:00:00.
    expect([at('2026-10-25T00:30:00Z'), at('2026-10-25T00:59:59Z')]).toEqual([1n, 1n]);
    expect([at('2026-10-25T01:00:00Z'), at('2026-10-25T01:30:00Z')]).toEqual([10n, 1n]);
    expect([at('2026-10-25T02:29:59Z'), at('2026-10-25T02:30:00Z')]).toEqual([1n, 10n]);
  });

  test('over midnight belong to the day on which they begin', () => {
    const night = { timeZone: 'Asia/Shanghai', days: [5], fromMinute: 1380, toMinute: 60 };
    const within = (local: string): boolean => isWithinWindow(night, Date.parse(`${local}:00+08:00`));
    expect([within('2026-11-27T22:59'), within('2026-11-27T23:00'), within('2026-11-28T00:59')]).toEqual([
      false,
      true,
      true,
    ]);
    expect([within('2026-11-28T01:00'), within('2026-11-28T23:30'), within('2026-11-27T00:30')]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('of several the first that is open counts, for the service tiers that it names', () => {
    const card2 = makeVersion({
      rates,
      serviceTiers: { batch: { rates: { input: '5' } } },
      windows: [
        { ...berlin, fromMinute: 0, toMinute: 1440, days: [6], rates: { input: '2' } },
        { ...berlin, fromMinute: 0, toMinute: 1440, rates: { input: '3' }, serviceTiers: ['standard', 'batch'] },
      ],
    });
    const on = (day: string, serviceTier: ServiceTier): bigint =>
      priceOf({ input: 1 }, card2, { at: Date.parse(`${day}T12:00Z`), serviceTier });
    expect([on('2026-11-28', 'standard'), on('2026-11-28', 'batch'), on('2026-11-28', 'flex')]).toEqual([2n, 3n, 10n]);
    expect(on('2026-11-27', 'standard')).toBe(3n);
  });

  test.each(['Mars/Olympus', '+02:00', ''])('in %o are refused', (timeZone) => {
    const stated = { ...card, windows: [{ ...berlin, timeZone, rates }] };
    expect(rateCardVersionSchema.safeParse(stated).success).toBe(false);
  });
});

describe('a free allowance', () => {
  test('covers tokens in the order of the dimensions, nothing else, and does not move the call to another tier', () => {
    const card = makeVersion({
      rates: { input: '1', output: '10', image: '100', request: '1000' },
      contextTiers: [{ aboveInputTokens: 5, rates: { output: '20' } }],
    });
    const usage = { input: 6, output: 3, image: 1, request: 1 };
    expect(priceCall(usage, card, { ...NOON, freeTokens: 7 })).toEqual({ amount: 40n + 1100n, freeTokens: 7 });
    expect(priceCall(usage, card, { ...NOON, freeTokens: 99 })).toEqual({ amount: 1100n, freeTokens: 9 });
  });
});

describe('the dearest price', () => {
  test('takes a cheaper long-context tier for no reason to reserve less', () => {
    const card = makeVersion({
      rates: { input: '10' },
      contextTiers: [{ aboveInputTokens: 100, rates: { input: '1' } }],
    });
    expect(dearestPriceOf({ inputTokens: 500, outputTokens: 0 }, card)).toBe(1000n);
    expect(dearestPriceOf({ inputTokens: 5000, outputTokens: 0 }, card)).toBe(5000n);
  });

  test('is refused where the call could use what nothing prices', () => {
    const card = makeVersion({ rates: { input: '1' } });
    expect(() => dearestPriceOf({ inputTokens: 1, outputTokens: 1 }, card)).toThrow(
      new UnpricedDimensionError('output'),
    );
    expect(() => dearestPriceOf({ inputTokens: 1, outputTokens: 0, webSearches: 1 }, card)).toThrow(
      UnpricedDimensionError,
    );
    expect(dearestPriceOf({ inputTokens: 2, outputTokens: 0 }, card)).toBe(2n);
  });
});
