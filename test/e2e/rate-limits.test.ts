import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limitsSchema, type Limits } from '@pingtoken/shared/limits';
import { platformScope } from '../../control-plane/database/transaction.js';
import { expectDone } from '../../control-plane/installation.js';
import {
  createControlPlaneClient,
  type ControlPlaneClient,
} from '../../data-plane/config-link/control-plane-client.js';
import { makeIdentityIfMissing, readIdentity } from '../../data-plane/identity.js';
import { SpoolFencer } from '../../data-plane/leases/spool-fencer.js';
import { ShareKeeper } from '../../data-plane/limits/share-keeper.js';
import { createBillingFixture, type BillingFixture } from '../kit/billing-fixture.js';
import { startControlPlane, type TestControlPlane } from '../kit/control-plane.js';
import { startGateway, startUpstream, type GatewayFixture, type ScriptedUpstream } from '../kit/gateway-fixture.js';
import { openSeverablePort } from '../kit/severable-port.js';
import { makeTemporaryFolder } from '../kit/temporary-folder.js';
import { waitFor } from '../kit/wait-for.js';

const logger = pino({ level: 'silent' });
const PATIENCE = { timeoutMs: 60_000, intervalMs: 50 };

let controlPlane: TestControlPlane;
let fixture: BillingFixture;
let upstream: ScriptedUpstream;
const opened: Plane[] = [];
const folders: { remove(): Promise<void> }[] = [];

/** A data plane's gateway and its part of limits, over the real link. */
interface Plane {
  readonly gateway: GatewayFixture;
  readonly shares: ShareKeeper;
  readonly client: ControlPlaneClient;
  readonly dataPlaneId: string;
  readonly spoolId: string;
}

beforeAll(async () => {
  controlPlane = await startControlPlane();
  fixture = createBillingFixture(controlPlane.database.urls.owner);
  upstream = await startUpstream((_request, response) => {
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ id: 'c', object: 'chat.completion', model: 'm', choices: [], usage }));
  });
});
afterAll(async () => {
  for (const plane of opened) await close(plane);
  upstream.close();
  await fixture.close();
  await controlPlane.close();
  for (const folder of folders) await folder.remove();
});

async function close({ gateway, shares, client }: Plane): Promise<void> {
  await gateway.close();
  await shares.close();
  await client.close();
}

async function openPlane(controlPlaneUrl = controlPlane.url): Promise<Plane> {
  const folder = await makeTemporaryFolder('limits');
  folders.push(folder);
  const enrolment = makeIdentityIfMissing(folder.path, 'test');
  if (enrolment === null) throw new Error('an identity was there');
  const { services, operator } = controlPlane;
  expectDone(await services.dataPlanes.enrol(operator, { ...enrolment, name: enrolment.id }));
  const client = createControlPlaneClient({ controlPlaneUrl, identity: readIdentity(folder.path) });
  // A machine that is busy with other tests answers late; how late is not what is tested.
  const keeper = { client, spoolId: crypto.randomUUID(), logger, timeoutMs: 20_000, tickMs: 50 };
  const shares = new ShareKeeper(keeper);
  const gateway = await startGateway(upstream.baseUrl, {}, logger, { shares });
  shares.start();
  const plane = { gateway, shares, client, dataPlaneId: enrolment.id, spoolId: keeper.spoolId };
  opened.push(plane);
  return plane;
}

/** A tenant that is limited, and its bearers at the planes. */
async function createLimited(given: Partial<Limits>, ...planes: readonly Plane[]): Promise<string[]> {
  const { tenantId } = await fixture.createCustomer('postpaid');
  const limits = limitsSchema.parse(given);
  expectDone(await controlPlane.services.tenants.setTerms(platformScope(tenantId), { limits }));
  return planes.map(({ gateway }) => gateway.config.addKey({}, { id: tenantId, limits, billingMode: 'postpaid' }));
}

async function call({ gateway }: Plane, bearer = ''): Promise<Response> {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: '{"model":"chat-alias","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}',
  });
  await response.arrayBuffer();
  return response;
}

describe('a limit over two data planes', () => {
  test('of 100 lets exactly that many of 1,000 calls at once through', async () => {
    const pair = [await openPlane(), await openPlane()] as const;
    for (const plane of pair) await warmUp(plane);
    const bearers = await createLimited({ requestsPerDay: 100 }, ...pair);
    const results = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => call(pair[index % 2 === 0 ? 0 : 1], bearers[index % 2])),
    );
    const passed = results.filter(({ status }) => status === 200).length;
    for (const { status, headers } of results) {
      expect(headers.get('x-ratelimit-limit-requests')).toBe('100');
      if (status === 200) continue;
      expect(status).toBe(429);
      expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    }
    // Who came first may have some in stock where nobody calls any more; it is given up to whoever asks later.
    expect(passed).toBeGreaterThanOrEqual(75);
    await exhaust(pair[0], bearers[0], 100 - passed);
    for (const [index, plane] of pair.entries()) expect((await call(plane, bearers[index])).status).toBe(429);
  }, 180_000);

  test('is all of it for the one that is called, also after the other one was', async () => {
    const pair = [await openPlane(), await openPlane()] as const;
    const bearers = await createLimited({ requestsPerDay: 40, concurrentCalls: 5 }, ...pair);
    await exhaust(pair[1], bearers[1], 1);
    await exhaust(pair[0], bearers[0], 39);
    for (const [index, plane] of pair.entries()) expect((await call(plane, bearers[index])).status).toBe(429);
  }, 180_000);
});

/** The control plane has answered it. */
async function warmUp(plane: Plane): Promise<void> {
  const bearers = await createLimited({ requestsPerDay: 1 }, plane);
  await exhaust(plane, bearers[0], 1);
}

/** Calls one after the other, until so many were let through. */
async function exhaust(plane: Plane, bearer: string | undefined, calls: number): Promise<void> {
  let left = calls;
  const isDone = async (): Promise<boolean> => {
    while (left > 0 && (await call(plane, bearer)).status === 200) left -= 1;
    return left === 0;
  };
  await waitFor(isDone, { ...PATIENCE, what: `${left} calls that are let through` });
}

test('a prompt that is counted here is a request like any other', async () => {
  const plane = await openPlane();
  const [bearer = ''] = await createLimited({ requestsPerDay: 2, tokensPerMinute: 10 }, plane);
  const count = async (): Promise<Response> => {
    const response = await fetch(`${plane.gateway.url}/v1/messages/count_tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'chat-alias', messages: [{ role: 'user', content: 'How many? '.repeat(100) }] }),
    });
    await response.arrayBuffer();
    return response;
  };
  let counted = 0;
  await waitFor(
    async () => {
      if ((await count()).status === 200) counted += 1;
      return counted === 2;
    },
    { ...PATIENCE, what: 'two counts' },
  );
  expect((await count()).status).toBe(429);
}, 120_000);

test('what a data plane has used that died counts for as long as it would have', async () => {
  const [first, second] = [await openPlane(), await openPlane()];
  const bearers = await createLimited({ requestsPerDay: 10 }, first, second);
  await exhaust(first, bearers[0], 4);
  await first.shares.close();
  await new SpoolFencer({ client: first.client, logger }).tryFence(first.spoolId, 0);
  await exhaust(second, bearers[1], 6);
  expect((await call(second, bearers[1])).status).toBe(429);
}, 120_000);

describe('a data plane whose control plane is away', () => {
  test('uses what it holds and no more, as long as another one is enrolled', async () => {
    const port = await openSeverablePort(Number(new URL(controlPlane.url).port));
    const plane = await openPlane(`http://127.0.0.1:${port.port}`);
    const [bearer] = await createLimited({ requestsPerDay: 1_000 }, plane);
    await exhaust(plane, bearer, 1);
    const account = [...plane.gateway.config.accounts.values()].at(-1);
    const held = () => plane.shares.book.capOf({ id: account?.tenant.id ?? '' }, 'requestsPerDay', 1_000);
    await waitFor(() => held() > 1, { ...PATIENCE, what: 'stock' });
    await port.sever();
    let passed = 0;
    while ((await call(plane, bearer)).status === 200) passed += 1;
    expect(passed).toBeGreaterThan(0);
    expect(passed).toBeLessThan(500);
  }, 120_000);

  test('uses all where it is the only one', async () => {
    const { services, operator } = controlPlane;
    for (const { dataPlaneId } of opened) await services.dataPlanes.revoke(operator, dataPlaneId);
    const port = await openSeverablePort(Number(new URL(controlPlane.url).port));
    const plane = await openPlane(`http://127.0.0.1:${port.port}`);
    const [heard, unheard] = [
      await createLimited({ requestsPerDay: 7 }, plane),
      await createLimited({ requestsPerDay: 5 }, plane),
    ];
    await exhaust(plane, heard[0], 1);
    await port.sever();
    const statuses = async (bearer: string | undefined, calls: number): Promise<number> => {
      let passed = 0;
      for (let index = 0; index < calls; index += 1) if ((await call(plane, bearer)).status === 200) passed += 1;
      return passed;
    };
    // Only when it has turned out that nobody answers.
    await waitFor(async () => (await call(plane, unheard[0])).status === 200, { ...PATIENCE, what: 'a call alone' });
    expect(await statuses(unheard[0], 10)).toBe(4);
    expect(await statuses(heard[0], 10)).toBe(6);
  }, 120_000);
});
