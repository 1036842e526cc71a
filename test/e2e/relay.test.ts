import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { parseUnits, readPriceList } from '../kit/exact-price.js';
import { awaitUsage, expectSameAsServed } from '../kit/usage-view.js';

const CHAT = 'pingtoken-sim-small';

describe('what passes between a caller and a provider', () => {
  let distribution: Distribution;
  let customer: Customer;

  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    fetch(distribution.runtime.gatewayUrl + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${customer.key.secret}`, 'content-type': 'application/json', ...headers },
      body,
    });
  const ask = (content: string) => ({ model: CHAT, messages: [{ role: 'user' as const, content }] });

  beforeAll(async () => {
    distribution = await startDistribution();
    customer = await createCustomer(distribution);
  });
  afterAll(async () => {
    await distribution.dispose();
  });

  it('tells the provider nothing of the caller: its headers are a list of ours', async () => {
    const { client, key, books, tenant } = customer;
    const telling = {
      cookie: 'session=told-by-cookie',
      'user-agent': 'told-by-agent/1.0',
      'x-forwarded-for': '203.0.113.77',
      forwarded: 'for=203.0.113.78',
      'x-real-ip': '203.0.113.79',
      'cf-connecting-ip': '203.0.113.80',
      referer: 'https://told-by-referer.example/',
      origin: 'https://told-by-origin.example',
      'accept-language': 'told-by-language',
      'sec-ch-ua-platform': '"told-by-platform"',
      'openai-organization': 'org-told',
      'x-request-id': 'told-by-id',
      'x-custom': 'told-by-custom',
      traceparent: '00-told',
    };
    const requests = [
      client.chat.completions.create(ask('plain'), { headers: telling }),
      client.chat.completions.create({ ...ask('streamed'), stream: true }, { headers: telling }),
      client.embeddings.create({ model: 'pingtoken-sim-embedding', input: 'a river' }, { headers: telling }),
    ];
    for (const request of requests) {
      const { data, request_id } = await request.withResponse();
      if (Symbol.asyncIterator in data) for await (const chunk of data) expect(chunk.id).toBeTruthy();
      const { headers, url } = await books.received(request_id ?? '');
      const names = headers.map(([name]) => name.toLowerCase());
      expect(names.toSorted()).toEqual([...new Set(names)].toSorted());
      expect(ALLOWED).toEqual(expect.arrayContaining(names));
      const seen = JSON.stringify(headers) + url;
      expect(seen).not.toMatch(/told|203\.0\.113|stainless|cookie|openai-org/i);
      for (const secret of [key.secret, key.id, tenant.id, tenant.email]) expect(seen).not.toContain(secret);
      expect(headers).toContainEqual(['x-request-id', request_id]);
      expect(headers).toContainEqual(['authorization', 'Bearer simulator-needs-no-secret']);
    }
  });

  it('relays a body byte for byte, but for the splices that have a name', async () => {
    const odd =
      '\r\n {\t"seed" :12345678901234567890, "unknown":{"a":1.0e2,"a":0.10}, "model": "pingtoken-sim\\u002dsmall" ,' +
      ' "messages":[{"role":"user","content":"\\u00e9\\ud83d\\ude42 na\\u0000ïve 🙂"}],"options":{"n":9007199254740993}';
    const cases: readonly (readonly [sent: string, received: string])[] = [
      [`${odd} }\n`, `${odd} }\n`],
      [`${odd},"stream":true}`, `${odd.replace('{', '{"stream_options":{"include_usage":true},')},"stream":true}`],
      [
        `${odd},"stream":true,"stream_options" : {"include_usage" : false , "x":18446744073709551615}}`,
        `${odd},"stream":true,"stream_options" : {"include_usage" : true , "x":18446744073709551615}}`,
      ],
      [
        `${odd},"stream":true,"stream_options":{"include_usage":true}}`,
        `${odd},"stream":true,"stream_options":{"include_usage":true}}`,
      ],
      [`${odd},"stream":true,"stream_options":null}`, `${odd},"stream":true,"stream_options":{"include_usage":true}}`],
    ];
    for (const [sent, received] of cases) {
      const response = await post('/chat/completions', sent);
      await response.arrayBuffer();
      const report = await customer.books.received(response.headers.get('x-request-id') ?? '');
      // The name was spelt with an escape, which is the same name.
      expect(Buffer.from(report.bodyBase64, 'base64').toString()).toBe(received);
      expect(response.status).toBe(200);
    }
  });

  it('hands the provider’s answer over byte for byte', async () => {
    const { runtime } = distribution;
    const body = JSON.stringify({ model: 'pingtoken-sim-embedding', input: ['naïve', '🙂'], dimensions: 64 });
    const direct = await fetch(`${runtime.provider.url}/v1/embeddings`, {
      method: 'POST',
      headers: { authorization: 'Bearer x', 'content-type': 'application/json' },
      body,
    });
    expect(await (await post('/embeddings', body)).text()).toBe(await direct.text());
  });

  it('hands a stream over whole, however the provider cuts it', async () => {
    const { client, platform, tenant, books } = customer;
    const prices = await readPriceList(platform, CHAT);
    for (const words of ['split=1', 'split=3 crlf comments', 'chunk-delay=2 tokens=12', 'split=7 reasoning=5']) {
      const request = { ...ask(`Tell [[sim ${words}]]`), stream: true as const };
      const plain = await client.chat.completions.create({ ...ask(`Tell [[sim ${words}]]`) });
      const { data, request_id } = await client.chat.completions.create(request).withResponse();
      let text = '';
      for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? '';
      expect(text).toBe(plain.choices[0]?.message.content);
      await expectSameAsServed(await awaitUsage(platform, tenant.token, request_id ?? ''), books, prices);
    }
  });

  it('says so when a provider dies in the middle of a stream, and charges nothing that was not counted', async () => {
    const { client, platform, tenant } = customer;
    const request = { ...ask('[[sim die-after=4 tokens=20]]'), stream: true as const };
    const { data, request_id } = await client.chat.completions.create(request).withResponse();
    const seen: string[] = [];
    const reading = (async () => {
      for await (const chunk of data) seen.push(chunk.id);
    })();
    await expect(reading).rejects.toThrow();
    expect(seen.length).toBeLessThanOrEqual(4);
    const usage = await awaitUsage(platform, tenant.token, request_id ?? '');
    expect(usage).toMatchObject({ outcome: 'PROVIDER_FAILED', status: 200, price: { amount: '0' } });
  });

  it('books what was served although the caller had left before it was known', async () => {
    const { client, platform, tenant, books } = customer;
    const leaving = new AbortController();
    const request = { ...ask('[[sim chunk-delay=20 tokens=200]]'), stream: true as const };
    const { data, request_id } = await client.chat.completions
      .create(request, { signal: leaving.signal })
      .withResponse();
    for await (const chunk of data) {
      expect(chunk.id).toBeTruthy();
      leaving.abort();
    }
    const usage = await awaitUsage(platform, tenant.token, request_id ?? '');
    expect(usage).toMatchObject({ outcome: 'CALLER_LEFT', streamed: true });
    // What was delivered, counted here: the provider's number was still to come.
    expect(parseUnits(usage.price.amount)).toBeGreaterThan(0n);
    // The provider was let go too: it did not go on for a caller who is not there.
    expect((await books.servedCall(usage.id)).outcome).toBe('aborted');
  });

  it('hands a provider’s refusal to the caller and charges nothing for it', async () => {
    const { client, platform, tenant } = customer;
    const cases = [
      ['status=400', OpenAI.BadRequestError, 400],
      ['status=500', OpenAI.InternalServerError, 500],
      ['status=503', OpenAI.InternalServerError, 503],
      ['reset', OpenAI.InternalServerError, 502],
      // From here on the provider's account is not called for a while: for as long as it says, or until it is well again.
      ['status=429 retry-after=1', OpenAI.RateLimitError, 429],
      // A fault of our own credential there is not the caller's to know.
      ['status=401', OpenAI.InternalServerError, 502],
    ] as const;
    for (const [words, kind, status] of cases) {
      const error = await errorOf(() => client.chat.completions.create(ask(`[[sim ${words}]]`)));
      expect([words, error.status, error instanceof kind]).toEqual([words, status, true]);
      expect(error.headers?.get('retry-after') ?? null).toBe(words.includes('retry-after') ? '1' : null);
      const usage = await awaitUsage(platform, tenant.token, error.requestID ?? '');
      expect(usage).toMatchObject({ status, counts: [], price: { amount: '0' } });
      expect(usage.outcome).toMatch(/^PROVIDER_(REFUSED|FAILED)$/);
      if (words.includes('retry-after')) await new Promise((elapsed) => setTimeout(elapsed, 1_200));
    }
  });
});

const ALLOWED = [
  'host',
  'connection',
  'content-type',
  'content-length',
  'accept',
  'accept-encoding',
  'authorization',
  'user-agent',
  'x-request-id',
];

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
