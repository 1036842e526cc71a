import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import type { LeaseScope } from '@pingtoken/shared/lease';
import { TestSpool, type Customer } from '../../test/kit/billing-fixture.js';
import { ask, createLeaseFixture, done, DOLLAR, granted, owner } from '../../test/kit/lease-fixture.js';
import type { LeaseFixture } from '../../test/kit/lease-fixture.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { Refusal } from '../database/refusal.js';
import { platformScope } from '../database/transaction.js';
import type { Budget, CreateBudgetInput } from './budgets.js';

let fixture: LeaseFixture;

beforeAll(async () => {
  fixture = await createLeaseFixture();
});
afterAll(async () => {
  expect((await verifyLedger({ pool: fixture.pool })).differences).toEqual([]);
  await fixture.close();
});

describe('a budget', () => {
  const create = async (customer: Customer, input: Partial<CreateBudgetInput> = {}): Promise<Budget> => {
    const budget = done(
      await fixture.budgets.create(owner(customer), {
        ...{ name: 'team', subject: 'tenant', period: 'day', currency: 'USD', amount: '10', isHard: true },
        ...{ idempotencyKey: uuidv7(), ...input },
      }),
    );
    // Nobody waits for a test.
    await fixture.billing.query(`update budget set starts_at = now() - interval '1 hour' where id = $1`, [budget.id]);
    return budget;
  };
  const of = ({ id }: Budget): LeaseScope => ({ kind: 'budget', budgetId: id });
  const state = async (customer: Customer): Promise<{ spent: bigint; reserved: bigint }[]> =>
    (await fixture.budgets.list(owner(customer))).map(({ spent, reserved }) => ({
      ...{ spent: spent / DOLLAR, reserved: reserved / DOLLAR },
    }));
  const told = (customer: Customer) =>
    fixture.billing.query<{ payload: { notice: string; percent: number } }>(
      `select payload from outbox where tenant_id = $1 and topic = 'tell-owners' order by created_at, payload->'percent'`,
      [customer.tenantId],
    );

  test('that is hard is leased like a wallet, and never exceeded, whatever a fixture.call costs', async () => {
    const customer = await fixture.createPrepaid(1000);
    const budget = await create(customer);
    const spools = Array.from({ length: 4 }, () => new TestSpool(fixture.dataPlaneId));
    const results = await Promise.all(
      spools.map((spool) => fixture.lease(customer, spool, ask(3), ask(3, { scope: of(budget) }))),
    );
    expect(results.map(([, second]) => granted(second)).sort()).toEqual([3n, 3n, 3n, 'reserved']);
    const winner = results.findIndex(([, second]) => typeof second === 'object');
    const leaseIds = (results[winner] ?? []).flatMap((grant) => (typeof grant === 'object' ? [grant.leaseId] : []));
    const spool = spools[winner] ?? new TestSpool(fixture.dataPlaneId);
    await fixture.ingest(spool.append(fixture.call(customer, 2, leaseIds), fixture.call(customer, 5, leaseIds)));
    expect(await state(customer)).toEqual([{ spent: 3n, reserved: 6n }]);
    expect(await fixture.loss(customer)).toBe(4n);
    for (const each of spools) {
      await fixture.fence(each, each.records.length);
      await fixture.closeDrained(each);
    }
    expect(await state(customer)).toEqual([{ spent: 3n, reserved: 0n }]);
    expect(await fixture.wallet(customer)).toEqual({ balance: 997n, reserved: 0n, available: 997n });
  });

  test('that is hard finds room among those that can limit the same call, or is refused', async () => {
    const customer = await fixture.billing.createCustomer('prepaid');
    const make = (input: Partial<CreateBudgetInput>, idempotencyKey = uuidv7()) =>
      fixture.budgets.create(owner(customer), {
        ...{ name: 'team', subject: 'tenant', period: 'day', currency: 'USD', amount: '10', isHard: true },
        ...{ idempotencyKey, ...input },
      });
    for (let count = 0; count < 9; count += 1) done(await make({}));
    for (let count = 0; count < 4; count += 1) done(await make({ subject: 'member', subjectId: customer.memberId }));
    const ofKey = { subject: 'api-key', subjectId: customer.apiKeyId } as const;
    done(await make(ofKey));
    const last = done(await make(ofKey, 'last'));
    const full = await make({});
    expect(full instanceof Refusal && full.errors).toMatchObject([{ code: 'invalid_request', path: ['isHard'] }]);
    // The same request is answered alike, and what limits no such call has room.
    expect(done(await make(ofKey, 'last')).id).toBe(last.id);
    done(await make({ currency: 'EUR' }));
    const soft = done(await make({ isHard: false }));
    expect(await fixture.budgets.update(owner(customer), { id: soft.id, isHard: true })).toBeInstanceOf(Refusal);
    done(await fixture.budgets.remove(owner(customer), last.id));
    expect(done(await fixture.budgets.update(owner(customer), { id: soft.id, isHard: true })).isHard).toBe(true);
  });

  test('counts by day and month of its own time zone, each fixture.call in those of its admission', async () => {
    const customer = await fixture.billing.createCustomer('postpaid');
    const budget = await create(customer, { timeZone: 'Pacific/Kiritimati', isHard: false, amount: '1000' });
    await create(customer, { period: 'month', timeZone: 'America/New_York', isHard: false, amount: '1000' });
    await create(customer, { period: 'total', isHard: false, amount: '1000' });
    await fixture.billing.query(`update budget set starts_at = to_timestamp(0) where tenant_id = $1`, [
      customer.tenantId,
    ]);
    const at = (text: string) => ({ admittedAt: Date.parse(text), eventId: uuidv7({ msecs: Date.parse(text) }) });
    await fixture.ingest(
      new TestSpool(fixture.dataPlaneId).append(
        fixture.call(customer, 1, [], at('2026-03-01T04:59:00Z')),
        fixture.call(customer, 2, [], at('2026-03-01T05:00:00Z')),
        fixture.call(customer, 4, [], at('2026-03-01T09:59:00Z')),
        fixture.call(customer, 8, [], at('2026-03-01T10:00:00Z')),
      ),
    );
    const windows = await fixture.billing.query<{ budget_id: string; day: string; dollars: string }>(
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
    const customer = await fixture.billing.createCustomer('postpaid');
    await create(customer, { isHard: false });
    const spool = new TestSpool(fixture.dataPlaneId);
    for (const dollars of [4, 1, 2, 2, 1, 5]) {
      const batch = spool.append(fixture.call(customer, dollars, []));
      await Promise.all([fixture.ingest(batch), fixture.ingest(batch)]);
    }
    expect((await told(customer)).map(({ payload }) => payload.percent)).toEqual([50, 80, 100]);
    expect(await state(customer)).toEqual([{ spent: 15n, reserved: 0n }]);
  });

  test('counts the calls of its key or member alone', async () => {
    const [customer, stranger] = [await fixture.createPrepaid(100), await fixture.createPrepaid(100)];
    await create(customer, { subject: 'api-key', subjectId: customer.apiKeyId });
    await create(customer, { subject: 'member', subjectId: customer.memberId, currency: 'EUR' });
    const other = { ...customer, apiKeyId: uuidv7() };
    await fixture.billing.query(
      `insert into api_key (id, tenant_id, member_id, name, hash, hint) values ($1::uuid, $2, $3, 'k', $1::text, 'h')`,
      [other.apiKeyId, other.tenantId, other.memberId],
    );
    await fixture.ingest(
      new TestSpool(fixture.dataPlaneId).append(
        fixture.call(customer, 2, []),
        fixture.call(other, 3, []),
        fixture.call(stranger, 4, []),
      ),
    );
    expect(await state(customer)).toEqual([
      { spent: 2n, reserved: 0n },
      { spent: 0n, reserved: 0n },
    ]);
    const foreign = await fixture.budgets.create(owner(stranger), {
      ...{ name: 'x', subject: 'api-key', subjectId: customer.apiKeyId, period: 'day', currency: 'USD', amount: '1' },
      ...{ isHard: true, idempotencyKey: 'x' },
    });
    expect(foreign).toBeInstanceOf(Refusal);
  });

  test('that is removed, soft, another tenant’s or unknown limits nothing', async () => {
    const [customer, stranger] = [await fixture.createPrepaid(100), await fixture.createPrepaid(100)];
    const [removed, soft, foreign] = [
      await create(customer),
      await create(customer, { isHard: false }),
      await create(stranger),
    ];
    done(await fixture.budgets.remove(owner(customer), removed.id));
    const spool = new TestSpool(fixture.dataPlaneId);
    for (const budgetId of [removed.id, soft.id, foreign.id, uuidv7()]) {
      expect(await fixture.lease(customer, spool, ask(1, { scope: { kind: 'budget', budgetId } }))).toEqual([
        'unlimited',
      ]);
    }
  });

  test('is created once for a key, and published to data planes while it limits', async () => {
    const customer = await fixture.createPrepaid(100);
    const input: CreateBudgetInput = {
      name: 'n',
      subject: 'tenant',
      period: 'month',
      timeZone: 'Europe/Berlin',
      currency: 'USD',
      amount: '5',
      isHard: true,
      idempotencyKey: 'once',
    };
    const made = await Promise.all([1, 2, 3].map(() => fixture.budgets.create(owner(customer), input)));
    const [{ id } = { id: '' }] = made.map(done);
    expect(new Set(made.map((each) => done(each).id)).size).toBe(1);
    const published = () =>
      fixture.billing.query<{ line: string }>(
        `select line from config_object where kind = 'budget' and object_id = $1`,
        [id],
      );
    expect((await published())[0]?.line).toContain(`"subjectId": "${customer.tenantId}"`);
    done(await fixture.budgets.update(owner(customer), { id, isHard: false, amount: '7' }));
    expect((await published())[0]?.line).toContain('"deleted": true');
    const other = await fixture.budgets.create(owner(customer), { ...input, period: 'day' });
    expect(other).toBeInstanceOf(Refusal);
  });
});

describe('a low balance', () => {
  test('is told of once until it has risen again', async () => {
    const customer = await fixture.createPrepaid(10);
    done(await fixture.wallets.setWarning(owner(customer), { currency: 'USD', lowBalance: '5' }));
    const spool = new TestSpool(fixture.dataPlaneId);
    const { leaseId } = await fixture.leaseOne(customer, spool, ask(8));
    for (const dollars of [4, 2, 1]) await fixture.ingest(spool.append(fixture.call(customer, dollars, [leaseId])));
    const input = { amount: '9', currency: 'USD', idempotencyKey: 'more', reason: 'a test' };
    done(await fixture.ledger.topUp(platformScope(customer.tenantId), input));
    await fixture.ingest(spool.append(fixture.call(customer, 1, [])));
    await fixture.ingest(spool.append(fixture.call(customer, 8, [])));
    const rows = await fixture.billing.query<{ payload: object }>(
      `select payload from outbox where tenant_id = $1 and topic = 'tell-owners' order by created_at`,
      [customer.tenantId],
    );
    expect(rows.map(({ payload }) => payload)).toEqual([
      { notice: 'low-balance', currency: 'USD', balance: String(4n * DOLLAR) },
      { notice: 'low-balance', currency: 'USD', balance: String(3n * DOLLAR) },
    ]);
  });
});
