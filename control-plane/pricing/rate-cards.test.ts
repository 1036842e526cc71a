import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { configObjectSchema } from '@pingtoken/shared/config-snapshot';
import { parseJson } from '@pingtoken/shared/wire';
import { createBillingFixture, type BillingFixture } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { openPlatformDatabase, type Orm } from '../database/orm.js';
import { Refusal } from '../database/refusal.js';
import { createTransactionRunner, platformScope, type Scope } from '../database/transaction.js';
import { toPrices } from './prices.js';
import { createRateCards, type RateCards } from './rate-cards.js';
import { SIMULATOR_PRICES } from './simulator-prices.js';

let database: TestDatabase;
let fixture: BillingFixture;
let orm: Orm;
let cards: RateCards;
let operator: Scope;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  orm = await openPlatformDatabase({ url: database.urls.api });
  cards = createRateCards({ run: createTransactionRunner(orm) });
  operator = platformScope((await fixture.createCustomer()).tenantId);
});

afterAll(async () => {
  await orm.close();
  await fixture.close();
  await database.drop();
});

type CardInput = Parameters<RateCards['create']>[1];
const card = (overrides: Partial<CardInput> = {}): CardInput => ({
  name: uuidv7(),
  purpose: 'price',
  currency: 'USD',
  source: 'a test',
  prices: [
    { dimension: 'input', amount: '2.50' },
    { dimension: 'output', amount: '10' },
    { dimension: 'webSearch', amount: '0.01' },
  ],
  ...overrides,
});

function done<T>(result: T | Refusal): T {
  if (result instanceof Refusal) throw new Error(JSON.stringify(result.errors));
  return result;
}
const codes = (result: unknown): string[] =>
  result instanceof Refusal ? result.errors.map(({ code, path }) => `${code} ${path.join('.')}`) : [];
const inSeconds = (seconds: number): Date => new Date(Date.now() + seconds * 1000);

async function publishedVersions(cardId: string): Promise<string[]> {
  const rows = await fixture.query<{ line: string }>('select line from config_object where object_id = $1', [cardId]);
  const object = configObjectSchema.parse(parseJson(rows[0]?.line ?? ''));
  return object.kind === 'rate-card' ? object.versions.map(({ id }) => id) : [];
}

describe('a card', () => {
  test('holds integers for one of each dimension, and is published in the same transaction', async () => {
    const { card: made, versions } = done(
      await cards.create(
        operator,
        card({ contextTiers: [{ aboveInputTokens: 200_000, prices: [{ dimension: 'input', amount: '5' }] }] }),
      ),
    );
    expect(versions[0]?.rates).toEqual({ input: '2500000', output: '10000000', webSearch: '10000000000' });
    expect(versions[0]?.contextTiers).toEqual([{ aboveInputTokens: 200_000, rates: { input: '5000000' } }]);
    expect(await publishedVersions(made.id)).toEqual([versions[0]?.id]);
    expect(toPrices(versions[0]?.rates ?? {})).toEqual([
      { dimension: 'input', amount: '2.5' },
      { dimension: 'output', amount: '10' },
      { dimension: 'webSearch', amount: '0.01' },
    ]);
  });

  test('a name is taken once', async () => {
    const input = card();
    done(await cards.create(operator, input));
    expect(codes(await cards.create(operator, input))).toEqual(['conflict name']);
  });

  test.each<[Partial<CardInput>, string]>([
    [{ prices: [] }, 'prices'],
    [{ prices: [{ dimension: 'input', amount: '-1' }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'input', amount: '1e-3' }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'input', amount: 'NaN' }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'input', amount: '' }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'input', amount: '0.0000001' }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'image', amount: '0.0000000000001' }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'image', amount: '1000000.01' }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'input', amount: '9'.repeat(60) }] }, 'prices.0.amount'],
    [{ prices: [{ dimension: 'tea' as 'input', amount: '1' }] }, 'prices.0.dimension'],
    [{ prices: ['1', '2'].map((amount) => ({ dimension: 'input' as const, amount })) }, 'prices.1.dimension'],
    [{ currency: 'usd' }, 'currency'],
    [{ currency: 'USDT' }, 'currency'],
    [{ effectiveFrom: new Date(Number.NaN) }, 'effectiveFrom'],
    [{ effectiveFrom: new Date('2126-01-01') }, 'effectiveFrom'],
    [{ name: '' }, 'name'],
    [{ source: 'a\0' }, 'source'],
    [
      { contextTiers: [{ aboveInputTokens: 0, prices: [{ dimension: 'input', amount: '1' }] }] },
      'contextTiers.0.aboveInputTokens',
    ],
    [{ contextTiers: [2, 2].map((aboveInputTokens) => ({ aboveInputTokens, prices: card().prices })) }, 'contextTiers'],
  ])('%o is refused', async (fault, path) => {
    expect(codes(await cards.create(operator, card(fault)))).toContain(`invalid_request ${path}`);
  });

  test('prices of a thousand decimals of zeros are read as what they are', async () => {
    const prices = [{ dimension: 'input' as const, amount: '1.00000000000000' }];
    expect(done(await cards.create(operator, card({ prices }))).versions[0]?.rates).toEqual({ input: '1000000' });
  });

  test('no tenant may make one', async () => {
    const tenant = { ...operator, operator: false };
    await expect(cards.create(tenant, card())).rejects.toThrow(/row-level security/);
  });
});

describe('a later version', () => {
  const version = (rateCardId: string, overrides: object = {}) => ({
    ...{ rateCardId, currency: 'USD', source: 'a test', prices: [{ dimension: 'input' as const, amount: '3' }] },
    ...overrides,
  });

  test('supersedes from its instant on; all versions are published in order', async () => {
    const first = done(await cards.create(operator, card({ effectiveFrom: new Date('2026-01-01') })));
    const id = first.card.id;
    const later = done(await cards.addVersion(operator, version(id, { effectiveFrom: inSeconds(3600) })));
    const between = done(await cards.addVersion(operator, version(id, { effectiveFrom: inSeconds(60) })));
    expect(await publishedVersions(id)).toEqual(between.versions.map((entry) => entry.id));
    expect(between.versions.map((entry) => entry.id)).toEqual([
      first.versions[0]?.id,
      between.versions[1]?.id,
      later.versions[1]?.id,
    ]);
    expect(done(await cards.versionsOf(operator, id)).map((entry) => entry.id)).toEqual(await publishedVersions(id));
  });

  test('is not in the past, of no other currency, and at no taken instant', async () => {
    const { card: made } = done(await cards.create(operator, card()));
    const effectiveFrom = inSeconds(60);
    done(await cards.addVersion(operator, version(made.id, { effectiveFrom })));
    expect(codes(await cards.addVersion(operator, version(made.id, { effectiveFrom })))).toEqual([
      'conflict effectiveFrom',
    ]);
    expect(codes(await cards.addVersion(operator, version(made.id, { effectiveFrom: inSeconds(-5) })))).toEqual([
      'invalid_request effectiveFrom',
    ]);
    expect(codes(await cards.addVersion(operator, version(made.id, { currency: 'EUR' })))).toEqual([
      'invalid_request currency',
    ]);
    expect(codes(await cards.addVersion(operator, version(uuidv7())))).toEqual(['not_found rateCardId']);
  });

  test('of many added at once none is missing from what is published', async () => {
    const { card: made } = done(await cards.create(operator, card()));
    await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        cards.addVersion(operator, version(made.id, { effectiveFrom: inSeconds(60 + index) })),
      ),
    );
    expect(await publishedVersions(made.id)).toHaveLength(9);
  });

  test('what is stored cannot be edited, not even by the owner of the tables', async () => {
    const { versions } = done(await cards.create(operator, card()));
    const change = fixture.query(`update rate_card_version set rates = '{}' where id = $1`, [versions[0]?.id]);
    await expect(change).rejects.toThrow('append-only');
  });
});

test('the simulator’s models have prices that cards accept, above their costs', async () => {
  for (const { model, price, cost } of SIMULATOR_PRICES) {
    const name = `${model} ${uuidv7()}`;
    done(await cards.create(operator, card({ name, prices: [...price] })));
    done(await cards.create(operator, card({ name: `${name} cost`, purpose: 'cost', prices: [...cost] })));
    for (const [index, { amount }] of price.entries())
      expect(Number(amount)).toBeGreaterThan(Number(cost[index]?.amount));
  }
});
