import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLeaseCloser } from '../../control-plane/allocation/close-leases.js';
import { verifyLedger } from '../../control-plane/billing/verify-ledger.js';
import { openPool } from '../../control-plane/database/sql.js';
import { platformScope } from '../../control-plane/database/transaction.js';
import { expectDone } from '../../control-plane/installation.js';
import { createUsageIngest } from '../../control-plane/workers/ingest-usage.js';
import {
  createControlPlaneClient,
  type ControlPlaneClient,
} from '../../data-plane/config-link/control-plane-client.js';
import { makeIdentityIfMissing, readIdentity } from '../../data-plane/identity.js';
import { LeaseKeeper } from '../../data-plane/leases/lease-keeper.js';
import type { Reservation } from '../../data-plane/leases/lease-book.js';
import {
  createBillingFixture,
  makeEvent,
  TestSpool,
  type BillingFixture,
  type Customer,
} from '../kit/billing-fixture.js';
import { startControlPlane, type TestControlPlane } from '../kit/control-plane.js';
import { makeTemporaryFolder } from '../kit/temporary-folder.js';
import { waitFor } from '../kit/wait-for.js';

const logger = pino({ level: 'silent' });
const PRICE = 7_000_000n;
let controlPlane: TestControlPlane;
let fixture: BillingFixture;
let pool: ReturnType<typeof openPool>;
const folders: { remove(): Promise<void> }[] = [];
const gateways: Gateway[] = [];
let cardId: string;

/** The part of a data plane that deals with money, over the real link. */
interface Gateway {
  readonly keeper: LeaseKeeper;
  readonly client: ControlPlaneClient;
  readonly spool: TestSpool;
}

beforeAll(async () => {
  controlPlane = await startControlPlane();
  fixture = createBillingFixture(controlPlane.database.urls.owner);
  pool = openPool({ url: controlPlane.database.urls.worker, size: 4, onError: () => undefined });
  cardId = (await fixture.createVersion({ input: String(PRICE) })).id;
});
afterAll(async () => {
  for (const { keeper, client } of gateways) {
    keeper.close();
    await client.close();
  }
  expect((await verifyLedger({ pool })).differences).toEqual([]);
  await pool.end();
  await fixture.close();
  await controlPlane.close();
  for (const folder of folders) await folder.remove();
});

async function createGateway(controlPlaneUrl = controlPlane.url): Promise<Gateway> {
  const folder = await makeTemporaryFolder('leases');
  folders.push(folder);
  const enrolment = makeIdentityIfMissing(folder.path, 'test');
  if (enrolment === null) throw new Error('an identity was there');
  const { services, operator } = controlPlane;
  expectDone(await services.dataPlanes.enrol(operator, { ...enrolment, name: enrolment.id }));
  const client = createControlPlaneClient({ controlPlaneUrl, identity: readIdentity(folder.path) });
  const spool = new TestSpool(enrolment.id);
  const keeper = new LeaseKeeper({
    ...{ client, spoolId: spool.spoolId, writtenSeq: () => spool.records.length, logger },
    // A machine that is busy with other tests answers late; how late is not what is tested.
    timeoutMs: 20_000,
    tickMs: 20,
  });
  const gateway = { keeper, client, spool };
  gateways.push(gateway);
  return gateway;
}

async function createPrepaid(calls: bigint): Promise<Customer> {
  const customer = await fixture.createCustomer('prepaid');
  const amount = `0.${String(calls * PRICE).padStart(12, '0')}`;
  const credit = { amount, currency: 'USD', idempotencyKey: 'credit', reason: 'a test' };
  expectDone(await controlPlane.services.ledger.topUp(platformScope(customer.tenantId), credit));
  return customer;
}

const costOf = ({ tenantId }: Customer, budgetIds: readonly string[] = []) => ({
  ...{ tenantId, currency: 'USD', budgetIds, amount: PRICE, at: Date.now() },
});

function end({ keeper, spool }: Gateway, customer: Customer, reservation: Reservation): void {
  const { leaseIds, amount } = reservation;
  const event = makeEvent(customer, cardId, { leaseIds: [...leaseIds], reserved: String(amount) });
  spool.append({ ...event, attempts: event.attempts.map((attempt) => ({ ...attempt, usage: { input: 1 } })) });
  keeper.settle(reservation, PRICE);
}

describe('1,000 calls at once over two gateways, on a wallet worth 100', () => {
  test('exactly 100 are made, the wallet is empty and not below, and nothing is stuck', async () => {
    const customer = await createPrepaid(100n);
    const pair = [await createGateway(), await createGateway()];
    const results = await Promise.all(
      Array.from({ length: 500 }, () => pair)
        .flat()
        .map(async (gateway) => ({ gateway, result: await gateway.keeper.reserve(costOf(customer)) })),
    );
    const refused = results.flatMap(({ result }) => (typeof result === 'string' ? [result] : []));
    expect(refused).toHaveLength(900);
    // Reservations are open: what is refused now may come back.
    expect(new Set(refused)).toEqual(new Set(['budget_reserved']));
    for (const { gateway, result } of results) {
      if (typeof result !== 'string') end(gateway, customer, result);
    }
    const ingest = createUsageIngest({ pool });
    for (const { spool } of pair) if (spool.records.length > 0) await ingest(spool.batch(1, spool.records.length));
    const wallet = await controlPlane.services.ledger.balanceOf(platformScope(customer.tenantId), 'USD');
    expect(wallet).toMatchObject({ balance: 0n, reserved: 0n, available: 0n });
    // Nothing is reserved any more, and nothing is left.
    for (const { keeper } of pair) expect(await keeper.reserve(costOf(customer))).toBe('insufficient_funds');
  });
});

describe('a gateway', () => {
  test('fills its stock ahead of need, and gives back what it does not use', async () => {
    const customer = await createPrepaid(1000n);
    const gateway = await createGateway();
    gateway.keeper.start();
    const reservation = await gateway.keeper.reserve(costOf(customer));
    if (typeof reservation === 'string') throw new Error(reservation);
    const scope = platformScope(customer.tenantId);
    const reserved = async () => expectDone(await controlPlane.services.ledger.balanceOf(scope, 'USD')).reserved;
    await waitFor(async () => (await reserved()) > PRICE, { timeoutMs: 15_000, what: 'the stock' });
    end(gateway, customer, reservation);
    await createUsageIngest({ pool })(gateway.spool.batch(1, 1));
    const closer = createLeaseCloser({ pool, logger });
    await waitFor(
      async () => {
        await closer.closeDue();
        return (await reserved()) === 0n;
      },
      { timeoutMs: 60_000, what: 'the return of what is left' },
    );
    expect(await controlPlane.services.ledger.balanceOf(scope, 'USD')).toMatchObject({ balance: 999n * PRICE });
  }, 90_000);

  test('that cannot reach the allocator says so, and goes on within what it has', async () => {
    const customer = await createPrepaid(10n);
    const alone = await createGateway('http://127.0.0.1:1');
    expect(await alone.keeper.reserve(costOf(customer))).toBe('budget_unavailable');
    expect(await alone.keeper.reserve({ ...costOf(customer), amount: 0n })).toMatchObject({ leaseIds: [] });
  });

  test('that is not enrolled, or is at fault, is given nothing', async () => {
    const gateway = await createGateway();
    await controlPlane.services.dataPlanes.revoke(controlPlane.operator, gateway.spool.dataPlaneId);
    const customer = await createPrepaid(10n);
    expect(await gateway.keeper.reserve(costOf(customer))).toBe('budget_unavailable');
    const answer = await fetch(`${controlPlane.url}/leases/requests`, { method: 'POST', body: '{}' });
    expect(answer.status).toBe(401);
  });
});
