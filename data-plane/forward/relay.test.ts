import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  openRaw,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';

let upstream: ScriptedUpstream;
let fixture: GatewayFixture;

beforeAll(async () => {
  upstream = await startUpstream(() => undefined);
});

afterAll(() => {
  upstream.close();
});

/** The two clients that fetch answers must not differ in anything that a caller or the books can see. */
describe.each([
  { client: 'undici', path: '/v1/chat/completions', upstreamPath: '/v1/chat/completions' },
  { client: 'http-proxy-middleware', path: '/passthrough/sim/audio/x?a=b', upstreamPath: '/v1/audio/x?a=b' },
])('an answer over $client', ({ client, path, upstreamPath }) => {
  const isJson = client === 'undici';
  const BODY = '{"model":"chat-alias","messages":[]}';

  async function start(change: Parameters<typeof startGateway>[1] = {}, baseUrl = upstream.baseUrl): Promise<void> {
    fixture = await startGateway(baseUrl, {
      UPSTREAM_CONNECT_TIMEOUT_MS: 400,
      UPSTREAM_HEADERS_TIMEOUT_MS: 400,
      IDLE_TIMEOUT_MS: 400,
      ...change,
    });
    fixture.config.addPassthrough('POST', '/audio/*');
  }

  beforeEach(async () => {
    upstream.requests.length = 0;
    upstream.aborts.length = 0;
    upstream.connections = 0;
    await start();
  });

  afterEach(async () => {
    // Whatever happened: every call that went out is in the books, and once.
    await eventually(() => fixture.spool.starts.length === fixture.spool.ends.length);
    expect(new Set(fixture.spool.ends.map((end) => end.eventId)).size).toBe(fixture.spool.ends.length);
    expect(fixture.gateway.openCalls()).toBe(0);
    await fixture.close();
  });

  function respond(respondWith: (response: ServerResponse, request: IncomingMessage) => void): void {
    upstream.respond = (request, response) => {
      respondWith(response, request);
    };
  }

  function send(headers: Record<string, string> = {}, body: string = BODY): Promise<Response> {
    return fetch(fixture.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${fixture.config.bearer}`, 'content-type': 'application/json', ...headers },
      body,
      redirect: 'manual',
    });
  }

  function openCall(lines: readonly string[] = [], body = BODY) {
    return openRaw(
      fixture.port,
      [
        `POST ${path} HTTP/1.1`,
        'host: x',
        `authorization: Bearer ${fixture.config.bearer}`,
        'content-type: application/json',
        `content-length: ${Buffer.byteLength(body)}`,
        ...lines,
        '',
        body,
      ].join('\r\n'),
    );
  }

  const ends = () => fixture.spool.ends;

  it('tells the provider what the call needs and nothing of the caller', async () => {
    respond((response) => response.end('{}'));
    const raw = openCall([
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
    const [request] = upstream.requests;
    expect(request?.url).toBe(upstreamPath);
    const { connection, host, accept, ...rest } = request?.headers ?? {};
    expect(connection ?? 'keep-alive').toBe('keep-alive');
    expect(host).toBe(new URL(upstream.baseUrl).host);
    // The caller's own accept is named by its Connection header, so it ends at this hop.
    expect(accept).toBe(isJson ? 'application/json' : undefined);
    expect(rest).toEqual({
      authorization: `Bearer ${fixture.config.secret}`,
      'accept-encoding': 'identity',
      'content-length': String(request?.body.length),
      'content-type': 'application/json',
      'user-agent': 'PingToken',
      'x-request-id': fixture.spool.ends[0]?.eventId,
    });
  });

  it('tells the caller the content and nothing of our account', async () => {
    respond((response) => {
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
      response.end('{"a":1}');
    });
    const response = await send();
    expect(await response.text()).toBe('{"a":1}');
    const { date: _date, 'keep-alive': keepAlive, ...headers } = Object.fromEntries(response.headers);
    expect(keepAlive).not.toContain('99');
    expect(headers).toEqual({
      connection: 'keep-alive',
      'content-type': 'application/json',
      'openai-processing-ms': '12',
      'transfer-encoding': 'chunked',
      'x-request-id': ends()[0]?.eventId,
    });
  });

  it('relays the body byte for byte, with its length', async () => {
    const body = '{ "big":9007199254740993 ,"é":"\\u00e9 🙂" }\n';
    respond((response) =>
      response
        .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
        .end(body),
    );
    const response = await send();
    expect(response.headers.get('content-length')).toBe(String(Buffer.byteLength(body)));
    expect(await response.text()).toBe(body);
    expect(ends()).toMatchObject([
      { outcome: 'completed', status: 200, billedAttempt: 0, attempts: [{ status: 200 }] },
    ]);
    if (!isJson) expect(ends()[0]?.attempts).toMatchObject([{ usage: { request: 1 }, countedBy: 'provider' }]);
  });

  it('keeps its connection to the provider', async () => {
    respond((response) => response.end('{}'));
    for (let round = 0; round < 5; round += 1) await (await send()).text();
    expect(upstream.connections).toBe(1);
  });

  it('has the same bound on the body', async () => {
    await fixture.close();
    await start({ MAX_BODY_BYTES: 1000 });
    const declared = await send({}, 'x'.repeat(1001));
    expect(declared.status).toBe(413);
    const chunked = openRaw(
      fixture.port,
      `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${fixture.config.bearer}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n${'x'.repeat(1001)}\r\n`,
    );
    expect(await chunked.closed()).toMatch(/^HTTP\/1\.1 413 /);
    expect(upstream.connections).toBe(0);
  });

  it('that is an error has its status, in one form, without our credential or account', async () => {
    respond((response) => {
      const message = `Rate limit for ${fixture.config.secret} in organization org-AbCdEf123456`;
      response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '7', 'x-should-retry': 'true' });
      response.end(
        JSON.stringify({ error: { message, type: 'tokens', param: null, code: 'rate_limit_exceeded', internal: 1 } }),
      );
    });
    const response = await send();
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
    expect(ends()).toMatchObject([
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
    respond((response) => response.writeHead(500).end(body));
    const response = await send();
    expect(response.status).toBe(500);
    expect(await response.json()).toEqual({
      error: {
        message: 'The provider answered with status 500.',
        type: 'server_error',
        param: null,
        code: 'upstream_failed',
      },
    });
    expect(ends()).toMatchObject([{ outcome: 'provider-failed', status: 500, billedAttempt: null }]);
  });

  it.each([401, 402, 403, 407])('%i does not look as if the caller’s key were wrong', async (status) => {
    respond((response) =>
      response.writeHead(status).end(`{"error":{"message":"Incorrect API key provided: ${fixture.config.secret}"}}`),
    );
    const response = await send();
    expect(response.status).toBe(502);
    const text = await response.text();
    expect(text).toContain('"code":"upstream_failed"');
    expect(text).not.toContain('key');
    expect(ends()).toMatchObject([{ outcome: 'provider-refused', status: 502, attempts: [{ status }] }]);
  });

  it.each([301, 302, 307, 308])('%i is not followed', async (status) => {
    respond((response) => response.writeHead(status, { location: `${upstream.baseUrl}/elsewhere` }).end());
    expect((await send()).status).toBe(502);
    expect(upstream.requests).toHaveLength(1);
    expect(ends()).toMatchObject([{ outcome: 'provider-failed', attempts: [{ status }] }]);
  });

  it('that comes after interim ones is the one that counts', async () => {
    respond((response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload' });
      response.writeProcessing();
      response.end('{"late":true}');
    });
    expect(await (await send()).json()).toEqual({ late: true });
  });

  it('from nowhere is 502', async () => {
    const gone = createServer().listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port } = gone.address() as AddressInfo;
    gone.close();
    await fixture.close();
    await start({}, `http://127.0.0.1:${port}/v1`);
    const response = await send();
    expect(response.status).toBe(502);
    expect(await response.text()).not.toContain(String(port));
    expect(ends()).toMatchObject([
      { outcome: 'provider-failed', status: 502, billedAttempt: null, attempts: [{ status: null }] },
    ]);
  });

  it('that does not come in time is 504', async () => {
    respond(() => undefined);
    const response = await send();
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: 'upstream_timeout' } });
    await eventually(() => upstream.aborts.length === 1);
    expect(ends()).toMatchObject([{ outcome: 'timed-out', status: 504, billedAttempt: null }]);
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
    respond((_response, request) => {
      act(request.socket);
    });
    expect((await send()).status).toBe(status);
    expect(ends()).toMatchObject([{ status, billedAttempt: null }]);
  });

  it('with a header that could split another is 502 or loses it', async () => {
    respond((_response, request) => {
      request.socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/x\u0000\u0001y\r\ncontent-length: 2\r\n\r\n{}');
    });
    const response = await send();
    await response.arrayBuffer();
    expect([200, 502]).toContain(response.status);
    expect(ends()).toHaveLength(1);
  });

  it.each([
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
    ['silence', () => undefined],
    ['a broken chunk', (socket: Socket) => socket.write('zz\r\n')],
    ['a clean close', (socket: Socket) => socket.end()],
  ])('that ends early by %s is never ended cleanly for the caller', async (name, act) => {
    respond((response, request) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"choices":[');
      setTimeout(() => act(request.socket), 30);
    });
    const raw = openCall();
    const received = await raw.closed();
    expect(received).toContain('{"choices":[');
    expect(received).not.toContain('0\r\n\r\n');
    expect(ends()).toMatchObject([{ outcome: name === 'silence' ? 'timed-out' : 'provider-failed', status: 200 }]);
    if (isJson) expect(ends()[0]?.billedAttempt).toBeNull();
  });

  it('that is shorter than it says is never ended cleanly for the caller', async () => {
    respond((response, request) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      response.write('{"choices":[');
      setTimeout(() => request.socket.end(), 30);
    });
    const received = await openCall().closed();
    expect(received).toContain('content-length: 100');
    expect(received.split('\r\n\r\n')[1]).toBe('{"choices":[');
    expect(ends()).toMatchObject([{ outcome: 'provider-failed' }]);
  });

  it.each([
    ['reset', (socket: Socket) => socket.resetAndDestroy()],
    ['silence', () => undefined],
  ])('of events that ends early by %s ends with an error event, and not cleanly', async (_name, act) => {
    respond((response, request) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"cho');
      setTimeout(() => act(request.socket), 30);
    });
    const received = await openCall().closed();
    const text = received
      .slice(received.indexOf('\r\n\r\n') + 4)
      .replace(/^[0-9a-f]+\r\n/gm, '')
      .replaceAll('\r\n', '');
    expect(text).toMatch(
      /"content":"a"\}\}\]\}\n\ndata: \{"error":\{"message":"[^"]+","type":"server_error","param":null,"code":"upstream_(failed|timeout)"\}\}\n\n$/,
    );
    expect(received).not.toContain('0\r\n\r\n');
  });

  describe('whose caller leaves', () => {
    async function leaves(raw: { socket: Socket }, atUpstream = true): Promise<void> {
      const left = performance.now();
      raw.socket.destroy();
      await eventually(() => ends().length === 1);
      if (atUpstream) await eventually(() => upstream.aborts.length === 1);
      expect((upstream.aborts[0] ?? left) - left).toBeLessThan(100);
    }

    it('before its head is aborted at once', async () => {
      respond(() => undefined);
      const raw = openCall();
      await eventually(() => upstream.requests.length === 1);
      await leaves(raw);
      expect(ends()).toMatchObject([{ outcome: 'caller-left', status: null, billedAttempt: null }]);
    });

    it('in the middle of its body is aborted at once', async () => {
      respond((response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"choices":');
      });
      const raw = openCall();
      await eventually(() => raw.received().includes('choices'));
      await leaves(raw);
      expect(ends()).toMatchObject([{ outcome: 'caller-left', status: 200 }]);
    });

    it('in the middle of its events is aborted at once', async () => {
      respond((response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: {"choices":[{}]}\n\n');
      });
      const raw = openCall();
      await eventually(() => raw.received().includes('choices'));
      await leaves(raw);
      expect(ends()).toMatchObject([{ outcome: 'caller-left', status: 200, streamed: true }]);
    });

    it('half, by closing its side only, is aborted too', async () => {
      respond(() => undefined);
      const raw = openCall();
      await eventually(() => upstream.requests.length === 1);
      raw.socket.end();
      await eventually(() => ends().length === 1 && upstream.aborts.length === 1);
      expect(ends()).toMatchObject([{ outcome: 'caller-left' }]);
    });

    it('while it still sends is no call at all', async () => {
      const raw = openCall(['x-more: 1'], BODY);
      const started = fixture.spool.starts.length;
      const half = connect(fixture.port, '127.0.0.1');
      half.write(
        `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${fixture.config.bearer}\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{`,
      );
      await new Promise((resolve) => setTimeout(resolve, 50));
      half.destroy();
      raw.socket.destroy();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(fixture.spool.starts.length - started).toBeLessThanOrEqual(1);
    });

    it('at any moment whatever is settled once', async () => {
      respond((response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write('{"choices":[],');
        setTimeout(() => response.end('"usage":{"prompt_tokens":1}}'), 3);
      });
      for (let delayMs = 0; delayMs < 12; delayMs += 1) {
        const raw = openCall();
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        raw.socket.destroy();
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
      await eventually(() => fixture.spool.starts.length === ends().length);
    });
  });

  it('whose caller does not read makes the provider wait and our memory stay', async () => {
    let written = 0;
    respond((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const piece = Buffer.alloc(1024 * 1024, ' ');
      const write = (): void => {
        if (written >= 200 * piece.length) return void response.end('{}');
        written += piece.length;
        if (response.write(piece)) setImmediate(write);
        else response.once('drain', write);
      };
      write();
    });
    await fixture.close();
    await start({ IDLE_TIMEOUT_MS: 3_000 });
    const before = process.memoryUsage().rss;
    const answer = await new Promise<IncomingMessage>((resolve) => {
      const headers = { authorization: `Bearer ${fixture.config.bearer}`, 'content-type': 'application/json' };
      httpRequest(fixture.url + path, { method: 'POST', headers }, resolve).end(BODY);
    });
    answer.pause();
    await new Promise((resolve) => setTimeout(resolve, 700));
    const stalledAt = written;
    expect(stalledAt).toBeLessThan(40 * 1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(80 * 1024 * 1024);
    let read = 0;
    answer.resume();
    answer.on('data', (chunk: Buffer) => {
      read += chunk.length;
    });
    await once(answer, 'end');
    expect(read).toBe(200 * 1024 * 1024 + 2);
    expect(ends()).toMatchObject([{ outcome: 'completed' }]);
  });

  it('whose caller never reads is given up', async () => {
    respond((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const write = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, ' ')));
        if (!response.destroyed) response.once('drain', write);
      };
      write();
    });
    const raw = openCall();
    raw.socket.pause();
    await eventually(() => ends().length === 1, 5_000);
    expect(ends()).toMatchObject([{ outcome: 'caller-left', status: 200 }]);
    raw.socket.destroy();
  });

  it('with garbage pipelined behind its request is not mixed with an error', async () => {
    respond((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.write('{"choices":[');
      setTimeout(() => response.end(']}'), 100);
    });
    const raw = openCall();
    await eventually(() => raw.received().includes('choices'));
    raw.socket.write('\u0000garbage\r\n\r\n');
    const received = await raw.closed();
    expect(received.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(ends()).toMatchObject([{ outcome: 'caller-left' }]);
  });

  it('to each of two pipelined requests comes in order, and both are settled when the caller leaves', async () => {
    let answered = 0;
    respond((response) => {
      const turn = ++answered;
      if (turn <= 2) setTimeout(() => response.end(`{"turn":${turn}}`), turn === 1 ? 60 : 1);
    });
    const text = [
      `POST ${path} HTTP/1.1`,
      'host: x',
      `authorization: Bearer ${fixture.config.bearer}`,
      'content-type: application/json',
      `content-length: ${BODY.length}`,
      '',
      BODY,
    ].join('\r\n');
    const raw = openRaw(fixture.port, text + text);
    await eventually(() => raw.received().includes('"turn":2'));
    expect(raw.received().indexOf('"turn":1')).toBeLessThan(raw.received().indexOf('"turn":2'));
    raw.socket.write(text + text);
    await eventually(() => fixture.gateway.openCalls() === 2);
    raw.socket.destroy();
    await eventually(() => ends().length === 4);
    expect(ends().map(({ outcome }) => outcome)).toEqual(['completed', 'completed', 'caller-left', 'caller-left']);
  });
});
