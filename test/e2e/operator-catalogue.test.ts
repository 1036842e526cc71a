import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { exactPrice, parseUnits, readPriceList } from '../kit/exact-price.js';
import { awaitUsage, expectSameAsServed, readBalance } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';

const CHAT = 'pingtoken-sim-small';
const PATIENCE = { timeoutMs: 10_000 };
const messages = [{ role: 'user' as const, content: 'How many stones?' }];

/** What the operator puts on sale, by GraphQL, and what is sold of it by the gateway a moment later. */
describe('what the operator makes', () => {
  let distribution: Distribution;
  let customer: Customer;
  let operator: string;

  const mutate = <Payload>(name: string, input: Record<string, unknown>, selection: string): Promise<Payload> =>
    customer.platform.mutate<Payload>(name, input, selection, { token: operator });
  const listed = (secret = customer.key.secret) => listModels(distribution.runtime.gatewayUrl, secret);
  const createCard = async (name: string, prices: object[], effectiveFrom?: Date): Promise<string> => {
    const input = { name, purpose: 'PRICE', currency: 'USD', prices, source: 'a test', effectiveFrom };
    return (await mutate<{ rateCard: { id: string } }>('createRateCard', input, 'rateCard { id }')).rateCard.id;
  };
  const createModel = async (name: string, priceCardId?: string): Promise<string> => {
    const input = { name, operations: ['CHAT_COMPLETIONS'], priceCardId };
    return (await mutate<{ model: { id: string } }>('createModel', input, 'model { id }')).model.id;
  };
  const findCredential = async (): Promise<string> => {
    const text = '{ credentials { id providerId } }';
    const { credentials } = await customer.platform.query<{ credentials: { id: string; providerId: string }[] }>(
      text,
      operator,
    );
    return credentials.find(({ providerId }) => providerId === customer.providerId)?.id ?? '';
  };
  const statusOf = async (secret: string): Promise<number> => {
    const response = await fetch(`${distribution.runtime.gatewayUrl}/models`, {
      headers: { authorization: `Bearer ${secret}` },
    });
    await response.arrayBuffer();
    return response.status;
  };

  beforeAll(async () => {
    distribution = await startDistribution();
    customer = await createCustomer(distribution);
    operator = await customer.platform.operator();
  });
  afterAll(async () => {
    await distribution.dispose();
  });

  it('sells a model of a new provider under a name of its own, at its own prices, to those who granted it', async () => {
    const { platform, tenant, client, books } = customer;
    const secret = 'sk-of-the-second-provider-0123456789';
    const { provider } = await mutate<{ provider: { id: string } }>(
      'createProvider',
      {
        slug: 'second',
        name: 'Second provider',
        baseUrl: `${distribution.runtime.provider.url}/v1`,
        termsUrl: 'https://second.example/terms',
        privacyUrl: 'https://second.example/privacy',
      },
      'provider { id }',
    );
    const { credential } = await mutate<{ credential: { id: string } }>(
      'createCredential',
      { providerId: provider.id, name: 'ours', secret },
      'credential { id }',
    );
    const priceCardId = await createCard('house prices', [
      { dimension: 'INPUT', amount: '0.37' },
      { dimension: 'OUTPUT', amount: '1.110001' },
      { dimension: 'REQUEST', amount: '0.000000000123' },
    ]);
    const modelId = await createModel('house/fast', priceCardId);
    const target = { providerId: provider.id, credentialId: credential.id, upstreamModel: 'pingtoken-sim-large' };
    await mutate('createRoute', { modelId, targets: [target] }, 'route { id }');

    const call = () => client.chat.completions.create({ model: 'house/fast', messages });
    const calls = (await books.summary()).calls;
    await waitFor(async () => (await errorOf(call)).code === 'provider_not_granted', {
      ...PATIENCE,
      what: 'the model',
    });
    expect(await listed()).not.toContain('house/fast');
    expect((await books.summary()).calls).toBe(calls);

    await platform.grant(tenant, provider.id);
    await waitFor(async () => (await listed()).includes('house/fast'), { ...PATIENCE, what: 'the grant' });
    const before = await readBalance(platform, tenant.token);
    const id = (await call())._request_id ?? '';
    const usage = await awaitUsage(platform, tenant.token, id);
    expect(usage.model).toBe('house/fast');
    expect((await books.servedCall(id)).model).toBe('pingtoken-sim-large');
    const price = await expectSameAsServed(usage, books, await readPriceList(platform, 'house/fast'));
    expect(await readBalance(platform, tenant.token)).toBe(before - price);
    const { headers } = await books.received(id);
    expect(headers).toContainEqual(['authorization', `Bearer ${secret}`]);
    const shown = await platform.query('{ credentials { id name providerId } providers { id baseUrl } }', operator);
    expect(JSON.stringify(shown)).not.toContain(secret);
  });

  it('refuses a model without a price in force, and gives it away to nobody', async () => {
    const { client, books } = customer;
    const target = { providerId: customer.providerId, credentialId: await findCredential(), upstreamModel: CHAT };
    const tomorrow = new Date(Date.now() + 86_400_000);
    const later = await createCard('prices of tomorrow', [{ dimension: 'INPUT', amount: '1' }], tomorrow);
    for (const [name, cardId] of [
      ['unpriced', undefined],
      ['priced-tomorrow', later],
    ] as const) {
      const modelId = await createModel(name, cardId);
      await mutate('createRoute', { modelId, targets: [target] }, 'route { id }');
    }
    const calls = (await books.summary()).calls;
    for (const model of ['unpriced', 'priced-tomorrow']) {
      const call = () => client.chat.completions.create({ model, messages });
      await waitFor(async () => (await errorOf(call)).status === 403, { ...PATIENCE, what: model });
      expect(await errorOf(call)).toMatchObject({ status: 403, code: 'price_missing' });
      expect(await listed()).not.toContain(model);
    }
    expect((await books.summary()).calls).toBe(calls);
  });

  it('relays no path of a provider by itself, and a listed one at its price per request', async () => {
    const { platform, tenant, key, books } = customer;
    const base = distribution.runtime.gatewayUrl.replace(/\/v1$/, '/passthrough/simulator');
    const send = async (method: string, path: string, body?: FormData) =>
      fetch(base + path, {
        method,
        headers: { authorization: `Bearer ${key.secret}`, cookie: 'session=secret' },
        ...(body !== undefined && { body }),
      });
    const calls = (await books.summary()).calls;
    const off = await send('GET', '/files');
    expect([off.status, ((await off.json()) as OpenAiErrorBody).error.code]).toEqual([404, 'unknown_path']);
    expect((await books.summary()).calls).toBe(calls);

    const priceCardId = await createCard('a price per request', [{ dimension: 'REQUEST', amount: '0.0050000001' }]);
    const route = { providerId: customer.providerId, credentialId: await findCredential(), priceCardId };
    for (const [method, path] of [
      ['GET', '/files'],
      ['POST', '/audio/transcriptions'],
    ] as const) {
      await mutate('createPassthroughRoute', { ...route, method, path }, 'route { id }');
    }
    const before = await readBalance(platform, tenant.token);
    const listing = await waitFor(
      async () => {
        const answer = await send('GET', '/files');
        return answer.ok && answer;
      },
      { ...PATIENCE, what: 'the route' },
    );
    expect(await listing.json()).toMatchObject({ object: 'list', data: [] });
    const form = new FormData();
    form.set('file', new Blob([new Uint8Array(300_000).fill(7)]), 'speech.wav');
    const transcript = await send('POST', '/audio/transcriptions', form);
    const { bytes } = (await transcript.json()) as { bytes: number };
    const ids = [listing, transcript].map((answer) => answer.headers.get('x-request-id') ?? '');
    expect((await books.received(ids[1] ?? '')).bodyLength).toBe(bytes);
    for (const id of ids) {
      const usage = await awaitUsage(platform, tenant.token, id);
      expect(usage).toMatchObject({ operation: 'PASSTHROUGH', price: { amount: '0.0050000001', currency: 'USD' } });
      const { headers } = await books.received(id);
      expect(JSON.stringify(headers)).not.toMatch(/cookie|session=secret/i);
      expect(JSON.stringify(headers)).not.toContain(key.secret);
    }
    expect(await readBalance(platform, tenant.token)).toBe(before - 2n * parseUnits('0.0050000001'));
    expect((await send('DELETE', '/files')).status).toBe(404);
  });

  it('relays no metered path unmetered, however it is spelt, even where a route was made for it', async () => {
    const { key, books } = customer;
    const priceCardId = await createCard('nothing', [{ dimension: 'REQUEST', amount: '0' }]);
    const route = { providerId: customer.providerId, credentialId: await findCredential(), priceCardId };
    for (const path of ['/chat/completions', '/*/completions', '/embeddings']) {
      // Whether it may be stored is the control plane's to say; the gateway relies on its own eyes.
      await mutate('createPassthroughRoute', { ...route, method: 'POST', path }, 'route { id }').catch(() => undefined);
    }
    const calls = (await books.summary()).calls;
    const base = distribution.runtime.gatewayUrl.replace(/\/v1$/, '/passthrough/simulator');
    for (const path of [
      '/chat/completions',
      '/chat%2Fcompletions',
      '/CHAT/Completions',
      '/chat//completions',
      '/embeddings',
    ]) {
      const response = await fetch(base + path, {
        method: 'POST',
        headers: { authorization: `Bearer ${key.secret}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: CHAT, messages }),
      });
      const { error } = (await response.json()) as OpenAiErrorBody;
      expect([path, response.status, error.code]).toEqual([path, 403, 'metered_path']);
    }
    expect((await books.summary()).calls).toBe(calls);
  });

  it('prices calls by the card in force when they were admitted', async () => {
    const { platform, tenant, client, books } = customer;
    const rateCardId = await createCard('rising', [
      { dimension: 'INPUT', amount: '1' },
      { dimension: 'OUTPUT', amount: '1' },
    ]);
    const modelId = await createModel('rising', rateCardId);
    const target = { providerId: customer.providerId, credentialId: await findCredential(), upstreamModel: CHAT };
    await mutate('createRoute', { modelId, targets: [target] }, 'route { id }');
    await waitFor(async () => (await listed()).includes('rising'), { ...PATIENCE, what: 'the model' });
    const old = await readPriceList(platform, 'rising');
    const callOnce = async () =>
      (await client.chat.completions.create({ model: 'rising', messages }))._request_id ?? '';
    const earlier = await callOnce();
    const prices = [
      { dimension: 'INPUT', amount: '3' },
      { dimension: 'OUTPUT', amount: '5' },
    ];
    await mutate('addRateCardVersion', { rateCardId, currency: 'USD', prices, source: 'a test' }, 'rateCard { id }');
    const priceOfCall = async (id: string) => parseUnits((await awaitUsage(platform, tenant.token, id)).price.amount);
    const dearer = { INPUT: 3_000_000n, OUTPUT: 5_000_000n };
    await waitFor(
      async () => {
        const id = await callOnce();
        const [price, served] = [await priceOfCall(id), await books.servedCall(id)];
        expect([exactPrice(old, served), exactPrice(dearer, served)]).toContain(price);
        return price === exactPrice(dearer, served);
      },
      { ...PATIENCE, what: 'the new prices' },
    );
    expect(await priceOfCall(earlier)).toBe(exactPrice(old, await books.servedCall(earlier)));
  });

  it('stops a key at the instant that it was to expire, and no other', async () => {
    const { platform, tenant, key } = customer;
    const expiresAt = new Date(Date.now() + 3_000);
    const short = await platform.createKey(tenant, { expiresAt });
    await waitFor(async () => (await statusOf(short.secret)) === 200, { ...PATIENCE, what: 'the key in force' });
    await waitFor(async () => (await statusOf(short.secret)) === 401, { ...PATIENCE, what: 'the expiry' });
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
    expect(await statusOf(key.secret)).toBe(200);
  });

  it('refuses every call of a suspended tenant, and takes them again when it is resumed', async () => {
    const { tenant, key, client, books } = customer;
    const setStatus = (status: string) => mutate('setTenantStatus', { tenantId: tenant.id, status }, 'tenant { id }');
    await setStatus('SUSPENDED');
    await waitFor(async () => (await statusOf(key.secret)) === 403, { ...PATIENCE, what: 'the suspension' });
    const calls = (await books.summary()).calls;
    const refused = await errorOf(() => client.chat.completions.create({ model: CHAT, messages }));
    expect(refused).toMatchObject({ status: 403, code: 'tenant_suspended' });
    expect(refused).toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect((await books.summary()).calls).toBe(calls);
    await setStatus('ACTIVE');
    await waitFor(async () => (await statusOf(key.secret)) === 200, { ...PATIENCE, what: 'the resumption' });
  });
});

interface OpenAiErrorBody {
  readonly error: { readonly code: string };
}

/** @throws Error when it succeeded, or failed in another way */
async function errorOf(call: () => Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call();
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error;
    throw error;
  }
  throw new Error('the call was not refused');
}
