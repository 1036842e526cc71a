import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limitsSchema, type Limits } from '@pingtoken/shared/limits';
import {
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';

const ANSWER = JSON.stringify({
  id: 'chatcmpl-1',
  object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
});

let upstream: ScriptedUpstream;
let fixture: GatewayFixture;

beforeEach(async () => {
  upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER);
  });
  fixture = await startGateway(upstream.baseUrl);
});
afterEach(async () => {
  await fixture.close();
  upstream.close();
});

const limited = (limits: Partial<Limits>): Limits => limitsSchema.parse(limits);

function openAi(bearer: string): OpenAI {
  return new OpenAI({ apiKey: bearer, baseURL: `${fixture.url}/v1`, maxRetries: 0 });
}

function ask(bearer: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${fixture.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'chat-alias', messages: [{ role: 'user', content: 'Hi' }], ...body }),
  });
}

describe('a key that is limited by number', () => {
  it('is told what is left, and when it may come again', async () => {
    const bearer = fixture.config.addKey({ limits: limited({ requestsPerMinute: 2, tokensPerMinute: 1000 }) });
    const first = await ask(bearer);
    expect(first.status).toBe(200);
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-limit-tokens')).toBe('1000');
    await ask(bearer);
    const refused = await ask(bearer);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    const retryAfter = Number(refused.headers.get('retry-after'));
    expect(retryAfter).toBeGreaterThan(50);
    expect(retryAfter).toBeLessThanOrEqual(61);
    expect(await refused.json()).toMatchObject({
      error: { code: 'rate_limited', message: 'The limit of 2 requests a minute is reached.' },
    });
    expect(upstream.requests).toHaveLength(2);
  });

  it('pays with the tokens that a call used, not with those that were assumed', async () => {
    const bearer = fixture.config.addKey({ limits: limited({ tokensPerMinute: 1000 }) });
    await ask(bearer, { max_tokens: 900 });
    const next = await ask(bearer, { max_tokens: 900 });
    expect(next.status).toBe(200);
    const refused = await ask(bearer, { max_tokens: 970 });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('is not told to come again with what never fits', async () => {
    const bearer = fixture.config.addKey({ limits: limited({ tokensPerMinute: 10 }) });
    const refused = await ask(bearer, { max_tokens: 11 });
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBeNull();
  });

  it('counts a burst when it begins: of a hundred calls at once as many pass as the limit says', async () => {
    const bearer = fixture.config.addKey({ limits: limited({ requestsPerDay: 10 }) });
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(bearer)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(90);
    expect(upstream.requests).toHaveLength(10);
  });

  it('lets a call in when another one has ended', async () => {
    const bearer = fixture.config.addKey({ limits: limited({ concurrentCalls: 1 }) });
    const [one, other] = await Promise.all([ask(bearer), ask(bearer)]);
    expect([one.status, other.status].sort()).toEqual([200, 429]);
    await Promise.all([one.text(), other.text()]);
    expect((await ask(bearer)).status).toBe(200);
  });

  it('shares the limits of its tenant with the other keys', async () => {
    const tenant = { limits: limited({ requestsPerMinute: 2 }) };
    const [one, other] = [fixture.config.addKey({}, tenant), fixture.config.addKey({}, tenant)];
    const statuses = [(await ask(one)).status, (await ask(other)).status, (await ask(one)).status];
    expect(statuses).toEqual([200, 200, 429]);
  });

  it('makes the official clients raise their own errors', async () => {
    const bearer = fixture.config.addKey({ limits: limited({ requestsPerMinute: 1 }) });
    await ask(bearer);
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    await expect(openAi(bearer).chat.completions.create({ model: 'chat-alias', messages })).rejects.toBeInstanceOf(
      OpenAI.RateLimitError,
    );
    const anthropic = new Anthropic({ apiKey: bearer, baseURL: fixture.url, maxRetries: 0 });
    const refused = anthropic.messages.create({ model: 'chat-alias', max_tokens: 5, messages });
    await expect(refused).rejects.toBeInstanceOf(Anthropic.RateLimitError);
    await expect(refused).rejects.toMatchObject({ headers: expect.any(Headers) as Headers });
  });
});

describe('a key that is limited to something', () => {
  it('sees and calls its models only', async () => {
    fixture.config.addModel('other', 'chat-completions', 'x');
    const modelIds = [fixture.config.models.get('other')?.id ?? ''];
    const bearer = fixture.config.addKey({ limits: limited({ modelIds }) });
    expect((await ask(bearer)).status).toBe(404);
    expect((await ask(bearer, { model: 'other' })).status).toBe(200);
    const listed = [];
    for await (const { id } of openAi(bearer).models.list()) listed.push(id);
    expect(listed).toEqual(['other']);
  });

  it('is refused other operations, without a call of the provider', async () => {
    const bearer = fixture.config.addKey({ limits: limited({ operations: ['embeddings'] }) });
    const refused = await ask(bearer);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ error: { code: 'permission_denied' } });
    expect(upstream.requests).toHaveLength(0);
  });

  it('is refused from other addresses, whatever its caller writes into headers', async () => {
    const limits = limited({ addressRanges: ['10.0.0.0/8'] });
    const far = fixture.config.addKey({ limits });
    expect((await ask(far)).status).toBe(403);
    expect((await ask(far, {}, { 'x-forwarded-for': '10.1.2.3' })).status).toBe(403);
    const near = fixture.config.addKey({ limits: limited({ addressRanges: ['127.0.0.0/8', '::1'] }) });
    expect((await ask(near)).status).toBe(200);
    expect(upstream.requests).toHaveLength(1);
  });
});
