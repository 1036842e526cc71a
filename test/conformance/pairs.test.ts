import Anthropic from '@anthropic-ai/sdk';
import { ApiError } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { readPriceList } from '../kit/exact-price.js';
import { readUsage, expectSameAsServed } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';
import { anthropicCaller, geminiCaller, openAiCaller, type Ask } from './chat-clients.js';

/** Providers by the dialect that they speak; all are the simulator, which counts by itself. */
const TARGETS = [
  { dialect: 'OPENAI', path: '/v1', upstreamModel: 'pingtoken-sim-small' },
  { dialect: 'ANTHROPIC', path: '/v1', upstreamModel: 'sim-anthropic' },
  { dialect: 'GEMINI', path: '/v1beta', upstreamModel: 'sim-gemini' },
] as const;
const CALLERS = [
  { caller: 'openai', open: openAiCaller, finishes: { stop: 'stop', length: 'length', tools: 'tool_calls' } },
  {
    caller: 'anthropic',
    open: anthropicCaller,
    finishes: { stop: 'end_turn', length: 'max_tokens', tools: 'tool_use' },
  },
  { caller: 'gemini', open: geminiCaller, finishes: { stop: 'STOP', length: 'MAX_TOKENS', tools: 'STOP' } },
] as const;
const modelOf = (dialect: string): string => `pair/${dialect.toLowerCase()}`;
const PNG = Buffer.from('a picture of nothing').toString('base64');
const SCHEMA = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};

let distribution: Distribution;
let customer: Customer;
const origin = (): string => new URL(distribution.runtime.gatewayUrl).origin;

beforeAll(async () => {
  distribution = await startDistribution();
  customer = await createCustomer(distribution);
  for (const target of TARGETS) await sell(target);
  await waitFor(
    async () => {
      const listed = await listModels(distribution.runtime.gatewayUrl, customer.key.secret);
      return TARGETS.every(({ dialect }) => listed.includes(modelOf(dialect)));
    },
    { timeoutMs: 15_000, what: 'the models of the pairs' },
  );
});
afterAll(async () => {
  await distribution.dispose();
});

async function sell({ dialect, path, upstreamModel }: (typeof TARGETS)[number]): Promise<void> {
  const { platform, tenant } = customer;
  const token = await platform.operator();
  const create = async (name: string, input: Record<string, unknown>, what: string): Promise<string> => {
    const made = await platform.mutate<Record<string, { id: string }>>(name, input, `${what} { id }`, { token });
    return made[what]?.id ?? '';
  };
  const slug = `pair-${dialect.toLowerCase()}`;
  const links = { termsUrl: 'https://pair.example/terms', privacyUrl: 'https://pair.example/privacy' };
  const baseUrl = distribution.runtime.provider.url + path;
  const providerId = await create('createProvider', { slug, name: slug, baseUrl, dialect, ...links }, 'provider');
  const credentialId = await create('createCredential', { providerId, name: 'ours', secret: 'sk-pair' }, 'credential');
  const prices = [
    { dimension: 'INPUT', amount: '0.5' },
    { dimension: 'OUTPUT', amount: '1.5' },
  ];
  const card = { name: slug, purpose: 'PRICE', currency: 'USD', prices, source: 'a test' };
  const priceCardId = await create('createRateCard', card, 'rateCard');
  const model = { name: modelOf(dialect), operations: ['CHAT_COMPLETIONS'], priceCardId };
  const modelId = await create('createModel', model, 'model');
  await create('createRoute', { modelId, targets: [{ providerId, credentialId, upstreamModel }] }, 'route');
  await platform.grant(tenant, providerId);
}

const PAIRS = CALLERS.flatMap((caller) =>
  TARGETS.flatMap(({ dialect }) => [true, false].map((streamed) => ({ ...caller, dialect, streamed }))),
);

describe.each(PAIRS)('a $caller client and a provider of $dialect, streamed: $streamed', (pair) => {
  const { open, finishes, dialect, streamed } = pair;
  const base = { model: modelOf(dialect), streamed };
  const ask: Ask = (question) => open({ origin: origin(), apiKey: customer.key.secret })(question);

  it('carry a text and its usage', async () => {
    const heard = await ask({ ...base, text: 'Say something' });
    expect(heard.text).not.toBe('');
    expect(heard.finish).toBe(finishes.stop);
    expect(heard.inputTokens).toBeGreaterThan(0);
    expect(heard.outputTokens).toBeGreaterThan(0);
  });

  it('carry the system prompt, sampling and stop sequences', async () => {
    const question = { ...base, text: 'echo parameters', system: 'Be brief.', temperature: 0.5, stop: 'ZZZ' };
    const { text } = await ask(question);
    expect(text).toContain('Be brief.');
    expect(text).toContain('0.5');
    expect(text).toContain('ZZZ');
  });

  it('carry parallel calls of tools with their arguments', async () => {
    const heard = await ask({ ...base, text: 'use both tools', tools: true });
    expect(heard.calls.map(({ name }) => name)).toEqual(['weather', 'clock']);
    for (const { args } of heard.calls)
      expect(args).toMatchObject({ city: expect.any(String), days: expect.any(Number) });
    expect(heard.finish).toBe(finishes.tools);
  });

  it('carry a picture', async () => {
    const { text } = await ask({ ...base, text: 'What is this?', imageBase64: PNG });
    expect(text).toContain('image/png of 20 bytes');
  });

  it('carry a schema for the answer', async () => {
    const { text } = await ask({ ...base, text: 'Who?', schema: SCHEMA });
    expect(JSON.parse(text)).toMatchObject({ name: expect.any(String), age: expect.any(Number) });
  });

  it('carry what was thought', async () => {
    const heard = await ask({ ...base, text: 'Think', reasons: true });
    expect(heard.text).not.toBe('');
    // OpenAI's own dialect does not show it to others: `reasoning_content` is how its compatible providers do.
    expect(heard.reasoning).not.toBe('');
  });

  it('carry the limit of tokens and say that it was reached', async () => {
    expect((await ask({ ...base, text: 'Say much', maxTokens: 3 })).finish).toBe(finishes.length);
  });
});

describe('after all of them', () => {
  it('each call is billed as its provider served it', async () => {
    const { platform, tenant, books } = customer;
    for (const { dialect } of TARGETS) {
      const prices = await readPriceList(platform, modelOf(dialect));
      const usage = [...(await readUsage(platform, tenant.token)).values()].filter(
        ({ model }) => model === modelOf(dialect),
      );
      expect(usage.length).toBeGreaterThanOrEqual(30);
      for (const call of usage) await expectSameAsServed(call, books, prices);
    }
  });

  it('errors come back as each client’s own: a wrong key, an unknown model, a field that cannot be said', async () => {
    const wrong = { origin: origin(), apiKey: 'pt-wrong' };
    const right = { origin: origin(), apiKey: customer.key.secret };
    const question = { model: modelOf('OPENAI'), text: 'x', streamed: false };
    const unknown = { ...question, model: 'nobody-has-it' };
    await expect(openAiCaller(wrong)(question)).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(openAiCaller(right)(unknown)).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(anthropicCaller(wrong)(question)).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    await expect(anthropicCaller(right)(unknown)).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    await expect(geminiCaller(wrong)(question)).rejects.toSatisfy(
      (error) => error instanceof ApiError && error.status === 401,
    );
    await expect(geminiCaller(right)(unknown)).rejects.toSatisfy(
      (error) => error instanceof ApiError && error.status === 404,
    );
    const client = new OpenAI({ baseURL: distribution.runtime.gatewayUrl, apiKey: customer.key.secret, maxRetries: 0 });
    const inexpressible = client.chat.completions.create({
      model: modelOf('ANTHROPIC'),
      messages: [{ role: 'user', content: 'x' }],
      logprobs: true,
    });
    await expect(inexpressible).rejects.toMatchObject({ status: 400, code: 'unsupported_field', param: 'logprobs' });
  });
});
