import Anthropic from '@anthropic-ai/sdk';
import { ApiError } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { readPriceList } from '../kit/exact-price.js';
import { readUsage, expectSameAsServed } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';
import type { Conversation, Reply } from './conversation.js';
import { PAIRS, TALKERS } from './talkers.js';

/** Providers by the dialect that they speak; all are the simulator, which counts by itself. */
const TARGETS = [
  { dialect: 'OPENAI', path: '/v1', upstreamModel: 'pingtoken-sim-small' },
  { dialect: 'ANTHROPIC', path: '/v1', upstreamModel: 'sim-anthropic' },
  { dialect: 'GEMINI', path: '/v1beta', upstreamModel: 'sim-gemini' },
] as const;
const FINISHES = {
  openai: { stop: 'stop', length: 'length', tools: 'tool_calls' },
  anthropic: { stop: 'end_turn', length: 'max_tokens', tools: 'tool_use' },
  gemini: { stop: 'STOP', length: 'MAX_TOKENS', tools: 'STOP' },
} as const;
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

describe.each(PAIRS)('a client of $caller and a provider of $provider, streamed: $streamed', (pair) => {
  const { caller, provider, streamed } = pair;
  const finishes = FINISHES[caller];
  const ask = ({ text, ...rest }: Partial<Conversation> & { readonly text: string }): Promise<Reply> =>
    TALKERS[caller]({ origin: origin(), apiKey: customer.key.secret })({
      model: modelOf(provider),
      streamed,
      said: [{ user: text }],
      ...rest,
    });

  it('carry a text and its usage', async () => {
    const heard = await ask({ text: 'Say something' });
    expect(heard.text).not.toBe('');
    expect(heard.finish).toBe(finishes.stop);
    expect(heard.usage.input).toBeGreaterThan(0);
    expect(heard.usage.output).toBeGreaterThan(0);
  });

  it('carry the system prompt, sampling and stop sequences', async () => {
    const question = { text: 'echo parameters', system: 'Be brief.', temperature: 0.5, stop: 'ZZZ' };
    const { text } = await ask(question);
    expect(text).toContain('Be brief.');
    expect(text).toContain('0.5');
    expect(text).toContain('ZZZ');
  });

  it('carry parallel calls of tools with their arguments', async () => {
    const heard = await ask({ text: 'use both tools', tools: true });
    expect(heard.calls.map(({ name }) => name)).toEqual(['weather', 'clock']);
    for (const { args } of heard.calls)
      expect(args).toMatchObject({ city: expect.any(String), days: expect.any(Number) });
    expect(heard.finish).toBe(finishes.tools);
  });

  it('carry a picture', async () => {
    const { text } = await ask({ text: '', said: [{ user: 'What is this?', pictures: [{ base64: PNG }] }] });
    expect(text).toContain('image/png of 20 bytes');
  });

  it('carry a schema for the answer', async () => {
    const { text } = await ask({ text: 'Who?', schema: SCHEMA });
    expect(JSON.parse(text)).toMatchObject({ name: expect.any(String), age: expect.any(Number) });
  });

  it('carry what was thought', async () => {
    const heard = await ask({ text: 'Think', reasons: true });
    expect(heard.text).not.toBe('');
    expect(heard.thoughts).not.toBe('');
  });

  it('carry the limit of tokens and say that it was reached', async () => {
    expect((await ask({ text: 'Say much', maxTokens: 3 })).finish).toBe(finishes.length);
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
    const ask = (caller: Dialect, apiKey: string, model: string): Promise<Reply> =>
      TALKERS[caller]({ origin: origin(), apiKey })({ model, said: [{ user: 'x' }], streamed: false });
    const known = modelOf('openai');
    const right = customer.key.secret;
    await expect(ask('openai', 'pt-wrong', known)).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    await expect(ask('openai', right, 'nobody-has-it')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(ask('anthropic', 'pt-wrong', known)).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    await expect(ask('anthropic', right, 'nobody-has-it')).rejects.toBeInstanceOf(Anthropic.NotFoundError);
    await expect(ask('gemini', 'pt-wrong', known)).rejects.toSatisfy(
      (error) => error instanceof ApiError && error.status === 401,
    );
    await expect(ask('gemini', right, 'nobody-has-it')).rejects.toSatisfy(
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
