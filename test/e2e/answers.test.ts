import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyLedger } from '../../control-plane/billing/verify-ledger.js';
import { openPool } from '../../control-plane/database/sql.js';
import { createCustomer, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { parseUnits } from '../kit/exact-price.js';
import { hasRedis } from '../kit/redis.js';
import { awaitUsage, readBalance } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';

const MODEL = 'pingtoken-sim-small';
const PATIENCE = { timeoutMs: 60_000, intervalMs: 100 };

/** Two data planes that share a Redis, leases, the queue and the ledger: everything but the provider is what is shipped. */
describe.skipIf(!hasRedis)('answers that are given again', () => {
  let distribution: Distribution;
  let customer: Customer;
  let urls: readonly string[];

  beforeAll(async () => {
    distribution = await startDistribution({ redis: true, dataPlanes: 2 });
    urls = distribution.runtime.dataPlaneUrls;
    customer = await createCustomer(distribution);
    const { platform, tenant, key } = customer;
    const operator = await platform.operator();
    const { models } = await platform.query<{ models: { id: string; name: string }[] }>(
      '{ models { id name } }',
      operator,
    );
    const modelId = models.find(({ name }) => name === MODEL)?.id;
    const { routes } = await platform.query<{ routes: { id: string }[] }>(
      'query ($modelId: ID) { routes(modelId: $modelId) { id } }',
      operator,
      { modelId },
    );
    const cache = { ttlSeconds: 600, priceShare: 2_500, coalesces: true };
    await platform.mutate('updateRoute', { id: routes[0]?.id, cache }, 'route { id }', { token: operator });
    const opted = { id: key.id, name: 'a key', idempotency: true, cache: true };
    await platform.mutate('updateApiKey', opted, 'apiKey { id }', { token: tenant.token });
    for (const url of urls) {
      const isInForce = async (): Promise<boolean> => (await send(url, 'a first question')).cache === 'hit';
      await waitFor(isInForce, { ...PATIENCE, what: `the route and the key at ${url}` });
    }
  }, 240_000);
  afterAll(async () => {
    await distribution.dispose();
  });

  async function send(url: string, content: string, key?: string) {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        ...{ authorization: `Bearer ${customer.key.secret}`, 'content-type': 'application/json' },
        ...(key !== undefined && { 'idempotency-key': key }),
      },
      body: JSON.stringify({ model: MODEL, messages: [{ role: 'user', content }] }),
    });
    const { status, headers } = response;
    const id = headers.get('x-request-id') ?? '';
    return { status, id, cache: headers.get('x-pingtoken-cache'), text: await response.text() };
  }

  const urlOf = (index: number): string => urls[index % urls.length] ?? '';

  it('are made once, whichever data plane is asked at the same time', async () => {
    const { calls } = await customer.books.summary();
    const all = await Promise.all(Array.from({ length: 20 }, (_each, index) => send(urlOf(index), 'Once!', 'once')));
    expect(new Set(all.map(({ status, id, text }) => `${status} ${id} ${text}`)).size).toBe(1);
    expect(all[0]?.status).toBe(200);
    expect((await customer.books.summary()).calls).toBe(calls + 1);
  });

  it('cost a hit its share of the price, from the wallet and in the ledger', async () => {
    const { platform, tenant } = customer;
    // Of the calls until now some may not be booked yet.
    for (const url of urls) await awaitUsage(platform, tenant.token, (await send(url, `Before, at ${url}`)).id);
    const before = await readBalance(platform, tenant.token);
    const [first, hit] = [await send(urlOf(0), 'Again?'), await send(urlOf(1), 'Again?')];
    expect([first.cache, hit.cache]).toEqual(['miss', 'hit']);
    expect(hit.text).toBe(first.text);
    const [full, share] = [
      await awaitUsage(platform, tenant.token, first.id),
      await awaitUsage(platform, tenant.token, hit.id),
    ];
    const [price, paid] = [parseUnits(full.price.amount), parseUnits(share.price.amount)];
    expect(price).toBeGreaterThan(0n);
    expect(paid).toBe(price / 4n);
    expect(share).toMatchObject({ outcome: 'COMPLETED', counts: full.counts });
    expect(await readBalance(platform, tenant.token)).toBe(before - price - paid);
  });

  it('are made anew soon after the process that was making one is killed', async () => {
    const { calls } = await customer.books.summary();
    const lost = send(urlOf(0), 'Slowly. [[sim delay=3000]]', 'lost').catch(() => 'lost');
    const isThere = async (): Promise<boolean> => (await customer.books.summary()).calls === calls + 1;
    await waitFor(isThere, { ...PATIENCE, what: 'the call' });
    process.kill(distribution.readRuntime()?.processes.dataPlanes[0] ?? 0, 'SIGKILL');
    expect(await lost).toBe('lost');
    expect(await send(urlOf(1), 'Slowly. [[sim delay=3000]]', 'lost')).toMatchObject({ status: 200 });
    expect((await customer.books.summary()).calls).toBe(calls + 2);
    const pool = openPool({ url: distribution.runtime.databaseUrl, size: 1, onError: () => undefined });
    expect((await verifyLedger({ pool })).differences).toEqual([]);
    await pool.end();
  }, 150_000);
});
