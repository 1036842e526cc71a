import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { parseAmount } from '@pingtoken/shared/money';
import { createBillingFixture, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { createLedger, type Ledger } from '../billing/ledger.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { openPlatformDatabase, type Orm } from '../database/orm.js';
import { Refusal } from '../database/refusal.js';
import { openPool } from '../database/sql.js';
import { createTransactionRunner, platformScope, type Scope } from '../database/transaction.js';
import { createUsageIngest, type IngestUsage } from '../workers/ingest-usage.js';
import { createCreditExpiry } from './expire-credits.js';
import { createRedemptionCodes, type RedemptionCodes } from './redemption-codes.js';
import { remainingOf } from './settle-credits.js';
import { createWallets, type Wallets } from './wallets.js';

let database: TestDatabase;
let fixture: BillingFixture;
let orm: Orm;
let pool: pg.Pool;
let ledger: Ledger;
let wallets: Wallets;
let codes: RedemptionCodes;
let ingest: IngestUsage;
let dataPlaneId: string;
/** A dollar for one token of input. */
let cardId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  orm = await openPlatformDatabase({ url: database.urls.api });
  pool = openPool({ url: database.urls.worker, size: 4, onError: () => undefined });
  const run = createTransactionRunner(orm);
  [ledger, wallets, codes] = [createLedger({ run }), createWallets({ run }), createRedemptionCodes({ run })];
  ingest = createUsageIngest({ pool });
  dataPlaneId = await fixture.createDataPlane();
  cardId = (await fixture.createVersion({ input: '1000000000000' })).id;
});
afterAll(async () => {
  expect((await verifyLedger({ pool })).differences).toEqual([]);
  await pool.end();
  await orm.close();
  await fixture.close();
  await database.drop();
});

function done<T>(result: T | Refusal): T {
  if (result instanceof Refusal) throw new Error(JSON.stringify(result.errors));
  return result;
}
const refusals = (result: unknown): string[] =>
  result instanceof Refusal ? result.errors.map(({ code, path }) => `${code} ${path.join('.')}`) : [];

const operatorFor = (customer: Customer): Scope => platformScope(customer.tenantId);
const owner = ({ tenantId, memberId }: Customer): Scope => ({ tenantId, actorMemberId: memberId, operator: false });

async function credit(customer: Customer, amount: string, options: object = {}): Promise<string> {
  const input = { amount, currency: 'USD', idempotencyKey: uuidv7(), reason: 'a test', ...options };
  return done(await ledger.topUp(operatorFor(customer), input)).id;
}

/** A call for so many dollars, without a lease. */
async function spend(customer: Customer, dollars: number): Promise<void> {
  const event = makeEvent(customer, cardId);
  const attempts = event.attempts.map((attempt) => ({ ...attempt, usage: { input: dollars } }));
  await ingest(new TestSpool(dataPlaneId).append({ ...event, attempts }));
}

async function creditsOf(customer: Customer): Promise<[string, bigint][]> {
  const credits = done(await wallets.credits(owner(customer), 'USD'));
  return credits.map((each) => [each.id, remainingOf(each) / DOLLAR]);
}
const balanceOf = async (customer: Customer) => done(await ledger.balanceOf(owner(customer), 'USD'));
const DOLLAR = parseAmount('1');

/** A credit's end, moved: nobody waits for a test. */
const endsAt = (creditId: string, at: string) =>
  fixture.query(`update credit set expires_at = ${at} where id = $1`, [creditId]);

describe('credits', () => {
  test('are spent by priority, then by expiry, whatever came first', async () => {
    const customer = await fixture.createCustomer('prepaid');
    const soon = new Date(Date.now() + 60_000);
    const [late, early, first] = [
      await credit(customer, '10'),
      await credit(customer, '10', { expiresAt: soon }),
      await credit(customer, '10', { priority: 1, isGranted: true }),
    ];
    await spend(customer, 13);
    expect(await creditsOf(customer)).toEqual([
      [early, 7n],
      [late, 10n],
    ]);
    // Now there is one to be spent before: what was spent already stays spent.
    const newest = await credit(customer, '5', { priority: 0 });
    expect(await creditsOf(customer)).toEqual([
      [newest, 5n],
      [early, 7n],
      [late, 10n],
    ]);
    expect(first).not.toBe(newest);
  });

  test('run out once, whoever looks, and only with what is left of them', async () => {
    const customer = await fixture.createCustomer('prepaid');
    const creditId = await credit(customer, '10', { expiresAt: new Date(Date.now() + 60_000) });
    await credit(customer, '1');
    await spend(customer, 4);
    await endsAt(creditId, `now() - interval '1 second'`);
    const expire = createCreditExpiry({ pool, logger: { warn: () => undefined } });
    await Promise.all([expire.expireDue(), expire.expireDue(), expire.expireDue()]);
    expect(await expire.expireDue()).toBe(0);
    expect(await balanceOf(customer)).toMatchObject({ balance: DOLLAR, available: DOLLAR });
    const page = done(await wallets.transactions(owner(customer), {}));
    expect(page.transactions.map(({ kind, amount }) => [kind, amount / DOLLAR])).toEqual([
      ['expiry', -6n],
      ['usage', -4n],
      ['top_up', 1n],
      ['top_up', 10n],
    ]);
  });

  test('must end in the future, where they do', async () => {
    const customer = await fixture.createCustomer();
    const input = { amount: '1', currency: 'USD', idempotencyKey: 'x', reason: 'y', expiresAt: new Date(1) };
    expect(refusals(await ledger.topUp(operatorFor(customer), input))).toEqual(['invalid_request expiresAt']);
    expect(await creditsOf(customer)).toEqual([]);
  });
});

describe('a call without a lease', () => {
  test('takes of a prepaid wallet what is there; the rest is the loss of the operator', async () => {
    const customer = await fixture.createCustomer('prepaid');
    await credit(customer, '10');
    await Promise.all([spend(customer, 7), spend(customer, 7)]);
    expect(await balanceOf(customer)).toMatchObject({ balance: 0n, available: 0n });
    const [loss] = await fixture.query(
      `select debits::text from account where tenant_id = $1 and kind = 'operator_loss'`,
      [customer.tenantId],
    );
    expect(loss).toEqual({ debits: String(4n * DOLLAR) });
  });

  test('is owed by a postpaid tenant, and the next credit pays the debt first', async () => {
    const customer = await fixture.createCustomer('postpaid');
    await spend(customer, 7);
    expect(await balanceOf(customer)).toMatchObject({ balance: -7n * DOLLAR });
    const creditId = await credit(customer, '10');
    expect(await creditsOf(customer)).toEqual([[creditId, 3n]]);
  });
});

describe('a refund', () => {
  test('pays back at most what is left of a credit that money was received for', async () => {
    const customer = await fixture.createCustomer('prepaid');
    const [paid, given] = [await credit(customer, '10'), await credit(customer, '10', { isGranted: true })];
    await spend(customer, 4);
    const refund = (overrides: object) =>
      wallets.refund(operatorFor(customer), {
        creditId: paid,
        reason: 'closed',
        idempotencyKey: uuidv7(),
        ...overrides,
      });
    expect(refusals(await refund({ amount: '6.01' }))).toEqual(['insufficient_funds amount']);
    expect(refusals(await refund({ creditId: given }))).toEqual(['not_found creditId']);
    const results = await Promise.all([refund({ amount: '4' }), refund({ amount: '4' })]);
    expect(results.filter((result) => result instanceof Refusal)).toHaveLength(1);
    const input = { idempotencyKey: 'again' };
    const [one, two] = [done(await refund(input)), done(await refund(input))];
    expect(one).toEqual(two);
    expect(one.amount).toBe(2n * DOLLAR);
    expect(refusals(await refund({ ...input, reason: 'another' }))).toEqual(['idempotency_mismatch idempotencyKey']);
    expect(await creditsOf(customer)).toEqual([[given, 10n]]);
  });

  test('of another tenant’s credit does not exist', async () => {
    const [one, other] = [await fixture.createCustomer(), await fixture.createCustomer()];
    const creditId = await credit(one, '10');
    const input = { creditId, reason: 'r', idempotencyKey: 'k' };
    expect(refusals(await wallets.refund(operatorFor(other), input))).toEqual(['not_found creditId']);
  });
});

describe('a correction', () => {
  test('gives a charge back to the credit that paid it, never more than the charge', async () => {
    const customer = await fixture.createCustomer('prepaid');
    const creditId = await credit(customer, '10');
    await spend(customer, 4);
    const [charge] = done(await wallets.transactions(owner(customer), { kinds: ['usage'] })).transactions;
    const correct = (amount: string | null) =>
      wallets.correct(operatorFor(customer), {
        ...{ transferId: charge?.id ?? '', amount, reason: 'an outage', idempotencyKey: uuidv7() },
      });
    expect(refusals(await correct('4.01'))).toEqual(['invalid_request amount']);
    const results = await Promise.all([correct('3'), correct('3')]);
    expect(results.filter((result) => result instanceof Refusal)).toHaveLength(1);
    expect(done(await correct(null)).amount).toBe(DOLLAR);
    expect(await creditsOf(customer)).toEqual([[creditId, 10n]]);
  });
});

describe('a redemption code', () => {
  const batch = { name: 'spring', amount: '5', currency: 'USD', count: 3, creditDays: 30 };

  test('is redeemed once, by whoever comes first, and shown once', async () => {
    const [one, other] = [await fixture.createCustomer(), await fixture.createCustomer()];
    const idempotencyKey = uuidv7();
    const made = done(await codes.create(operatorFor(one), { ...batch, idempotencyKey }));
    const again = done(await codes.create(operatorFor(one), { ...batch, idempotencyKey }));
    expect([again.batch.id, again.codes]).toEqual([made.batch.id, null]);
    const [code = '', second = ''] = made.codes ?? [];
    const stored = await fixture.query('select * from redemption_code where batch_id = $1', [made.batch.id]);
    expect(stored).toHaveLength(3);
    expect(JSON.stringify(stored)).not.toContain(code);
    const results = await Promise.all(
      [one, other, one, other].map((customer) => codes.redeem(owner(customer), { code, idempotencyKey: uuidv7() })),
    );
    expect(results.filter((result) => !(result instanceof Refusal))).toHaveLength(1);
    const input = { code: second, idempotencyKey: 'mine' };
    const [first, repeated] = [
      done(await codes.redeem(owner(one), input)),
      done(await codes.redeem(owner(one), input)),
    ];
    expect(repeated).toEqual(first);
    expect(refusals(await codes.redeem(owner(other), input))).toEqual(['not_found code']);
    const [listed] = await codes.list(operatorFor(one));
    expect(listed).toMatchObject({ id: made.batch.id, redeemed: 2 });
  });

  test('is worth nothing when it is unknown, over or void', async () => {
    const customer = await fixture.createCustomer();
    const make = async (options: object) => {
      const made = done(await codes.create(operatorFor(customer), { ...batch, ...options, idempotencyKey: uuidv7() }));
      return { id: made.batch.id, code: made.codes?.[0] ?? '' };
    };
    const [voided, over] = [await make({}), await make({ redeemUntil: new Date(Date.now() + 60_000) })];
    done(await codes.void(operatorFor(customer), voided.id));
    await fixture.query(`update redemption_batch set redeem_until = now() where id = $1`, [over.id]);
    for (const code of ['unknown', voided.code, over.code]) {
      const input = { code, idempotencyKey: uuidv7() };
      expect(refusals(await codes.redeem(owner(customer), input))).toEqual(['not_found code']);
    }
    expect(await creditsOf(customer)).toEqual([]);
  });
});

describe('transactions', () => {
  test('are paged to their end, each once, and are nobody else’s', async () => {
    const [customer, stranger] = [await fixture.createCustomer(), await fixture.createCustomer()];
    for (let count = 0; count < 5; count += 1) await credit(customer, '1');
    const seen: string[] = [];
    for (let after: string | null = null; ;) {
      const page: { transactions: readonly { id: string }[]; hasNextPage: boolean } = done(
        await wallets.transactions(owner(customer), { first: 2, after }),
      );
      seen.push(...page.transactions.map(({ id }) => id));
      after = seen.at(-1) ?? null;
      if (!page.hasNextPage) break;
    }
    expect(new Set(seen).size).toBe(5);
    expect(done(await wallets.transactions(owner(stranger), {})).transactions).toEqual([]);
  });
});
