import Anthropic from '@anthropic-ai/sdk';
import { ApiError, GoogleGenAI } from '@google/genai';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../../control-plane/standalone/simulator/server.js';
import { eventually, startGateway, type GatewayFixture } from '../kit/gateway-fixture.js';
import { createSimulatorBooks, type SimulatorBooks } from '../kit/simulator-books.js';

const PROVIDERS = [
  { dialect: 'openai', path: '/v1', auth: 'bearer' },
  { dialect: 'anthropic', path: '/v1', auth: 'x-api-key' },
  { dialect: 'gemini', path: '/v1beta', auth: 'x-goog-api-key' },
] as const;
const MODEL = 'team/chat';
const TEXT = 'Wie viele Zeichen hat dieser Satz, 日本?';
const PNG = Buffer.from('a picture').toString('base64');

let simulator: RunningSimulator;
let books: SimulatorBooks;
let fixture: GatewayFixture;
let logged = '';

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  books = createSimulatorBooks(simulator.url);
});
afterAll(async () => {
  await simulator.close();
});

async function start({ dialect, path, auth }: (typeof PROVIDERS)[number], origin = simulator.url): Promise<void> {
  const logger = pino({ level: 'trace' }, { write: (line: string) => void (logged += line) });
  fixture = await startGateway(origin + path, {}, logger);
  Object.assign(fixture.config.provider, { dialect, auth });
  // Each call has a price here: what is free is so by its nature, and not for want of one.
  Object.assign(fixture.config.rateCard.versions[0] ?? {}, { rates: { input: '1', request: '1000' } });
  fixture.config.addModel(MODEL, 'chat-completions', 'pingtoken-sim-small');
}

function anthropic(): Anthropic {
  return new Anthropic({ baseURL: fixture.url, apiKey: fixture.config.bearer, maxRetries: 0 });
}

function google(): GoogleGenAI {
  return new GoogleGenAI({ apiKey: fixture.config.bearer, httpOptions: { baseUrl: fixture.url } });
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(fixture.url + path, {
    method: 'POST',
    headers: { 'x-api-key': fixture.config.bearer, 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
}

describe.each(PROVIDERS)('a count for a model of a provider of $dialect', (provider) => {
  const isCountedHere = provider.dialect === 'openai';

  beforeEach(async () => {
    await start(provider);
  });
  afterEach(async () => {
    await eventually(() => fixture.spool.starts.length === fixture.spool.ends.length);
    await fixture.close();
  });

  /** Recorded where a provider was called, and then for nothing. */
  async function expectRecorded(counts: number): Promise<void> {
    const records = isCountedHere ? 0 : counts;
    await eventually(() => fixture.spool.ends.length === records);
    for (const { operation, outcome, streamed, attempts, eventId } of fixture.spool.ends) {
      expect({ operation, outcome, streamed }).toEqual({
        operation: 'count-tokens',
        outcome: 'completed',
        streamed: false,
      });
      expect(attempts[0]).toMatchObject({ usage: {}, status: 200 });
      expect(await books.servedCall(eventId)).toMatchObject({ promptTokens: 0, completionTokens: 0 });
    }
  }

  it('is the same to either client, and free', async () => {
    const before = (await books.summary()).calls;
    const { input_tokens: tokens } = await anthropic().messages.countTokens({
      model: MODEL,
      messages: [{ role: 'user', content: TEXT }],
    });
    const { totalTokens } = await google().models.countTokens({ model: MODEL, contents: TEXT });
    expect(totalTokens).toBe(tokens);
    expect(tokens).toBe(isCountedHere ? countTokens(TEXT) + 7 : Math.ceil(Buffer.byteLength(TEXT) / 4));
    expect((await books.summary()).calls).toBe(before + (isCountedHere ? 0 : 2));
    await expectRecorded(2);
  });

  it('has the system prompt, tools, pictures and a conversation in it', async () => {
    const short = { model: MODEL, messages: [{ role: 'user' as const, content: 'Hi' }] };
    const { input_tokens: least } = await anthropic().messages.countTokens(short);
    const { input_tokens: most } = await anthropic().messages.countTokens({
      ...short,
      system: 'Be brief.'.repeat(50),
      tools: [{ name: 'weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }],
      thinking: { type: 'enabled', budget_tokens: 2048 },
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'weather', input: { city: 'Bern' } }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't', content: 'rain' },
            { type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG } },
          ],
        },
      ],
    });
    expect(most).toBeGreaterThan(least + 100);
    await expectRecorded(2);
  });

  it('says where it is an estimate', async () => {
    const body = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }] };
    for (const path of ['/v1/messages/count_tokens', '/api/v1/messages/count_tokens?beta=true']) {
      const { headers, status } = await post(path, body);
      expect([status, headers.get('x-pingtoken-counted')]).toEqual([200, isCountedHere ? 'estimated' : null]);
      expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('of a whole request for content is that of its parts', async () => {
    const contents = [{ role: 'user', parts: [{ text: TEXT }] }];
    const request = { model: `models/${MODEL}`, contents, systemInstruction: { parts: [{ text: TEXT }] } };
    const path = `/v1beta/models/${MODEL}:countTokens`;
    const count = async (body: object): Promise<number> =>
      ((await (await post(path, body)).json()) as { totalTokens: number }).totalTokens;
    const one = await count({ contents });
    expect(await count({ generateContentRequest: request })).toBeGreaterThan(one);
    await expectRecorded(2);
    // The simulator reads one spelling only.
    if (provider.dialect === 'gemini') return;
    expect(await count({ generate_content_request: { ...request, tools: null } })).toBeGreaterThan(one);
  });

  it('tells the provider its own model and nothing of the end user or the key', async () => {
    const contents = [{ parts: [{ text: 'x' }] }];
    const labels = { who: 'jane@example.org' };
    const key = `?key=${fixture.config.bearer}`;
    const body = { generateContentRequest: { model: `models/${MODEL}`, contents, labels } };
    const response = await fetch(`${fixture.url}/v1beta/models/${MODEL}:countTokens${key}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(200);
    await expectRecorded(1);
    for (const { eventId } of fixture.spool.ends) {
      const { url, headers, bodyBase64 } = await books.received(eventId);
      const sent = JSON.stringify([url, headers, Buffer.from(bodyBase64, 'base64').toString()]);
      expect(sent).toContain('pingtoken-sim-small');
      for (const secret of [fixture.config.bearer, 'jane', MODEL]) expect(sent).not.toContain(secret);
    }
  });

  it('is refused in the caller’s words: a model that is not there, a key that is none, a prompt that is none', async () => {
    const messages = [{ role: 'user' as const, content: 'x' }];
    const unknown = anthropic().messages.countTokens({ model: 'nobody', messages });
    await expect(unknown).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    const vectors = anthropic().messages.countTokens({ model: 'embedding-alias', messages });
    await expect(vectors).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    const stranger = anthropic().withOptions({ apiKey: 'pt-nobody' }).messages.countTokens({ model: MODEL, messages });
    await expect(stranger).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    const grantless = fixture.config.addKey({}, { grantedProviderIds: [] });
    const denied = anthropic().withOptions({ apiKey: grantless }).messages.countTokens({ model: MODEL, messages });
    await expect(denied).rejects.toBeInstanceOf(Anthropic.PermissionDeniedError);
    await expect(google().models.countTokens({ model: 'nobody', contents: 'x' })).rejects.toSatisfy(
      (error) => error instanceof ApiError && error.status === 404,
    );
    expect(fixture.spool.starts).toHaveLength(0);
    for (const body of [{ model: MODEL }, { model: MODEL, messages: 'x' }]) {
      expect((await post('/v1/messages/count_tokens', body)).status).toBe(400);
    }
    // A word of a caller's must not be taken for one of ours.
    expect((await post('/v1/messages/count_tokens', { model: MODEL, unreadable: {}, messages })).status).toBe(400);
    for (const billed of fixture.spool.ends) expect(billed.attempts[0]?.usage).toEqual({});
  });
});

describe('a count that is made here', () => {
  beforeEach(async () => {
    await start(PROVIDERS[0]);
  });
  afterEach(async () => {
    expect(fixture.spool.starts).toHaveLength(0);
    await fixture.close();
  });

  it('of what the model could not be asked is refused by its field', async () => {
    const contents = [{ parts: [{ text: 'x' }] }];
    const path = `/v1beta/models/${MODEL}:countTokens`;
    for (const [body, field] of [
      [{ contents, safetySettings: [{ threshold: 'BLOCK_LOW_AND_ABOVE' }] }, 'safetySettings'],
      [{ contents, generateContentRequest: { contents } }, 'contents'],
      [{ generateContentRequest: { contents, model: 'models/dear' } }, 'generateContentRequest.model'],
      [{ generateContentRequest: 7 }, 'generateContentRequest'],
    ] as const) {
      const response = await post(path, body);
      const details = [{}, { fieldViolations: [{ field }] }];
      expect(await response.json()).toMatchObject({ error: { code: 400, status: 'INVALID_ARGUMENT', details } });
    }
  });

  it('does not stop other calls, and counts many at once', async () => {
    const words = 'Donaudampfschifffahrtsgesellschaft und 日本 '.repeat(2_000);
    const asked = Array.from({ length: 12 }, (_, at) =>
      anthropic().messages.countTokens({
        model: MODEL,
        messages: [{ role: 'user', content: at % 2 === 0 ? words : 'x' }],
      }),
    );
    expect((await fetch(`${fixture.url}/healthz`)).status).toBe(200);
    const counts = (await Promise.all(asked)).map(({ input_tokens: tokens }) => tokens);
    expect(new Set(counts).size).toBe(2);
    expect(Math.max(...counts)).toBeGreaterThan(10_000);
  });

  it('is given up with its caller', async () => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const body = { model: MODEL, messages: [{ role: 'user' as const, content: 'word '.repeat(100_000) }] };
    const asked = anthropic().messages.countTokens(body, options);
    setTimeout(() => {
      controller.abort();
    }, 20);
    await expect(asked).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
    expect(
      (await anthropic().messages.countTokens({ ...body, messages: [{ role: 'user', content: 'x' }] })).input_tokens,
    ).toBe(8);
  });
});

describe('a key in the query', () => {
  it('is in no log line and in nothing that a provider gets, whatever becomes of the call', async () => {
    await start(PROVIDERS[2]);
    const { bearer } = fixture.config;
    const body = JSON.stringify({ contents: [{ parts: [{ text: 'x' }] }] });
    const calls = [
      `/v1beta/models/${MODEL}:generateContent?key=${bearer}`,
      `/v1beta/models/${MODEL}:streamGenerateContent?alt=sse&key=${bearer}`,
      `/v1beta/models/${MODEL}:streamGenerateContent?key=${bearer}`,
      `/v1beta/models/nobody:generateContent?key=${bearer}`,
      `/v1/models/${MODEL}:countTokens?key=${bearer}&alt=json`,
    ];
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
    for (const path of calls) await (await fetch(fixture.url + path, init)).text();
    expect(fixture.spool.ends).toHaveLength(3);
    for (const { eventId } of fixture.spool.ends) {
      expect(JSON.stringify(await books.received(eventId))).not.toContain(bearer);
    }
    await fixture.close();
    // A provider that cannot be reached is what we log of a call.
    await start(PROVIDERS[2], 'http://127.0.0.1:9');
    const path = `/v1beta/models/${MODEL}:generateContent?key=${fixture.config.bearer}`;
    expect((await fetch(fixture.url + path, init)).status).toBe(502);
    expect(logged).toContain('call-failed');
    expect(logged).not.toContain(bearer);
    expect(logged).not.toContain(fixture.config.bearer);
    await fixture.close();
  });
});
