import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { waitFor } from '../../test/kit/wait-for.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { openPool } from '../database/sql.js';
import { closePeriods } from './close-period.js';
import { createUsageIngest } from './ingest-usage.js';
import { createPeriodOf } from './ledger-periods.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let customer: Customer;
let price: RateCardVersion;
let cost: RateCardVersion;
let dataPlaneId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 4, onError: () => undefined });
  customer = await fixture.createCustomer();
  price = await fixture.createVersion({ input: '2500000', output: '10000000' });
  cost = await fixture.createVersion({ input: '1', output: '1' });
  dataPlaneId = await fixture.createDataPlane();
});

afterAll(async () => {
  await pool.end();
  await fixture.close();
  await database.drop();
});

const DAY_MS = 86_400_000;
/** In the middle of this month, of the one before, and so on. */
const monthsAgo = (count: number): number => {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - count, 15);
};
const firstOf = (at: number): string => `${new Date(at).toISOString().slice(0, 7)}-01`;

async function book(admittedAt: number): Promise<string[]> {
  const attempts = [makeAttempt({ costCardVersionId: cost.id })];
  const event = makeEvent(customer, price.id, { admittedAt, attempts });
  await createUsageIngest({ pool })(new TestSpool(dataPlaneId).append(event));
  const rows = await fixture.query<{ period: string }>(
    'select distinct period::text as period from transfer where event_id = $1',
    [event.eventId],
  );
  return rows.map(({ period }) => period);
}

const close = (at: number) => closePeriods(pool, { graceDays: 3, at: new Date(at) });

test('a late call is booked in its own month while that is open, and then in the first that is', async () => {
  expect(await book(monthsAgo(2))).toEqual([firstOf(monthsAgo(2))]);
  expect(await book(monthsAgo(1))).toEqual([firstOf(monthsAgo(1))]);
  // What a data plane with a wrong clock reports of the future is booked now.
  expect(await book(monthsAgo(-2))).toEqual([firstOf(Date.now())]);
  const end = Date.parse(firstOf(monthsAgo(1)));
  expect(await close(end + 3 * DAY_MS - 1)).toEqual([]);
  expect(await close(end + 3 * DAY_MS)).toEqual([firstOf(monthsAgo(2))]);
  expect(await close(end + 3 * DAY_MS)).toEqual([]);
  expect(await book(monthsAgo(2))).toEqual([firstOf(monthsAgo(1))]);
  expect(await book(monthsAgo(5))).toEqual([firstOf(monthsAgo(1))]);
  expect((await verifyLedger({ pool })).differences).toEqual([]);
});

test('in a closed month nothing is booked, by nobody', async () => {
  const insert = `insert into transfer (id, tenant_id, debit_account_id, credit_account_id, amount, kind, reason, period)
    select gen_random_uuid(), tenant_id, debit_account_id, credit_account_id, 1, 'top_up', 'x', $1 from transfer limit 1`;
  await expect(fixture.query(insert, [firstOf(monthsAgo(2))])).rejects.toThrow('the month of a transfer is closed');
  await expect(fixture.query('delete from ledger_period')).rejects.toThrow('append-only');
});

test('a transfer between accounts of two tenants, of two currencies or of none is refused', async () => {
  const other = await fixture.createCustomer();
  const account = async (tenantId: string, currency: string): Promise<string> => {
    const text = `select ledger_account($1, 'adjustment', $2) as id`;
    return (await pool.query<{ id: string }>(text, [tenantId, currency])).rows[0]?.id ?? '';
  };
  const own = await account(customer.tenantId, 'USD');
  const strange = await account(other.tenantId, 'USD');
  for (const credit of [strange, await account(customer.tenantId, 'EUR'), crypto.randomUUID()]) {
    const booking = fixture.query(
      `insert into transfer (id, tenant_id, debit_account_id, credit_account_id, amount, kind)
       values (gen_random_uuid(), $1, $2, $3, 1, 'top_up')`,
      [customer.tenantId, own, credit],
    );
    await expect(booking).rejects.toThrow('between two accounts of its tenant');
  }
  const unpriced = fixture.query(
    `insert into transfer (id, tenant_id, debit_account_id, credit_account_id, amount, kind, event_id, rate_card_version_id)
     select gen_random_uuid(), tenant_id, debit_account_id, credit_account_id, 1, kind, gen_random_uuid(), gen_random_uuid()
     from transfer where kind = 'usage' limit 1`,
  );
  await expect(unpriced).rejects.toThrow('no rate card version');
});

test('closing waits for a booking that is under way, and a booking for the closing', async () => {
  const holder = await pool.connect();
  await holder.query('begin');
  await holder.query(`select pg_advisory_xact_lock_shared(hashtext('pingtoken-ledger-period'))`);
  const closing = close(Date.parse(firstOf(Date.now())) + 4 * DAY_MS);
  const isWaiting = async (count: number): Promise<boolean | undefined> => {
    const waiting = await fixture.query(
      `select 1 from pg_locks where locktype = 'advisory' and not granted
         and database = (select oid from pg_database where datname = current_database())`,
    );
    return waiting.length === count ? true : undefined;
  };
  await waitFor(() => isWaiting(1), { timeoutMs: 20_000, what: 'the closing waits' });
  const booking = book(monthsAgo(1));
  await waitFor(() => isWaiting(2), { timeoutMs: 20_000, what: 'the booking waits' });
  await holder.query('rollback');
  holder.release();
  expect(await closing).toEqual([firstOf(monthsAgo(1))]);
  expect(await booking).toEqual([firstOf(Date.now())]);
  expect((await verifyLedger({ pool })).differences).toEqual([]);
});

test('a month that does not fit its call is found', async () => {
  await fixture.query('alter table transfer disable trigger user');
  await fixture.query(`update transfer set period = '2020-01-01' where event_id is not null and period = $1`, [
    firstOf(monthsAgo(2)),
  ]);
  await fixture.query('alter table transfer enable trigger user');
  const { differences } = await verifyLedger({ pool });
  expect(differences.map(({ about }) => about)).toEqual(['transfer', 'transfer']);
});

test('months are UTC’s, and the years turn', () => {
  const periodOf = createPeriodOf({ current: '2027-02-01', closed: '2026-12-01' });
  const at = (...date: [year: number, month: number, day: number]): string => periodOf(Date.UTC(...date));
  expect([at(2026, 11, 31), at(2027, 0, 1), at(2026, 0, 1), at(2027, 1, 28), at(2027, 2, 1)]).toEqual([
    ...['2027-01-01', '2027-01-01', '2027-01-01', '2027-02-01', '2027-02-01'],
  ]);
  expect(periodOf(Date.UTC(2027, 1, 1) - 1)).toBe('2027-01-01');
});
