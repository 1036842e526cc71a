import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { hashApiKey } from '@pingtoken/shared/key-format';
import type { Limits } from '@pingtoken/shared/limits';
import {
  eventually,
  openRaw,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';

const ANSWER = { id: 'answer', choices: [], usage: { prompt_tokens: 7, completion_tokens: 2 } };
let upstream: ScriptedUpstream;
let fixture: GatewayFixture;
let bearer: string;

beforeAll(async () => {
  upstream = await startUpstream(() => undefined);
  fixture = await startGateway(upstream.baseUrl, {
    MAX_CONNECTIONS: 3_000,
    UPSTREAM_HEADERS_TIMEOUT_MS: 200_000,
    REPLAY_MAX_ANSWER_BYTES: 10_000,
  });
  fixture.config.addModel('words', 'transcriptions', 'upstream-words');
});

afterAll(async () => {
  await fixture.close();
  upstream.close();
});

beforeEach(() => {
  bearer = fixture.config.addKey({ idempotency: true });
  upstream.requests.length = 0;
  upstream.aborts.length = 0;
  fixture.spool.starts.length = 0;
  fixture.spool.ends.length = 0;
  upstream.respond = (_request, response) => {
    answerWith(response);
  };
});

/** Whatever a test has sent is in the books. */
afterEach(async () => {
  await eventually(() => fixture.spool.ends.length === fixture.spool.starts.length);
});

function answerWith(response: ServerResponse, status = 200, body: unknown = { ...ANSWER, id: randomUUID() }): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

interface Sent {
  readonly key?: string;
  readonly body?: unknown;
  readonly path?: string;
  readonly apiKey?: string;
  readonly signal?: AbortSignal;
}

/** Of a stream; the caller has not asked for the usage and is not shown it. */
const END = `data: ${JSON.stringify({ choices: [], usage: ANSWER.usage })}\n\ndata: [DONE]\n\n`;
const BODY = { model: 'chat-alias', messages: [{ role: 'user', content: 'Hi' }] };

async function send({ key = 'first', body = BODY, path = '/v1/chat/completions', apiKey = bearer, signal }: Sent = {}) {
  const response = await fetch(fixture.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
    ...(signal !== undefined && { signal }),
  });
  const { status, headers } = response;
  return { status, headers, isRepeat: headers.get('idempotent-replayed') === 'true', text: await response.text() };
}

const codeOf = ({ text }: { readonly text: string }): unknown =>
  (JSON.parse(text) as { error: { code: unknown } }).error.code;

describe('a repeat of a call with an idempotency key', () => {
  it('gets the first answer again, and is billed once', async () => {
    const first = await send();
    const second = await send();
    expect(first).toMatchObject({ status: 200, isRepeat: false });
    expect(second).toMatchObject({ status: 200, isRepeat: true, text: first.text });
    for (const name of ['x-request-id', 'content-type', 'content-length']) {
      expect(second.headers.get(name)).toBe(first.headers.get(name));
    }
    expect(upstream.requests).toHaveLength(1);
    expect(fixture.spool.ends).toMatchObject([{ eventId: first.headers.get('x-request-id'), billedAttempt: 0 }]);
  });

  it('gets the bytes of a stream again, as a stream', async () => {
    const event = `data: ${JSON.stringify({ choices: [{ delta: { content: 'word' } }] })}\n\n`;
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const piece of [event, event.slice(0, 9), event.slice(9)]) response.write(piece);
      response.end(END);
    };
    const first = await send({ body: { ...BODY, stream: true } });
    const second = await send({ body: { ...BODY, stream: true } });
    expect(first.text).toBe(`${event}${event}data: [DONE]\n\n`);
    expect(second).toMatchObject({ isRepeat: true, text: first.text });
    expect(second.headers.get('content-type')).toBe('text/event-stream');
    expect(second.headers.get('content-length')).toBeNull();
    expect(fixture.spool.ends).toHaveLength(1);
  });

  it('is what the official client gets by its option', async () => {
    const client = new OpenAI({ apiKey: bearer, baseURL: `${fixture.url}/v1`, maxRetries: 0 });
    const ask = () =>
      client.chat.completions.create(
        { model: 'chat-alias', messages: [{ role: 'user', content: 'Hi' }] },
        { headers: { 'Idempotency-Key': 'of the client' } },
      );
    expect(await ask()).toEqual(await ask());
    expect(upstream.requests).toHaveLength(1);
  });

  it('waits for the first where that is under way, a thousand of them', async () => {
    const held: ServerResponse[] = [];
    upstream.respond = (_request, response) => held.push(response);
    const calls: Promise<string>[] = [];
    let received = 0;
    fixture.server.on('request', () => (received += 1));
    const body = JSON.stringify(BODY);
    const head = [
      ...[
        'POST /v1/chat/completions HTTP/1.1',
        'host: gateway',
        `authorization: Bearer ${bearer}`,
        'connection: close',
      ],
      ...['content-type: application/json', `content-length: ${body.length}`, 'idempotency-key: first'],
    ];
    const text = `${head.join('\r\n')}\r\n\r\n${body}`;
    // As many connections at once as a listening socket holds in its queue, and more when those have been taken.
    while (calls.length < 1_000) {
      for (let count = 0; count < 100; count += 1) calls.push(openRaw(fixture.port, text).closed());
      await eventually(() => received === calls.length, 100_000);
    }
    await eventually(() => held.length > 0, 100_000);
    for (const response of held) answerWith(response);
    const answers = await Promise.all(calls);
    const bodies = answers.map((answer) => `${answer.slice(0, 12)} ${answer.slice(answer.indexOf('\r\n\r\n'))}`);
    expect(new Set(bodies).size).toBe(1);
    expect(bodies[0]).toContain('HTTP/1.1 200');
    expect(answers.filter((answer) => answer.includes('idempotent-replayed: true'))).toHaveLength(999);
    expect(upstream.requests).toHaveLength(1);
    expect(fixture.spool.ends).toHaveLength(1);
  }, 240_000);

  it('is refused where it asks for something else, also while the first is under way', async () => {
    const held: ServerResponse[] = [];
    upstream.respond = (_request, response) => held.push(response);
    const first = send();
    await eventually(() => held.length === 1);
    const body = { ...BODY, temperature: 1 };
    const during = await send({ body });
    for (const response of held) answerWith(response);
    await first;
    const after = await send({ body });
    for (const refused of [during, after])
      expect([refused.status, codeOf(refused)]).toEqual([409, 'idempotency_mismatch']);
    expect((await send({ path: '/v1/completions' })).status).not.toBe(200);
    expect(upstream.requests).toHaveLength(1);
  });

  it('is refused in the dialect of its caller', async () => {
    const body = { model: 'chat-alias', max_tokens: 5, messages: BODY.messages };
    const choice = { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: 'Hi' } };
    upstream.respond = (_request, response) => {
      answerWith(response, 200, { ...ANSWER, object: 'chat.completion', model: 'm', created: 1, choices: [choice] });
    };
    const first = await send({ path: '/v1/messages', body });
    expect(await send({ path: '/v1/messages', body })).toMatchObject({ isRepeat: true, text: first.text });
    const refused = await send({ path: '/v1/messages', body: { ...body, max_tokens: 6 } });
    expect(refused.status).toBe(409);
    expect(JSON.parse(refused.text)).toMatchObject({ type: 'error', error: { type: expect.any(String) } });
  });

  it('knows a form whose boundary was drawn anew', async () => {
    const form = (words: string) => {
      const made = new FormData();
      made.append('model', 'words');
      made.append('file', new Blob([words]), 'words.wav');
      return fetch(`${fixture.url}/v1/audio/transcriptions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${bearer}`, 'idempotency-key': 'of a form' },
        body: made,
      });
    };
    const first = await form('one');
    const second = await form('one');
    expect(await second.text()).toBe(await first.text());
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect((await form('two')).status).toBe(409);
    expect(upstream.requests).toHaveLength(1);
  });
});

describe('what is not given again', () => {
  it.each([429, 500, 503])('a failure that a retry may cure (%i): the retry is a new call', async (status) => {
    fixture.config.addModel(`fails-${status}`, 'chat-completions', 'm');
    const body = { ...BODY, model: `fails-${status}` };
    upstream.respond = (_request, response) => {
      answerWith(response, status, { error: { message: 'no', type: 'x' } });
    };
    expect((await send({ body })).status).toBeGreaterThanOrEqual(429);
    upstream.respond = (_request, response) => {
      answerWith(response);
    };
    // A target that said when to come again is left alone until then; another model has another one.
    const again = await send({ body });
    expect(again.isRepeat).toBe(false);
  });

  it('a stream that broke off', async () => {
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[]}\n\n', () => response.destroy());
    };
    const body = { ...BODY, stream: true };
    await expect(send({ body })).rejects.toThrow();
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(END);
    };
    expect(await send({ body })).toMatchObject({ isRepeat: false, text: 'data: [DONE]\n\n' });
    expect(fixture.spool.ends).toHaveLength(2);
  });

  it('what was refused before it went out', async () => {
    const body = { ...BODY, model: 'later' };
    expect((await send({ body })).status).toBe(404);
    fixture.config.addModel('later', 'chat-completions', 'm');
    expect(await send({ body })).toMatchObject({ status: 200, isRepeat: false });
  });

  it('an answer longer than the bound: it is given whole once, and the repeat is told so', async () => {
    const long = { ...ANSWER, text: 'x'.repeat(20_000) };
    upstream.respond = (_request, response) => {
      answerWith(response, 200, long);
    };
    expect((await send()).text).toBe(JSON.stringify(long));
    const repeat = await send();
    expect([repeat.status, codeOf(repeat)]).toEqual([409, 'idempotency_answer_too_long']);
    expect(upstream.requests).toHaveLength(1);
  });

  it("anything to another API key or another tenant, whatever it knows of the first one's call", async () => {
    const first = await send();
    const others = [
      fixture.config.addKey({ idempotency: true }),
      fixture.config.addKey({ idempotency: true }, { id: randomUUID(), pseudonymKey: 'b'.repeat(43) }),
    ];
    for (const apiKey of others) {
      const other = await send({ apiKey });
      expect(other).toMatchObject({ status: 200, isRepeat: false });
      expect(other.text).not.toBe(first.text);
    }
    expect(upstream.requests).toHaveLength(3);
  });

  it('anything for a key that has not opted in', async () => {
    const apiKey = fixture.config.addKey({});
    expect((await send({ apiKey })).text).not.toBe((await send({ apiKey })).text);
    expect(upstream.requests).toHaveLength(2);
  });
});

describe('a call with an idempotency key', () => {
  it('keeps a refusal that the same request would meet again', async () => {
    upstream.respond = (_request, response) => {
      answerWith(response, 400, { error: { message: `no ${randomUUID()}`, type: 'invalid_request_error' } });
    };
    const first = await send();
    expect(await send()).toMatchObject({ status: 400, isRepeat: true, text: first.text });
    expect(upstream.requests).toHaveLength(1);
  });

  it('goes on when its caller leaves, so that the repeat gets the whole answer and one bill', async () => {
    const held: ServerResponse[] = [];
    const event = 'data: {"choices":[{"delta":{"content":"word"}}]}\n\n';
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(event);
      held.push(response);
    };
    const leaving = new AbortController();
    const body = { ...BODY, stream: true };
    const left = send({ body, signal: leaving.signal });
    await eventually(() => held.length === 1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    const second = send({ body });
    for (const response of held) response.end(event + END);
    expect(await second).toMatchObject({ isRepeat: true, text: `${event}${event}data: [DONE]\n\n` });
    expect(upstream.aborts).toHaveLength(0);
    expect(fixture.spool.ends).toMatchObject([{ outcome: 'completed', billedAttempt: 0 }]);
  });

  it.each(['', 'x'.repeat(256)])('is refused where the key is none (%j)', async (key) => {
    const refused = await send({ key });
    expect([refused.status, codeOf(refused)]).toEqual([400, 'invalid_request']);
  });

  it('counts among the requests of its key, and holds to its addresses', async () => {
    const limits = { ...NO_LIMITS, requestsPerMinute: 2 };
    const apiKey = fixture.config.addKey({ idempotency: true, limits });
    const statuses = [];
    for (let count = 0; count < 3; count += 1) statuses.push((await send({ apiKey })).status);
    expect(statuses).toEqual([200, 200, 429]);
    const elsewhere = fixture.config.addKey({ idempotency: true });
    await send({ apiKey: elsewhere });
    restrict(elsewhere, { ...NO_LIMITS, addressRanges: ['203.0.113.0/24'] });
    // The config of a connection's last call is forgotten with the next catalogue.
    expect((await send({ apiKey: elsewhere })).status).toBe(403);
  });
});

function restrict(apiKey: string, limits: Limits): void {
  const { accounts } = fixture.config;
  const account = accounts.get(hashApiKey(apiKey));
  if (account) accounts.set(hashApiKey(apiKey), { ...account, apiKey: { ...account.apiKey, limits } });
}

const NO_LIMITS: Limits = {
  ...{ requestsPerMinute: null, requestsPerDay: null, tokensPerMinute: null, tokensPerDay: null },
  ...{ concurrentCalls: null, modelIds: null, operations: null, addressRanges: null },
};
