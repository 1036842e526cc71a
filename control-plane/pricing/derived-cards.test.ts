import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { configObjectSchema } from '@pingtoken/shared/config-snapshot';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import { createBillingFixture, type BillingFixture } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { openPlatformDatabase, type Orm } from '../database/orm.js';
import { Refusal } from '../database/refusal.js';
import { createTransactionRunner, platformScope, type Scope } from '../database/transaction.js';
import { createDerivedCards, type DerivedCards } from './derived-cards.js';
import { createExchangeRates, type ExchangeRates } from './exchange-rates.js';
import type { RateCardWithVersions } from './rate-card-rows.js';
import { createRateCards, type RateCards } from './rate-cards.js';

let database: TestDatabase;
let fixture: BillingFixture;
let orm: Orm;
let cards: RateCards;
let derived: DerivedCards;
let exchange: ExchangeRates;
let operator: Scope;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  orm = await openPlatformDatabase({ url: database.urls.api });
  const run = createTransactionRunner(orm);
  cards = createRateCards({ run });
  derived = createDerivedCards({ run });
  exchange = createExchangeRates({ run });
  operator = platformScope((await fixture.createCustomer()).tenantId);
});
afterAll(async () => {
  await orm.close();
  await fixture.close();
  await database.drop();
});

function done<T>(result: T | Refusal): T {
  if (result instanceof Refusal) throw new Error(JSON.stringify(result.errors));
  return result;
}
const codes = (result: unknown): string[] =>
  result instanceof Refusal ? result.errors.map(({ code, path }) => `${code} ${path.join('.')}`) : [];
const inSeconds = (seconds: number): Date => new Date(Date.now() + seconds * 1000);

const stated = (amount: string) => ({
  currency: 'USD',
  source: 'a test',
  prices: [{ dimension: 'input' as const, amount }],
});
const createBase = async (amount = '2'): Promise<RateCardWithVersions> =>
  done(await cards.create(operator, { name: uuidv7(), purpose: 'price', ...stated(amount) }));
const derive = (baseRateCardId: string, basisPoints: number, overrides: object = {}) =>
  derived.create(operator, { baseRateCardId, name: uuidv7(), basisPoints, source: 'a plan', ...overrides });
const supersede = (rateCardId: string, amount: string, effectiveFrom?: Date) =>
  cards.addVersion(operator, { rateCardId, ...stated(amount), effectiveFrom });

/** What data planes are given of a card. */
async function published(cardId: string): Promise<RateCardVersion[]> {
  const rows = await fixture.query<{ line: string }>('select line from config_object where object_id = $1', [cardId]);
  const object = configObjectSchema.parse(parseJson(rows[0]?.line ?? ''));
  return object.kind === 'rate-card' ? object.versions : [];
}
const inputRates = async (cardId: string): Promise<(string | undefined)[]> =>
  (await published(cardId)).map(({ rates }) => rates.input);
const announcements = (): Promise<{ count: string }[]> =>
  fixture.query(`select count(*) from outbox where topic = 'announce-price-change'`);

describe('a derived card', () => {
  test('has a version for what is in force and for each that is announced, and names how it came about', async () => {
    const base = await createBase();
    done(await supersede(base.card.id, '4', inSeconds(3600)));
    const { card, versions } = done(await derive(base.card.id, -1000));
    expect(await inputRates(card.id)).toEqual(['1800000', '3600000']);
    const baseIds = (await published(base.card.id)).map(({ id }) => id);
    expect(versions.map(({ derivation }) => derivation)).toEqual(
      baseIds.map((baseVersionId) => ({ kind: 'derived', baseVersionId, basisPoints: -1000, exchangeRateId: null })),
    );
  });

  test('follows its base card, at the same instant, by its own terms', async () => {
    const base = await createBase();
    const [plan, other] = [done(await derive(base.card.id, -1000)), done(await derive(base.card.id, 5000))];
    const later = inSeconds(3600);
    done(await supersede(base.card.id, '4', later));
    done(await supersede(base.card.id, '3', inSeconds(1800)));
    expect(await inputRates(plan.card.id)).toEqual(['1800000', '2700000', '3600000']);
    expect(await inputRates(other.card.id)).toEqual(['3000000', '4500000', '6000000']);
    expect((await published(plan.card.id)).at(-1)?.effectiveFrom).toBe(later.getTime());
  });

  test('takes other terms later, after which the base card cannot be changed at an earlier instant unseen', async () => {
    const base = await createBase();
    const { card } = done(await derive(base.card.id, -1000));
    const change = { rateCardId: card.id, basisPoints: -2000, source: 'a plan', effectiveFrom: inSeconds(3600) };
    done(await derived.changeTerms(operator, change));
    expect(await inputRates(card.id)).toEqual(['1800000', '1600000']);
    expect(codes(await supersede(base.card.id, '3', inSeconds(1800)))).toEqual(['conflict effectiveFrom']);
    expect(await inputRates(base.card.id)).toEqual(['2000000']);
    done(await supersede(base.card.id, '3', inSeconds(7200)));
    expect(await inputRates(card.id)).toEqual(['1800000', '1600000', '2400000']);
    expect(codes(await derived.changeTerms(operator, change))).toEqual(['conflict effectiveFrom']);
  });

  test('of a cost is a price with a markup', async () => {
    const cost = done(await cards.create(operator, { name: uuidv7(), purpose: 'cost', ...stated('1') }));
    const { card } = done(await derive(cost.card.id, 2500));
    expect([card.purpose, await inputRates(card.id)]).toEqual(['price', ['1250000']]);
  });

  test('is not priced by hand, not derived from, and not changed where it is none', async () => {
    const base = await createBase();
    const { card } = done(await derive(base.card.id, 0));
    expect(codes(await supersede(card.id, '1'))).toEqual(['invalid_request rateCardId']);
    expect(codes(await derive(card.id, 0))).toEqual(['invalid_request baseRateCardId']);
    expect(codes(await derive(uuidv7(), 0))).toEqual(['not_found baseRateCardId']);
    expect(codes(await derive(base.card.id, -10_001))).toEqual(['invalid_request basisPoints']);
    const terms = { rateCardId: base.card.id, basisPoints: 1, source: 'a test' };
    expect(codes(await derived.changeTerms(operator, terms))).toEqual(['invalid_request rateCardId']);
  });

  test('misses none of the changes that are made at once', async () => {
    const base = await createBase();
    const { card } = done(await derive(base.card.id, 0));
    await Promise.all(
      Array.from({ length: 6 }, (_, index) => supersede(base.card.id, String(index + 1), inSeconds(60 + index))),
    );
    expect(await inputRates(card.id)).toHaveLength(7);
    expect((await inputRates(card.id)).slice(1)).toEqual((await inputRates(base.card.id)).slice(1));
  });
});

describe('another currency', () => {
  const rate = (baseCurrency: string, quoteCurrency: string, value: string, effectiveFrom?: Date) =>
    exchange.add(operator, { baseCurrency, quoteCurrency, rate: value, effectiveFrom, source: 'a bank' });

  test('is converted by the rate in force, once: a later rate changes nothing that was made before it', async () => {
    const first = done(await rate('USD', 'EUR', '0.9', new Date('2026-01-01')));
    const base = await createBase('2');
    const { card, versions } = done(await derive(base.card.id, 1000, { currency: 'EUR' }));
    expect(versions[0]?.derivation).toMatchObject({ exchangeRateId: first.id });
    expect(await inputRates(card.id)).toEqual(['1980000']);
    done(await rate('USD', 'EUR', '0.8'));
    expect(await inputRates(card.id)).toEqual(['1980000']);
    done(await supersede(base.card.id, '2', inSeconds(60)));
    expect(await inputRates(card.id)).toEqual(['1980000', '1760000']);
    expect((await published(card.id)).map(({ currency }) => currency)).toEqual(['EUR', 'EUR']);
  });

  test('without a stated rate is refused; a rate is not turned round', async () => {
    done(await rate('JPY', 'USD', '0.0065', new Date('2026-01-01')));
    const base = await createBase();
    expect(codes(await derive(base.card.id, 0, { currency: 'JPY' }))).toEqual(['invalid_request currency']);
  });

  test.each([
    ['EUR', 'EUR', '1', 'invalid_request quoteCurrency'],
    ['EUR', 'USD', '0', 'invalid_request rate'],
    ['EUR', 'USD', '1e3', 'invalid_request rate'],
    ['eur', 'USD', '1', 'invalid_request baseCurrency'],
  ])('%s to %s at %s is refused', async (base, quote, value, code) => {
    expect(codes(await rate(base, quote, value))).toEqual([code]);
  });

  test('a rate is stated once for an instant and cannot be edited', async () => {
    const at = new Date('2026-02-02');
    const { id } = done(await rate('GBP', 'USD', '1.3', at));
    expect(codes(await rate('GBP', 'USD', '1.4', at))).toEqual(['conflict effectiveFrom']);
    await expect(fixture.query(`update exchange_rate set rate = '2' where id = $1`, [id])).rejects.toThrow(
      'append-only',
    );
    await expect(exchange.add({ ...operator, operator: false }, { ...RATE, source: 'me' })).rejects.toThrow(
      /row-level/,
    );
  });

  const RATE = { baseCurrency: 'CHF', quoteCurrency: 'USD', rate: '1' };
});

test('a change that lies ahead is announced once for each price card that changes; one of now, or of a cost, is not', async () => {
  const base = await createBase();
  const cost = done(await cards.create(operator, { name: uuidv7(), purpose: 'cost', ...stated('1') }));
  done(await derive(base.card.id, -1000));
  const count = async (): Promise<number> => Number((await announcements())[0]?.count);
  const before = await count();
  done(await supersede(base.card.id, '3'));
  done(await supersede(cost.card.id, '3', inSeconds(60)));
  expect(await count()).toBe(before);
  done(await supersede(base.card.id, '4', inSeconds(60)));
  expect(await count()).toBe(before + 2);
});
