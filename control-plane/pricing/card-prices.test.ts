import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { formatAmount, isExactAmount, parseAmount } from '@pingtoken/shared/money';
import { priceOf } from '@pingtoken/shared/price-of';
import { rateCardVersionSchema, type CardPrices, type PriceTable, type ServiceTier } from '@pingtoken/shared/rate-card';
import { cards, contexts, usages } from '../../test/kit/rate-card-values.js';
import { Refusal } from '../database/refusal.js';
import { hasRounding, statedPrices, toCardPrices, toClock } from './card-prices.js';
import { derivePrices } from './derive-prices.js';

const schema = z.object(statedPrices);
type Input = z.input<typeof schema>;

function read(input: Input): CardPrices {
  const prices = toCardPrices(schema.parse(input));
  if (prices instanceof Refusal) throw new Error(JSON.stringify(prices.errors));
  return prices;
}
const faults = (input: Input): string[] => {
  const parsed = schema.safeParse(input);
  if (!parsed.success) return parsed.error.issues.map(({ path }) => path.join('.'));
  const prices = toCardPrices(parsed.data);
  return prices instanceof Refusal ? prices.errors.map(({ path }) => path.join('.')) : [];
};
const amounts = (input: string, output = '10'): Input['prices'] => [
  { dimension: 'input', amount: input },
  { dimension: 'output', amount: output },
];
const price = (card: CardPrices, usage: object, serviceTier: ServiceTier = 'standard', at = 0): bigint => {
  const head = { id: crypto.randomUUID(), effectiveFrom: 0, currency: 'USD' };
  return priceOf(usage, rateCardVersionSchema.parse({ ...head, ...card }), { at, serviceTier });
};

describe('stated prices', () => {
  test('are per million tokens or characters, per piece of all else, or per what they say', () => {
    const { rates } = read({
      prices: [
        { dimension: 'input', amount: '2.5' },
        { dimension: 'characters', amount: '15' },
        { dimension: 'image', amount: '0.04' },
        { dimension: 'audioSeconds', amount: '0.006', per: 60 },
        { dimension: 'imageOutput', amount: '0.00004', per: 1 },
      ],
    });
    expect(rates).toEqual({
      ...{ input: '2500000', characters: '15000000', image: '40000000000' },
      ...{ audioSeconds: '100000000', imageOutput: '40000000' },
    });
  });

  test('that are no whole number of units are refused, or rounded once and kept as they were stated', () => {
    const minute = { dimension: 'audioSeconds', amount: '0.0077', per: 60 } as const;
    expect(faults({ prices: [minute] })).toEqual(['prices.0.amount']);
    const rounded: Input = { prices: [{ ...minute, round: true }] };
    expect(read(rounded).rates).toEqual({ audioSeconds: '128333333' });
    expect([hasRounding(schema.parse(rounded)), hasRounding(schema.parse({ prices: amounts('1') }))]).toEqual([
      true,
      false,
    ]);
  });
});

describe('a ratio', () => {
  const card = read({
    prices: [...amounts('2', '10'), { dimension: 'webSearch', amount: '0.01' }],
    contextTiers: [{ aboveInputTokens: 100, prices: [{ dimension: 'input', amount: '4' }] }],
    serviceTiers: [
      { serviceTier: 'batch', ratio: '0.5' },
      { serviceTier: 'priority', prices: amounts('5', '30') },
    ],
    windows: [
      { timeZone: 'UTC', days: [4], from: '00:00', to: '12:00', ratio: '0.25' },
      { timeZone: 'UTC', days: [4], from: '00:00', to: '12:00', ratio: '0.1', serviceTiers: ['batch'] },
    ],
  });
  const usage = (input: number): object => ({ input, output: 1, webSearch: 1 });
  // 1970 began on a Thursday, within the window; a day later it is closed.
  const friday = 86_400_000;

  test('of a service tier holds for every rate, in long contexts too', () => {
    for (const input of [100, 101]) {
      expect(price(card, usage(input), 'batch', friday) * 2n).toBe(price(card, usage(input), 'standard', friday));
    }
  });

  test('of an hour is a ratio of what that service tier costs at other hours', () => {
    for (const input of [100, 101]) {
      expect(price(card, usage(input)) * 4n).toBe(price(card, usage(input), 'standard', friday));
      expect(price(card, usage(input), 'batch') * 10n).toBe(price(card, usage(input), 'batch', friday));
      expect(price(card, usage(input), 'priority')).toBe(price(card, usage(input), 'priority', friday));
    }
  });

  test('that makes a rate no whole number of units is refused, unless it is to be rounded', () => {
    const tier = { serviceTier: 'flex', ratio: '0.3333' } as const;
    const prices = amounts('0.000001');
    expect(faults({ prices, serviceTiers: [tier] })).toEqual(['serviceTiers.0.ratio']);
    const input: Input = { prices, serviceTiers: [{ ...tier, round: true }] };
    expect(read(input).serviceTiers.flex?.rates).toEqual({ input: '0', output: '3333000' });
    expect(hasRounding(schema.parse(input))).toBe(true);
  });
});

describe('faults are named where they are', () => {
  const prices = amounts('1');
  const window = { timeZone: 'UTC', days: [1], from: '08:00', to: '10:00', ratio: '0.5' };
  test.each<[Partial<Input>, string]>([
    [{ prices: [{ dimension: 'image', amount: '1', per: 0 }] }, 'prices.0.per'],
    [{ prices: [{ dimension: 'image', amount: '1', per: 1.5 }] }, 'prices.0.per'],
    [{ serviceTiers: [{ serviceTier: 'batch' }] }, 'serviceTiers.0'],
    [{ serviceTiers: [{ serviceTier: 'batch', ratio: '0.5', prices }] }, 'serviceTiers.0'],
    [{ serviceTiers: [{ serviceTier: 'standard' as 'batch', ratio: '1' }] }, 'serviceTiers.0.serviceTier'],
    [{ serviceTiers: [1, 2].map(() => ({ serviceTier: 'batch', ratio: '1' })) }, 'serviceTiers'],
    [{ serviceTiers: [{ serviceTier: 'batch', ratio: '-1' }] }, 'serviceTiers.0.ratio'],
    [{ serviceTiers: [{ serviceTier: 'batch', prices: amounts('x') }] }, 'serviceTiers.0.prices.0.amount'],
    [{ windows: [{ ...window, timeZone: 'Mars/Olympus' }] }, 'windows.0.timeZone'],
    [{ windows: [{ ...window, days: [] }] }, 'windows.0.days'],
    [{ windows: [{ ...window, days: [0] }] }, 'windows.0.days.0'],
    [{ windows: [{ ...window, days: [2, 2] }] }, 'windows.0.days'],
    [{ windows: [{ ...window, from: '24:00' }] }, 'windows.0.from'],
    [{ windows: [{ ...window, to: '9:00' }] }, 'windows.0.to'],
    [{ windows: [{ ...window, serviceTiers: ['standard', 'batch'] }] }, 'windows.0'],
    [{ freeTokensPerMonth: -1 }, 'freeTokensPerMonth'],
    [{ freeTokensPerMonth: 0.5 }, 'freeTokensPerMonth'],
  ])('%o', (fault, path) => {
    expect(faults({ prices, ...fault })).toContain(path);
  });

  test('midnight ends a day, and times come back as they were given', () => {
    const [night] = read({ prices, windows: [{ ...window, from: '22:30', to: '00:00' }] }).windows;
    expect([night?.fromMinute, night?.toMinute].map((minute) => toClock(minute ?? 0))).toEqual(['22:30', '24:00']);
  });
});

describe('derived prices', () => {
  const terms = fc.record({
    basisPoints: fc.integer({ min: -10_000, max: 1_000_000 }),
    exchangeRate: fc.option(
      fc.tuple(fc.nat(9999), fc.nat(999_999)).map(([whole, part]) => `${whole}.${String(part).padStart(6, '0')}`),
    ),
  });
  const tablesOf = (card: CardPrices): PriceTable[] => [card, ...Object.values(card.serviceTiers), ...card.windows];
  const ratesOf = (card: CardPrices): bigint[] =>
    tablesOf(card)
      .flatMap(({ rates, contextTiers }) => [rates, ...contextTiers.map((tier) => tier.rates)])
      .flatMap((rates) => Object.values(rates).map(BigInt));

  test('are each the exact product, rounded once to the nearest unit, ties to even', () => {
    fc.assert(
      fc.property(cards, terms, (card, { basisPoints, exchangeRate }) => {
        // The reference keeps the product as a fraction over 10^10 and asks for its neighbours.
        const whole = 10n ** 10n;
        const factor = BigInt(10_000 + basisPoints) * BigInt((exchangeRate ?? '1.000000').replace('.', ''));
        const derived = ratesOf(derivePrices(card, { basisPoints, exchangeRate }));
        const base = ratesOf(card);
        expect(derived).toHaveLength(base.length);
        for (const [index, rate] of derived.entries()) {
          const exact = (base[index] ?? 0n) * factor;
          const twiceOff = 2n * (exact - rate * whole);
          expect(twiceOff <= whole && twiceOff >= -whole).toBe(true);
          if (twiceOff === whole || twiceOff === -whole) expect(rate % 2n).toBe(0n);
        }
      }),
    );
  });

  test('without markup in the same currency are the same, and at -10000 basis points nothing', () => {
    fc.assert(
      fc.property(cards, usages, contexts, (card, usage, context) => {
        const by = (basisPoints: number): bigint =>
          priceOf(usage, { ...card, ...derivePrices(card, { basisPoints, exchangeRate: null }) }, context);
        expect(by(0)).toBe(priceOf(usage, card, context));
        expect(by(-10_000)).toBe(0n);
        expect(by(10_000)).toBe(2n * priceOf(usage, card, context));
      }),
    );
  });
});

test('an amount is exact just when nothing is lost by reading it', () => {
  fc.assert(
    fc.property(
      fc.nat(10 ** 9),
      fc.integer({ min: 0, max: 20 }),
      fc.integer({ min: 1, max: 10 ** 6 }),
      (digits, places, per) => {
        const text = `${digits}e-${places}`;
        // digits * 10^12 / (10^places * per) is whole.
        const isWhole = (BigInt(digits) * 10n ** 12n) % (10n ** BigInt(places) * BigInt(per)) === 0n;
        expect(isExactAmount(text, BigInt(per))).toBe(isWhole);
        if (isWhole)
          expect(parseAmount(formatAmount(parseAmount(text, BigInt(per)) * BigInt(per)))).toBe(parseAmount(text));
      },
    ),
  );
});
