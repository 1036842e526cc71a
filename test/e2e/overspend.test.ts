import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { openDatabaseReader, type DatabaseReader } from '../kit/database-reader.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { parseUnits } from '../kit/exact-price.js';
import { waitFor } from '../kit/wait-for.js';
import type { TestTenant } from '../kit/platform.js';

const MODEL = 'house/flat';
/** A call costs what is reserved for it: nothing but the request is charged. */
const PRICE = '0.01';
const CALLS = 20;
const PATIENCE = { timeoutMs: 60_000, intervalMs: 100 };

interface Wallet {
  readonly balance: bigint;
  readonly reserved: bigint;
}

/** Two data planes, a control plane and a worker, each a process of its own. */
describe('a prepaid wallet', () => {
  let distribution: Distribution;
  let customer: Customer;
  let database: DatabaseReader;

  beforeAll(async () => {
    distribution = await startDistribution({ dataPlanes: 2 });
    database = openDatabaseReader(distribution.runtime.databaseUrl);
    customer = await createCustomer(distribution);
    await sellFlat();
  });
  afterAll(async () => {
    await database.close();
    await distribution.dispose();
  });

  async function sellFlat(): Promise<void> {
    const { platform, providerId } = customer;
    const token = await platform.operator();
    const mutate = <Payload>(name: string, input: Record<string, unknown>, selection: string): Promise<Payload> =>
      platform.mutate<Payload>(name, input, selection, { token });
    const prices = [
      { dimension: 'INPUT', amount: '0' },
      { dimension: 'OUTPUT', amount: '0' },
      { dimension: 'REQUEST', amount: PRICE },
    ];
    const card = { name: 'flat', purpose: 'PRICE', currency: 'USD', prices, source: 'a test' };
    const { rateCard } = await mutate<{ rateCard: { id: string } }>('createRateCard', card, 'rateCard { id }');
    const sold = { name: MODEL, operations: ['CHAT_COMPLETIONS'], priceCardId: rateCard.id };
    const { model } = await mutate<{ model: { id: string } }>('createModel', sold, 'model { id }');
    const { credentials } = await platform.query<{ credentials: { id: string; providerId: string }[] }>(
      '{ credentials { id providerId } }',
      token,
    );
    const credentialId = credentials.find((each) => each.providerId === providerId)?.id;
    const target = { providerId, credentialId, upstreamModel: 'pingtoken-sim-small' };
    await mutate('createRoute', { modelId: model.id, targets: [target] }, 'route { id }');
  }

  /** @param calls what the wallet is worth */
  async function createPrepaid(calls: number): Promise<{ readonly tenant: TestTenant; readonly secret: string }> {
    const { platform, providerId } = customer;
    const tenant = await platform.registerTenant();
    if (calls > 0) await platform.credit(tenant, (calls * Number(PRICE)).toFixed(2));
    await platform.grant(tenant, providerId);
    const { secret } = await platform.createKey(tenant);
    for (const url of distribution.runtime.dataPlaneUrls) {
      const isSold = async () => (await listModels(`${url}/v1`, secret)).includes(MODEL);
      await waitFor(isSold, { ...PATIENCE, what: `the model at ${url}` });
    }
    return { tenant, secret };
  }

  async function call(url: string, secret: string, content = 'How many stones?') {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content }] }),
    });
    const body = (await response.json()) as { error?: { code?: string } };
    return { status: response.status, code: body.error?.code, retryAfter: response.headers.get('retry-after') };
  }

  async function readWallet({ token }: TestTenant): Promise<Wallet> {
    const text = '{ wallet { balance reserved } }';
    const { wallet } = await customer.platform.query<{ wallet: Record<keyof Wallet, string> }>(text, token);
    return { balance: parseUnits(wallet.balance), reserved: parseUnits(wallet.reserved) };
  }

  const awaitWallet = (tenant: TestTenant, balance: bigint): Promise<unknown> => {
    const isSettled = async (): Promise<boolean> => {
      const wallet = await readWallet(tenant);
      return wallet.balance === balance && wallet.reserved === 0n;
    };
    return waitFor(isSettled, { ...PATIENCE, what: 'a wallet that nothing is reserved of' });
  };

  it(`worth ${CALLS} calls pays for exactly ${CALLS}, of ten times as many at once over two data planes`, async () => {
    const { tenant, secret } = await createPrepaid(CALLS);
    const { dataPlaneUrls } = distribution.runtime;
    const results = await Promise.all(
      Array.from({ length: CALLS * 10 }, (_, index) => call(dataPlaneUrls[index % 2] ?? '', secret)),
    );
    const answered = results.filter(({ status }) => status === 200).length;
    for (const { status, code, retryAfter } of results) {
      if (status === 200) continue;
      expect([
        [402, 'insufficient_funds', null],
        [429, 'budget_reserved', '1'],
      ]).toContainEqual([status, code, retryAfter]);
    }
    // What one data plane holds of it when the other asks comes back, and then pays for the rest.
    let later = 0;
    const isSpent = async (): Promise<boolean> => {
      const tried = await Promise.all(dataPlaneUrls.map((url) => call(url, secret)));
      later += tried.filter(({ status }) => status === 200).length;
      return tried.every(({ status }) => status === 402);
    };
    await waitFor(isSpent, { ...PATIENCE, what: 'refusals that are final' });
    expect(answered + later).toBe(CALLS);
    await awaitWallet(tenant, 0n);
    const [sums] = await database.rows<{ events: string; losses: string }>(
      `select (select count(*) from usage_event where tenant_id = $1)::text as events,
         (select coalesce(sum(debits), 0) from account where tenant_id = $1 and kind = 'operator_loss')::text as losses`,
      [tenant.id],
    );
    expect(sums).toEqual({ events: String(CALLS), losses: '0' });
  }, 180_000);

  it('without money is told so, and nothing is sent', async () => {
    const { secret } = await createPrepaid(0);
    const before = (await customer.books.summary()).calls;
    for (const url of distribution.runtime.dataPlaneUrls) {
      expect(await call(url, secret)).toMatchObject({ status: 402, code: 'insufficient_funds' });
    }
    expect((await customer.books.summary()).calls).toBe(before);
  }, 60_000);

  it('gets back what a data plane held that was killed, from its next run', async () => {
    const { tenant, secret } = await createPrepaid(CALLS);
    const [url = ''] = distribution.runtime.dataPlaneUrls;
    expect(await call(url, secret)).toMatchObject({ status: 200 });
    const open = call(url, secret, `Wait ${randomUUID()} [[sim delay=30000]]`).catch(() => undefined);
    await waitFor(async () => (await readWallet(tenant)).reserved > 0n, { ...PATIENCE, what: 'a lease' });
    const runtime = distribution.readRuntime() ?? distribution.runtime;
    process.kill(runtime.processes.dataPlanes[0] ?? 0, 'SIGKILL');
    await open;
    await awaitWallet(tenant, parseUnits(PRICE) * BigInt(CALLS - 1));
    const spools = join(distribution.home, 'data-plane-1', 'spool');
    await waitFor(async () => (await readdir(spools)).length === 1, { ...PATIENCE, what: 'the removal of its spool' });
  }, 180_000);

  it('is drawn on within what is leased while the control plane is away, and then refused for the moment', async () => {
    const { tenant, secret } = await createPrepaid(1_000);
    const [url = ''] = distribution.runtime.dataPlaneUrls;
    expect(await call(url, secret)).toMatchObject({ status: 200 });
    await waitFor(async () => (await readWallet(tenant)).reserved > parseUnits(PRICE), { ...PATIENCE, what: 'stock' });
    const { controlPlane } = (distribution.readRuntime() ?? distribution.runtime).processes;
    process.kill(controlPlane, 'SIGSTOP');
    try {
      const results: Awaited<ReturnType<typeof call>>[] = [];
      do results.push(await call(url, secret));
      while (results.at(-1)?.status === 200 && results.length < 1_000);
      expect(results.length).toBeGreaterThan(1);
      expect(results.at(-1)).toMatchObject({ status: 503, code: 'budget_unavailable', retryAfter: '1' });
    } finally {
      process.kill(controlPlane, 'SIGCONT');
    }
    await waitFor(async () => (await call(url, secret)).status === 200, { ...PATIENCE, what: 'calls as before' });
  }, 180_000);
});
