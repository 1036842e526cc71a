import { randomUUID } from 'node:crypto';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { parseUnits, readPriceList, type PriceList } from '../kit/exact-price.js';
import { createPlatform, type Platform, type TestTenant } from '../kit/platform.js';
import { describeOnEachQueue } from '../kit/queue-backends.js';
import { createSimulatorBooks, type SimulatorBooks } from '../kit/simulator-books.js';
import { awaitUsage, expectSameAsServed, readBalance, readUsage } from '../kit/usage-view.js';
import { measureUntil, waitFor } from '../kit/wait-for.js';

const CHAT = 'pingtoken-sim-small';
const EMBEDDING = 'pingtoken-sim-embedding';
const CREDIT = '25';
/** What a slow machine may take for what is promised within one or two seconds. The measured times are printed. */
const PATIENCE_MS = 10_000;

const messages = [{ role: 'user' as const, content: 'What does a river carry? Naïve 🙂' }];
const clientOf = (baseURL: string, apiKey: string) => new OpenAI({ baseURL, apiKey, maxRetries: 0 });

describeOnEachQueue('from registration to the exact cost of a call', ({ name, redis }) => {
  let distribution: Distribution;
  let platform: Platform;
  let books: SimulatorBooks;
  let first: TestTenant;
  let second: TestTenant;
  let key: { id: string; secret: string };
  let client: OpenAI;
  /** Of the first tenant, as the gateway told them to the caller. */
  const requestIds: string[] = [];

  const note = (what: string, milliseconds: number): void => {
    console.log(`queue in ${name}: ${what} after ${milliseconds} ms`);
  };
  const noteId = (requestId: string | null): void => {
    expect(requestId).not.toBeNull();
    requestIds.push(requestId ?? '');
  };

  beforeAll(async () => {
    distribution = await startDistribution({ redis });
    platform = createPlatform(distribution.runtime, distribution.home);
    books = createSimulatorBooks(distribution.runtime.provider.url);
    expect(distribution.runtime.redisUrl === null).toBe(!redis);
  });
  afterAll(async () => {
    await distribution.dispose();
  });

  it('stores nothing of a registration that does not consent to the policy', async () => {
    const count = async () =>
      (
        await platform.query<{ tenants: { nodes: unknown[] } }>(
          '{ tenants { nodes { id } } }',
          await platform.operator(),
        )
      ).tenants.nodes.length;
    const before = await count();
    const input = { kind: 'PERSON', name: 'P', email: 'p@example.com', password: 'a long password' };
    for (const consent of [{}, { consentToPolicyVersion: null }, { consentToPolicyVersion: 'an older one' }]) {
      const refusal = platform.mutate('register', { ...input, ...consent }, 'tenant { id }');
      await expect(refusal).rejects.toMatchObject({ codes: ['CONSENT_REQUIRED'] });
    }
    expect(await count()).toBe(before);
    await expect(platform.signIn(input.email, input.password)).rejects.toMatchObject({
      codes: ['INVALID_CREDENTIALS'],
    });
  });

  it('makes no key before the mailed address is verified', async () => {
    const { currentPolicy } = await platform.query<{ currentPolicy: { version: string } }>(
      '{ currentPolicy { version } }',
    );
    const input = {
      kind: 'PERSON',
      name: 'Unverified',
      email: `${randomUUID()}@example.com`,
      password: 'a long password',
      consentToPolicyVersion: currentPolicy.version,
    };
    const { session } = await platform.mutate<{ session: { token: string } }>('register', input, 'session { token }');
    const refusal = platform.mutate('createApiKey', { name: 'k' }, 'secret', { token: session.token });
    await expect(refusal).rejects.toMatchObject({ codes: ['EMAIL_UNVERIFIED'] });
  });

  it('takes two tenants from registration to a key and a credited wallet', async () => {
    first = await platform.registerTenant({ organizationName: 'First Ltd.' });
    second = await platform.registerTenant({ kind: 'PERSON' });
    await platform.credit(first, CREDIT);
    key = await platform.createKey(first);
    client = clientOf(distribution.runtime.gatewayUrl, key.secret);
    expect(await readBalance(platform, first.token)).toBe(parseUnits(CREDIT));
    const shown = await platform.query<{ apiKeys: object[] }>('{ apiKeys { id name hint status } }', first.token);
    expect(shown.apiKeys).toHaveLength(1);
    expect(JSON.stringify(shown)).not.toContain(key.secret);
  });

  it('sends nothing to a provider that the tenant has not granted', async () => {
    await waitFor(async () => (await tryCall(client)) !== 401, { timeoutMs: PATIENCE_MS, what: 'the key in force' });
    const before = await books.summary();
    const refusal = client.chat.completions.create({ model: CHAT, messages });
    await expect(refusal).rejects.toBeInstanceOf(OpenAI.PermissionDeniedError);
    await expect(refusal).rejects.toMatchObject({ status: 403, code: 'provider_not_granted' });
    expect((await client.models.list()).data).toEqual([]);
    expect((await books.summary()).calls).toBe(before.calls);
    expect((await readUsage(platform, first.token)).size).toBe(0);
  });

  it('lists the models once the provider is granted', async () => {
    await platform.grant(first, await platform.findProvider('simulator'));
    const listed = async () => (await client.models.list()).data.map(({ id }) => id);
    note(
      'a grant in force',
      await measureUntil(async () => (await listed()).length > 0, { timeoutMs: PATIENCE_MS, what: 'models' }),
    );
    expect(await listed()).toEqual(expect.arrayContaining([CHAT, EMBEDDING]));
    expect((await client.models.retrieve(CHAT)).id).toBe(CHAT);
  });

  it('answers an unmodified OpenAI client, plain', async () => {
    const completion = await client.chat.completions.create({ model: CHAT, messages });
    noteId(completion._request_id ?? null);
    expect(completion.choices[0]?.message.content).toContain('answer');
    expect(completion.model).toBe(CHAT);
  });

  it('streams the same answer, and shows the usage only to a caller who asked for it', async () => {
    const plain = await client.chat.completions.create({ model: CHAT, messages });
    noteId(plain._request_id ?? null);
    for (const asks of [false, true]) {
      const options = asks ? { stream_options: { include_usage: true } } : {};
      const { data, request_id } = await client.chat.completions
        .create({ model: CHAT, messages, stream: true, ...options })
        .withResponse();
      noteId(request_id);
      const chunks = await readAll(data);
      expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(
        plain.choices[0]?.message.content,
      );
      expect(chunks.filter(({ usage }) => usage).map(({ usage }) => usage)).toEqual(asks ? [plain.usage] : []);
      expect(chunks.some(({ choices }) => choices.length === 0)).toBe(asks);
    }
  });

  it('gives embeddings alike as base64, which the client asks for, and as floats', async () => {
    const input = ['a river', 'small stones'];
    const packed = await client.embeddings.create({ model: EMBEDDING, input });
    const floats = await client.embeddings.create({ model: EMBEDDING, input, encoding_format: 'float' });
    noteId(packed._request_id ?? null);
    noteId(floats._request_id ?? null);
    expect(packed.data.map(({ embedding }) => embedding)).toEqual(floats.data.map(({ embedding }) => embedding));
    expect(packed.data[0]?.embedding).toHaveLength(256);
  });

  it('serves the same under /api/v1', async () => {
    const elsewhere = clientOf(distribution.runtime.gatewayUrl.replace(/\/v1$/, '/api/v1'), key.secret);
    const completion = await elsewhere.chat.completions.create({ model: CHAT, messages });
    const embeddings = await elsewhere.embeddings.create({ model: EMBEDDING, input: 'a river' });
    noteId(completion._request_id ?? null);
    noteId(embeddings._request_id ?? null);
    expect((await elsewhere.models.list()).data.length).toBeGreaterThan(1);
  });

  it('charges cached and reasoning tokens once, at their own prices', async () => {
    const content = 'Long and cached. [[sim tokens=40 reasoning=25 cached=9]]';
    const completion = await client.chat.completions.create({ model: CHAT, messages: [{ role: 'user', content }] });
    noteId(completion._request_id ?? null);
    expect(completion.usage).toMatchObject({
      completion_tokens: 40,
      completion_tokens_details: { reasoning_tokens: 25 },
      prompt_tokens_details: { cached_tokens: 9 },
    });
  });

  it('lets the balance fall by exactly tokens times price', async () => {
    const prices: Record<string, PriceList> = {
      [CHAT]: await readPriceList(platform, CHAT),
      [EMBEDDING]: await readPriceList(platform, EMBEDDING),
    };
    for (const id of requestIds) await awaitUsage(platform, first.token, id);
    const usage = await readUsage(platform, first.token);
    expect([...usage.keys()].toSorted()).toEqual(requestIds.toSorted());
    let spent = 0n;
    for (const each of usage.values()) {
      expect(each).toMatchObject({ outcome: 'COMPLETED', status: 200, apiKeyId: key.id });
      spent += await expectSameAsServed(each, books, prices[each.model] ?? {});
    }
    expect(spent).toBeGreaterThan(0n);
    expect(await readBalance(platform, first.token)).toBe(parseUnits(CREDIT) - spent);
  });

  it('shows the cost of a call shortly after its end', async () => {
    const before = await readBalance(platform, first.token);
    for (const stream of [false, true]) {
      const { data, request_id } = await client.chat.completions
        .create({ model: CHAT, messages, stream })
        .withResponse();
      if (Symbol.asyncIterator in data) await readAll(data);
      const since = performance.now();
      noteId(request_id);
      const isBooked = async () => (await readUsage(platform, first.token)).has(request_id ?? '');
      note('the cost of a call', await measureUntil(isBooked, { since, timeoutMs: PATIENCE_MS, what: 'the cost' }));
    }
    expect(await readBalance(platform, first.token)).toBeLessThan(before);
  });

  it('shows another tenant nothing of the first, whatever ids it guesses', async () => {
    const { token } = second;
    const seen = await platform.query<Record<string, unknown>>(
      `query ($key: ID!) { apiKeys { id } usage { edges { node { id } } } ofKey: usage(apiKeyId: $key) { edges { node { id } } }
        usageSummary(apiKeyId: $key) { calls } providerGrants { id } wallet { balance } me { tenant { id organizationName } } }`,
      token,
      { key: key.id },
    );
    expect(seen).toEqual({
      apiKeys: [],
      usage: { edges: [] },
      ofKey: { edges: [] },
      usageSummary: { calls: 0 },
      providerGrants: [],
      wallet: { balance: '0' },
      me: { tenant: { id: second.id, organizationName: null } },
    });
    await expect(platform.revokeKey(second, key.id)).rejects.toMatchObject({ codes: ['NOT_FOUND'] });
    await expect(platform.query('{ tenants { nodes { id } } }', token)).rejects.toMatchObject({
      codes: ['PERMISSION_DENIED'],
    });
    const credit = { tenantId: first.id, amount: '1', idempotencyKey: randomUUID(), reason: 'none' };
    const status = { tenantId: first.id, status: 'SUSPENDED' };
    for (const attempt of [
      () => platform.mutate('creditWallet', credit, 'transferId', { token }),
      () => platform.mutate('setTenantStatus', status, 'tenant { id }', { token }),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ codes: ['PERMISSION_DENIED'] });
    }
    expect(await tryCall(client)).toBe(200);
  });

  it('starts again with the same balance and the same key', async () => {
    const calls = async () => (await readUsage(platform, first.token)).size;
    await waitFor(async () => (await calls()) === requestIds.length + 1, { timeoutMs: PATIENCE_MS, what: 'all usage' });
    const before = await readBalance(platform, first.token);
    expect(await distribution.stop()).toBe(0);
    distribution = await startDistribution({ home: distribution.home, redis });
    expect(await readBalance(platform, first.token)).toBe(before);
    expect(await calls()).toBe(requestIds.length + 1);
    expect(await tryCall(client)).toBe(200);
  });

  it('refuses a revoked key', async () => {
    await platform.revokeKey(first, key.id);
    const isRefused = async () => (await tryCall(client)) === 401;
    note('a revocation in force', await measureUntil(isRefused, { timeoutMs: 5_000, what: 'the refusal' }));
    await expect(client.chat.completions.create({ model: CHAT, messages })).rejects.toBeInstanceOf(
      OpenAI.AuthenticationError,
    );
    await expect(client.models.list()).rejects.toMatchObject({ status: 401, code: 'invalid_api_key' });
  });
});

async function readAll<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const read: Item[] = [];
  for await (const item of items) read.push(item);
  return read;
}

/** @returns the status of a small call */
async function tryCall(client: OpenAI): Promise<number> {
  try {
    await client.chat.completions.create({ model: CHAT, messages });
    return 200;
  } catch (error) {
    if (error instanceof OpenAI.APIError && error.status !== undefined) return Number(error.status);
    throw error;
  }
}
