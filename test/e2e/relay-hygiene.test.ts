import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { waitFor } from '../kit/wait-for.js';

const CHAT = 'pingtoken-sim-small';
const IMAGE = 'pingtoken-sim-image';
const SPEECH = 'pingtoken-sim-speech';
const HEARING = 'pingtoken-sim-transcribe';

let distribution: Distribution;
let customer: Customer;

beforeAll(async () => {
  distribution = await startDistribution();
  customer = await createCustomer(distribution);
});
afterAll(async () => {
  await distribution.dispose();
});

const ADA = 'lovelace@example.com';
const END_USER = { user: ADA, safety_identifier: ADA, prompt_cache_key: ADA } as const;

describe.each(['PSEUDONYM', 'DROP'] as const)('the tenant’s end user, by the setting %s', (endUsers) => {
  const origin = (): string => new URL(distribution.runtime.gatewayUrl).origin;

  beforeAll(async () => {
    const { platform, tenant, key } = customer;
    await platform.mutate('updateTenantSettings', { endUsers }, 'tenant { id }', { token: tenant.token });
    for (const slug of ['simulator-anthropic', 'simulator-gemini']) {
      await platform.grant(tenant, await platform.findProvider(slug));
    }
    await waitFor(
      async () => {
        const listed = await listModels(distribution.runtime.gatewayUrl, key.secret);
        const body = JSON.stringify({ model: 'pingtoken-sim-embedding', input: 'x', user: 'probe' });
        const response = await post('/v1/embeddings', body);
        const seen = await received(response);
        return listed.includes('pingtoken-sim-gemini') && seen.includes('"user"') === (endUsers === 'PSEUDONYM');
      },
      { timeoutMs: 15_000, what: 'the setting' },
    );
  });

  async function post(path: string, body: string | FormData): Promise<Response> {
    const headers = { authorization: `Bearer ${customer.key.secret}` };
    const json = typeof body === 'string' && { 'content-type': 'application/json' };
    return fetch(origin() + path, { method: 'POST', headers: { ...headers, ...json }, body });
  }

  /** The body that the provider was sent. */
  async function received(response: Response): Promise<string> {
    const text = await response.text();
    expect(`${response.status} ${text}`).toMatch(/^200 /);
    const report = await customer.books.received(response.headers.get('x-request-id') ?? '');
    return Buffer.from(report.bodyBase64, 'base64').toString() + report.url + JSON.stringify(report.headers);
  }

  async function expectHidden(response: Response): Promise<void> {
    const seen = await received(response);
    expect(seen).not.toContain('lovelace');
    expect(seen).not.toContain('example.com');
  }

  const messages = [{ role: 'user', content: 'Hello' }];
  const metadata = { customer: ADA };

  it.each([
    ['/v1/chat/completions', { model: CHAT, messages, ...END_USER, metadata }],
    ['/v1/completions', { model: CHAT, prompt: 'Hello', user: ADA }],
    ['/v1/responses', { model: CHAT, input: 'Hello', ...END_USER, metadata }],
    ['/v1/embeddings', { model: 'pingtoken-sim-embedding', input: 'Hello', user: ADA }],
    ['/v1/images/generations', { model: IMAGE, prompt: 'Hello', user: ADA }],
    ['/v1/audio/speech', { model: SPEECH, voice: 'alloy', input: 'Hello', user: ADA }],
    ['/v1/moderations', { model: 'pingtoken-sim-moderation', input: 'Hello', user_id: ADA }],
    ['/v1/rerank', { model: 'pingtoken-sim-rerank', query: 'Hello', documents: ['a'], user: ADA }],
    ['/v1/chat/completions', { model: 'pingtoken-sim-anthropic', messages, max_tokens: 9, ...END_USER }],
    ['/v1/chat/completions', { model: 'pingtoken-sim-gemini', messages, ...END_USER }],
    ['/v1/messages', { model: CHAT, messages, max_tokens: 9, metadata: { user_id: ADA } }],
    ['/v1/messages', { model: 'pingtoken-sim-anthropic', messages, max_tokens: 9, metadata: { user_id: ADA } }],
    ['/v1/messages', { model: 'pingtoken-sim-gemini', messages, max_tokens: 9, metadata: { user_id: ADA } }],
    [
      '/v1beta/models/pingtoken-sim-gemini:generateContent',
      { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }], labels: { customer: 'lovelace' } },
    ],
  ])('does not reach the provider by %s of %j', async (path, body) => {
    await expectHidden(await post(path, JSON.stringify(body)));
  });

  it.each(['/v1/images/edits', '/v1/images/variations', '/v1/audio/transcriptions', '/v1/audio/translations'])(
    'does not reach the provider in the form of %s',
    async (path) => {
      const form = new FormData();
      form.append('user', ADA);
      form.append('model', path.includes('images') ? IMAGE : HEARING);
      form.append('prompt', 'Hello');
      form.append(path.includes('images') ? 'image' : 'file', new Blob([Buffer.alloc(100)]), 'x');
      form.append('metadata', JSON.stringify(metadata));
      await expectHidden(await post(path, form));
    },
  );
});

describe('where a call goes and what it says of its caller', () => {
  const ELSEWHERE = {
    api_base: 'http://127.0.0.1:9/evil',
    base_url: 'http://127.0.0.1:9/evil',
    api_key: 'sk-evil',
    custom_llm_provider: 'evil',
    provider: { order: ['evil'] },
    extra_headers: { 'x-evil': '1' },
  };
  const telling = {
    cookie: 'session=told',
    'user-agent': 'told/1.0',
    'x-forwarded-for': '203.0.113.77',
    forwarded: 'for=203.0.113.78',
    'x-request-id': 'told',
    traceparent: '00-told',
    baggage: 'told=1',
    'openai-organization': 'org-told',
    'openai-project': 'proj_told',
    'x-stainless-arch': 'told',
    'x-api-base': 'http://told.example',
  };
  const ALLOWED = new Set([
    ...['accept', 'accept-encoding', 'authorization', 'connection', 'content-length', 'content-type', 'host'],
    ...['transfer-encoding', 'user-agent', 'x-request-id'],
  ]);

  it.each([
    ['/chat/completions', { model: CHAT, messages: [{ role: 'user', content: 'Hello' }] }],
    ['/responses', { model: CHAT, input: 'Hello' }],
    ['/images/generations', { model: IMAGE, prompt: 'Hello' }],
    ['/audio/speech', { model: SPEECH, voice: 'alloy', input: 'Hello' }],
    ['/images/edits', undefined],
    ['/audio/transcriptions', undefined],
  ])('are ours to say: %s', async (path, body) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(ELSEWHERE)) form.append(name, JSON.stringify(value));
    form.append('model', path.includes('images') ? IMAGE : HEARING);
    form.append('prompt', 'Hello');
    form.append(path.includes('images') ? 'image' : 'file', new Blob([Buffer.alloc(100)]), 'x');
    const response = await fetch(distribution.runtime.gatewayUrl + path, {
      method: 'POST',
      headers: {
        ...telling,
        authorization: `Bearer ${customer.key.secret}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      body: body === undefined ? form : JSON.stringify({ ...body, ...ELSEWHERE }),
    });
    await response.arrayBuffer();
    expect(response.status).toBe(200);
    const { headers, url } = await customer.books.received(response.headers.get('x-request-id') ?? '');
    expect(url).toBe(`/v1${path}`);
    const names = headers.map(([name]) => name.toLowerCase());
    expect(names.filter((name) => !ALLOWED.has(name))).toEqual([]);
    expect(headers).toContainEqual(['authorization', 'Bearer simulator-needs-no-secret']);
    expect(JSON.stringify(headers)).not.toMatch(/told|203\.0\.113|evil|stainless/);
  });
});
