import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeaseAsk } from '@pingtoken/shared/lease';
import { TestSpool, type Customer } from '../../test/kit/billing-fixture.js';
import { ask, createLeaseFixture, request, type LeaseFixture } from '../../test/kit/lease-fixture.js';
import { verifyLedger } from '../billing/verify-ledger.js';
import { closeSpool } from './close-leases.js';
import { fenceLeases } from './fence.js';

let fixture: LeaseFixture;

beforeAll(async () => {
  fixture = await createLeaseFixture();
});
afterAll(async () => {
  expect((await verifyLedger({ pool: fixture.pool })).differences).toEqual([]);
  await fixture.close();
});

async function hold(customer: Customer, jobId: string, of: LeaseAsk): Promise<string> {
  const wanted = { ...request(customer, jobId, of), holder: 'job' as const };
  const [result] = (await fixture.allocator.allocate(fixture.dataPlaneId, wanted)).results;
  if (result === undefined || 'refused' in result) throw new Error(result?.refused ?? 'no answer');
  return result.leaseId;
}

async function release(jobId: string): Promise<void> {
  await fenceLeases(fixture.pool, fixture.dataPlaneId, { spoolId: jobId, leases: [], lastSeq: 0 });
  await closeSpool(fixture.pool, jobId, { warn: () => undefined });
}

describe('the lease of a job', () => {
  test('outlives the process, is drawn on by calls in any spool, each once, and gives back what is left', async () => {
    const customer = await fixture.createPrepaid(100);
    const [jobId, died, next] = [uuidv7(), new TestSpool(fixture.dataPlaneId), new TestSpool(fixture.dataPlaneId)];
    const leaseId = await hold(customer, jobId, ask(50));
    // Leaves nothing for others: no stock is granted with it.
    expect(await fixture.wallet(customer)).toEqual({ balance: 100n, reserved: 50n, available: 50n });
    const calls = [fixture.call(customer, 10, [leaseId]), fixture.call(customer, 20, [leaseId])];
    await fixture.ingest(died.append(...calls.slice(0, 1)));
    await fixture.fence(died, 1);
    await fixture.closeDrained(died);
    expect(await fixture.wallet(customer)).toEqual({ balance: 90n, reserved: 40n, available: 50n });
    // The next process bills the whole of it again.
    await fixture.ingest(next.append(...calls));
    expect(await fixture.wallet(customer)).toEqual({ balance: 70n, reserved: 20n, available: 50n });
    await release(jobId);
    await release(jobId);
    expect(await fixture.wallet(customer)).toEqual({ balance: 70n, reserved: 0n, available: 70n });
    expect(await fixture.loss(customer)).toBe(0n);
  });

  test('bounds what its calls cost together: the rest is the loss of the operator', async () => {
    const customer = await fixture.createPrepaid(30);
    const jobId = uuidv7();
    const leaseId = await hold(customer, jobId, ask(25));
    const spool = new TestSpool(fixture.dataPlaneId);
    await fixture.ingest(spool.append(fixture.call(customer, 20, [leaseId]), fixture.call(customer, 20, [leaseId])));
    expect(await fixture.loss(customer)).toBe(15n);
    await release(jobId);
    expect(await fixture.wallet(customer)).toEqual({ balance: 5n, reserved: 0n, available: 5n });
    // What comes after it went back is nobody's to pay.
    await fixture.ingest(spool.append(fixture.call(customer, 1, [leaseId])));
    expect((await fixture.wallet(customer)).balance).toBe(5n);
  });

  test('is all or nothing, and is given to nobody who is no job, nor after it was released', async () => {
    const customer = await fixture.createPrepaid(10);
    await expect(hold(customer, uuidv7(), ask(11))).rejects.toThrow('exhausted');
    const jobId = uuidv7();
    await hold(customer, jobId, ask(6));
    await expect(hold(customer, uuidv7(), ask(6))).rejects.toThrow('reserved');
    const asProcess = request(customer, jobId, ask(1));
    const { results } = await fixture.allocator.allocate(fixture.dataPlaneId, asProcess);
    expect(results).toEqual([{ refused: 'fenced' }]);
    await release(jobId);
    await expect(hold(customer, jobId, ask(1))).rejects.toThrow('fenced');
    // A release that overtakes the request.
    const overtaken = uuidv7();
    await release(overtaken);
    await expect(hold(customer, overtaken, ask(1))).rejects.toThrow('fenced');
    expect((await fixture.wallet(customer)).available).toBe(10n);
  });
});
