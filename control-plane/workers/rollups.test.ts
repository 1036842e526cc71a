import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer, EventDraft } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { rebuildRollups } from '../billing/rebuild-rollups.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { openPool } from '../database/sql.js';
import { createUsageIngest, type IngestUsage } from './ingest-usage.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let ingest: IngestUsage;
let price: RateCardVersion;
let dollars: RateCardVersion;
let euros: RateCardVersion;
let dataPlaneId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 8, onError: () => undefined });
  ingest = createUsageIngest({ pool });
  price = await fixture.createVersion({ input: '2500000', output: '10000000' });
  dollars = await fixture.createVersion({ input: '2000000', output: '8000000' });
  euros = await fixture.createVersion({ input: '1', output: '1' }, { currency: 'EUR' });
  dataPlaneId = await fixture.createDataPlane();
});

afterAll(async () => {
  await pool.end();
  await fixture.close();
  await database.drop();
});

interface Row {
  readonly bucket: Date;
  readonly model: string;
  readonly region: string;
  readonly tags: readonly string[];
  readonly currency: string;
  readonly calls: string;
  readonly failures: string;
  readonly amount: string;
  readonly excess: string;
  readonly cost: string;
  readonly input: string;
  readonly output: string;
}

const rowsOf = (table: 'usage_by_hour' | 'usage_by_day', { tenantId }: Customer): Promise<Row[]> =>
  fixture.query<Row>(`select * from ${table} where tenant_id = $1 order by bucket, model, currency, failures, tags`, [
    tenantId,
  ]);

const differences = async () => (await verifyLedger({ pool })).differences;

const NOON = Date.UTC(2026, 9, 5, 12);
const HOUR_MS = 3_600_000;

describe('usage by hour and day', () => {
  test('a call counts in the hour in which it was admitted, with its price, its costs by currency and its region', async () => {
    const customer = await fixture.createCustomer();
    const attempts = [
      makeAttempt({ status: 500, usage: { input: 7 }, costCardVersionId: euros.id }),
      makeAttempt({ costCardVersionId: dollars.id }),
    ];
    const at = (admittedAt: number, overrides: Partial<EventDraft> = {}): EventDraft =>
      makeEvent(customer, price.id, { admittedAt, endedAt: admittedAt + HOUR_MS, ...overrides });
    await ingest(
      new TestSpool(dataPlaneId).append(
        at(NOON - 1, { attempts, billedAttempt: 1 }),
        at(NOON),
        at(NOON + HOUR_MS - 1, { outcome: 'provider-failed', billedAttempt: null }),
        at(NOON + 12 * HOUR_MS),
      ),
    );
    const [row] = await rowsOf('usage_by_hour', customer);
    expect(row).toMatchObject({ region: 'test', model: 'test-model', tags: [] });
    const found = (await rowsOf('usage_by_hour', customer)).map((each) => [
      ...[each.bucket.toISOString().slice(5, 13), each.currency, each.calls, each.failures],
      ...[each.amount, each.cost, each.input, each.output],
    ]);
    expect(found).toEqual([
      ['10-05T11', 'EUR', '0', '0', '0', '7', '0', '0'],
      ['10-05T11', 'USD', '1', '0', '750000000', '600000000', '100', '50'],
      ['10-05T12', 'USD', '1', '0', '750000000', '0', '100', '50'],
      // Nobody was billed for it, so that no provider has served it.
      ['10-05T12', 'USD', '1', '1', '0', '0', '0', '0'],
      ['10-06T00', 'USD', '1', '0', '750000000', '0', '100', '50'],
    ]);
    const days = (await rowsOf('usage_by_day', customer)).map((each) => [each.bucket.toISOString(), each.calls]);
    expect(days.slice(-1)).toEqual([['2026-10-06T00:00:00.000Z', '1']]);
    expect(days.reduce((sum, [, calls]) => sum + Number(calls), 0)).toBe(4);
  });

  test('the tags that the key had at admission count, in any order and once each', async () => {
    const customer = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    const tagged = (tags?: string[]) => makeEvent(customer, price.id, { admittedAt: NOON, ...(tags && { tags }) });
    const attempts = [makeAttempt()];
    const events = [tagged(['b', 'a']), tagged(['a', 'b', 'a']), tagged(['a']), tagged()];
    await ingest(spool.append(...events.map((event) => ({ ...event, attempts }))));
    await fixture.query(`update api_key set tags = '{other}' where id = $1`, [customer.apiKeyId]);
    const found = (await rowsOf('usage_by_day', customer)).map(({ tags, calls }) => [tags.join(' '), calls]);
    expect(found.toSorted(([one = ''], [other = '']) => one.localeCompare(other))).toEqual([
      ['', '1'],
      ['a', '1'],
      ['a b', '2'],
    ]);
    expect(await differences()).toEqual([]);
  });

  test('what a call cost beyond what its tenant can pay stands apart', async () => {
    const poor = await fixture.createCustomer('prepaid');
    await ingest(new TestSpool(dataPlaneId).append(makeEvent(poor, price.id, { admittedAt: NOON })));
    expect(await rowsOf('usage_by_hour', poor)).toMatchObject([{ amount: '750000000', excess: '750000000' }]);
  });

  test('names that run into one another are told apart', async () => {
    const customer = await fixture.createCustomer();
    const regions = await Promise.all(
      ['eu', 'eu 4'].map(async (region) => {
        const id = await fixture.createDataPlane();
        await fixture.query('update data_plane set region = $2 where id = $1', [id, region]);
        return id;
      }),
    );
    const attempts = [makeAttempt()];
    for (const [index, id] of regions.entries()) {
      const model = ['4 x', 'x'][index] ?? '';
      await ingest(new TestSpool(id).append(makeEvent(customer, price.id, { model, attempts, admittedAt: NOON })));
    }
    expect(await rowsOf('usage_by_hour', customer)).toHaveLength(2);
  });

  test('counts that no call can have are set aside', async () => {
    const customer = await fixture.createCustomer();
    const free = await fixture.createVersion({ input: '0', output: '0' });
    const attempts = [makeAttempt({ usage: { input: Number.MAX_SAFE_INTEGER } })];
    const batch = new TestSpool(dataPlaneId).append(makeEvent(customer, free.id, { attempts }));
    expect(await ingest(batch)).toMatchObject({ quarantined: [{ reason: 'a count is implausible' }] });
  });
});

describe('whatever comes, and in whatever order', () => {
  const call = fc.record({
    customer: fc.nat(1),
    hour: fc.nat(60),
    model: fc.constantFrom('a', 'b'),
    tags: fc.constantFrom<(string[] | undefined)[]>(undefined, ['x'], ['x', 'y']),
    input: fc.nat(10_000),
    cost: fc.constantFrom('none', 'USD', 'EUR'),
    outcome: fc.constantFrom('completed', 'caller-left', 'timed-out'),
    spool: fc.nat(2),
  });

  test('hours and days are the sums of the calls, with batches at once and calls that come twice', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 30 }), async (calls) => {
        const customers = [await fixture.createCustomer(), await fixture.createCustomer('prepaid')] as const;
        const providerId = uuidv7();
        const spools = Array.from({ length: 3 }, () => new TestSpool(dataPlaneId));
        const cards = { none: null, USD: dollars.id, EUR: euros.id };
        const batches = calls.map(({ customer, hour, model, tags, input, cost, outcome, spool }) => {
          const usage = { input, webSearch: 0 };
          const attempts = [makeAttempt({ providerId, usage, costCardVersionId: cards[cost as 'none'] })];
          const admittedAt = NOON + hour * HOUR_MS;
          const event = makeEvent(customers[customer === 0 ? 0 : 1], price.id, {
            ...{
              admittedAt,
              model,
              attempts,
              outcome: outcome as 'completed',
              ...(tags !== undefined && { tags: [...tags] }),
            },
          });
          return { event, spool };
        });
        const deliver = async (index: number, spool: TestSpool): Promise<void> => {
          const events = batches.filter((each) => each.spool === index || each.spool === index + 1);
          if (events.length > 0) await ingest(spool.append(...events.map(({ event }) => event)));
        };
        await Promise.all(spools.map((spool, index) => deliver(index, spool)));
        for (const customer of customers) {
          const own = batches.filter(({ event }) => event.tenantId === customer.tenantId);
          const hours = await rowsOf('usage_by_hour', customer);
          const days = await rowsOf('usage_by_day', customer);
          for (const rows of [hours, days]) {
            expect(rows.reduce((sum, { calls: count }) => sum + Number(count), 0)).toBe(own.length);
          }
        }
        expect(await differences()).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  test('many batches of one key at once neither deadlock nor lose a call', async () => {
    const customer = await fixture.createCustomer();
    const attempts = [makeAttempt()];
    const spools = Array.from({ length: 6 }, () => new TestSpool(dataPlaneId));
    const models = Array.from({ length: 20 }, (_, index) => `model-${index}`);
    const batch = (spool: TestSpool, order: readonly string[]) =>
      spool.append(...order.map((model) => makeEvent(customer, price.id, { model, attempts, admittedAt: NOON })));
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(
        spools.map((spool, index) => ingest(batch(spool, index % 2 === 0 ? models : models.toReversed()))),
      );
    }
    expect(await rowsOf('usage_by_day', customer)).toEqual(
      models.map(() => expect.objectContaining({ calls: '24' }) as unknown),
    );
  });
});

describe('a rebuild', () => {
  const tamper = async ({ tenantId }: Customer): Promise<void> => {
    await fixture.query('update usage_by_hour set calls = calls + 1, amount = 0 where tenant_id = $1', [tenantId]);
    await fixture.query('delete from usage_by_day where tenant_id = $1', [tenantId]);
  };

  test('makes wrong rollups right again while calls come in, and the verification tells the two apart', async () => {
    const customer = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    const attempts = [makeAttempt({ costCardVersionId: dollars.id })];
    const batch = () =>
      spool.append(
        ...Array.from({ length: 20 }, (_, index) =>
          makeEvent(customer, price.id, { attempts, admittedAt: NOON + (index % 5) * HOUR_MS }),
        ),
      );
    await ingest(batch());
    await tamper(customer);
    expect(new Set((await differences()).map(({ about }) => about))).toEqual(new Set(['rollup']));
    const state = { isDone: false };
    const load = (async () => {
      for (let count = 0; !state.isDone || count < 3; count += 1) await ingest(batch());
    })();
    await rebuildRollups({ pool, from: new Date(Date.UTC(2026, 9, 5)), to: new Date(Date.UTC(2026, 9, 6)) });
    state.isDone = true;
    await load;
    expect(await differences()).toEqual([]);
    const calls = (await rowsOf('usage_by_day', customer)).reduce((sum, row) => sum + Number(row.calls), 0);
    expect(calls).toBe(spool.records.length);
  });

  test('leaves the days alone that it was not asked for, and removes what no call stands for', async () => {
    const customer = await fixture.createCustomer();
    const late = NOON + 24 * HOUR_MS;
    await ingest(
      new TestSpool(dataPlaneId).append(
        ...[NOON, late].map((admittedAt) => makeEvent(customer, price.id, { admittedAt })),
      ),
    );
    await tamper(customer);
    await rebuildRollups({ pool, from: new Date(Date.UTC(2026, 9, 6)) });
    expect((await rowsOf('usage_by_hour', customer)).map(({ calls }) => calls)).toEqual(['2', '1']);
    await fixture.query(
      `update usage_by_hour set bucket = bucket - interval '1 year' where tenant_id = $1 and calls = 2`,
      [customer.tenantId],
    );
    await rebuildRollups({ pool });
    expect(await differences()).toEqual([]);
  });
});
