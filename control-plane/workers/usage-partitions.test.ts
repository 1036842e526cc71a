import { pino } from 'pino';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { createUsageIngest } from './ingest-usage.js';
import { openPool } from '../database/sql.js';
import { createUsagePartitions } from './usage-partitions.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let customer: Customer;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 4, onError: () => undefined });
  customer = await fixture.createCustomer();
});

afterAll(async () => {
  await pool.end();
  await fixture.close();
  await database.drop();
});

const partitionName = (at: Date): string => `usage_event_${at.toISOString().slice(0, 7).replace('-', '_')}`;
const nextMonth = (at: Date): Date => new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 15));

test('calls of this month and the next have partitions of their own, whoever makes them, and others are booked all the same', async () => {
  const warnings: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => warnings.push(line) });
  const all = Array.from({ length: 3 }, () => createUsagePartitions({ database: pool, logger }));
  const price = await fixture.createVersion({ input: '1', output: '1' });
  const spool = new TestSpool(await fixture.createDataPlane());
  const ingest = createUsageIngest({ pool });
  const [now, later, old] = [new Date(), nextMonth(new Date()), new Date(Date.UTC(2020, 5, 15))];
  const at = (instant: Date) => makeEvent(customer, price.id, { eventId: uuidv7({ msecs: instant.getTime() }) });
  // While batches come in, too.
  await Promise.all([...all.map(({ ensure }) => ensure()), ingest(spool.append(at(old)))]);
  await ingest(spool.append(at(now), at(later), at(old)));
  const rows = await fixture.query<{ place: string; calls: string }>(
    'select tableoid::regclass::text as place, count(*) as calls from usage_event group by 1 order by 1',
  );
  expect(rows).toEqual([
    { place: partitionName(now), calls: '1' },
    { place: partitionName(later), calls: '1' },
    { place: 'usage_event_rest', calls: '2' },
  ]);
  for (const { stop } of all) stop();
  expect(warnings).toEqual([]);
});

test('a month whose calls lie in the default partition already is left there, with a warning', async () => {
  const old = new Date(Date.UTC(2020, 5, 15));
  await expect(fixture.query('select ensure_usage_partition($1)', [old])).rejects.toThrow(/would be violated/);
});
