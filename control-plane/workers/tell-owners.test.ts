import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, type BillingFixture } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { openPersonKeyDatabase, type Orm } from '../database/orm.js';
import { openPool } from '../database/sql.js';
import { createPersonVault, type PersonVault } from '../identity/person-vault.js';
import type { Mail } from './mail-transport.js';
import { createNoticeSender } from './send-notices.js';
import { createOwnerNotices } from './tell-owners.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: ReturnType<typeof openPool>;
let orm: Orm;
let vault: PersonVault;
const logger = pino({ level: 'silent' });

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 6, onError: () => undefined });
  orm = await openPersonKeyDatabase({ url: database.urls.personKeys });
  vault = createPersonVault({ orm, secret: randomBytes(32).toString('base64url') });
});
afterAll(async () => {
  await orm.close();
  await pool.end();
  await fixture.close();
  await database.drop();
});

test('what is to be told of money is mailed to each owner once, in words', async () => {
  const customer = await fixture.createCustomer();
  const cipher = await vault.create(customer.personId);
  await fixture.query('update person set email_sealed = $2 where id = $1', [
    ...[customer.personId, cipher.encrypt('email', 'owner@example.org')],
  ]);
  const budgetId = uuidv7();
  await fixture.query(
    `insert into budget (id, tenant_id, name, subject, subject_id, period, time_zone, currency, amount, is_hard, starts_at, idempotency_key)
     values ($1, $2, 'Research', 'tenant', $2, 'month', 'Asia/Tokyo', 'USD', 12500000000000, true, now(), 'k')`,
    [budgetId, customer.tenantId],
  );
  const tell = (payload: object) =>
    fixture.query(`insert into outbox (id, tenant_id, topic, payload) values ($1, $2, 'tell-owners', $3)`, [
      ...[uuidv7(), customer.tenantId, payload],
    ]);
  await tell({ notice: 'budget-threshold', budgetId, windowFrom: Date.UTC(2026, 9, 31, 15), percent: 80 });
  await tell({ notice: 'low-balance', currency: 'USD', balance: '4250000000000' });
  await tell({ notice: 'budget-threshold', budgetId: uuidv7(), windowFrom: 0, percent: 80 });
  const notices = [1, 2, 3].map(() => createOwnerNotices({ pool, vault, logger }));
  const counts = await Promise.all(notices.map((each) => each.consumeDue()));
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(3);
  const sent: Mail[] = [];
  const transport = {
    send: (mail: Mail) => {
      sent.push(mail);
      return Promise.resolve();
    },
    close: () => undefined,
  };
  await createNoticeSender({ database: pool, vault, transport, logger }).sendDue();
  expect(sent.map(({ to, subject }) => `${to}: ${subject}`).sort()).toEqual([
    'owner@example.org: 80% of a budget is spent',
    'owner@example.org: Your balance is low',
  ]);
  const text = sent.map((mail) => mail.text).join();
  expect(text).toContain('Of the budget "Research", 12.5 USD, 80% is spent in the month from 2026-11-01 (Asia/Tokyo).');
  expect(text).toContain('fallen to 4.25 USD');
});
