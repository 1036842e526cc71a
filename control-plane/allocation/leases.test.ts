import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask, createLeaseFixture, DOLLAR, done, granted, owner, quiet, request } from '../../test/kit/lease-fixture.js';
import type { LeaseFixture } from '../../test/kit/lease-fixture.js';
import { TestSpool } from '../../test/kit/billing-fixture.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { platformScope } from '../database/transaction.js';
import { createCreditExpiry } from '../wallets/expire-credits.js';
import { createLeaseCloser } from './close-leases.js';
import { fenceLeases } from './fence.js';

let fixture: LeaseFixture;

beforeAll(async () => {
  fixture = await createLeaseFixture();
});
afterAll(async () => {
  expect((await verifyLedger({ pool: fixture.pool })).differences).toEqual([]);
  await fixture.close();
});

describe('leases', () => {
  test('never sum to more than the wallet, however many ask at once', async () => {
    const customer = await fixture.createPrepaid(100);
    const spools = Array.from({ length: 10 }, () => new TestSpool(fixture.dataPlaneId));
    // Each spool asks four times, all forty at once.
    const results = await Promise.all(
      spools.flatMap((spool) => Array.from({ length: 4 }, () => fixture.lease(customer, spool, ask(7)))),
    );
    const refused = results.flat().filter((result) => typeof result === 'string');
    // Fourteen times seven: two dollars are left, which no call of seven fits into.
    expect(refused).toEqual(Array.from({ length: 26 }, () => 'reserved'));
    expect(await fixture.wallet(customer)).toEqual({ balance: 100n, reserved: 98n, available: 2n });
    // Which spools were in time is chance; each that was holds one lease, however often it was topped up.
    const served = spools.filter((_spool, index) =>
      results
        .slice(index * 4, index * 4 + 4)
        .flat()
        .some((result) => typeof result !== 'string'),
    );
    expect(await fixture.leases.list(owner(customer), true)).toHaveLength(served.length);
  });

  test('are given in whole calls where there is less than was asked for, and whoever is late hears why', async () => {
    const customer = await fixture.createPrepaid(10);
    const [one, other] = [new TestSpool(fixture.dataPlaneId), new TestSpool(fixture.dataPlaneId)];
    expect(granted((await fixture.lease(customer, one, ask(300, { unit: 3 })))[0])).toBe(9n);
    expect(await fixture.lease(customer, other, ask(3))).toEqual(['reserved']);
    // A dollar is left over: with the two that it holds already, the first can make one more call.
    expect(granted((await fixture.lease(customer, one, ask(3, { held: 2 })))[0])).toBe(10n);
    expect(await fixture.lease(customer, other, ask(11))).toEqual(['exhausted']);
    expect(await fixture.lease(await fixture.billing.createCustomer('prepaid'), other, ask(1))).toEqual(['exhausted']);
  });

  test('leave stock for others where nobody waits', async () => {
    const customer = await fixture.createPrepaid(100);
    expect(
      granted((await fixture.lease(customer, new TestSpool(fixture.dataPlaneId), ask(4, { unit: 2, desired: 90 })))[0]),
    ).toBe(28n);
  });

  test('are granted once for a request, at once and again', async () => {
    const customer = await fixture.createPrepaid(100);
    const spool = new TestSpool(fixture.dataPlaneId);
    const wanted = request(customer, spool.spoolId, ask(5));
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => fixture.allocator.allocate(fixture.dataPlaneId, wanted)),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect((await fixture.wallet(customer)).reserved).toBe(5n);
    // Another request: the same lease grows.
    const [first] = answers[0]?.results ?? [];
    const grown = await fixture.leaseOne(customer, spool, ask(6));
    expect(first).toMatchObject({ leaseId: grown.leaseId });
    expect(granted(grown)).toBe(11n);
  });

  test('are paid from by calls, and what a fixture.call costs above its reservation is the fixture.loss of the operator', async () => {
    const customer = await fixture.createPrepaid(100);
    const spool = new TestSpool(fixture.dataPlaneId);
    const { leaseId } = await fixture.leaseOne(customer, spool, ask(20));
    const reserved = String(5n * DOLLAR);
    await fixture.ingest(
      spool.append(
        fixture.call(customer, 4, [leaseId], { reserved }),
        fixture.call(customer, 9, [leaseId], { reserved }),
      ),
    );
    expect(await fixture.wallet(customer)).toEqual({ balance: 91n, reserved: 11n, available: 80n });
    expect(await fixture.loss(customer)).toBe(4n);
    // What is not left of the lease is not taken from the wallet either.
    await fixture.ingest(spool.append(fixture.call(customer, 30, [leaseId])));
    expect(await fixture.wallet(customer)).toEqual({ balance: 80n, reserved: 0n, available: 80n });
    expect(await fixture.loss(customer)).toBe(23n);
  });

  test('return when the fixture.ledger has all that was drawn on them, not before, and once', async () => {
    const customer = await fixture.createPrepaid(100);
    const spool = new TestSpool(fixture.dataPlaneId);
    const { leaseId } = await fixture.leaseOne(customer, spool, ask(20));
    const batch = spool.append(fixture.call(customer, 5, [leaseId]), fixture.call(customer, 6, [leaseId]));
    await fixture.fence(spool, null, [{ leaseId, seq: 2 }]);
    await fixture.closeDrained(spool);
    expect((await fixture.wallet(customer)).reserved).toBe(20n);
    await fixture.ingest({ ...batch, events: batch.events.slice(0, 1) });
    await fixture.closeDrained(spool);
    expect((await fixture.wallet(customer)).reserved).toBe(15n);
    await fixture.ingest(batch);
    const closer = createLeaseCloser({ pool: fixture.pool, logger: quiet });
    await Promise.all([fixture.closeDrained(spool), closer.closeDue(), fixture.closeDrained(spool)]);
    expect(await fixture.wallet(customer)).toEqual({ balance: 89n, reserved: 0n, available: 89n });
    // The spool lives on: its next lease is another one.
    expect((await fixture.leaseOne(customer, spool, ask(1))).leaseId).not.toBe(leaseId);
  });

  test('of a process that was killed return when its spool is drained, and it is given no other', async () => {
    const customer = await fixture.createPrepaid(100);
    const [dead, next] = [new TestSpool(fixture.dataPlaneId), new TestSpool(fixture.dataPlaneId)];
    const { leaseId } = await fixture.leaseOne(customer, dead, ask(60));
    const batch = dead.append(fixture.call(customer, 5, [leaseId]));
    expect(await fixture.lease(customer, next, ask(60))).toEqual(['reserved']);
    await fixture.fence(dead, 1);
    // A request that was on its way when it died.
    expect(await fixture.lease(customer, dead, ask(1))).toEqual(['fenced']);
    await fixture.ingest(batch);
    await fixture.closeDrained(dead);
    expect(granted((await fixture.lease(customer, next, ask(60)))[0])).toBe(60n);
    // One that never held a lease, and has no record.
    const silent = new TestSpool(fixture.dataPlaneId);
    await fixture.fence(silent, 0);
    expect(await fixture.lease(customer, silent, ask(1))).toEqual(['fenced']);
  });

  test('return too where a power cut has taken records that they were fenced at', async () => {
    const customer = await fixture.createPrepaid(100);
    const spool = new TestSpool(fixture.dataPlaneId);
    const { leaseId } = await fixture.leaseOne(customer, spool, ask(20));
    await fixture.fence(spool, null, [{ leaseId, seq: 3 }]);
    await fixture.ingest(spool.append(fixture.call(customer, 5, [leaseId])));
    await fixture.closeDrained(spool);
    expect((await fixture.wallet(customer)).reserved).toBe(15n);
    // The second record and the third were never synced: what its next process finds ends with the first.
    await fixture.fence(spool, 1);
    await fixture.closeDrained(spool);
    expect(await fixture.wallet(customer)).toEqual({ balance: 95n, reserved: 0n, available: 95n });
  });

  test('that are declared lost return, and what is reported on them after all is the fixture.loss of the operator', async () => {
    const customer = await fixture.createPrepaid(100);
    const spool = new TestSpool(fixture.dataPlaneId);
    const { leaseId } = await fixture.leaseOne(customer, spool, ask(60));
    const operator = platformScope(customer.tenantId);
    const input = { spoolId: spool.spoolId, reason: 'its disk is gone' };
    const [first, again] = [
      done(await fixture.leases.declareLost(operator, input)),
      done(await fixture.leases.declareLost(operator, input)),
    ];
    expect(again).toEqual(first);
    await createLeaseCloser({ pool: fixture.pool, logger: quiet }).closeDue();
    expect(await fixture.wallet(customer)).toEqual({ balance: 100n, reserved: 0n, available: 100n });
    expect(await fixture.leases.list(owner(customer), false)).toMatchObject([{ id: leaseId, isLost: true }]);
    await fixture.ingest(spool.append(fixture.call(customer, 7, [leaseId])));
    expect(await fixture.wallet(customer)).toEqual({ balance: 100n, reserved: 0n, available: 100n });
    expect(await fixture.loss(customer)).toBe(7n);
    expect(await fixture.lease(customer, spool, ask(1))).toEqual(['fenced']);
  });

  test('are nobody else’s: not another data plane’s, not another tenant’s, not another spool’s', async () => {
    const [customer, stranger] = [await fixture.createPrepaid(100), await fixture.createPrepaid(100)];
    const spool = new TestSpool(fixture.dataPlaneId);
    const { leaseId } = await fixture.leaseOne(customer, spool, ask(20));
    const intruder = new TestSpool(await fixture.billing.createDataPlane());
    const forged = request(customer, spool.spoolId, ask(1));
    expect((await fixture.allocator.allocate(intruder.dataPlaneId, forged)).results).toEqual([{ refused: 'fenced' }]);
    await fenceLeases(fixture.pool, intruder.dataPlaneId, {
      ...{ spoolId: spool.spoolId, leases: [{ leaseId, seq: 0 }], lastSeq: 0 },
    });
    await fixture.closeDrained(spool);
    expect((await fixture.wallet(customer)).reserved).toBe(20n);
    await fixture.ingest(intruder.append(fixture.call(customer, 3, [leaseId]), fixture.call(stranger, 3, [leaseId])));
    expect((await fixture.wallet(customer)).reserved).toBe(20n);
    // The one is reported on a lease that it was not given, the other on none of its own: that is as good as no lease.
    expect([await fixture.loss(customer), await fixture.loss(stranger)]).toEqual([3n, 0n]);
    expect((await fixture.wallet(stranger)).balance).toBe(97n);
  });

  test('go as far below zero as a credit limit allows, and no further', async () => {
    const customer = await fixture.billing.createCustomer('prepaid');
    const terms = { billingMode: 'postpaid', currency: 'USD', creditLimit: '50' } as const;
    done(await fixture.wallets.setTerms(platformScope(customer.tenantId), terms));
    const spool = new TestSpool(fixture.dataPlaneId);
    expect(granted((await fixture.lease(customer, spool, ask(30)))[0])).toBe(30n);
    expect(granted((await fixture.lease(customer, spool, ask(30, { unit: 10 })))[0])).toBe(50n);
    expect(await fixture.wallet(customer)).toEqual({ balance: 0n, reserved: 50n, available: 0n });
  });

  test('of a credit that runs out admit no fixture.call afterwards; what comes back too late has run out', async () => {
    const expiresAt = new Date(Date.now() + 60_000);
    const customer = await fixture.createPrepaid(10, { expiresAt });
    const spool = new TestSpool(fixture.dataPlaneId);
    const grant = await fixture.leaseOne(customer, spool, ask(8));
    expect(grant.admitUntil).toBe(expiresAt.getTime());
    await fixture.ingest(spool.append(fixture.call(customer, 3, [grant.leaseId])));
    await fixture.billing.query(`update credit set expires_at = now() where tenant_id = $1`, [customer.tenantId]);
    const expiry = createCreditExpiry({ pool: fixture.pool, logger: quiet });
    await expiry.expireDue();
    expect(await fixture.wallet(customer)).toEqual({ balance: 5n, reserved: 5n, available: 0n });
    await fixture.fence(spool, 1);
    await fixture.closeDrained(spool);
    expect(await fixture.wallet(customer)).toEqual({ balance: 0n, reserved: 0n, available: 0n });
  });
});
