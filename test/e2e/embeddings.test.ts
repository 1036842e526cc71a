import { ApiError, GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../../control-plane/standalone/simulator/server.js';
import { eventually, startGateway, type GatewayFixture } from '../kit/gateway-fixture.js';
import { createSimulatorBooks, type SimulatorBooks } from '../kit/simulator-books.js';

const PROVIDERS = [
  { dialect: 'openai', path: '/v1', own: 'pingtoken-sim-embedding' },
  { dialect: 'gemini', path: '/v1beta', own: 'sim-gemini-embedding' },
] as const;
const MODEL = 'team/vectors';
const TEXTS = ['Grüße', 'aus der Ferne', '日本'];

let simulator: RunningSimulator;
let books: SimulatorBooks;
let fixture: GatewayFixture;

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  books = createSimulatorBooks(simulator.url);
});
afterAll(async () => {
  await simulator.close();
});

function openai(): OpenAI {
  return new OpenAI({ baseURL: `${fixture.url}/v1`, apiKey: fixture.config.bearer, maxRetries: 0 });
}

function google(): GoogleGenAI {
  return new GoogleGenAI({ apiKey: fixture.config.bearer, httpOptions: { baseUrl: fixture.url } });
}

/** Google's client says `batchEmbedContents` for everything. */
async function act(name: string, body: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${fixture.url}/v1beta/models/${MODEL}:${name}`, {
    method: 'POST',
    headers: { 'x-goog-api-key': fixture.config.bearer, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function lastRecord() {
  await eventually(() => fixture.spool.ends.length > 0);
  const record = fixture.spool.ends.at(-1);
  if (record === undefined) throw new Error('no call was recorded');
  return record;
}

/** What is billed is what the provider counted by itself. */
async function expectBilledAsServed(): Promise<void> {
  const { eventId, operation, attempts, billedAttempt, outcome } = await lastRecord();
  const served = await books.servedCall(eventId);
  expect({ operation, outcome, billedAttempt }).toEqual({
    operation: 'embeddings',
    outcome: 'completed',
    billedAttempt: 0,
  });
  expect(attempts[0]).toMatchObject({
    countedBy: 'provider',
    usage: { input: served.promptTokens, output: 0, request: 1 },
  });
  expect(served.promptTokens).toBeGreaterThan(0);
}

async function receivedBody(): Promise<Record<string, unknown>> {
  const { bodyBase64 } = await books.received((await lastRecord()).eventId);
  return JSON.parse(Buffer.from(bodyBase64, 'base64').toString()) as Record<string, unknown>;
}

describe.each(PROVIDERS)('embeddings by a provider of $dialect', ({ dialect, path, own }) => {
  beforeEach(async () => {
    fixture = await startGateway(simulator.url + path);
    Object.assign(fixture.config.provider, { dialect, auth: dialect === 'gemini' ? 'x-goog-api-key' : 'bearer' });
    fixture.config.addModel(MODEL, 'embeddings', own);
  });
  afterEach(async () => {
    await eventually(() => fixture.spool.starts.length === fixture.spool.ends.length);
    await fixture.close();
  });

  it('are the same to either client, in either encoding, and billed as served', async () => {
    const floats = await openai().embeddings.create({
      model: MODEL,
      input: TEXTS,
      dimensions: 16,
      encoding_format: 'float',
    });
    await expectBilledAsServed();
    // The client's default: base64 on the way, numbers in the end.
    const packed = await openai().embeddings.create({ model: MODEL, input: TEXTS, dimensions: 16 });
    await expectBilledAsServed();
    const { embeddings, usageMetadata } = await google().models.embedContent({
      model: MODEL,
      contents: TEXTS,
      config: { outputDimensionality: 16 },
    });
    await expectBilledAsServed();
    expect(floats.data.map(({ index, embedding }) => [index, embedding.length])).toEqual([
      [0, 16],
      [1, 16],
      [2, 16],
    ]);
    expect(packed.data.map(({ embedding }) => Array.from(embedding))).toEqual(
      floats.data.map(({ embedding }) => embedding),
    );
    expect(embeddings?.map(({ values }) => values)).toEqual(floats.data.map(({ embedding }) => embedding));
    if (dialect === 'gemini') expect(floats.model).toBe(MODEL);
    expect(usageMetadata?.promptTokenCount).toBe(floats.usage.prompt_tokens);
    expect(packed.usage).toEqual(floats.usage);
    expect(floats.usage.total_tokens).toBe(floats.usage.prompt_tokens);
  });

  it('of one text are the same as of a list of one', async () => {
    const { data } = await openai().embeddings.create({ model: MODEL, input: 'one', encoding_format: 'float' });
    const { status, body } = await act('embedContent', { content: { parts: [{ text: 'o' }, { text: 'ne' }] } });
    expect(status).toBe(200);
    await expectBilledAsServed();
    expect(body).toMatchObject({
      embedding: { values: data[0]?.embedding },
      usageMetadata: { promptTokenCount: 1, promptTokenDetails: [{ modality: 'TEXT', tokenCount: 1 }] },
    });
  });

  it('name the provider’s own model to it, wherever the caller named one, and the end user nowhere', async () => {
    await google().models.embedContent({ model: MODEL, contents: TEXTS });
    expect(JSON.stringify(await receivedBody())).not.toContain(MODEL);
    await act('embedContent', { model: `models/${MODEL}`, content: { parts: [{ text: 'x' }] } });
    expect(JSON.stringify(await receivedBody())).not.toContain(MODEL);
    await openai().embeddings.create({
      model: MODEL,
      input: 'x',
      user: dialect === 'gemini' ? 'jane@example.org' : '',
    });
    const body = JSON.stringify(await receivedBody());
    expect(body).not.toContain(MODEL);
    expect(body).not.toContain('jane');
  });

  it('are errors in the caller’s own dialect where the provider refuses', async () => {
    const client = openai().embeddings;
    await expect(client.create({ model: MODEL, input: '[[sim status=429]]' })).rejects.toBeInstanceOf(
      OpenAI.RateLimitError,
    );
    const asked = google().models.embedContent({ model: MODEL, contents: '[[sim status=429]]' });
    await expect(asked).rejects.toSatisfy((error) => error instanceof ApiError && error.status === 429);
    expect((await lastRecord()).billedAttempt).toBeNull();
  });

  it('are refused before anything is sent where the body names another model than the path', async () => {
    const before = (await books.summary()).calls;
    const part = { content: { parts: [{ text: 'x' }] } };
    const duplicate = `{"requests":[{"model":"models/${MODEL}","model":"dear","content":{"parts":[{"text":"x"}]}}]}`;
    for (const [name, body, field] of [
      ['batchEmbedContents', { requests: [{ ...part }, { ...part, model: 'models/dear' }] }, 'requests[1].model'],
      ['embedContent', { ...part, model: 'dear' }, 'model'],
      ['batchEmbedContents', duplicate, 'requests[0]'],
      ['batchEmbedContents', { requests: [1] }, 'requests[0]'],
      ['batchEmbedContents', '{"requests":[', undefined],
    ] as const) {
      const { status, body: error } = await act(name, body);
      expect({ status, error }).toMatchObject({ status: 400, error: { error: { status: 'INVALID_ARGUMENT' } } });
      if (field !== undefined) expect(JSON.stringify(error)).toContain(JSON.stringify(field));
    }
    expect((await books.summary()).calls).toBe(before);
    expect(fixture.spool.starts).toHaveLength(0);
  });
});

describe('what one dialect cannot say in the other', () => {
  afterEach(async () => {
    await fixture.close();
  });

  it('is refused by its name: tokens and unknown fields toward Gemini', async () => {
    fixture = await startGateway(`${simulator.url}/v1beta`);
    Object.assign(fixture.config.provider, { dialect: 'gemini', auth: 'x-goog-api-key' });
    const { embeddings } = openai();
    const refused = (body: object) => embeddings.create({ model: 'embedding-alias', input: 'x', ...body });
    for (const [body, param] of [
      [{ input: [1, 2, 3] }, 'input'],
      [{ input: [[1], [2]] }, 'input'],
      [{ input: [] }, 'input'],
      [{ input: ['a', 1] }, 'input'],
      [{ input_type: 'query' }, 'input_type'],
      [{ dimensions: 0 }, 'dimensions'],
      [{ encoding_format: 'int8' }, 'encoding_format'],
    ] as const) {
      await expect(refused(body)).rejects.toMatchObject({ status: 400, code: 'unsupported_field', param });
    }
    expect(fixture.spool.starts).toHaveLength(0);
  });

  it('is refused by its name: purposes, pictures and unlike sizes toward OpenAI', async () => {
    fixture = await startGateway(`${simulator.url}/v1`);
    fixture.config.addModel(MODEL, 'embeddings', 'pingtoken-sim-embedding');
    const part = { content: { parts: [{ text: 'x' }] } };
    const picture = { content: { parts: [{ inline_data: { mime_type: 'image/png', data: 'eA==' } }] } };
    for (const [name, body, field] of [
      ['embedContent', { ...part, taskType: 'RETRIEVAL_QUERY' }, 'taskType'],
      ['batchEmbedContents', { requests: [part, { ...part, task_type: 'RETRIEVAL_QUERY' }] }, 'requests[1].taskType'],
      ['embedContent', { ...part, title: 'T' }, 'title'],
      ['embedContent', picture, 'content.parts[0].inlineData'],
      ['embedContent', { ...part, embedContentConfig: {} }, 'embedContentConfig'],
      ['embedContent', {}, 'content'],
      ['batchEmbedContents', { requests: [] }, 'requests'],
      ['batchEmbedContents', { requests: Array.from({ length: 101 }, () => part) }, 'requests'],
      [
        'batchEmbedContents',
        {
          requests: [
            { ...part, outputDimensionality: 8 },
            { ...part, outputDimensionality: 9 },
          ],
        },
        'requests[1].outputDimensionality',
      ],
    ] as const) {
      const { status, body: error } = await act(name, body);
      const details = [{}, { fieldViolations: [{ field }] }];
      expect({ status, error }).toMatchObject({
        status: 400,
        error: { error: { status: 'INVALID_ARGUMENT', details } },
      });
    }
    expect(fixture.spool.starts).toHaveLength(0);
    // Unless the route says that it may go.
    const [route] = fixture.config.routeList.slice(-1);
    if (route) fixture.config.routeList[fixture.config.routeList.length - 1] = { ...route, dropsUnsupported: true };
    expect(await act('embedContent', { ...part, taskType: 'RETRIEVAL_QUERY', title: 'T' })).toMatchObject({
      status: 200,
    });
    expect(await receivedBody()).toEqual({ model: 'pingtoken-sim-embedding', input: ['x'] });
  });

  it('and a provider of Anthropic’s has no vectors at all', async () => {
    fixture = await startGateway(`${simulator.url}/v1`);
    Object.assign(fixture.config.provider, { dialect: 'anthropic', auth: 'x-api-key' });
    const asked = openai().embeddings.create({ model: 'embedding-alias', input: 'x' });
    await expect(asked).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });
});
