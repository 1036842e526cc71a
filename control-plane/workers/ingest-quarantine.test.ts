import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, EventDraft } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { createUsageIngest, type IngestUsage } from './ingest-usage.js';
import { openPool } from '../database/sql.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let ingest: IngestUsage;
let price: RateCardVersion;
let dataPlaneId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 8, onError: () => undefined });
  ingest = createUsageIngest({ pool });
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

const confirmed = async (spoolId: string): Promise<number> =>
  Number(
    (await fixture.query<{ confirmed: string }>('select confirmed from usage_spool where id = $1', [spoolId]))[0]
      ?.confirmed,
  );

const place = (spool: TestSpool, draft: EventDraft): Record<string, unknown> => ({
  ...draft,
  spoolId: spool.spoolId,
  seq: spool.records.length + 1,
});

test('records of every broken kind are set aside, the good ones among them are booked, the spool goes on', async () => {
  const [owner, stranger] = [await fixture.createCustomer(), await fixture.createCustomer()];
  const huge = await fixture.createVersion({ input: '9'.repeat(30) });
  const spool = new TestSpool(dataPlaneId);
  const good = (): EventDraft => makeEvent(owner, price.id);
  const nested: unknown[] = [];
  for (let level = 0, at = nested; level < 20_000; level += 1) at.push((at = []));
  const lone = String.fromCharCode(0xd800);
  const repeated = { usage: { input: 1 }, countedBy: 'provider', priceShare: 1 };
  const broken: ((draft: EventDraft) => unknown)[] = [
    () => null,
    () => 'text',
    () => 7,
    () => [],
    () => nested,
    () => ({}),
    () => ({ text: `nul \0 and ${lone}` }),
    (draft) => ({ ...place(spool, draft), eventId: 'x' }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ usage: { ['a\0b' + lone]: 1 } })] }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ usage: { input: -1 } })] }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ usage: { input: 1.5 } })] }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ usage: { input: 2 ** 60 } })] }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ countedBy: 'none' })] }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ costCardVersionId: uuidv7() })] }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ usage: { image: 1 } })] }),
    (draft) => ({ ...place(spool, draft), attempts: [makeAttempt({ upstreamModel: 'a\0' })] }),
    (draft) => ({ ...place(spool, draft), attempts: Array.from({ length: 17 }, () => makeAttempt()) }),
    (draft) => ({ ...place(spool, draft), model: `lone ${lone}` }),
    (draft) => ({ ...place(spool, draft), model: 'nul \0' }),
    (draft) => ({ ...place(spool, draft), billedAttempt: 1 }),
    (draft) => ({ ...place(spool, draft), repeated }),
    (draft) => ({ ...place(spool, draft), ...{ attempts: [], billedAttempt: null, repeated, kind: 'interrupted' } }),
    (draft) => ({
      ...place(spool, draft),
      attempts: [],
      billedAttempt: null,
      repeated: { ...repeated, priceShare: -1 },
    }),
    (draft) => ({ ...place(spool, draft), priceCardVersionId: uuidv7() }),
    (draft) => ({ ...place(spool, draft), priceCardVersionId: huge.id }),
    (draft) => ({ ...place(spool, draft), apiKeyId: uuidv7() }),
    (draft) => ({ ...place(spool, draft), apiKeyId: stranger.apiKeyId }),
    (draft) => ({ ...place(spool, draft), tenantId: stranger.tenantId }),
    (draft) => ({ ...place(spool, draft), tenantId: uuidv7() }),
    (draft) => ({ ...place(spool, draft), memberId: stranger.memberId }),
    (draft) => ({ ...place(spool, draft), admittedAt: -1e15 }),
    (draft) => ({ ...place(spool, draft), endedAt: Number.MAX_SAFE_INTEGER }),
    (draft) => ({ ...place(spool, draft), firstByteMs: 2 ** 31 }),
    (draft) => ({ ...place(spool, draft), spoolId: uuidv7() }),
    (draft) => ({ ...place(spool, draft), seq: 1 }),
    (draft) => ({ ...place(spool, draft), version: 2 }),
  ];
  spool.append(good());
  for (const breakRecord of broken) {
    spool.appendRaw(breakRecord(good()));
    spool.append(good());
  }
  const result = await ingest(spool.batch(1, spool.records.length));
  expect(result.quarantined.map(({ seq }) => seq)).toEqual(broken.map((_, index) => 2 * index + 2));
  expect(await count('usage_quarantine', 'spool_id', spool.spoolId)).toBe(broken.length);
  expect(await confirmed(spool.spoolId)).toBe(spool.records.length);
  expect(await totals(owner.tenantId)).toMatchObject({
    'wallet USD': [BigInt(broken.length + 1) * PRICE_OF_ONE, 0n],
  });
  expect(await totals(stranger.tenantId)).toEqual({});
});

test('the whole record is kept, also where jsonb could not hold it', async () => {
  const spool = new TestSpool(dataPlaneId);
  await ingest(spool.appendRaw({ some: 'thing' }));
  await ingest(spool.appendRaw({ some: 'nul \0' }));
  const rows = await fixture.query<{ record: unknown }>(
    'select record from usage_quarantine where spool_id = $1 order by seq',
    [spool.spoolId],
  );
  expect(rows.map(({ record }) => record)).toEqual([{ some: 'thing' }, String.raw`{"some":"nul \u0000"}`]);
});

test('what only the database refuses is found among a thousand and set aside alone', async () => {
  const owner = await fixture.createCustomer();
  const spool = new TestSpool(dataPlaneId);
  // A rule that the worker's own checks know nothing of.
  await fixture.query(`alter table usage_event add constraint poison check (model <> 'poison')`);
  const events = Array.from({ length: 1000 }, (_, index) =>
    makeEvent(owner, price.id, { model: index === 77 || index === 900 ? 'poison' : 'test-model' }),
  );
  const result = await ingest(spool.append(...events));
  await fixture.query('alter table usage_event drop constraint poison');
  expect(result.quarantined.map(({ seq, reason }) => [seq, reason])).toEqual([
    [78, 'the database refuses it: 23514'],
    [901, 'the database refuses it: 23514'],
  ]);
  expect(await confirmed(spool.spoolId)).toBe(1000);
  expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [998n * PRICE_OF_ONE, 0n] });
});

test('an id that is no UUIDv7, or of an odd time, is booked like any other', async () => {
  const owner = await fixture.createCustomer();
  const spool = new TestSpool(dataPlaneId);
  const ids = [uuidv4(), '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-7fff-bfff-ffffffffffff'];
  await ingest(spool.append(...ids.map((eventId) => makeEvent(owner, price.id, { eventId }))));
  expect(await totals(owner.tenantId)).toMatchObject({ 'wallet USD': [3n * PRICE_OF_ONE, 0n] });
});
