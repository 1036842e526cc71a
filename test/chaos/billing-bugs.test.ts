import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseJson } from '@pingtoken/shared/wire';
import { verifyLedger } from '../../control-plane/billing/verify-ledger.js';
import { platformScope } from '../../control-plane/database/transaction.js';
import type { Budget } from '../../control-plane/budgets/budgets.js';
import { createDamagedEvent } from '../../data-plane/meter/damaged-records.js';
import { TestSpool, type Customer } from '../kit/billing-fixture.js';
import { ask, createLeaseFixture, done, granted, owner, type LeaseFixture } from '../kit/lease-fixture.js';

/** Bugs that billing systems of others have had, and that no other test here shows to be absent: see the table in the README. */
let fixture: LeaseFixture;

beforeAll(async () => {
  fixture = await createLeaseFixture();
});
afterAll(async () => {
  expect((await verifyLedger({ pool: fixture.pool })).differences).toEqual([]);
  await fixture.close();
});

async function createDayBudget(customer: Customer, dollars: number): Promise<Budget> {
  const terms = { name: 'day', subject: 'tenant', period: 'day', currency: 'USD', isHard: true } as const;
  const input = { ...terms, amount: String(dollars), idempotencyKey: uuidv7() };
  const budget = done(await fixture.budgets.create(owner(customer), input));
  // From yesterday's first moment on, so that a call of yesterday counts.
  await fixture.billing.query(`update budget set starts_at = now() - interval '2 days' where id = $1`, [budget.id]);
  return budget;
}

it('of first requests that race for a new budget, no more pass than it is worth', async () => {
  const customer = await fixture.createPrepaid(1_000);
  const budget = await createDayBudget(customer, 7);
  const scope = { kind: 'budget', budgetId: budget.id } as const;
  const spools = Array.from({ length: 20 }, () => new TestSpool(fixture.dataPlaneId));
  const results = await Promise.all(spools.map((spool) => fixture.lease(customer, spool, ask(1, { scope }))));
  const answers = results.flat().map((each) => granted(each));
  expect(answers.filter((answer) => answer === 1n)).toHaveLength(7);
  expect(answers.filter((answer) => answer === 'reserved')).toHaveLength(13);
  for (const spool of spools) {
    await fixture.fence(spool, 0);
    await fixture.closeDrained(spool);
  }
});

it('a new day’s window takes nothing of what was spent the day before, even what is reported in it', async () => {
  const customer = await fixture.createPrepaid(1_000);
  const budget = await createDayBudget(customer, 10);
  const spentOf = async (at: Date): Promise<string | undefined> => {
    const [row] = await fixture.billing.query<{ spent: string }>(
      `select (spent / 10^12)::int::text as spent from budget_window
       where budget_id = $1 and window_from = budget_window_from('day', 'UTC', $2)`,
      [budget.id, at],
    );
    return row?.spent;
  };
  const today = new Date();
  const yesterday = new Date(today.getTime() - 86_400_000);
  const spool = new TestSpool(fixture.dataPlaneId);
  const callAt = (at: Date, dollars: number) => {
    const admittedAt = at.getTime();
    return fixture.call(customer, dollars, [], {
      eventId: uuidv7({ msecs: admittedAt }),
      admittedAt,
      endedAt: admittedAt + 1,
    });
  };
  await fixture.ingest(spool.append(callAt(yesterday, 4)));
  await fixture.ingest(spool.append(callAt(today, 3)));
  expect([await spentOf(yesterday), await spentOf(today)]).toEqual(['4', '3']);
  // It began before midnight, and its data plane was cut off until now.
  await fixture.ingest(spool.append(callAt(yesterday, 2)));
  expect([await spentOf(yesterday), await spentOf(today)]).toEqual(['6', '3']);
});

it('parts of a currency that has no coins smaller than one are kept, and lost by no rounding', async () => {
  const customer = await fixture.billing.createCustomer('prepaid');
  // 0.4 yen a token: each call would round to nothing.
  const card = await fixture.billing.createVersion({ input: String(4n * 10n ** 11n) }, { currency: 'JPY' });
  const topUp = { amount: '100', currency: 'JPY', idempotencyKey: uuidv7(), reason: 'a test' };
  done(await fixture.ledger.topUp(platformScope(customer.tenantId), topUp));
  const spool = new TestSpool(fixture.dataPlaneId);
  const calls = Array.from({ length: 5 }, () => {
    const event = fixture.call(customer, 1, []);
    return { ...event, priceCardVersionId: card.id };
  });
  const { losses, quarantined } = await fixture.ingest(spool.append(...calls));
  expect({ losses, quarantined }).toEqual({ losses: [], quarantined: [] });
  const { balance } = done(await fixture.ledger.balanceOf(owner(customer), 'JPY'));
  expect(balance).toBe(98n * 10n ** 12n);
});

it('a record that the disk has damaged is set aside for a person, and holds up no other', async () => {
  const customer = await fixture.createPrepaid(10);
  const spool = new TestSpool(fixture.dataPlaneId);
  spool.append(fixture.call(customer, 1, []));
  spool.appendRaw(parseJson(createDamagedEvent(spool.spoolId, 2, [Buffer.from([0, 255, 10])]).toString()));
  spool.append(fixture.call(customer, 2, []));
  const { confirmedSeq, quarantined } = await fixture.ingest(spool.batch(1, 3));
  expect(confirmedSeq).toBe(3);
  expect(quarantined).toMatchObject([{ seq: 2, record: { kind: 'damaged', bytes: 'AP8K' } }]);
  expect((await fixture.wallet(customer)).balance).toBe(7n);
});
