import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cards, contexts, fullRates, hours, instants, makeVersion, usages } from '../test/kit/rate-card-values.js';
import { priceCall, priceLines, priceOf, UnpricedDimensionError, type PriceContext } from './price-of.js';
import { ANSWER_DIMENSIONS, DIMENSIONS, isTokenDimension, PROMPT_DIMENSIONS } from './rate-card.js';
import { rateCardVersionSchema, versionInForce } from './rate-card.js';
import type { Dimension, PriceTable, RateCardVersion, Rates, ServiceTier, Usage } from './rate-card.js';
import { isWithinWindow } from './time-window.js';

const NOON: PriceContext = { at: Date.parse('2026-11-25T12:00:00Z') };

/** The same rules once more, written down as one would tell them, without plans or caches. */
function referencePrice(
  usage: Usage,
  card: RateCardVersion,
  { at, serviceTier = 'standard', freeTokens = 0 }: PriceContext,
): bigint {
  const sum = (dimensions: readonly Dimension[]): number =>
    dimensions.reduce((total, dimension) => total + (usage[dimension] ?? 0), 0);
  const prompt = sum(['input', 'cacheRead', 'cacheWrite5m', 'cacheWrite1h', 'audioInput', 'imageInput']);
  const flat = ({ rates, contextTiers: tiers }: PriceTable): Rates => ({
    ...rates,
    ...tiers.filter(({ aboveInputTokens }) => prompt > aboveInputTokens).at(-1)?.rates,
  });
  const window = card.windows.find((each) => each.serviceTiers.includes(serviceTier) && isInReferenceWindow(each, at));
  const rates: Rates = {
    ...flat(card),
    ...(serviceTier !== 'standard' && flat(card.serviceTiers[serviceTier] ?? { rates: {}, contextTiers: [] })),
    ...(window !== undefined && flat(window)),
  };
  const parents: Partial<Record<Dimension, Dimension>> = {
    ...{
      cacheRead: 'input',
      cacheWrite5m: 'input',
      cacheWrite1h: 'cacheWrite5m',
      audioInput: 'input',
      imageInput: 'input',
    },
    ...{ reasoning: 'output', audioOutput: 'output', imageOutput: 'output' },
  };
  const rateOf = (dimension: Dimension): bigint => {
    const parent = parents[dimension];
    return BigInt(rates[dimension] ?? (parent === undefined ? 0n : rateOf(parent)));
  };
  let free = freeTokens;
  return DIMENSIONS.reduce((total, dimension) => {
    const covered = isTokenDimension(dimension) ? Math.min(free, usage[dimension] ?? 0) : 0;
    free -= covered;
    return total + BigInt((usage[dimension] ?? 0) - covered) * rateOf(dimension);
  }, 0n);
}

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** Asks the runtime what the clock on the wall shows, for each instant anew. */
function isInReferenceWindow(window: Parameters<typeof isWithinWindow>[0], at: number): boolean {
  const shown = new Intl.DateTimeFormat('en-GB', {
    ...{ timeZone: window.timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
  }).formatToParts(at);
  const part = (type: string): string => shown.find((each) => each.type === type)?.value ?? '';
  const day = DAYS.indexOf(part('weekday')) + 1;
  const minute = Number(part('hour')) * 60 + Number(part('minute'));
  const { days, fromMinute: from, toMinute: to } = window;
  if (from < to) return days.includes(day) && minute >= from && minute < to;
  return (days.includes(day) && minute >= from) || (days.includes(((day + 5) % 7) + 1) && minute < to);
}

describe('a price', () => {
  test('is to the unit what the rules say, for any usage, card, hour, service tier and allowance', () => {
    fc.assert(
      fc.property(usages, cards, contexts, (usage, card, context) => {
        expect(priceOf(usage, card, context)).toBe(referencePrice(usage, card, context));
      }),
      { numRuns: 1000 },
    );
  });

  test('is the sum of its lines, whose free counts are what was taken', () => {
    fc.assert(
      fc.property(usages, cards, contexts, (usage, card, context) => {
        const lines = priceLines(usage, card, context);
        const { amount, freeTokens } = priceCall(usage, card, context);
        expect(lines.reduce((sum, line) => sum + line.amount, 0n)).toBe(amount);
        expect(lines.reduce((sum, line) => sum + line.freeCount, 0)).toBe(freeTokens);
        for (const line of lines) expect(line.amount).toBe(BigInt(line.count - line.freeCount) * line.rate);
      }),
    );
  });

  test('is linear while no cliff is passed: n calls cost n times one, in any order', () => {
    const flat = fullRates.map((rates) => makeVersion({ rates }));
    fc.assert(
      fc.property(fc.array(usages, { maxLength: 20 }), flat, (calls, card) => {
        const sum = (each: readonly Usage[]): bigint =>
          each.reduce((total, usage) => total + priceOf(usage, card, NOON), 0n);
        const together: Usage = {};
        for (const usage of calls) {
          for (const dimension of DIMENSIONS)
            together[dimension] = (together[dimension] ?? 0) + (usage[dimension] ?? 0);
        }
        expect(sum(calls)).toBe(priceOf(together, card, NOON));
        expect(sum(calls.toReversed())).toBe(sum(calls));
      }),
    );
  });

  test('does not depend on the order in which counts and rates are written down', () => {
    fc.assert(
      fc.property(usages, cards, contexts, (usage, card, context) => {
        const turned = <Value extends object>(value: Value): Value =>
          Object.fromEntries(Object.entries(value).toReversed()) as Value;
        const same = makeVersion({ ...card, rates: turned(card.rates), contextTiers: card.contextTiers.toReversed() });
        expect(priceOf(turned(usage), same, context)).toBe(priceOf(usage, card, context));
      }),
    );
  });

  test('of nothing is nothing, and a count of zero is as good as none', () => {
    fc.assert(
      fc.property(cards, contexts, (card, context) => {
        expect(priceOf({}, card, context)).toBe(0n);
        const zeros = Object.fromEntries(DIMENSIONS.map((dimension) => [dimension, 0]));
        expect(priceOf(zeros, card, context)).toBe(0n);
        expect(priceOf(zeros, makeVersion({}), context)).toBe(0n);
      }),
    );
  });

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

  test('agree with what the runtime says the clock shows, wherever and whenever', () => {
    const changes = fc.constantFrom(
      '2026-03-29T01:00Z',
      '2026-10-25T01:00Z',
      '2026-04-04T15:00Z',
      '2026-11-01T06:00Z',
      '2011-12-30T10:00Z',
    );
    const near = fc
      .tuple(changes, fc.integer({ min: -7_200_000, max: 7_200_000 }))
      .map(([change, offset]) => Date.parse(change) + offset);
    fc.assert(
      fc.property(hours, fc.oneof(instants, near), (window, instant) => {
        expect(isWithinWindow(window, instant)).toBe(isInReferenceWindow(window, instant));
      }),
      { numRuns: 3000 },
    );
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
  test('is never overdrawn, never above what the call counts, and only ever makes a call cheaper', () => {
    fc.assert(
      fc.property(usages, cards, contexts, (usage, card, context) => {
        const { amount, freeTokens } = priceCall(usage, card, context);
        const tokens = DIMENSIONS.filter(isTokenDimension).reduce((sum, dimension) => sum + (usage[dimension] ?? 0), 0);
        expect(freeTokens).toBe(Math.min(context.freeTokens ?? 0, tokens));
        expect(amount <= priceOf(usage, card, { ...context, freeTokens: 0 })).toBe(true);
      }),
    );
  });

  test('priced again with what it took, a call costs and takes the same', () => {
    fc.assert(
      fc.property(usages, cards, contexts, (usage, card, context) => {
        const first = priceCall(usage, card, context);
        expect(priceCall(usage, card, { ...context, freeTokens: first.freeTokens })).toEqual(first);
      }),
    );
  });

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

describe('supersession', () => {
  test('the version in force is the last that has begun, to the millisecond', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(50), { maxLength: 10 }), fc.integer({ min: -2, max: 55 }), (starts, at) => {
        const versions = starts.toSorted((a, b) => a - b).map((effectiveFrom) => makeVersion({ effectiveFrom }));
        const begun = starts.filter((start) => start <= at);
        const expected = begun.length === 0 ? undefined : Math.max(...begun);
        expect(versionInForce(versions, at)?.effectiveFrom).toBe(expected);
      }),
    );
  });
});
