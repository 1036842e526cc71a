import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { readPriceList } from '../kit/exact-price.js';
import { awaitUsage, expectSameAsServed, readBalance, readUsage } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';

/** The endpoints that only one vendor has, over the whole path: the seeded models, the ledger, the tenant's own view. */
const CHAT = ['pingtoken-sim-small', 'pingtoken-sim-anthropic', 'pingtoken-sim-gemini'];
const VECTORS = ['pingtoken-sim-embedding', 'pingtoken-sim-gemini-embedding'];

let distribution: Distribution;
let customer: Customer;
let anthropic: Anthropic;
let google: GoogleGenAI;

beforeAll(async () => {
  distribution = await startDistribution();
  customer = await createCustomer(distribution);
  const { platform, tenant, key } = customer;
  for (const slug of ['simulator-anthropic', 'simulator-gemini'])
    await platform.grant(tenant, await platform.findProvider(slug));
  await waitFor(
    async () => {
      const listed = await listModels(distribution.runtime.gatewayUrl, key.secret);
      return [...CHAT, ...VECTORS].every((name) => listed.includes(name));
    },
    { timeoutMs: 15_000, what: 'the models of all simulators' },
  );
  const { origin } = new URL(distribution.runtime.gatewayUrl);
  anthropic = new Anthropic({ baseURL: origin, apiKey: key.secret, maxRetries: 0 });
  google = new GoogleGenAI({ apiKey: key.secret, httpOptions: { baseUrl: origin } });
});
afterAll(async () => {
  await distribution.dispose();
});

describe('vectors', () => {
  it.each(VECTORS)('of %s are billed as they were served, to whichever client', async (model) => {
    const { platform, tenant, books, client } = customer;
    const prices = await readPriceList(platform, model);
    const asked = await client.embeddings.create({ model, input: ['eins', 'zwei'] }).withResponse();
    const { embeddings, sdkHttpResponse } = await google.models.embedContent({ model, contents: ['eins', 'zwei'] });
    const ids = [asked.request_id, new Headers(sdkHttpResponse?.headers).get('x-request-id')];
    for (const id of ids) {
      const usage = await awaitUsage(platform, tenant.token, id ?? '');
      expect(usage).toMatchObject({ operation: 'EMBEDDINGS', model, outcome: 'COMPLETED' });
      await expectSameAsServed(usage, books, prices);
    }
    expect(asked.data.data.map(({ embedding }) => Array.from(embedding))).toEqual(
      embeddings?.map(({ values }) => values),
    );
  });
});

describe('counts', () => {
  it('cost nothing, and are in the tenant’s view where a provider made them', async () => {
    const { platform, tenant } = customer;
    const before = await readBalance(platform, tenant.token);
    const content = 'Wie lang ist das?';
    const remote: string[] = [];
    for (const model of CHAT) {
      const body = { model, messages: [{ role: 'user' as const, content }] };
      const { data, response } = await anthropic.messages.countTokens(body).withResponse();
      expect(data.input_tokens).toBeGreaterThan(0);
      const { totalTokens } = await google.models.countTokens({ model, contents: content });
      expect(totalTokens).toBe(data.input_tokens);
      if (response.headers.get('x-pingtoken-counted') === null) remote.push(response.headers.get('x-request-id') ?? '');
    }
    expect(remote).toHaveLength(2);
    for (const id of remote) {
      expect(await awaitUsage(platform, tenant.token, id)).toMatchObject({
        operation: 'COUNT_TOKENS',
        outcome: 'COMPLETED',
        counts: [],
        price: { amount: '0' },
      });
    }
    const all = [...(await readUsage(platform, tenant.token)).values()];
    expect(all.filter(({ operation }) => operation === 'COUNT_TOKENS').length).toBeLessThanOrEqual(4);
    expect(await readBalance(platform, tenant.token)).toBe(before);
  });
});

describe('the lists of models', () => {
  const gather = async <Item>(items: AsyncIterable<Item>, name: (item: Item) => string | undefined) => {
    const names: string[] = [];
    for await (const item of items) names.push(name(item) ?? '');
    return names;
  };

  it('hold to each client what it can call, page by page', async () => {
    const openai = await gather(customer.client.models.list(), ({ id }) => id);
    const chat = await gather(anthropic.models.list({ limit: 2 }), ({ id }) => id);
    const gemini = await gather(await google.models.list({ config: { pageSize: 2 } }), ({ name }) => name);
    expect(openai).toEqual(expect.arrayContaining([...CHAT, ...VECTORS]));
    expect(chat).toEqual(expect.arrayContaining(CHAT));
    expect(chat).not.toEqual(expect.arrayContaining([VECTORS[0]]));
    expect(gemini).toEqual(expect.arrayContaining([...CHAT, ...VECTORS].map((name) => `models/${name}`)));
    expect(openai).toEqual(expect.arrayContaining(chat));
    for (const name of CHAT) {
      expect((await customer.client.models.retrieve(name)).id).toBe(name);
      expect((await anthropic.models.retrieve(name)).max_input_tokens).toBe(128_000);
      expect(await google.models.get({ model: name })).toMatchObject({ inputTokenLimit: 128_000 });
    }
  });

  it('and what a key may do are in force with the config', async () => {
    const { platform, tenant, key } = customer;
    const ask = async (secret: string): Promise<Response> =>
      fetch(`${distribution.runtime.gatewayUrl}/key`, { headers: { authorization: `Bearer ${secret}` } });
    const { data } = (await (await ask(key.secret)).json()) as { data: Record<string, unknown> };
    expect(data).toMatchObject({ id: key.id, status: 'active', limits: [], limit: null });
    expect(JSON.stringify(data['models'])).toContain(VECTORS[1]);
    const other = await platform.createKey(tenant);
    await waitFor(async () => (await ask(other.secret)).status === 200, { timeoutMs: 10_000, what: 'another key' });
    const { data: same } = (await (await ask(other.secret)).json()) as { data: Record<string, unknown> };
    expect(same).toMatchObject({ id: other.id, tenant_id: data['tenant_id'], models: data['models'] });
  });
});
