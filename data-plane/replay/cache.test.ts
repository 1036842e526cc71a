import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RouteCache } from '@pingtoken/shared/route-policy';
import {
  eventually,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';

const USAGE = { prompt_tokens: 7, completion_tokens: 2 };
const CACHE: RouteCache = { ttlSeconds: 600, maxAnswerBytes: 5_000, priceShare: 2_500, coalesces: false };
let upstream: ScriptedUpstream;
let fixture: GatewayFixture;
let bearer: string;
let model: string;

beforeAll(async () => {
  upstream = await startUpstream(() => undefined);
  fixture = await startGateway(upstream.baseUrl);
});

afterAll(async () => {
  await fixture.close();
  upstream.close();
});

/** Each test has a model and a route of its own, so that none finds the answers of another. */
beforeEach(() => {
  bearer = fixture.config.addKey({ cache: true, idempotency: true });
  model = randomUUID();
  addModel(CACHE);
  upstream.requests.length = 0;
  upstream.aborts.length = 0;
  fixture.spool.starts.length = 0;
  fixture.spool.ends.length = 0;
  upstream.respond = (_request, response) => {
    answerWith(response);
  };
});

function addModel(cache: RouteCache | null, name = model): void {
  fixture.config.addModel(name, 'chat-completions', 'upstream-model');
  Object.assign(fixture.config.routeList.at(-1) ?? {}, { cache });
}

function answerWith(
  response: ServerResponse,
  status = 200,
  body: unknown = { id: randomUUID(), choices: [], usage: USAGE },
) {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

interface Sent {
  readonly body?: string;
  readonly apiKey?: string;
  readonly key?: string;
  readonly signal?: AbortSignal;
}

const bodyOf = (more: Record<string, unknown> = {}): string =>
  JSON.stringify({ model, messages: [{ role: 'user', content: 'Hi' }], ...more });

async function send({ body = bodyOf(), apiKey = bearer, key, signal }: Sent = {}) {
  const response = await fetch(`${fixture.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      ...{ authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      ...(key !== undefined && { 'idempotency-key': key }),
    },
    body,
    ...(signal !== undefined && { signal }),
  });
  const { status, headers } = response;
  const requestId = headers.get('x-request-id');
  return { status, headers, requestId, cache: headers.get('x-pingtoken-cache'), text: await response.text() };
}

describe('a call that asks the same as one before', () => {
  it('is given its answer, is a call of its own in the books, and asks no provider', async () => {
    const first = await send();
    const second = await send();
    expect([first.cache, second.cache]).toEqual(['miss', 'hit']);
    expect(second).toMatchObject({ status: 200, text: first.text });
    expect(second.headers.get('content-type')).toBe('application/json');
    expect(second.requestId).not.toBe(first.requestId);
    expect(upstream.requests).toHaveLength(1);
    expect(fixture.spool.ends).toMatchObject([
      { eventId: first.requestId, billedAttempt: 0, attempts: [{ usage: { input: 7, output: 2 } }] },
      {
        ...{ eventId: second.requestId, outcome: 'completed', status: 200, attempts: [], billedAttempt: null },
        repeated: { usage: expect.objectContaining({ input: 7, output: 2 }), countedBy: 'provider', priceShare: 2_500 },
      },
    ]);
  });

  it('may say it in another order, with other white space, and for another end user', async () => {
    const first = await send({ body: bodyOf({ temperature: 0, user: 'one', metadata: { a: 'b' } }) });
    const text = `{ "temperature": 0, "user": "two",\n "messages": [{"role":"user","content":"Hi"}], "model": "${model}" }`;
    expect(await send({ body: text })).toMatchObject({ cache: 'hit', text: first.text });
  });

  it.each([{ temperature: 1 }, { seed: 1 }, { stream: true }, { messages: [{ role: 'user', content: 'Hi ' }] }])(
    'is another one where it differs in what the answer may depend on: %j',
    async (more) => {
      upstream.respond = (_request, response) => {
        if (!('stream' in more)) answerWith(response);
        else response.writeHead(200, { 'content-type': 'text/event-stream' }).end(streamOf('x'));
      };
      await send({ body: bodyOf({ temperature: 0 }) });
      expect((await send({ body: bodyOf({ temperature: 0, ...more }) })).cache).toBe('miss');
    },
  );

  it('is another one where a schema has its members in another order, for so has the answer', async () => {
    const schema = (...names: string[]) =>
      bodyOf({ response_format: { properties: Object.fromEntries(names.map((name) => [name, {}])) } });
    await send({ body: schema('a', 'b') });
    expect((await send({ body: schema('b', 'a') })).cache).toBe('miss');
    expect((await send({ body: schema('a', 'b') })).cache).toBe('hit');
  });

  it('is given a stream as a stream', async () => {
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(streamOf('word'));
    };
    const first = await send({ body: bodyOf({ stream: true }) });
    const second = await send({ body: bodyOf({ stream: true }) });
    expect(second).toMatchObject({ cache: 'hit', text: first.text });
    expect(second.headers.get('content-type')).toBe('text/event-stream');
  });

  it('is repeated by its idempotency key too, and then billed once', async () => {
    const first = await send();
    const hit = await send({ key: 'once' });
    const repeat = await send({ key: 'once' });
    expect([hit.cache, repeat.cache]).toEqual(['hit', 'hit']);
    expect(repeat).toMatchObject({ text: first.text, requestId: hit.requestId });
    expect(repeat.headers.get('idempotent-replayed')).toBe('true');
    expect(fixture.spool.ends).toHaveLength(2);
  });
});

const END = `data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`;
const streamOf = (word: string): string => `data: {"choices":[{"delta":{"content":"${word}"}}]}\n\n${END}`;

describe('no answer is given', () => {
  it('to another tenant, or to a key that has not opted in', async () => {
    await send();
    const other = fixture.config.addKey({ cache: true }, { id: randomUUID(), pseudonymKey: 'b'.repeat(43) });
    expect((await send({ apiKey: other })).cache).toBe('miss');
    expect((await send({ apiKey: fixture.config.addKey({}) })).cache).toBeNull();
    expect(upstream.requests).toHaveLength(3);
  });

  it('of a route that keeps none', async () => {
    addModel(null, `${model}-plain`);
    const body = bodyOf({ model: `${model}-plain` });
    expect([(await send({ body })).cache, (await send({ body })).cache]).toEqual(['miss', 'miss']);
    expect(upstream.requests).toHaveLength(2);
  });

  it('after the route has changed', async () => {
    await send();
    Object.assign(fixture.config.routeList.at(-1) ?? {}, { seq: 1_000 });
    expect((await send()).cache).toBe('miss');
  });

  it('that a key has brought in which is revoked by now; another key of the tenant gets the others', async () => {
    const second = fixture.config.addKey({ cache: true });
    await send();
    expect((await send({ apiKey: second })).cache).toBe('hit');
    fixture.config.revoke(bearer);
    expect((await send({ apiKey: second })).cache).toBe('miss');
  });

  it('that is longer than the route lets it be, is an error, or did not come to its end', async () => {
    const bad: ((response: ServerResponse) => void)[] = [
      (response) => {
        answerWith(response, 200, { text: 'x'.repeat(6_000), usage: USAGE });
      },
      (response) => {
        answerWith(response, 400, { error: { message: 'no', type: 'invalid_request_error' } });
      },
      (response) => {
        answerWith(response, 200, { error: { message: 'no' }, usage: USAGE });
      },
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 100 });
        response.write('{', () => response.destroy());
      },
    ];
    for (const respond of bad) {
      upstream.respond = (_request, response) => {
        respond(response);
      };
      const before = upstream.requests.length;
      await send().catch(() => undefined);
      await send().catch(() => undefined);
      expect(upstream.requests).toHaveLength(before + 2);
    }
  });

  it('beyond the limits of its key', async () => {
    const none = { requestsPerDay: null, tokensPerMinute: null, tokensPerDay: null, concurrentCalls: null };
    const limits = { ...none, requestsPerMinute: 2, modelIds: null, operations: null, addressRanges: null };
    const apiKey = fixture.config.addKey({ cache: true, limits });
    const statuses = [];
    for (let count = 0; count < 3; count += 1) statuses.push((await send({ apiKey })).status);
    expect(statuses).toEqual([200, 200, 429]);
    expect(fixture.spool.ends).toHaveLength(2);
  });
});

describe('calls under way that ask the same', () => {
  beforeEach(() => {
    Object.assign(fixture.config.routeList.at(-1) ?? {}, { cache: { ...CACHE, ttlSeconds: 0, coalesces: true } });
  });

  /** @returns calls that wait for the first one, and what it waits for */
  async function gather(count: number, signal?: AbortSignal) {
    const held: ServerResponse[] = [];
    upstream.respond = (_request, response) => held.push(response);
    const first = send({ ...(signal !== undefined && { signal }) });
    first.catch(() => undefined);
    await eventually(() => held.length === 1, 20_000);
    let whole = 0;
    const countWhole = (request: IncomingMessage): void => {
      request.on('end', () => (whole += 1));
    };
    fixture.server.on('request', countWhole);
    const others = Array.from({ length: count }, () => send());
    await eventually(() => whole === count, 20_000);
    fixture.server.off('request', countWhole);
    // What a local store is asked it answers at once.
    await new Promise((resolve) => setImmediate(resolve));
    return { first, others, held };
  }

  it('share one call of the provider; each pays what a hit pays', async () => {
    const { first, others, held } = await gather(9);
    for (const response of held) answerWith(response);
    const answers = await Promise.all([first, ...others]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers.map(({ cache }) => cache)).toEqual(['miss', ...others.map(() => 'hit')]);
    expect(upstream.requests).toHaveLength(1);
    expect(fixture.spool.ends.filter(({ repeated }) => repeated?.priceShare === 2_500)).toHaveLength(9);
    // Nothing outlives them.
    upstream.respond = (_request, response) => {
      answerWith(response);
    };
    expect((await send()).cache).toBe('miss');
    expect(upstream.requests).toHaveLength(2);
  });

  it('go on when the first caller leaves, as long as others wait', async () => {
    const leaving = new AbortController();
    const { first, others, held } = await gather(3, leaving.signal);
    leaving.abort();
    await expect(first).rejects.toThrow();
    for (const response of held) answerWith(response);
    const answers = await Promise.all(others);
    expect(answers.map(({ status, cache }) => `${status} ${cache}`)).toEqual(others.map(() => '200 hit'));
    expect(upstream.requests).toHaveLength(1);
    expect(upstream.aborts).toHaveLength(0);
  });

  it('end with their caller where nobody waits', async () => {
    const leaving = new AbortController();
    const { first } = await gather(0, leaving.signal);
    leaving.abort();
    await expect(first).rejects.toThrow();
    await eventually(() => upstream.aborts.length === 1, 20_000);
    await eventually(() => fixture.spool.ends.length === 1, 20_000);
    expect(fixture.spool.ends).toMatchObject([{ outcome: 'caller-left' }]);
  });

  it('are made one by one where the shared one fails', async () => {
    const { first, others, held } = await gather(3);
    upstream.respond = (_request, response) => {
      answerWith(response);
    };
    for (const response of held) answerWith(response, 422, { error: { message: 'no', type: 'invalid_request_error' } });
    expect((await first).status).toBe(422);
    const answers = await Promise.all(others);
    expect(answers.map(({ status, cache }) => `${status} ${cache}`)).toEqual(others.map(() => '200 miss'));
    expect(upstream.requests).toHaveLength(4);
  });
});
