import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer, EventDraft } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { openPlatformDatabase } from '../database/orm.js';
import { createTransactionRunner, platformScope } from '../database/transaction.js';
import { createUsageIngest } from '../workers/ingest-usage.js';
import { openPool } from '../database/sql.js';
import { createLedger } from './ledger.js';
import { verifyLedger } from './verify-ledger.js';

const REPEATED = {
  ...{ attempts: [], billedAttempt: null },
  repeated: { usage: { input: 101, output: 50 }, countedBy: 'provider', priceShare: 3_333 },
} as const satisfies Partial<EventDraft>;
let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let customer: Customer;
let eventId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 2, onError: () => undefined });
  customer = await fixture.createCustomer();
  const price = await fixture.createVersion({ input: '3', output: '5' });
  const cost = await fixture.createVersion({ input: '2', output: '4' }, { currency: 'EUR' });
  const attempts = [makeAttempt({ costCardVersionId: cost.id })];
  const events = Array.from({ length: 1500 }, (_each, index) =>
    // Some were given an answer that was there already, for a share of its price.
    makeEvent(customer, price.id, index % 100 === 99 ? { ...REPEATED } : { attempts }),
  );
  eventId = events[700]?.eventId ?? '';
  const spool = new TestSpool(await fixture.createDataPlane());
  spool.append(...events);
  const ingest = createUsageIngest({ pool });
  await ingest(spool.batch(1, 1000));
  await ingest(spool.batch(1001, 500));
  const orm = await openPlatformDatabase({ url: database.urls.api });
  const ledger = createLedger({ run: createTransactionRunner(orm) });
  const credit = { amount: '5', currency: 'USD', idempotencyKey: 'a', reason: 'b' };
  await ledger.topUp(platformScope(customer.tenantId), credit);
  await orm.close();
});

afterAll(async () => {
  await pool.end();
  await fixture.close();
  await database.drop();
});

/** Past every trigger, as only somebody with the whole database in hand could. */
async function tamper(statement: string, values: unknown[]): Promise<void> {
  for (const table of ['transfer', 'usage_event']) await fixture.query(`alter table ${table} disable trigger user`);
  await fixture.query(statement, values);
  for (const table of ['transfer', 'usage_event']) await fixture.query(`alter table ${table} enable trigger user`);
}

test('a ledger that the platform wrote has no differences', async () => {
  expect(await verifyLedger({ pool })).toEqual({ accounts: 7, events: 1500, transfers: 2986, differences: [] });
});

test('an answer that was there already costs its share of the price, down to a unit, and the operator nothing', async () => {
  const sql =
    'select amount::text, cost_amount, cache_share, provider_id, usage from usage_event where cache_share is not null';
  const rows = await fixture.query(sql);
  // 101 times 3 and 50 times 5, of which 3,333 ten-thousandths are 184.31…
  const row = {
    amount: '184',
    cost_amount: null,
    cache_share: 3333,
    provider_id: null,
    usage: { input: 101, output: 50 },
  };
  expect(rows).toEqual(Array.from({ length: 15 }, () => row));
});

test.each([
  ['an amount of an event', 'update usage_event set amount = amount + 1 where id = $1', ['event']],
  ['a count of an event', `update usage_event set usage = '{"input": 1}' where id = $1`, ['event']],
  [
    'a missing transfer',
    `delete from transfer where event_id = $1 and kind = 'usage'`,
    ['account', 'account', 'event'],
  ],
  [
    'an amount of a cost',
    `update transfer set amount = 1 where event_id = $1 and kind = 'provider_cost'`,
    ['account', 'account', 'event'],
  ],
  ['the share of a price', 'update usage_event set cache_share = 5000 where id = $1', ['event']],
  ['a missing event', 'delete from usage_event where id = $1', ['transfer', 'transfer']],
  [
    'a transfer turned round',
    `update transfer set debit_account_id = credit_account_id, credit_account_id = debit_account_id where event_id = $1 and kind = 'usage'`,
    ['account', 'account', 'transfer'],
  ],
])('%s is found', async (_name, statement, expected) => {
  const event = await fixture.query('select * from usage_event where id = $1', [eventId]);
  const transfers = await fixture.query('select * from transfer where event_id = $1', [eventId]);
  await tamper(statement, [eventId]);
  const { differences } = await verifyLedger({ pool });
  await tamper('delete from transfer where event_id = $1', [eventId]);
  await tamper('delete from usage_event where id = $1', [eventId]);
  await tamper('insert into usage_event select * from json_populate_recordset(null::usage_event, $1)', [
    JSON.stringify(event),
  ]);
  await tamper('insert into transfer select * from json_populate_recordset(null::transfer, $1)', [
    JSON.stringify(transfers),
  ]);
  // What an event says is in the rollups too.
  expect(differences.map(({ about }) => about).filter((about) => about !== 'rollup')).toEqual(expected);
  expect((await verifyLedger({ pool })).differences).toEqual([]);
});

test('an edited total of an account is found', async () => {
  await fixture.query('update account set credits = credits + 1 where tenant_id = $1 and kind = $2', [
    customer.tenantId,
    'wallet',
  ]);
  const { differences } = await verifyLedger({ pool });
  await fixture.query('update account set credits = credits - 1 where tenant_id = $1 and kind = $2', [
    customer.tenantId,
    'wallet',
  ]);
  expect(differences).toMatchObject([
    {
      about: 'account',
      expected: expect.stringMatching(/credits 5000000000000$/),
      found: expect.stringMatching(/credits 5000000000001$/),
    },
  ]);
});
