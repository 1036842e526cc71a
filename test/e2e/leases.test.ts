import { pino } from 'pino';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
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
import { LEAST_ANSWER } from '../../data-plane/leases/answer-room.js';
import { LeaseKeeper } from '../../data-plane/leases/lease-keeper.js';
import { ShareKeeper } from '../../data-plane/limits/share-keeper.js';
import type { Reservation } from '../../data-plane/leases/lease-book.js';
import {
  createBillingFixture,
  makeEvent,
  TestSpool,
  type BillingFixture,
  type Customer,
} from '../kit/billing-fixture.js';
import { startGateway, startUpstream, type GatewayFixture, type ScriptedUpstream } from '../kit/gateway-fixture.js';
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

describe('an answer that its caller has not capped', () => {
  const MILLION = 1_000_000n;
  /** Of 5,000 that are covered: leases grow by whole least answers. */
  const CAP = 5_000 - (5_000 % LEAST_ANSWER);
  let upstream: ScriptedUpstream;
  const opened: GatewayFixture[] = [];

  beforeAll(async () => {
    upstream = await startUpstream((_request, response) => {
      const message = { role: 'assistant', content: 'Yes.' };
      const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ id: 'c', object: 'chat.completion', model: 'm', choices: [{ message }], usage }));
    });
  });
  afterAll(async () => {
    upstream.close();
    for (const gateway of opened) await gateway.close();
  });

  /** A wallet that pays for so many tokens of an answer, each for a million units, and a gateway before its calls. */
  async function openGateway(tokens: bigint, change: { readonly dialect?: Dialect } = {}) {
    const customer = await createPrepaid((tokens * MILLION) / PRICE + 1n);
    const { keeper } = await createGateway();
    const gateway = await startGateway(upstream.baseUrl, {}, logger, { leases: keeper });
    opened.push(gateway);
    const { config } = gateway;
    Object.assign(config.provider, change);
    Object.assign(config.rateCard.versions[0] ?? {}, { rates: { input: '0', output: String(MILLION) } });
    config.addModel('long', 'chat-completions', 'upstream-model', { maxOutputTokens: 100_000 });
    return { gateway, keeper, bearer: config.addKey({}, { id: customer.tenantId }) };
  }

  const say = (gateway: GatewayFixture, bearer: string, body: string, path = '/v1/chat/completions') =>
    fetch(gateway.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body,
    });

  const BODY = '{ "model":"long", "seed":12345678901234567890, "messages":[{"role":"user","content":"Hi"}]}';

  const PLAIN = BODY.replace('"seed":12345678901234567890, ', '');

  test('is the longest of the model where the wallet covers that, and not a byte is changed', async () => {
    const { gateway, bearer } = await openGateway(100_001n);
    const answer = await say(gateway, bearer, BODY);
    expect([answer.status, answer.headers.get('x-pingtoken-output-cap')]).toEqual([200, null]);
    expect(upstream.requests.at(-1)?.body.toString()).toBe(BODY.replace('"long"', '"upstream-model"'));
    expect(gateway.spool.starts.at(-1)?.reserved).toBe(String(100_000n * MILLION));
  });

  test('is held to what the wallet covers, told so in the header, and its answer is what is reserved', async () => {
    const { gateway, bearer } = await openGateway(5_000n);
    const answer = await say(gateway, bearer, BODY);
    const cap = Number(answer.headers.get('x-pingtoken-output-cap'));
    expect([answer.status, cap]).toEqual([200, CAP]);
    const sent = upstream.requests.at(-1)?.body.toString() ?? '';
    expect(sent).toBe(BODY.replace('{', `{"max_tokens":${cap},`).replace('"long"', '"upstream-model"'));
    expect(BigInt(gateway.spool.starts.at(-1)?.reserved ?? 0)).toBeGreaterThanOrEqual(BigInt(cap) * MILLION);
  });

  test.each([
    [
      '/v1/messages',
      'anthropic',
      '"max_tokens":',
      '{"model":"long","messages":[{"role":"user","content":"Hi"}],"max_tokens":null}',
    ],
    [
      '/v1beta/models/long:generateContent',
      'anthropic',
      '"max_tokens":',
      '{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}',
    ],
    ['/v1/chat/completions', 'gemini', '"maxOutputTokens":', PLAIN],
  ] as const)('of %s is held in the words of a provider of %s', async (path, dialect, field, body) => {
    const { gateway, bearer } = await openGateway(5_000n, { dialect });
    const answer = await say(gateway, bearer, body, path);
    const cap = answer.headers.get('x-pingtoken-output-cap');
    expect(cap).toBe(String(CAP));
    expect(upstream.requests.at(-1)?.body.toString()).toContain(`${field}${CAP}`);
  });

  test('is not made where less than a useful one is covered, nor where its caller asks for more than is', async () => {
    const { gateway, bearer } = await openGateway(200n);
    const before = upstream.requests.length;
    for (const body of [BODY, BODY.replace('{', '{"max_tokens":300,')]) {
      const answer = await say(gateway, bearer, body);
      expect(answer.status).toBe(402);
      expect(await answer.json()).toMatchObject({ error: { code: 'insufficient_funds' } });
    }
    expect(upstream.requests).toHaveLength(before);
    const { gateway: richer, bearer: key } = await openGateway(2_000n);
    expect((await say(richer, key, BODY.replace('{', '{"max_tokens":3000,'))).status).toBe(402);
  });

  test('with tools that the provider runs without a limit is refused by their field', async () => {
    const { gateway, bearer } = await openGateway(100_001n);
    const answer = await say(gateway, bearer, BODY.replace('{', '{"web_search_options":{},'));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { code: 'unsupported_field', param: 'web_search_options' } });
    const tenant = {
      id: [...gateway.config.accounts.values()].at(-1)?.tenant.id ?? '',
      billingMode: 'postpaid' as const,
    };
    const later = gateway.config.addKey({}, tenant);
    expect((await say(gateway, later, BODY.replace('{', '{"web_search_options":{},"max_tokens":9,'))).status).toBe(200);
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

  test('that lacks what another one has in stock and does not use has it within seconds', async () => {
    const customer = await createPrepaid(20n);
    const [idle, busy] = [await createGateway(), await createGateway()];
    const shares = new ShareKeeper({
      ...{ client: idle.client, spoolId: idle.spool.spoolId, logger, tickMs: 100 },
      onRecalledLeases: (leaseIds) => {
        idle.keeper.recall(leaseIds);
      },
    });
    idle.keeper.start();
    shares.start();
    const draw = await idle.keeper.reserve({ ...costOf(customer), amount: PRICE * 15n });
    if (typeof draw === 'string') throw new Error(draw);
    // The call never went out: all that it had held is in stock.
    idle.keeper.settle(draw, 0n);
    let drawn = 0;
    await waitFor(
      async () => {
        const result = await busy.keeper.reserve(costOf(customer));
        if (typeof result !== 'string') drawn += 1;
        else expect(result).toBe('budget_reserved');
        return drawn === 20;
      },
      // Half of the time after which it would come back by itself.
      { timeoutMs: 60_000, intervalMs: 50, what: 'all of the wallet at the busy one' },
    );
    await shares.close();
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
