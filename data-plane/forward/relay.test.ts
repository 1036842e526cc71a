import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually, openRaw } from '../../test/kit/gateway-fixture.js';
import { ANSWER, RelayFixture, UPSTREAM_CLIENTS } from '../../test/kit/relay-fixture.js';

let relay: RelayFixture;

describe.each(UPSTREAM_CLIENTS)('an answer over $client', ({ client, path, upstreamPath, accept: ours }) => {
  const isJson = client === 'undici';

  beforeEach(async () => {
    relay = await RelayFixture.open(path);
  });

  afterEach(async () => {
    await relay.close();
  });

  it('tells the provider what the call needs and nothing of the caller', async () => {
    relay.respond((response) => response.end(ANSWER));
    const raw = relay.openCall([
      'user-agent: OpenAI/JS',
      'accept: text/plain',
      'cookie: session=1',
      'x-forwarded-for: 1.2.3.4',
      'forwarded: for=1.2.3.4',
      'via: 1.1 x',
      'traceparent: 00-1-2-03',
      'x-stainless-os: Linux',
      'openai-organization: org-caller',
      'x-api-key: pt-other',
      'proxy-authorization: Basic x',
      'keep-alive: timeout=9',
      'te: trailers',
      'trailer: x-after',
      'x-http-method-override: DELETE',
      'x-hop: 1',
      'connection: keep-alive, x-hop, accept',
    ]);
    await eventually(() => raw.received().includes('\r\n\r\n'));
    raw.socket.destroy();
    const [request] = relay.upstream.requests;
    expect(request?.url).toBe(upstreamPath);
    const { connection, host, accept, ...rest } = request?.headers ?? {};
    expect(connection ?? 'keep-alive').toBe('keep-alive');
    expect(host).toBe(new URL(relay.upstream.baseUrl).host);
    // The caller's own accept is named by its Connection header, so it ends at this hop.
    expect(accept).toBe(ours);
    expect(rest).toEqual({
      authorization: `Bearer ${relay.gateway.config.secret}`,
      'accept-encoding': 'identity',
      'content-length': String(request?.body.length),
      'content-type': relay.contentType,
      'user-agent': 'PingToken',
      'x-request-id': relay.ends[0]?.eventId,
    });
  });

  it('tells the caller the content and nothing of our account', async () => {
    relay.respond((response) => {
      response.writeHead(200, {
        'content-type': 'application/json',
        'set-cookie': ['a=1', 'b=2'],
        'x-ratelimit-remaining-requests': '9',
        'openai-organization': 'org-of-ours',
        'openai-processing-ms': '12',
        'retry-after': '3',
        'x-request-id': 'theirs',
        server: 'x',
        'x-hop': '1',
        connection: 'keep-alive, x-hop, retry-after',
        'keep-alive': 'timeout=99',
        trailer: 'x-after',
      });
      response.addTrailers({ 'x-after': '1' });
      response.end(ANSWER);
    });
    const response = await relay.send();
    expect(await response.text()).toBe(ANSWER);
    expect(response.headers.get('keep-alive')).not.toContain('99');
    expect(Object.fromEntries(response.headers)).toEqual({
      date: expect.any(String) as unknown,
      'keep-alive': expect.any(String) as unknown,
      connection: 'keep-alive',
      'content-type': 'application/json',
      'openai-processing-ms': '12',
      'server-timing': expect.any(String) as unknown,
      'transfer-encoding': 'chunked',
      'x-request-id': relay.ends[0]?.eventId,
    });
  });

  it('relays the body byte for byte, with its length', async () => {
    const body = '{ "big":9007199254740993 ,"é":"\\u00e9 🙂", "usage":{"prompt_tokens" :1} }\n';
    relay.respond((response) =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
        .end(body),
    );
    const response = await relay.send();
    expect(response.headers.get('content-length')).toBe(String(Buffer.byteLength(body)));
    expect(await response.text()).toBe(body);
    expect(relay.ends).toMatchObject([
      { outcome: 'completed', status: 200, billedAttempt: 0, attempts: [{ status: 200 }] },
    ]);
    // What is passed through costs its request; speech and forms report tokens of their own, of which there are none here.
    if (!isJson) expect(relay.ends[0]?.attempts).toMatchObject([{ usage: { request: 1 } }]);
  });

  describe('whose end is not yet written', () => {
    const json = { 'content-type': 'application/json' };
    const answers: [string, (response: ServerResponse) => void, { begun: string; last: string }][] = [
      [
        'of one piece does not begin',
        (response) => response.writeHead(200, { ...json, 'content-length': ANSWER.length }).end(ANSWER),
        { begun: '', last: ANSWER },
      ],
      [
        'of chunks does not end',
        (response) => {
          response.writeHead(200, json).write(ANSWER.slice(0, 8));
          setTimeout(() => response.end(ANSWER.slice(8)), 20);
        },
        { begun: '{"usage"', last: '0\r\n\r\n' },
      ],
      [
        'of events does not end',
        (response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          response.write('data: {"choices":[{}],"usage":{"prompt_tokens":1}}\n\n');
          setTimeout(() => response.end('data: [DONE]\n\n'), 20);
        },
        { begun: '"choices"', last: '0\r\n\r\n' },
      ],
      [
        'that is an error does not begin',
        (response) => response.writeHead(429, json).end('{"error":{"message":"slow down"}}'),
        { begun: '', last: 'slow down' },
      ],
      ['that failed does not begin', (response) => response.destroy(), { begun: '', last: 'upstream_failed' }],
      [
        'of events that failed ends with no error',
        (response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"choices":[{}]}\n\n');
          setTimeout(() => response.destroy(), 20);
        },
        { begun: '"choices"', last: 'upstream_failed' },
      ],
    ];

    it.each(answers)('%s', async (_name, respond, { begun, last }) => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      relay.gateway.spool.written = promise;
      relay.respond(respond);
      const raw = relay.openCall();
      await eventually(() => relay.ends.length === 1 && raw.received().includes(begun));
      await new Promise((elapsed) => setTimeout(elapsed, 60));
      if (begun === '') expect(raw.received()).toBe('');
      expect(raw.received()).not.toContain(last);
      expect(raw.socket.closed).toBe(false);
      resolve(undefined);
      await eventually(() => raw.received().includes(last));
      raw.socket.destroy();
    });

    it('is given up by a caller who leaves meanwhile', async () => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      relay.gateway.spool.written = promise;
      relay.respond((response) => response.end(ANSWER));
      const raw = relay.openCall();
      await eventually(() => relay.ends.length === 1);
      raw.socket.destroy();
      await new Promise((elapsed) => setTimeout(elapsed, 30));
      resolve(undefined);
      expect(await (await relay.send()).text()).toBe(ANSWER);
      expect(relay.ends).toMatchObject([{ outcome: 'completed' }, { outcome: 'completed' }]);
    });
  });

  it('keeps its connection to the provider', async () => {
    relay.respond((response) => response.end('{}'));
    for (let round = 0; round < 5; round += 1) await (await relay.send()).text();
    expect(relay.upstream.connections).toBe(1);
  });

  it('has the same bound on the body', async () => {
    await relay.restart({ MAX_BODY_BYTES: 1000 });
    const declared = await relay.send('x'.repeat(1001));
    expect(declared.status).toBe(413);
    const text = relay.requestText(['transfer-encoding: chunked'], `3e9\r\n${'x'.repeat(1001)}\r\n`);
    const chunked = openRaw(relay.gateway.port, text);
    expect(await chunked.closed()).toMatch(/^HTTP\/1\.1 413 /);
    expect(relay.upstream.connections).toBe(0);
  });

  it('that is an error has its status, in one form, without our credential or account', async () => {
    relay.respond((response) => {
      const message = `Rate limit for ${relay.gateway.config.secret} in organization org-AbCdEf123456`;
      response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '7', 'x-should-retry': 'true' });
      response.end(
        JSON.stringify({ error: { message, type: 'tokens', param: null, code: 'rate_limit_exceeded', internal: 1 } }),
      );
    });
    const response = await relay.send();
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('7');
    expect(await response.json()).toEqual({
      error: {
        message: 'Rate limit for *** in organization ***',
        type: 'tokens',
        param: null,
        code: 'rate_limit_exceeded',
      },
    });
    expect(relay.ends).toMatchObject([
      {
        outcome: 'provider-refused',
        status: 429,
        billedAttempt: null,
        attempts: [{ status: 429, usage: {}, countedBy: 'none' }],
      },
    ]);
  });

  it.each([
    ['a page', '<html>stack trace with secrets</html>'],
    ['monstrous', JSON.stringify({ error: { message: 'x'.repeat(200_000) } })],
    ['of another form', '{"detail":"internal host 10.0.0.7"}'],
    ['empty', ''],
  ])('that is an error which is %s is told by its status alone', async (_name, body) => {
    relay.respond((response) => response.writeHead(500).end(body));
    const response = await relay.send();
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      error: {
        message: 'The provider answered with status 500.',
        type: 'server_error',
        param: null,
        code: 'upstream_failed',
      },
    });
    expect(relay.ends).toMatchObject([{ outcome: 'provider-failed', status: 500, billedAttempt: null }]);
  });

  it.each([401, 402, 403, 407])('%i does not look as if the caller’s key were wrong', async (status) => {
    relay.respond((response) =>
      response
        .writeHead(status)
        .end(`{"error":{"message":"Incorrect API key provided: ${relay.gateway.config.secret}"}}`),
    );
    const response = await relay.send();
    expect(response.status).toBe(502);
    const text = await response.text();
    expect(text).toContain('"code":"upstream_failed"');
    expect(text).not.toContain('key');
    expect(relay.ends).toMatchObject([{ outcome: 'provider-refused', status: 502, attempts: [{ status }] }]);
  });

  it.each([301, 302, 307, 308])('%i is not followed', async (status) => {
    relay.respond((response) => response.writeHead(status, { location: `${relay.upstream.baseUrl}/elsewhere` }).end());
    expect((await relay.send()).status).toBe(502);
    expect(relay.upstream.requests).toHaveLength(1);
    expect(relay.ends).toMatchObject([{ outcome: 'provider-failed', attempts: [{ status }] }]);
  });

  it('that comes after interim ones is the one that counts', async () => {
    relay.respond((response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' });
      response.writeProcessing();
      response.end('{"late":true}');
    });
    expect(await (await relay.send()).json()).toEqual({ late: true });
  });

  it('from nowhere is 502', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    gone.close();
    await relay.restart({}, `http://127.0.0.1:${port}/v1`);
    const response = await relay.send();
    expect(response.status).toBe(502);
    expect(await response.text()).not.toContain(String(port));
    expect(relay.ends).toMatchObject([
      { outcome: 'provider-failed', status: 502, billedAttempt: null, attempts: [{ status: null }] },
    ]);
  });

  it('that does not come in time is 504', async () => {
    relay.respond(() => undefined);
    const response = await relay.send();
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: 'upstream_timeout' } });
    await eventually(() => relay.upstream.aborts.length === 1);
    expect(relay.ends).toMatchObject([{ outcome: 'timed-out', status: 504, billedAttempt: null }]);
  });

  it.each([
    ['is reset before its head', (socket: Socket) => socket.resetAndDestroy(), 502],
    ['has a head that is none', (socket: Socket) => socket.end('SSH-2.0-x\r\n'), 502],
    ['has a head without end', (socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`), 502],
    [
      'claims two lengths',
      (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd'),
      502,
    ],
    [
      'is an upgrade that nobody asked for',
      (socket: Socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
      502,
    ],
  ])('that %s is 502', async (_name, act, status) => {
    relay.respond((_response, request) => {
      act(request.socket);
    });
    expect((await relay.send()).status).toBe(status);
    expect(relay.ends).toMatchObject([{ status, billedAttempt: null }]);
  });

  it('with a header that could split another is 502 or loses it', async () => {
    relay.respond((_response, request) => {
      request.socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/x\u0000\u0001y\r\ncontent-length: 2\r\n\r\n{}');
    });
    const response = await relay.send();
    await response.arrayBuffer();
    expect([200, 502]).toContain(response.status);
    expect(relay.ends).toHaveLength(1);
  });
});
