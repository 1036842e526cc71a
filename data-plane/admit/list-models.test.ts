import { randomUUID } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { ApiError, GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsSchema } from '@pingtoken/shared/limits';
import { startGateway, type GatewayFixture } from '../../test/kit/gateway-fixture.js';

let fixture: GatewayFixture;
let anthropic: Anthropic;

beforeEach(async () => {
  // Nobody is called: what is asked is answered from memory.
  fixture = await startGateway('http://127.0.0.1:9/v1');
  anthropic = new Anthropic({ baseURL: fixture.url, apiKey: fixture.config.bearer, maxRetries: 0 });
});

afterEach(async () => {
  expect(fixture.spool.starts).toHaveLength(0);
  await fixture.close();
});

function google(apiVersion?: string): GoogleGenAI {
  const httpOptions = { baseUrl: fixture.url, ...(apiVersion !== undefined && { apiVersion }) };
  return new GoogleGenAI({ apiKey: fixture.config.bearer, httpOptions });
}

function addMany(count: number): void {
  for (let at = 0; at < count; at += 1) {
    const createdAt = 1_600_000_000_000 + at * 1000;
    fixture.config.addModel(`many/${String(at).padStart(3, '0')}`, 'chat-completions', 'x', { createdAt });
  }
}

async function namesOf<Item>(items: Promise<AsyncIterable<Item>> | AsyncIterable<Item>, name: (item: Item) => string) {
  const names = [];
  for await (const item of await items) names.push(name(item));
  return names;
}

async function get(path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: never }> {
  const response = await fetch(fixture.url + path, {
    headers: { authorization: `Bearer ${fixture.config.bearer}`, ...headers },
  });
  return { status: response.status, body: (await response.json()) as never };
}

describe('the list of models, to Anthropic’s client', () => {
  it('is in its own shape, the newest first, and only of what its API has calls for', async () => {
    fixture.config.addModel('new/chat', 'chat-completions', 'x', {
      createdAt: 1_800_000_000_000,
      contextWindow: 200_000,
      maxOutputTokens: 64_000,
    });
    const page = await anthropic.models.list();
    expect(page.data.map(({ id }) => id)).toEqual(['new/chat', 'chat-alias']);
    expect(page).toMatchObject({ has_more: false, first_id: 'new/chat', last_id: 'chat-alias' });
    expect(page.data[0]).toMatchObject({
      type: 'model',
      display_name: 'new/chat',
      created_at: '2027-01-15T08:00:00.000Z',
      max_input_tokens: 200_000,
      max_tokens: 64_000,
      lifecycle: 'active',
    });
    expect(await anthropic.models.retrieve('new/chat')).toEqual(page.data[0]);
    await expect(anthropic.models.retrieve('embedding-alias')).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    expect((await anthropic.models.list({ lifecycle: ['deprecated'] })).data).toEqual([]);
    expect((await anthropic.models.list({ lifecycle: ['active'] })).data).toHaveLength(2);
  });

  it('is read on page by page, forth and back', async () => {
    addMany(45);
    const all = await namesOf(anthropic.models.list({ limit: 7 }), ({ id }) => id);
    expect(all).toHaveLength(46);
    expect(new Set(all).size).toBe(46);
    expect((await anthropic.models.list()).data).toHaveLength(20);
    const before = await anthropic.models.list({ before_id: all[10] ?? '', limit: 4 });
    expect(before.data.map(({ id }) => id)).toEqual(all.slice(6, 10));
    expect(before.has_more).toBe(true);
    const first = await anthropic.models.list({ before_id: all[2] ?? '', limit: 4 });
    expect(first.data.map(({ id }) => id)).toEqual(all.slice(0, 2));
    expect(first.has_more).toBe(false);
    expect(await anthropic.models.list({ after_id: all.at(-1) ?? '' })).toMatchObject({ data: [], has_more: false });
  });

  it('refuses what is no page, as that client’s own error', async () => {
    for (const query of [{ limit: 0 }, { limit: 1001 }, { after_id: 'nobody' }, { after_id: 'a', before_id: 'b' }]) {
      await expect(anthropic.models.list(query)).rejects.toBeInstanceOf(Anthropic.BadRequestError);
    }
    const stranger = new Anthropic({ baseURL: fixture.url, apiKey: 'pt-nobody', maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
  });
});

describe('the list of models, to Google’s client', () => {
  it.each([undefined, 'v1beta', 'v1'])('is in its own shape, in version %s', async (version) => {
    fixture.config.addModel('team/thinker', 'chat-completions', 'x', {
      contextWindow: 1_000_000,
      maxOutputTokens: 65_536,
      capabilities: ['reasoning'],
    });
    const { models } = google(version);
    const names = await namesOf(models.list(), ({ name }) => name ?? '');
    expect(names).toEqual(['models/chat-alias', 'models/embedding-alias', 'models/team/thinker']);
    expect(await models.get({ model: 'team/thinker' })).toMatchObject({
      name: 'models/team/thinker',
      inputTokenLimit: 1_000_000,
      outputTokenLimit: 65_536,
      supportedActions: ['generateContent', 'streamGenerateContent', 'countTokens'],
      thinking: true,
    });
    expect((await models.get({ model: 'models/embedding-alias' })).supportedActions).toContain('embedContent');
    const missing = models.get({ model: 'nobody' });
    await expect(missing).rejects.toSatisfy((error) => error instanceof ApiError && error.status === 404);
  });

  it('is read on page by page, though models go meanwhile', async () => {
    addMany(30);
    expect(
      await namesOf(google('v1beta').models.list({ config: { pageSize: 4 } }), ({ name }) => name ?? ''),
    ).toHaveLength(32);
    const first = await get('/v1beta/models?pageSize=3');
    const { nextPageToken } = first.body as { nextPageToken: string };
    fixture.config.models.delete('many/000');
    const { body } = await get(`/v1beta/models?pageSize=1&pageToken=${nextPageToken}`);
    expect(body).toMatchObject({ models: [{ name: 'models/many/001' }] });
  });

  it('refuses what is no page in its own words', async () => {
    for (const query of ['pageSize=-1', 'pageSize=x', 'pageToken=%25']) {
      const { status, body } = await get(`/v1beta/models?${query}`);
      expect({ status, body }).toMatchObject({ status: 400, body: { error: { status: 'INVALID_ARGUMENT' } } });
    }
    const { status, body } = await get('/v1/models', { authorization: '', 'x-goog-api-key': 'pt-nobody' });
    expect({ status, body }).toMatchObject({ status: 401, body: { error: { status: 'UNAUTHENTICATED' } } });
  });

  it('knows a key in the query', async () => {
    const response = await fetch(`${fixture.url}/v1/models?key=${fixture.config.bearer}`);
    expect(await response.json()).toMatchObject({ models: [{ name: 'models/chat-alias' }, {}] });
  });
});

describe('the list of models, to everybody else', () => {
  it('is OpenAI’s, of every kind, and a model is listed where any of its operations can be called', async () => {
    fixture.config.addModel('either', 'chat-completions', 'x', { operations: ['responses', 'chat-completions'] });
    const client = new OpenAI({ baseURL: `${fixture.url}/v1`, apiKey: fixture.config.bearer, maxRetries: 0 });
    expect(await namesOf(client.models.list(), ({ id }) => id)).toEqual(['chat-alias', 'embedding-alias', 'either']);
    // Responses are not translated, chat is.
    Object.assign(fixture.config.provider, { dialect: 'anthropic' });
    expect(await namesOf(client.models.list(), ({ id }) => id)).toEqual(['chat-alias', 'either']);
    expect((await get('/api/v1/models')).body).toMatchObject({ object: 'list' });
  });
});

describe('the key', () => {
  const keyOf = async (bearer: string, path = '/v1/key') => {
    const { status, body } = await get(path, { authorization: `Bearer ${bearer}` });
    return { status, ...(body as { data?: Record<string, unknown> }) };
  };

  it('is told what it may do, and that no limit is set', async () => {
    const expiresAt = Date.parse('2031-05-06T07:08:09Z');
    const bearer = fixture.config.addKey({ expiresAt }, { endUsers: 'pseudonym' });
    const { data } = await keyOf(bearer);
    expect(data).toMatchObject({
      status: 'active',
      expires_at: '2031-05-06T07:08:09.000Z',
      operations: ['chat-completions', 'embeddings'],
      models: [
        { id: 'chat-alias', operations: ['chat-completions'] },
        { id: 'embedding-alias', operations: ['embeddings'] },
      ],
      limit: null,
      limit_remaining: null,
      limits: [],
      restrictions: [],
      end_users: 'pseudonym',
      config: { epoch: 1, seq: 7 },
    });
    for (const name of ['id', 'tenant_id', 'member_id']) expect(data?.[name]).toMatch(/^[0-9a-f-]{36}$/);
    expect(JSON.stringify(data)).not.toContain(bearer);
    expect(await keyOf(bearer, '/api/v1/key')).toMatchObject({ status: 200, data: { id: data?.['id'] } });
  });

  it('is told every limit that it has to keep, and whose it is', async () => {
    const limits = limitsSchema.parse({ requestsPerMinute: 60, concurrentCalls: 4 });
    const plan = { kind: 'plan' as const, id: randomUUID(), seq: 20, limits, priceCards: {} };
    fixture.config.plans.push(plan);
    const modelIds = [fixture.config.models.get('chat-alias')?.id, randomUUID()];
    const own = limitsSchema.parse({ tokensPerDay: 1_000, modelIds, operations: ['chat-completions'] });
    const { data } = await keyOf(fixture.config.addKey({ limits: own }, { planId: plan.id }));
    expect(data).toMatchObject({
      limits: [
        { scope: 'key', name: 'tokens_per_day', limit: 1_000, remaining: 1_000 },
        { scope: 'plan', name: 'requests_per_minute', limit: 60, remaining: 60 },
        { scope: 'plan', name: 'concurrent_calls', limit: 4, remaining: 4 },
      ],
      restrictions: [{ scope: 'key', models: ['chat-alias'], operations: ['chat-completions'], address_ranges: null }],
    });
  });

  it('is told what its tenant’s setting comes to', async () => {
    const grantless = fixture.config.addKey({}, { grantedProviderIds: [], pseudonymKey: null });
    const { data } = await keyOf(grantless);
    expect(data).toMatchObject({ models: [], operations: [], end_users: 'drop', expires_at: null });
  });

  it('that is unknown, revoked, expired or not there is told nothing', async () => {
    const revoked = fixture.config.addKey({ status: 'revoked' });
    const expired = fixture.config.addKey({ expiresAt: 1 });
    for (const bearer of ['pt-nobody', revoked, expired, '']) {
      expect(await keyOf(bearer)).toMatchObject({ status: 401, error: { code: 'invalid_api_key' } });
    }
    const posted = await fetch(`${fixture.url}/v1/key`, { method: 'POST' });
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET']);
  });
});
