import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import type { LeaseAsk, LeaseGrant, LeaseRequest, LeaseScope } from '@pingtoken/shared/lease';
import { parseAmount } from '@pingtoken/shared/money';
import { createBillingFixture, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer, EventDraft } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { createLedger, type Ledger } from '../billing/ledger.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { createBudgets, type Budget, type Budgets, type CreateBudgetInput } from '../budgets/budgets.js';
import { openPlatformDatabase, type Orm } from '../database/orm.js';
import { Refusal } from '../database/refusal.js';
import { openPool } from '../database/sql.js';
import { createTransactionRunner, platformScope, type Scope } from '../database/transaction.js';
import { createCreditExpiry } from '../wallets/expire-credits.js';
import { createWallets, type Wallets } from '../wallets/wallets.js';
import { createUsageIngest, type IngestUsage } from '../workers/ingest-usage.js';
import { createAllocator, type Allocator } from './allocate.js';
import { closeSpool, createLeaseCloser } from './close-leases.js';
import { fenceLeases } from './fence.js';
import { createLeases, type Leases } from './leases.js';

let database: TestDatabase;
let fixture: BillingFixture;
let orm: Orm;
let pool: pg.Pool;
let ledger: Ledger;
let wallets: Wallets;
let leases: Leases;
let budgets: Budgets;
let ingest: IngestUsage;
let allocator: Allocator;
let dataPlaneId: string;
/** A dollar for one token of input. */
let cardId: string;
const DOLLAR = parseAmount('1');
const quiet = { warn: () => undefined };

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  orm = await openPlatformDatabase({ url: database.urls.api });
  pool = openPool({ url: database.urls.worker, size: 12, onError: () => undefined });
  const run = createTransactionRunner(orm);
  [ledger, wallets, leases, budgets] = [
    createLedger({ run }),
    createWallets({ run }),
    createLeases({ run }),
    createBudgets({ run }),
  ];
  ingest = createUsageIngest({ pool });
  allocator = createAllocator({ pool });
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
const owner = ({ tenantId, memberId }: Customer): Scope => ({ tenantId, actorMemberId: memberId, operator: false });

async function createPrepaid(dollars: number, options: object = {}): Promise<Customer> {
  const customer = await fixture.createCustomer('prepaid');
  const input = { amount: String(dollars), currency: 'USD', idempotencyKey: uuidv7(), reason: 'a test', ...options };
  done(await ledger.topUp(platformScope(customer.tenantId), input));
  return customer;
}

/** In dollars. */
const WALLET: LeaseScope = { kind: 'wallet' };
const ask = (
  needed: number,
  options: { scope?: LeaseScope; unit?: number; desired?: number; held?: number } = {},
): LeaseAsk => {
  const { scope = WALLET, unit = needed, desired = needed, held = 0 } = options;
  const units = (dollars: number): string => String(BigInt(dollars) * DOLLAR);
  return { scope, held: units(held), unit: units(unit), needed: units(needed), desired: units(desired) };
};
const request = ({ tenantId }: Customer, spoolId: string, ...asks: LeaseAsk[]): LeaseRequest => ({
  ...{ requestId: uuidv7(), spoolId, tenantId, currency: 'USD', at: Date.now(), asks },
});

async function lease(customer: Customer, spool: TestSpool, ...asks: LeaseAsk[]): Promise<(LeaseGrant | string)[]> {
  const { results } = await allocator.allocate(spool.dataPlaneId, request(customer, spool.spoolId, ...asks));
  return results.map((result) => ('refused' in result ? result.refused : result));
}
async function leaseOne(customer: Customer, spool: TestSpool, of: LeaseAsk): Promise<LeaseGrant> {
  const [grant] = await lease(customer, spool, of);
  if (typeof grant !== 'object') throw new Error(`refused: ${grant ?? ''}`);
  return grant;
}
const granted = (result: LeaseGrant | string | undefined): bigint | string | undefined =>
  typeof result === 'object' ? BigInt(result.granted) / DOLLAR : result;

/** A call for so many dollars that was admitted on leases. */
function call(
  customer: Customer,
  dollars: number,
  leaseIds: string[],
  overrides: Partial<EventDraft> = {},
): EventDraft {
  const event = makeEvent(customer, cardId, { leaseIds, ...overrides });
  return { ...event, attempts: event.attempts.map((attempt) => ({ ...attempt, usage: { input: dollars } })) };
}

const fence = (spool: TestSpool, lastSeq: number | null, given: { leaseId: string; seq: number }[] = []) =>
  fenceLeases(pool, spool.dataPlaneId, { spoolId: spool.spoolId, leases: given, lastSeq });
const close = (spool: TestSpool) => closeSpool(pool, spool.spoolId, quiet);

async function wallet(customer: Customer): Promise<{ balance: bigint; reserved: bigint; available: bigint }> {
  const { balance, reserved, available } = done(await ledger.balanceOf(owner(customer), 'USD'));
  return { balance: balance / DOLLAR, reserved: reserved / DOLLAR, available: available / DOLLAR };
}
async function loss(customer: Customer): Promise<bigint> {
  const [row] = await fixture.query<{ debits: string }>(
    `select debits from account where tenant_id = $1 and kind = 'operator_loss'`,
    [customer.tenantId],
  );
  return BigInt(row?.debits ?? 0) / DOLLAR;
}

describe('leases', () => {
  test('never sum to more than the wallet, however many ask at once', async () => {
    const customer = await createPrepaid(100);
    const spools = Array.from({ length: 10 }, () => new TestSpool(dataPlaneId));
    const results = await Promise.all(
      Array.from({ length: 4 }, () => spools.map((spool) => lease(customer, spool, ask(7)))).flat(),
    );
    const refused = results.flat().filter((result) => typeof result === 'string');
    // Fourteen times seven: two dollars are left, which no call of seven fits into.
    expect(refused).toEqual(Array.from({ length: 26 }, () => 'reserved'));
    expect(await wallet(customer)).toEqual({ balance: 100n, reserved: 98n, available: 2n });
    expect(await leases.list(owner(customer), true)).toHaveLength(10);
  });

  test('are given in whole calls where there is less than was asked for, and whoever is late hears why', async () => {
    const customer = await createPrepaid(10);
    const [one, other] = [new TestSpool(dataPlaneId), new TestSpool(dataPlaneId)];
    expect(granted((await lease(customer, one, ask(300, { unit: 3 })))[0])).toBe(9n);
    expect(await lease(customer, other, ask(3))).toEqual(['reserved']);
    // A dollar is left over: with the two that it holds already, the first can make one more call.
    expect(granted((await lease(customer, one, ask(3, { held: 2 })))[0])).toBe(10n);
    expect(await lease(customer, other, ask(11))).toEqual(['exhausted']);
    expect(await lease(await fixture.createCustomer('prepaid'), other, ask(1))).toEqual(['exhausted']);
  });

  test('leave stock for others where nobody waits', async () => {
    const customer = await createPrepaid(100);
    expect(granted((await lease(customer, new TestSpool(dataPlaneId), ask(4, { unit: 2, desired: 90 })))[0])).toBe(28n);
  });

  test('are granted once for a request, at once and again', async () => {
    const customer = await createPrepaid(100);
    const spool = new TestSpool(dataPlaneId);
    const wanted = request(customer, spool.spoolId, ask(5));
    const answers = await Promise.all(Array.from({ length: 5 }, () => allocator.allocate(dataPlaneId, wanted)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect((await wallet(customer)).reserved).toBe(5n);
    // Another request: the same lease grows.
    const [first] = answers[0]?.results ?? [];
    const grown = await leaseOne(customer, spool, ask(6));
    expect(first).toMatchObject({ leaseId: grown.leaseId });
    expect(granted(grown)).toBe(11n);
  });

  test('are paid from by calls, and what a call costs above its reservation is the loss of the operator', async () => {
    const customer = await createPrepaid(100);
    const spool = new TestSpool(dataPlaneId);
    const { leaseId } = await leaseOne(customer, spool, ask(20));
    const reserved = String(5n * DOLLAR);
    await ingest(spool.append(call(customer, 4, [leaseId], { reserved }), call(customer, 9, [leaseId], { reserved })));
    expect(await wallet(customer)).toEqual({ balance: 91n, reserved: 11n, available: 80n });
    expect(await loss(customer)).toBe(4n);
    // What is not left of the lease is not taken from the wallet either.
    await ingest(spool.append(call(customer, 30, [leaseId])));
    expect(await wallet(customer)).toEqual({ balance: 80n, reserved: 0n, available: 80n });
    expect(await loss(customer)).toBe(23n);
  });

  test('return when the ledger has all that was drawn on them, not before, and once', async () => {
    const customer = await createPrepaid(100);
    const spool = new TestSpool(dataPlaneId);
    const { leaseId } = await leaseOne(customer, spool, ask(20));
    const batch = spool.append(call(customer, 5, [leaseId]), call(customer, 6, [leaseId]));
    await fence(spool, null, [{ leaseId, seq: 2 }]);
    await close(spool);
    expect((await wallet(customer)).reserved).toBe(20n);
    await ingest({ ...batch, events: batch.events.slice(0, 1) });
    await close(spool);
    expect((await wallet(customer)).reserved).toBe(15n);
    await ingest(batch);
    const closer = createLeaseCloser({ pool, logger: quiet });
    await Promise.all([close(spool), closer.closeDue(), close(spool)]);
    expect(await wallet(customer)).toEqual({ balance: 89n, reserved: 0n, available: 89n });
    // The spool lives on: its next lease is another one.
    expect((await leaseOne(customer, spool, ask(1))).leaseId).not.toBe(leaseId);
  });

  test('of a process that was killed return when its spool is drained, and it is given no other', async () => {
    const customer = await createPrepaid(100);
    const [dead, next] = [new TestSpool(dataPlaneId), new TestSpool(dataPlaneId)];
    const { leaseId } = await leaseOne(customer, dead, ask(60));
    const batch = dead.append(call(customer, 5, [leaseId]));
    expect(await lease(customer, next, ask(60))).toEqual(['reserved']);
    await fence(dead, 1);
    // A request that was on its way when it died.
    expect(await lease(customer, dead, ask(1))).toEqual(['fenced']);
    await ingest(batch);
    await close(dead);
    expect(granted((await lease(customer, next, ask(60)))[0])).toBe(60n);
    // One that never held a lease, and has no record.
    const silent = new TestSpool(dataPlaneId);
    await fence(silent, 0);
    expect(await lease(customer, silent, ask(1))).toEqual(['fenced']);
  });

  test('that are declared lost return, and what is reported on them after all is the loss of the operator', async () => {
    const customer = await createPrepaid(100);
    const spool = new TestSpool(dataPlaneId);
    const { leaseId } = await leaseOne(customer, spool, ask(60));
    const operator = platformScope(customer.tenantId);
    const input = { spoolId: spool.spoolId, reason: 'its disk is gone' };
    const [first, again] = [
      done(await leases.declareLost(operator, input)),
      done(await leases.declareLost(operator, input)),
    ];
    expect(again).toEqual(first);
    await createLeaseCloser({ pool, logger: quiet }).closeDue();
    expect(await wallet(customer)).toEqual({ balance: 100n, reserved: 0n, available: 100n });
    expect(await leases.list(owner(customer), false)).toMatchObject([{ id: leaseId, isLost: true }]);
    await ingest(spool.append(call(customer, 7, [leaseId])));
    expect(await wallet(customer)).toEqual({ balance: 100n, reserved: 0n, available: 100n });
    expect(await loss(customer)).toBe(7n);
    expect(await lease(customer, spool, ask(1))).toEqual(['fenced']);
  });

  test('are nobody else’s: not another data plane’s, not another tenant’s, not another spool’s', async () => {
    const [customer, stranger] = [await createPrepaid(100), await createPrepaid(100)];
    const spool = new TestSpool(dataPlaneId);
    const { leaseId } = await leaseOne(customer, spool, ask(20));
    const intruder = new TestSpool(await fixture.createDataPlane());
    const forged = request(customer, spool.spoolId, ask(1));
    expect((await allocator.allocate(intruder.dataPlaneId, forged)).results).toEqual([{ refused: 'fenced' }]);
    await fenceLeases(pool, intruder.dataPlaneId, {
      ...{ spoolId: spool.spoolId, leases: [{ leaseId, seq: 0 }], lastSeq: 0 },
    });
    await close(spool);
    expect((await wallet(customer)).reserved).toBe(20n);
    await ingest(intruder.append(call(customer, 3, [leaseId]), call(stranger, 3, [leaseId])));
    expect((await wallet(customer)).reserved).toBe(20n);
    // The one is reported on a lease that it was not given, the other on none of its own: that is as good as no lease.
    expect([await loss(customer), await loss(stranger)]).toEqual([3n, 0n]);
    expect((await wallet(stranger)).balance).toBe(97n);
  });

  test('go as far below zero as a credit limit allows, and no further', async () => {
    const customer = await fixture.createCustomer('prepaid');
    const terms = { billingMode: 'postpaid', currency: 'USD', creditLimit: '50' } as const;
    done(await wallets.setTerms(platformScope(customer.tenantId), terms));
    const spool = new TestSpool(dataPlaneId);
    expect(granted((await lease(customer, spool, ask(30)))[0])).toBe(30n);
    expect(granted((await lease(customer, spool, ask(30, { unit: 10 })))[0])).toBe(50n);
    expect(await wallet(customer)).toEqual({ balance: 0n, reserved: 50n, available: 0n });
  });

  test('of a credit that runs out admit no call afterwards; what comes back too late has run out', async () => {
    const expiresAt = new Date(Date.now() + 60_000);
    const customer = await createPrepaid(10, { expiresAt });
    const spool = new TestSpool(dataPlaneId);
    const grant = await leaseOne(customer, spool, ask(8));
    expect(grant.admitUntil).toBe(expiresAt.getTime());
    await ingest(spool.append(call(customer, 3, [grant.leaseId])));
    await fixture.query(`update credit set expires_at = now() where tenant_id = $1`, [customer.tenantId]);
    const expiry = createCreditExpiry({ pool, logger: quiet });
    await expiry.expireDue();
    expect(await wallet(customer)).toEqual({ balance: 5n, reserved: 5n, available: 0n });
    await fence(spool, 1);
    await close(spool);
    await expiry.expireDue();
    // It came back to the wallet, and its credit is looked at with the next thing that happens to the wallet.
    await lease(customer, new TestSpool(dataPlaneId), ask(1));
    expect(await wallet(customer)).toEqual({ balance: 0n, reserved: 0n, available: 0n });
  });
});

describe('a budget', () => {
  const create = async (customer: Customer, input: Partial<CreateBudgetInput> = {}): Promise<Budget> => {
    const budget = done(
      await budgets.create(owner(customer), {
        ...{ name: 'team', subject: 'tenant', period: 'day', currency: 'USD', amount: '10', isHard: true },
        ...{ idempotencyKey: uuidv7(), ...input },
      }),
    );
    // Nobody waits for a test.
    await fixture.query(`update budget set starts_at = now() - interval '1 hour' where id = $1`, [budget.id]);
    return budget;
  };
  const of = ({ id }: Budget): LeaseScope => ({ kind: 'budget', budgetId: id });
  const state = async (customer: Customer): Promise<{ spent: bigint; reserved: bigint }[]> =>
    (await budgets.list(owner(customer))).map(({ spent, reserved }) => ({
      ...{ spent: spent / DOLLAR, reserved: reserved / DOLLAR },
    }));
  const told = (customer: Customer) =>
    fixture.query<{ payload: { notice: string; percent: number } }>(
      `select payload from outbox where tenant_id = $1 and topic = 'tell-owners' order by created_at, payload->'percent'`,
      [customer.tenantId],
    );

  test('that is hard is leased like a wallet, and never exceeded, whatever a call costs', async () => {
    const customer = await createPrepaid(1000);
    const budget = await create(customer);
    const spools = Array.from({ length: 4 }, () => new TestSpool(dataPlaneId));
    const results = await Promise.all(
      spools.map((spool) => lease(customer, spool, ask(3), ask(3, { scope: of(budget) }))),
    );
    expect(results.map(([, second]) => granted(second)).sort()).toEqual([3n, 3n, 3n, 'reserved']);
    const winner = results.findIndex(([, second]) => typeof second === 'object');
    const leaseIds = (results[winner] ?? []).flatMap((grant) => (typeof grant === 'object' ? [grant.leaseId] : []));
    const spool = spools[winner] ?? new TestSpool(dataPlaneId);
    await ingest(spool.append(call(customer, 2, leaseIds), call(customer, 5, leaseIds)));
    expect(await state(customer)).toEqual([{ spent: 3n, reserved: 6n }]);
    expect(await loss(customer)).toBe(4n);
    for (const each of spools) {
      await fence(each, each.records.length);
      await close(each);
    }
    expect(await state(customer)).toEqual([{ spent: 3n, reserved: 0n }]);
    expect(await wallet(customer)).toEqual({ balance: 997n, reserved: 0n, available: 997n });
  });

  test('counts by day and month of its own time zone, each call in those of its admission', async () => {
    const customer = await fixture.createCustomer('postpaid');
    const budget = await create(customer, { timeZone: 'Pacific/Kiritimati', isHard: false, amount: '1000' });
    await create(customer, { period: 'month', timeZone: 'America/New_York', isHard: false, amount: '1000' });
    await create(customer, { period: 'total', isHard: false, amount: '1000' });
    await fixture.query(`update budget set starts_at = to_timestamp(0) where tenant_id = $1`, [customer.tenantId]);
    const at = (text: string) => ({ admittedAt: Date.parse(text), eventId: uuidv7({ msecs: Date.parse(text) }) });
    await ingest(
      new TestSpool(dataPlaneId).append(
        call(customer, 1, [], at('2026-03-01T04:59:00Z')),
        call(customer, 2, [], at('2026-03-01T05:00:00Z')),
        call(customer, 4, [], at('2026-03-01T09:59:00Z')),
        call(customer, 8, [], at('2026-03-01T10:00:00Z')),
      ),
    );
    const windows = await fixture.query<{ budget_id: string; day: string; dollars: string }>(
      `select budget_id, to_char(window_from at time zone 'UTC', 'MM-DD HH24') as day, (spent / 1e12)::bigint as dollars
       from budget_window where tenant_id = $1 order by budget_id, window_from`,
      [customer.tenantId],
    );
    expect(windows.map(({ day, dollars }) => `${day}: ${dollars}`)).toEqual([
      ...['02-28 10: 7', '03-01 10: 8', '02-01 05: 1', '03-01 05: 14', '01-01 00: 15'],
    ]);
    expect(windows[0]?.budget_id).toBe(budget.id);
  });

  test('tells at 50, 80 and 100 percent, each once, however often calls are delivered', async () => {
    const customer = await fixture.createCustomer('postpaid');
    await create(customer, { isHard: false });
    const spool = new TestSpool(dataPlaneId);
    for (const dollars of [4, 1, 2, 2, 1, 5]) {
      const batch = spool.append(call(customer, dollars, []));
      await Promise.all([ingest(batch), ingest(batch)]);
    }
    expect((await told(customer)).map(({ payload }) => payload.percent)).toEqual([50, 80, 100]);
    expect(await state(customer)).toEqual([{ spent: 15n, reserved: 0n }]);
  });

  test('counts the calls of its key or member alone', async () => {
    const [customer, stranger] = [await createPrepaid(100), await createPrepaid(100)];
    await create(customer, { subject: 'api-key', subjectId: customer.apiKeyId });
    await create(customer, { subject: 'member', subjectId: customer.memberId, currency: 'EUR' });
    const other = { ...customer, apiKeyId: uuidv7() };
    await fixture.query(
      `insert into api_key (id, tenant_id, member_id, name, hash, hint) values ($1::uuid, $2, $3, 'k', $1::text, 'h')`,
      [other.apiKeyId, other.tenantId, other.memberId],
    );
    await ingest(new TestSpool(dataPlaneId).append(call(customer, 2, []), call(other, 3, []), call(stranger, 4, [])));
    expect(await state(customer)).toEqual([
      { spent: 2n, reserved: 0n },
      { spent: 0n, reserved: 0n },
    ]);
    const foreign = await budgets.create(owner(stranger), {
      ...{ name: 'x', subject: 'api-key', subjectId: customer.apiKeyId, period: 'day', currency: 'USD', amount: '1' },
      ...{ isHard: true, idempotencyKey: 'x' },
    });
    expect(foreign).toBeInstanceOf(Refusal);
  });

  test('that is removed, soft, another tenant’s or unknown limits nothing', async () => {
    const [customer, stranger] = [await createPrepaid(100), await createPrepaid(100)];
    const [removed, soft, foreign] = [
      await create(customer),
      await create(customer, { isHard: false }),
      await create(stranger),
    ];
    done(await budgets.remove(owner(customer), removed.id));
    const spool = new TestSpool(dataPlaneId);
    for (const budgetId of [removed.id, soft.id, foreign.id, uuidv7()]) {
      expect(await lease(customer, spool, ask(1, { scope: { kind: 'budget', budgetId } }))).toEqual(['unlimited']);
    }
  });

  test('is created once for a key, and published to data planes while it limits', async () => {
    const customer = await createPrepaid(100);
    const input = {
      ...{ name: 'n', subject: 'tenant', period: 'month', timeZone: 'Europe/Berlin', currency: 'USD', amount: '5' },
      ...{ isHard: true, idempotencyKey: 'once' },
    } as const;
    const made = await Promise.all([1, 2, 3].map(() => budgets.create(owner(customer), input)));
    const [{ id } = { id: '' }] = made.map(done);
    expect(new Set(made.map((each) => done(each).id)).size).toBe(1);
    const published = () =>
      fixture.query<{ line: string }>(`select line from config_object where kind = 'budget' and object_id = $1`, [id]);
    expect((await published())[0]?.line).toContain(`"subjectId": "${customer.tenantId}"`);
    done(await budgets.update(owner(customer), { id, isHard: false, amount: '7' }));
    expect((await published())[0]?.line).toContain('"deleted": true');
    const other = await budgets.create(owner(customer), { ...input, period: 'day' });
    expect(other).toBeInstanceOf(Refusal);
  });
});

describe('a low balance', () => {
  test('is told of once until it has risen again', async () => {
    const customer = await createPrepaid(10);
    done(await wallets.setWarning(owner(customer), { currency: 'USD', lowBalance: '5' }));
    const spool = new TestSpool(dataPlaneId);
    const { leaseId } = await leaseOne(customer, spool, ask(8));
    for (const dollars of [4, 2, 1]) await ingest(spool.append(call(customer, dollars, [leaseId])));
    const input = { amount: '9', currency: 'USD', idempotencyKey: 'more', reason: 'a test' };
    done(await ledger.topUp(platformScope(customer.tenantId), input));
    await ingest(spool.append(call(customer, 1, [])));
    await ingest(spool.append(call(customer, 8, [])));
    const rows = await fixture.query<{ payload: object }>(
      `select payload from outbox where tenant_id = $1 and topic = 'tell-owners' order by created_at`,
      [customer.tenantId],
    );
    expect(rows.map(({ payload }) => payload)).toEqual([
      { notice: 'low-balance', currency: 'USD', balance: String(4n * DOLLAR) },
      { notice: 'low-balance', currency: 'USD', balance: String(3n * DOLLAR) },
    ]);
  });
});
