import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { openPlatformDatabase, type Orm } from '../database/orm.js';
import { Refusal } from '../database/refusal.js';
import { createTransactionRunner, platformScope, type Scope } from '../database/transaction.js';
import { createUsageIngest } from '../workers/ingest-usage.js';
import { openPool } from '../database/sql.js';
import { createLedger, type Ledger } from './ledger.js';
import { usageCursor, type UsagePage, type UsagePageInput, type UsageSummary } from './usage.js';

let database: TestDatabase;
let fixture: BillingFixture;
let orm: Orm;
let ledger: Ledger;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  orm = await openPlatformDatabase({ url: database.urls.api });
  ledger = createLedger({ run: createTransactionRunner(orm) });
});

afterAll(async () => {
  await orm.close();
  await fixture.close();
  await database.drop();
});

const ofTenant = ({ tenantId, memberId }: Customer): Scope => ({ tenantId, actorMemberId: memberId, operator: false });
const credit = { amount: '12.5', currency: 'USD', idempotencyKey: 'first', reason: 'bank transfer 7' };
const DOLLAR = 10n ** 12n;

function done<T>(result: T | Refusal): T {
  if (result instanceof Refusal) throw new Error(JSON.stringify(result.errors));
  return result;
}
const codes = (result: unknown): string[] =>
  result instanceof Refusal ? result.errors.map(({ code, path }) => `${code} ${path.join('.')}`) : [];

describe('top-up', () => {
  test('credits the wallet exactly and leaves an audit entry', async () => {
    const customer = await fixture.createCustomer();
    const transfer = done(
      await ledger.topUp(platformScope(customer.tenantId), { ...credit, amount: '0.000000000001' }),
    );
    expect(transfer).toMatchObject({ amount: 1n, kind: 'top_up', idempotencyKey: 'first' });
    expect(await ledger.balanceOf(ofTenant(customer), 'USD')).toEqual({
      ...{ currency: 'USD', balance: 1n, reserved: 0n, creditLimit: 0n, available: 1n },
    });
    const audits = await fixture.query('select entry from audit where tenant_id = $1', [customer.tenantId]);
    expect(audits).toHaveLength(1);
  });

  test('the same key with the same input returns the first transfer, at once from many sides too', async () => {
    const customer = await fixture.createCustomer();
    const scope = platformScope(customer.tenantId);
    const results = await Promise.all(Array.from({ length: 8 }, () => ledger.topUp(scope, credit)));
    expect(new Set(results.map((result) => done(result).id)).size).toBe(1);
    expect(await ledger.balanceOf(scope, 'USD')).toMatchObject({ balance: (125n * DOLLAR) / 10n });
    const audits = await fixture.query('select 1 from audit where tenant_id = $1', [customer.tenantId]);
    expect(audits).toHaveLength(1);
  });

  test('the same key with another amount, currency or reason is refused and books nothing', async () => {
    const customer = await fixture.createCustomer();
    const scope = platformScope(customer.tenantId);
    await ledger.topUp(scope, credit);
    for (const other of [{ amount: '12.51' }, { currency: 'EUR' }, { reason: 'another' }]) {
      expect(codes(await ledger.topUp(scope, { ...credit, ...other }))).toEqual([
        'idempotency_mismatch idempotencyKey',
      ]);
    }
    expect(await ledger.balances(scope)).toMatchObject([{ currency: 'USD', balance: (125n * DOLLAR) / 10n }]);
  });

  test('a key is a tenant’s own: another tenant may use the same', async () => {
    const [one, two] = [await fixture.createCustomer(), await fixture.createCustomer()];
    for (const { tenantId } of [one, two]) done(await ledger.topUp(platformScope(tenantId), credit));
    expect(await ledger.balanceOf(ofTenant(two), 'USD')).toMatchObject({ available: (125n * DOLLAR) / 10n });
  });

  test.each([
    [{ amount: '0' }, 'amount'],
    [{ amount: '0.0' }, 'amount'],
    [{ amount: '-1' }, 'amount'],
    [{ amount: '1e3' }, 'amount'],
    [{ amount: '1.0000000000001' }, 'amount'],
    [{ amount: '1000000000.1' }, 'amount'],
    [{ amount: '9'.repeat(400) }, 'amount'],
    [{ amount: '' }, 'amount'],
    [{ currency: 'usd' }, 'currency'],
    [{ currency: 'DOLLAR' }, 'currency'],
    [{ idempotencyKey: '' }, 'idempotencyKey'],
    [{ idempotencyKey: 'a\0' }, 'idempotencyKey'],
    [{ reason: ' ' }, 'reason'],
    [{ reason: 'a\0' }, 'reason'],
  ])('%o is refused', async (fault, field) => {
    const scope = platformScope((await fixture.createCustomer()).tenantId);
    expect(codes(await ledger.topUp(scope, { ...credit, ...fault }))).toContain(`invalid_request ${field}`);
    expect(await ledger.balances(scope)).toEqual([]);
  });

  test('a tenant that does not exist, or cannot, is not found', async () => {
    for (const tenantId of [uuidv7(), 'x', '']) {
      expect(codes(await ledger.topUp(platformScope(tenantId), credit))).toEqual(['not_found tenantId']);
    }
  });
});

describe('usage', () => {
  let customer: Customer;
  let ids: string[];

  beforeAll(async () => {
    customer = await fixture.createCustomer();
    const stranger = await fixture.createCustomer();
    const price = await fixture.createVersion({ input: '3', output: '5' });
    const euros = await fixture.createVersion({ input: '1', output: '1' }, { currency: 'EUR' });
    const pool = openPool({ url: database.urls.worker, size: 2, onError: () => undefined });
    const spool = new TestSpool(await fixture.createDataPlane());
    const start = Date.UTC(2026, 0, 1);
    const events = Array.from({ length: 25 }, (_, index) =>
      makeEvent(customer, index < 24 ? price.id : euros.id, {
        admittedAt: start + index * 1000,
        eventId: uuidv7({ msecs: start + index * 1000 }),
        model: index % 2 === 0 ? 'even' : 'odd',
        attempts: [makeAttempt({ usage: { input: index, output: 1, cacheRead: 2 } })],
      }),
    );
    await createUsageIngest({ pool })(spool.append(...events, makeEvent(stranger, price.id)));
    await pool.end();
    ids = events.map(({ eventId }) => eventId).reverse();
  });

  const list = async (input: UsagePageInput): Promise<UsagePage> =>
    done(await ledger.listUsage(ofTenant(customer), input));
  const summarise = async (input: object): Promise<UsageSummary> =>
    done(await ledger.summariseUsage(ofTenant(customer), input));

  test('is listed newest first, each call once, the tenant’s own only', async () => {
    const seen: string[] = [];
    for (let after: string | null = null, more = true; more;) {
      const page = await list({ first: 7, after });
      seen.push(...page.events.map(({ id }) => id));
      after = usageCursor(page.events.at(-1)?.id ?? '');
      more = page.hasNextPage;
    }
    expect(seen).toEqual(ids);
    expect((await list({ first: 25 })).hasNextPage).toBe(false);
  });

  test('is filtered by key, model and time of admission', async () => {
    const from = new Date(Date.UTC(2026, 0, 1, 0, 0, 3));
    const to = new Date(Date.UTC(2026, 0, 1, 0, 0, 8));
    expect((await list({ from, to })).events.map(({ model }) => model)).toEqual(['odd', 'even', 'odd', 'even', 'odd']);
    expect((await list({ from, to, model: 'even' })).events).toHaveLength(2);
    expect((await list({ apiKeyId: customer.apiKeyId })).events).toHaveLength(25);
    expect((await list({ apiKeyId: uuidv7() })).events).toHaveLength(0);
  });

  test('a page of none, of too many, a forged cursor and a bad id are refused', async () => {
    for (const input of [
      { first: 0 },
      { first: 101 },
      { first: 1.5 },
      { after: 'x' },
      { after: '' },
      { after: Buffer.alloc(16, 255).toString('base64url') + '=' },
      { apiKeyId: "' or 1=1" },
      { model: 'a\0' },
      { from: new Date(Number.NaN) },
    ]) {
      expect(codes(await ledger.listUsage(ofTenant(customer), input))).toHaveLength(1);
    }
  });

  test('adds up exactly, by currency and dimension', async () => {
    expect(await summarise({})).toEqual({
      calls: 25,
      amounts: [
        { currency: 'EUR', amount: 24n + 1n + 2n },
        { currency: 'USD', amount: 3n * 276n + 24n * 5n + 24n * 2n * 3n },
      ],
      counts: [
        { dimension: 'input', count: 300n },
        { dimension: 'output', count: 25n },
        { dimension: 'cacheRead', count: 50n },
      ],
    });
    expect(await summarise({ to: new Date(0) })).toEqual({ calls: 0, amounts: [], counts: [] });
    expect(await summarise({ model: 'odd', apiKeyId: customer.apiKeyId })).toMatchObject({ calls: 12 });
  });

  test('what the operator pays and earns on a tenant is not in the tenant’s balances', async () => {
    expect(await ledger.balances(ofTenant(customer))).toEqual([
      { currency: 'EUR', balance: -27n, reserved: 0n, creditLimit: 0n, available: -27n },
      { currency: 'USD', balance: -1092n, reserved: 0n, creditLimit: 0n, available: -1092n },
    ]);
  });
});
