import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, EventDraft } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { createUsageIngest, SpoolGapError } from './ingest-usage.js';
import { openPool, type Connection, type ConnectionPool } from '../database/sql.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let price: RateCardVersion;
let dataPlaneId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 8, onError: () => undefined });
  price = await fixture.createVersion({ input: '2500000', output: '10000000' });
  dataPlaneId = await fixture.createDataPlane();
});

afterAll(async () => {
  await pool.end();
  await fixture.close();
  await database.drop();
});

/** Where a worker dies: at its n-th statement, before the database saw it or after it did. */
interface Death {
  readonly at: number;
  readonly afterwards: boolean;
}

class Died extends Error {}

/** The database as a worker sees it that dies: the connection is gone, and what was not committed with it. */
function dyingPool({ at, afterwards }: Death): ConnectionPool {
  let statements = 0;
  return {
    async connect() {
      const client = await pool.connect();
      let dead = false;
      const query: Connection['query'] = async (statement) => {
        if (dead) throw new Died();
        statements += 1;
        if (statements !== at) return client.query(statement);
        if (afterwards) await client.query(statement);
        dead = true;
        client.release(true);
        throw new Died();
      };
      return {
        query,
        release: (error) => {
          if (!dead) client.release(error);
        },
      };
    },
  };
}

async function booked(tenantId: string): Promise<{ calls: number; charged: bigint }> {
  const [row] = await fixture.query<{ calls: string; charged: string }>(
    `select (select count(*) from usage_event where tenant_id = $1) as calls,
       (select coalesce(sum(debits), 0) from account where tenant_id = $1 and kind = 'wallet') as charged`,
    [tenantId],
  );
  return { calls: Number(row?.calls), charged: BigInt(row?.charged ?? 0) };
}

const PRICE_OF_ONE = 750_000_000n;

describe('a worker that dies', () => {
  /** Of a batch that meets every case: its cards, keys and accounts are new. The last one is the commit. */
  const STATEMENTS = 17;
  const deaths = Array.from({ length: STATEMENTS }, (_, index) => index + 1).flatMap((at) => [
    { at, afterwards: false },
    { at, afterwards: true },
  ]);

  test.each(deaths)('at statement $at, afterwards: $afterwards, leaves all of a batch or nothing', async (death) => {
    const customer = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    const cost = await fixture.createVersion({ input: '1', output: '1' });
    const attempts = [makeAttempt({ costCardVersionId: cost.id })];
    const batch = spool.append(...Array.from({ length: 5 }, () => makeEvent(customer, price.id, { attempts })));
    await expect(createUsageIngest({ pool: dyingPool(death) })(batch)).rejects.toThrow(Died);
    expect((await booked(customer.tenantId)).calls).toBe(death.at === STATEMENTS && death.afterwards ? 5 : 0);
    await createUsageIngest({ pool })(batch);
    expect(await booked(customer.tenantId)).toEqual({ calls: 5, charged: 5n * PRICE_OF_ONE });
  });
});

describe('any order of deliveries', () => {
  const SIZE = 12;
  const delivery = fc.record({
    spool: fc.nat(1),
    first: fc.integer({ min: 1, max: SIZE }),
    count: fc.integer({ min: 1, max: SIZE }),
    worker: fc.nat(1),
    death: fc.option(fc.record({ at: fc.integer({ min: 1, max: 14 }), afterwards: fc.boolean() }), { freq: 3 }),
    alone: fc.boolean(),
  });
  const plan = fc.record({
    /** For each record of the second spool: an event of the first that it repeats, or none. */
    repeats: fc.array(fc.option(fc.nat(SIZE - 1)), { minLength: SIZE, maxLength: SIZE }),
    broken: fc.uniqueArray(fc.nat(SIZE - 1), { maxLength: 3 }),
    deliveries: fc.array(delivery, { maxLength: 14 }),
  });

  test('with repetitions, overlaps, gaps, deaths and two workers at once books each call once', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ repeats, broken, deliveries }) => {
        const customer = await fixture.createCustomer();
        const events: EventDraft[] = Array.from({ length: SIZE }, () => makeEvent(customer, price.id));
        const spools = [new TestSpool(dataPlaneId), new TestSpool(dataPlaneId)] as const;
        events.forEach((event, index) => {
          if (broken.includes(index)) spools[0].appendRaw({ broken: index });
          else spools[0].append(event);
        });
        const distinct = new Set(events.filter((_, index) => !broken.includes(index)));
        for (const repeated of repeats) {
          const event = (repeated === null ? undefined : events[repeated]) ?? makeEvent(customer, price.id);
          distinct.add(event);
          spools[1].append(event);
        }
        const workers = [createUsageIngest({ pool }), createUsageIngest({ pool })] as const;
        const deliver = async ({ spool, first, count, worker, death }: (typeof deliveries)[number]): Promise<void> => {
          const ingest = death === null ? workers[worker === 0 ? 0 : 1] : createUsageIngest({ pool: dyingPool(death) });
          const batch = spools[spool === 0 ? 0 : 1].batch(first, count);
          await ingest(batch).catch((error: unknown) => {
            if (!(error instanceof SpoolGapError) && !(error instanceof Died)) throw error;
          });
        };
        let under: Promise<void>[] = [];
        for (const step of deliveries) {
          under.push(deliver(step));
          if (step.alone) {
            await Promise.all(under);
            under = [];
          }
        }
        await Promise.all(under);
        for (const spool of spools)
          expect(await workers[0](spool.batch(1, SIZE))).toMatchObject({ confirmedSeq: SIZE });
        expect(await booked(customer.tenantId)).toEqual({
          calls: distinct.size,
          charged: BigInt(distinct.size) * PRICE_OF_ONE,
        });
        const aside = await fixture.query('select seq from usage_quarantine where spool_id = $1', [spools[0].spoolId]);
        expect(aside).toHaveLength(broken.length);
      }),
      { numRuns: 60 },
    );
  });
});

test('after all of this the ledger has no differences', async () => {
  expect((await verifyLedger({ pool })).differences).toEqual([]);
});
