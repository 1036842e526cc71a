import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { openPersonKeyDatabase, type Orm } from '../database/orm.js';
import { openPool } from '../database/sql.js';
import { createPersonVault, type PersonVault } from '../identity/person-vault.js';
import { createPriceAnnouncer } from './announce-prices.js';
import { createUsageIngest } from './ingest-usage.js';
import type { Mail } from './mail-transport.js';
import { createNoticeSender } from './send-notices.js';

let database: TestDatabase;
let fixture: BillingFixture;
let pool: pg.Pool;
let orm: Orm;
let vault: PersonVault;
/** Has called the models of the card; the other has called something else. */
let user: Customer;
let other: Customer;
let cardId: string;
const logger = pino({ level: 'silent' });
const EFFECTIVE_FROM = new Date(Date.now() + 7 * 86_400_000);

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  pool = openPool({ url: database.urls.worker, size: 6, onError: () => undefined });
  orm = await openPersonKeyDatabase({ url: database.urls.personKeys });
  vault = createPersonVault({ orm, secret: randomBytes(32).toString('base64url') });
  const price = await fixture.createVersion({ input: '1', output: '1' });
  const [row] = await fixture.query<{ rate_card_id: string }>(
    'select rate_card_id from rate_card_version where id = $1',
    [price.id],
  );
  cardId = row?.rate_card_id ?? '';
  for (const name of ['model-a', 'model-b', 'model-c']) {
    await fixture.query(
      `insert into model (id, name, operations, capabilities, price_card_id) values ($1, $2, '{}', '{}', $3)`,
      [...[uuidv7(), name, name === 'model-c' ? null : cardId]],
    );
  }
  [user, other] = [await makeCustomer('user@example.org'), await makeCustomer('other@example.org')];
  const spool = new TestSpool(await fixture.createDataPlane());
  await createUsageIngest({ pool })(
    spool.append(
      ...['model-a', 'model-b', 'model-a'].map((model) => makeEvent(user, price.id, { model })),
      makeEvent(other, price.id, { model: 'model-c' }),
    ),
  );
});
afterAll(async () => {
  await orm.close();
  await pool.end();
  await fixture.close();
  await database.drop();
});
beforeEach(() => fixture.query('delete from outbox'));

async function makeCustomer(email: string): Promise<Customer> {
  const customer = await fixture.createCustomer();
  const cipher = await vault.create(customer.personId);
  const sealed = cipher.encrypt('email', email);
  await fixture.query('update person set email_sealed = $2 where id = $1', [customer.personId, sealed]);
  return customer;
}

/** As the control plane leaves it in the transaction that makes the version. */
async function enqueueChange(effectiveFrom = EFFECTIVE_FROM): Promise<string> {
  const [versionId, id] = [uuidv7(), uuidv7()];
  await fixture.query(
    `insert into rate_card_version (id, rate_card_id, effective_from, currency, rates, source)
     values ($1, $2, $3, 'USD', '{"input": "2"}', 'test') on conflict (rate_card_id, effective_from) do nothing`,
    [versionId, cardId, effectiveFrom],
  );
  const [version] = await fixture.query<{ id: string }>(
    'select id from rate_card_version where rate_card_id = $1 and effective_from = $2',
    [cardId, effectiveFrom],
  );
  await fixture.query(
    `insert into outbox (id, tenant_id, topic, payload) values ($1, $2, 'announce-price-change', $3)`,
    [...[id, other.tenantId, JSON.stringify({ rateCardVersionId: version?.id })]],
  );
  return id;
}

async function mails(): Promise<Mail[]> {
  const sent: Mail[] = [];
  const transport = {
    send: (mail: Mail) => {
      sent.push(mail);
      return Promise.resolve();
    },
    close: () => undefined,
  };
  await createNoticeSender({ database: pool, vault, transport, logger }).sendDue();
  return sent;
}

describe('a price change that lies ahead', () => {
  test('is mailed to the owners of tenants that use a model of the card, with instant and models, and to nobody else', async () => {
    await enqueueChange();
    expect(await createPriceAnnouncer({ pool, vault, logger }).announceDue()).toBe(1);
    const sent = await mails();
    expect(sent.map(({ to }) => to)).toEqual(['user@example.org']);
    expect(sent[0]?.text).toContain(EFFECTIVE_FROM.toISOString());
    expect(sent[0]?.text).toContain('model-a\nmodel-b');
    expect(sent[0]?.text).not.toContain('model-c');
  });

  test('is mailed once, however many announcers there are and however often they look', async () => {
    await enqueueChange();
    const announcers = [1, 2, 3, 4].map(() => createPriceAnnouncer({ pool, vault, logger }));
    const counts = await Promise.all(announcers.map((announcer) => announcer.announceDue()));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(1);
    await announcers[0]?.announceDue();
    expect(await mails()).toHaveLength(1);
  });

  test('that fails half-way leaves no mail behind and is announced later', async () => {
    const id = await enqueueChange();
    const broken = { ...vault, open: () => Promise.reject(new Error('the keys are out of reach')) };
    await createPriceAnnouncer({ pool, vault: broken, logger }).announceDue();
    expect(await mails()).toEqual([]);
    const [row] = await fixture.query('select attempts, processed_at, last_error from outbox where id = $1', [id]);
    expect(row).toEqual({ attempts: 1, processed_at: null, last_error: 'Error' });
    await fixture.query('update outbox set available_at = now()');
    await createPriceAnnouncer({ pool, vault, logger }).announceDue();
    expect(await mails()).toHaveLength(1);
  });

  test('is not announced any more once it is in force', async () => {
    await enqueueChange(new Date(Date.now() - 1000));
    expect(await createPriceAnnouncer({ pool, vault, logger }).announceDue()).toBe(1);
    expect(await mails()).toEqual([]);
  });

  test('is announced by an announcer that runs, until it is stopped', async () => {
    const announcer = createPriceAnnouncer({ pool, vault, logger, pollIntervalMs: 20 });
    announcer.start();
    const id = await enqueueChange();
    const processed = async (): Promise<unknown> =>
      (await fixture.query('select processed_at is not null as done from outbox where id = $1', [id]))[0];
    await expect.poll(processed).toEqual({ done: true });
    await announcer.stop();
  });
});
