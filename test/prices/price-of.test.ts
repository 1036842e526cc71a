import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { priceCall, priceLines, priceOf, type PriceContext } from '@pingtoken/shared/price-of';
import { DIMENSIONS, isTokenDimension, versionInForce } from '@pingtoken/shared/rate-card';
import type { Dimension, PriceTable, RateCardVersion, Rates, Usage } from '@pingtoken/shared/rate-card';
import { isWithinWindow } from '@pingtoken/shared/time-window';
import { cards, contexts, fullRates, hours, instants, makeVersion, usages } from '../kit/rate-card-values.js';

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
});

describe('hours of the day', () => {
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
