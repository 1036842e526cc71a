import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { priceOf } from '@pingtoken/shared/price-of';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import type { UsageBatch } from '@pingtoken/shared/usage-batch';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { createUsageIngest, SpoolGapError, type IngestUsage } from './ingest-usage.js';
import { BatchRefusedError } from './spool-row.js';
import { openPool } from '../database/sql.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let ingest: IngestUsage;
let customer: Customer;
let price: RateCardVersion;
let dataPlaneId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 8, onError: () => undefined });
  ingest = createUsageIngest({ pool });
  customer = await fixture.createCustomer();
  price = await fixture.createVersion({ input: '2500000', output: '10000000' });
  dataPlaneId = await fixture.createDataPlane();
});

afterAll(async () => {
  await pool.end();
  await fixture.close();
  await database.drop();
});

const PRICE_OF_ONE = 100n * 2_500_000n + 50n * 10_000_000n;

async function totals(tenantId: string): Promise<Record<string, [debits: bigint, credits: bigint]>> {
  const rows = await fixture.query<{ kind: string; currency: string; debits: string; credits: string }>(
    'select kind, currency, debits, credits from account where tenant_id = $1',
    [tenantId],
  );
  return Object.fromEntries(
    rows.map(({ kind, currency, debits, credits }) => [`${kind} ${currency}`, [BigInt(debits), BigInt(credits)]]),
  );
}

async function count(table: string, column: string, value: string): Promise<number> {
  const rows = await fixture.query<{ count: string }>(`select count(*) from ${table} where ${column} = $1`, [value]);
  return Number(rows[0]?.count);
}

const reasons = async (spoolId: string): Promise<string[]> =>
  (
    await fixture.query<{ reason: string }>('select reason from usage_quarantine where spool_id = $1 order by seq', [
      spoolId,
    ])
  ).map(({ reason }) => reason);

const confirmed = async (spoolId: string): Promise<number> =>
  Number(
    (await fixture.query<{ confirmed: string }>('select confirmed from usage_spool where id = $1', [spoolId]))[0]
      ?.confirmed,
  );

describe('exactly once', () => {
  test('a call is one event and one transfer, to the unit, and its spool is confirmed', async () => {
    const owner = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    const result = await ingest(spool.append(makeEvent(owner, price.id)));
    expect(result).toMatchObject({ confirmedSeq: 1, duplicates: 0, quarantined: [] });
    expect(await totals(owner.tenantId)).toEqual({
      'wallet USD': [PRICE_OF_ONE, 0n],
      'revenue USD': [0n, PRICE_OF_ONE],
    });
    const [row] = await fixture.query('select * from usage_event where spool_id = $1', [spool.spoolId]);
    expect(row).toMatchObject({ amount: PRICE_OF_ONE.toString(), currency: 'USD', counted_by: 'provider', seq: '1' });
    expect(await confirmed(spool.spoolId)).toBe(1);
  });

  test('a batch that is delivered again changes nothing', async () => {
    const owner = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    const batch = spool.append(makeEvent(owner, price.id), makeEvent(owner, price.id));
    for (let delivery = 0; delivery < 3; delivery += 1) await ingest(batch);
    expect(await count('usage_event', 'spool_id', spool.spoolId)).toBe(2);
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [2n * PRICE_OF_ONE, 0n] });
  });

  test('of an overlapping batch only what is new is booked', async () => {
    const owner = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    spool.append(...Array.from({ length: 10 }, () => makeEvent(owner, price.id)));
    await ingest(spool.batch(1, 6));
    const result = await ingest(spool.batch(3, 8));
    expect(result.settled.map(({ event }) => event.seq)).toEqual([7, 8, 9, 10]);
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [10n * PRICE_OF_ONE, 0n] });
  });

  test('a gap is refused and nothing of the batch is stored; delivered from the gap on, it heals', async () => {
    const owner = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    spool.append(...Array.from({ length: 6 }, () => makeEvent(owner, price.id)));
    await expect(ingest(spool.batch(2, 5))).rejects.toThrow(SpoolGapError);
    await ingest(spool.batch(1, 2));
    await expect(ingest(spool.batch(4, 3))).rejects.toThrow(SpoolGapError);
    expect(await count('usage_event', 'spool_id', spool.spoolId)).toBe(2);
    await ingest(spool.batch(1, 6));
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [6n * PRICE_OF_ONE, 0n] });
  });

  test('an event that two spools bring is booked once, within a batch too, whatever the case of its id', async () => {
    const owner = await fixture.createCustomer();
    const event = makeEvent(owner, price.id);
    const upper = { ...event, eventId: event.eventId.toUpperCase(), tenantId: event.tenantId.toUpperCase() };
    const [one, two] = [new TestSpool(dataPlaneId), new TestSpool(dataPlaneId)];
    await ingest(one.append(event, event, upper));
    const result = await ingest(two.append(upper));
    expect(result).toMatchObject({ confirmedSeq: 1, duplicates: 1, quarantined: [] });
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [PRICE_OF_ONE, 0n] });
  });

  test('an id that comes back with another story is set aside, and the first story stays', async () => {
    const owner = await fixture.createCustomer();
    const event = makeEvent(owner, price.id);
    const [one, two] = [new TestSpool(dataPlaneId), new TestSpool(dataPlaneId)];
    await ingest(one.append(event));
    await ingest(
      two.append({ ...event, attempts: [makeAttempt({ usage: { input: 1 } })] }, makeEvent(owner, price.id)),
    );
    expect(await reasons(two.spoolId)).toEqual([expect.stringContaining('another event of this id')]);
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [2n * PRICE_OF_ONE, 0n] });
  });

  test('two workers with the same batch at once book it once', async () => {
    const owner = await fixture.createCustomer();
    const spool = new TestSpool(dataPlaneId);
    const other = createUsageIngest({ pool });
    const batch = spool.append(...Array.from({ length: 50 }, () => makeEvent(owner, price.id)));
    await Promise.all([ingest(batch), other(batch), ingest(batch), other(batch)]);
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [50n * PRICE_OF_ONE, 0n] });
  });

  test('many spools with the calls of the same tenants, and with the same events, neither deadlock nor book twice', async () => {
    const owners = await Promise.all(Array.from({ length: 3 }, () => fixture.createCustomer()));
    const events = Array.from({ length: 60 }, (_, index) => makeEvent(owners[index % 3] ?? customer, price.id));
    const spools = Array.from({ length: 6 }, () => new TestSpool(dataPlaneId));
    await Promise.all(
      spools.map((spool, index) => ingest(spool.append(...(index % 2 === 0 ? events : events.toReversed())))),
    );
    for (const owner of owners) {
      expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [20n * PRICE_OF_ONE, 0n] });
    }
  });

  test('one tenant, many spools, many rounds: no deadlock on its accounts', async () => {
    const owner = await fixture.createCustomer();
    const spools = Array.from({ length: 6 }, () => new TestSpool(dataPlaneId));
    for (let round = 0; round < 8; round += 1) {
      await Promise.all(
        spools.map((spool) => ingest(spool.append(makeEvent(owner, price.id), makeEvent(owner, price.id)))),
      );
    }
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [96n * PRICE_OF_ONE, 0n] });
  });

  test('a batch of two spools of different tenants does not wait for one another', async () => {
    const [one, two] = [await fixture.createCustomer(), await fixture.createCustomer()];
    const slow = new TestSpool(dataPlaneId);
    const holder = await pool.connect();
    try {
      await ingest(slow.append(makeEvent(one, price.id)));
      await holder.query('begin');
      await holder.query('select 1 from usage_spool where id = $1 for update', [slow.spoolId]);
      const waiting = ingest(slow.append(makeEvent(one, price.id)));
      await ingest(new TestSpool(dataPlaneId).append(makeEvent(two, price.id)));
      await holder.query('rollback');
      await waiting;
    } finally {
      holder.release();
    }
    expect(await totals(one.tenantId)).toMatchObject({ 'wallet USD': [2n * PRICE_OF_ONE, 0n] });
  });
});

describe('who may deliver', () => {
  test('a data plane that is not enrolled is refused and its records are not confirmed', async () => {
    const spool = new TestSpool(uuidv7());
    await expect(ingest(spool.append(makeEvent(customer, price.id)))).rejects.toThrow(BatchRefusedError);
    expect(await count('usage_spool', 'id', spool.spoolId)).toBe(0);
    expect(await count('usage_quarantine', 'spool_id', spool.spoolId)).toBe(0);
  });

  test('what a revoked data plane reports is kept aside, confirmed, and charged to nobody', async () => {
    const owner = await fixture.createCustomer();
    const spool = new TestSpool(await fixture.createDataPlane('revoked'));
    await ingest(spool.append(makeEvent(owner, price.id)));
    expect(await reasons(spool.spoolId)).toEqual(['the data plane is revoked']);
    expect(await confirmed(spool.spoolId)).toBe(1);
    expect(await totals(owner.tenantId)).toEqual({});
  });

  test('a spool cannot be claimed by another data plane, enrolled or not', async () => {
    const spool = new TestSpool(dataPlaneId);
    await ingest(spool.append(makeEvent(customer, price.id)));
    const next = spool.append(makeEvent(customer, price.id));
    for (const thief of [await fixture.createDataPlane(), uuidv7()]) {
      await expect(ingest({ ...next, dataPlaneId: thief })).rejects.toThrow(BatchRefusedError);
    }
    expect(await confirmed(spool.spoolId)).toBe(1);
    await ingest(next);
    expect(await confirmed(spool.spoolId)).toBe(2);
  });
});

describe('prices', () => {
  test('the version that the event names counts, with tiers, fallbacks and each dimension', async () => {
    const owner = await fixture.createCustomer();
    const card = await fixture.createVersion(
      { input: '3', output: '7', cacheRead: '1', webSearch: '1000000' },
      { contextTiers: [{ aboveInputTokens: 1000, rates: { input: '6', output: '11' } }], currency: 'EUR' },
    );
    const usages = [
      { input: 999, cacheRead: 1, output: 13, reasoning: 2 },
      { input: 1000, cacheRead: 1, output: 13, webSearch: 3 },
    ];
    const spool = new TestSpool(dataPlaneId);
    await ingest(
      spool.append(...usages.map((usage) => makeEvent(owner, card.id, { attempts: [makeAttempt({ usage })] }))),
    );
    const expected = usages.reduce((sum, usage) => sum + priceOf(usage, card, { at: 0 }), 0n);
    expect(expected).toBe(999n * 3n + 1n + 15n * 7n + 1000n * 6n + 1n + 13n * 11n + 3_000_000n);
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet EUR': [expected, 0n] });
  });

  test('nothing is transferred where nothing is billed: interrupted, failed, or free', async () => {
    const owner = await fixture.createCustomer();
    const free = await fixture.createVersion({ input: '0', output: '0' });
    const spool = new TestSpool(dataPlaneId);
    await ingest(
      spool.append(
        makeEvent(owner, price.id, {
          kind: 'interrupted',
          outcome: 'interrupted',
          status: null,
          attempts: [],
          billedAttempt: null,
        }),
        makeEvent(owner, price.id, {
          attempts: [makeAttempt({ usage: {}, countedBy: 'none', status: 500 })],
          billedAttempt: null,
        }),
        makeEvent(owner, free.id),
      ),
    );
    expect(await count('usage_event', 'spool_id', spool.spoolId)).toBe(3);
    expect(await count('transfer', 'tenant_id', owner.tenantId)).toBe(0);
  });

  test('each attempt costs the operator by its own cost version, in its own currency', async () => {
    const owner = await fixture.createCustomer();
    const dollars = await fixture.createVersion({ input: '10', output: '20' });
    const euros = await fixture.createVersion({ input: '1', output: '1' }, { currency: 'EUR' });
    const spool = new TestSpool(dataPlaneId);
    const attempts = [
      makeAttempt({ status: 500, usage: { input: 5 }, costCardVersionId: euros.id }),
      makeAttempt({ costCardVersionId: dollars.id }),
      makeAttempt({ usage: { input: 1 }, costCardVersionId: dollars.id.toUpperCase() }),
    ];
    await ingest(spool.append(makeEvent(owner, price.id, { attempts, billedAttempt: 1 })));
    expect(await totals(owner.tenantId)).toEqual({
      'wallet USD': [PRICE_OF_ONE, 0n],
      'revenue USD': [0n, PRICE_OF_ONE],
      'provider_cost USD': [2010n, 0n],
      'provider_payable USD': [0n, 2010n],
      'provider_cost EUR': [5n, 0n],
      'provider_payable EUR': [0n, 5n],
    });
  });

  test('amounts beyond what a double holds are exact', async () => {
    const owner = await fixture.createCustomer();
    const card = await fixture.createVersion({ input: '123456789012345', output: '1' });
    const spool = new TestSpool(dataPlaneId);
    await ingest(
      spool.append(makeEvent(owner, card.id, { attempts: [makeAttempt({ usage: { input: 999_983, output: 1 } })] })),
    );
    expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [999_983n * 123_456_789_012_345n + 1n, 0n] });
  });
});

describe('confirmation', () => {
  test('is notified at commit, and again when a confirmed batch is delivered again', async () => {
    const spool = new TestSpool(dataPlaneId);
    const listener = await pool.connect();
    const heard: string[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
    try {
      await listener.query('listen "spool-confirmed"');
      const batch: UsageBatch = spool.append(makeEvent(customer, price.id));
      await ingest(batch);
      await ingest(batch);
      await listener.query('unlisten *');
    } finally {
      listener.release(true);
    }
    const notice = JSON.stringify({ spoolId: spool.spoolId, confirmedSeq: 1, dataPlaneId });
    expect(heard).toEqual([notice, notice]);
  });
});
