import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually, openRaw, startGateway, type GatewayFixture } from '../../test/kit/gateway-fixture.js';
import { expectUpgradeRefused, openSession } from '../../test/kit/realtime-caller.js';
import { useTargets } from '../../test/kit/routed-gateway.js';
import { accept, startSessionProvider, type ScriptedProvider } from '../../test/kit/session-provider.js';

let provider: ScriptedProvider;
let gateway: GatewayFixture;

async function restart(change: Parameters<typeof startGateway>[1] = {}, baseUrl = provider.baseUrl): Promise<void> {
  await gateway.close();
  gateway = await startGateway(baseUrl, {
    UPSTREAM_CONNECT_TIMEOUT_MS: 400,
    UPSTREAM_HEADERS_TIMEOUT_MS: 400,
    ...change,
  });
  gateway.config.addModel('realtime-alias', 'realtime', 'sim-realtime');
}

beforeEach(async () => {
  provider = await startSessionProvider();
  gateway = await startGateway(provider.baseUrl);
  await restart();
});
afterEach(async () => {
  const { starts, ends } = gateway.spool;
  await eventually(() => starts.length === ends.length && gateway.gateway.openCalls() === 0);
  await gateway.close();
  provider.close();
});

const target = () => ({ url: gateway.url, bearer: gateway.config.bearer });
const ends = () => gateway.spool.ends;

describe('what is refused before the provider is called', () => {
  const cases: readonly (readonly [string, number, string, (bearer: string) => object])[] = [
    ['a wrong key', 401, 'invalid_api_key', () => ({ bearer: 'sk-wrong' })],
    ['no key', 401, 'invalid_api_key', () => ({ bearer: undefined })],
    ['an unknown model', 404, 'model_not_found', () => ({ path: '/v1/realtime?model=none' })],
    ['a model of another kind', 404, 'model_not_found', () => ({ path: '/v1/realtime?model=chat-alias' })],
    ['no model', 400, 'invalid_request', () => ({ path: '/v1/realtime' })],
    ['two models', 400, 'duplicate_field', () => ({ path: '/v1/realtime?model=realtime-alias&model=x' })],
    [
      'a session of somebody else',
      400,
      'unsupported_field',
      () => ({ path: '/v1/realtime?model=realtime-alias&call_id=rtc_1' }),
    ],
    [
      'a wrong subprotocol key',
      401,
      'invalid_api_key',
      () => ({ protocols: ['realtime', 'openai-insecure-api-key.x'], bearer: undefined }),
    ],
  ];
  it.each(cases)('%s', async (_name, status, code, change) => {
    const refusal = await expectUpgradeRefused({ ...target(), ...change(gateway.config.bearer) });
    expect(refusal).toMatchObject({ status, error: { code } });
    expect(refusal.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(provider.requests).toHaveLength(0);
    expect(gateway.spool.starts).toHaveLength(0);
  });

  it('a provider that is not granted, a model without a price, a tenant that is suspended', async () => {
    const refusedFor = async (bearer: string, path?: string) =>
      (await expectUpgradeRefused({ ...target(), bearer, ...(path !== undefined && { path }) })).error.code;
    expect(await refusedFor(gateway.config.addKey({}, { grantedProviderIds: [] }))).toBe('provider_not_granted');
    expect(await refusedFor(gateway.config.addKey({}, { status: 'suspended' }))).toBe('tenant_suspended');
    gateway.config.addModel('free', 'realtime', 'sim-realtime', { priceCardId: null });
    expect(await refusedFor(gateway.config.bearer, '/v1/realtime?model=free')).toBe('price_missing');
    gateway.spool.isBroken = true;
    expect(await refusedFor(gateway.config.bearer)).toBe('spool_unavailable');
    gateway.spool.isBroken = false;
    gateway.gateway.drain();
    expect(await refusedFor(gateway.config.bearer)).toBe('not_ready');
    expect(provider.requests).toHaveLength(0);
  });

  const head = (lines: readonly string[]): string =>
    [
      'GET /v1/realtime?model=realtime-alias HTTP/1.1',
      'host: x',
      `authorization: Bearer ${gateway.config.bearer}`,
      ...lines,
      '',
      '',
    ].join('\r\n');
  const KEY = 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==';
  const UPGRADE = ['connection: upgrade', 'upgrade: websocket'];

  it.each([
    ['no WebSocket at all', [], 426],
    ['another version', [...UPGRADE, KEY, 'sec-websocket-version: 7'], 426],
    ['no nonce', [...UPGRADE, 'sec-websocket-version: 13'], 400],
    ['a body', [...UPGRADE, KEY, 'sec-websocket-version: 13', 'content-length: 5'], 400],
    ['two hosts', [...UPGRADE, KEY, 'sec-websocket-version: 13', 'host: y'], 400],
    ['subprotocols twice', [...UPGRADE, KEY, 'sec-websocket-version: 13', 'sec-websocket-protocol: a, a'], 400],
  ])('a handshake with %s', async (_name, lines, status) => {
    const connection = openRaw(gateway.port, head(lines));
    await eventually(() => connection.received().includes('\r\n\r\n'));
    expect(connection.received()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    if (status === 426) expect(connection.received().toLowerCase()).toContain('upgrade: websocket');
    connection.socket.destroy();
    expect(provider.requests).toHaveLength(0);
  });

  it('not a call that speaks of another protocol: it is answered as it is', async () => {
    const lines = ['GET /v1/models HTTP/1.1', 'host: x', `authorization: Bearer ${gateway.config.bearer}`];
    for (const protocol of ['h2c', 'websocket']) {
      const upgrade = ['connection: upgrade, close', `upgrade: ${protocol}`];
      const connection = openRaw(gateway.port, [...lines, ...upgrade, '', ''].join('\r\n'));
      expect(await connection.closed()).toMatch(/^HTTP\/1.1 200 /);
    }
  });

  it('a session that is pipelined behind a call, whose answer it would be mixed into', async () => {
    const body = '{"model":"chat-alias","messages":[]}';
    const call = [
      'POST /v1/chat/completions HTTP/1.1',
      'host: x',
      `authorization: Bearer ${gateway.config.bearer}`,
      'content-type: application/json',
      `content-length: ${body.length}`,
      '',
      body,
    ];
    const upgrade = head([...UPGRADE, KEY, 'sec-websocket-version: 13']);
    const connection = openRaw(gateway.port, call.join('\r\n') + upgrade);
    expect(await connection.closed()).toBe('');
    expect(provider.requests).toHaveLength(0);
  });
});

describe('a provider that gives no session', () => {
  const answer = (text: string) => (_request: IncomingMessage, socket: Duplex) => {
    socket.end(text);
  };
  const error = (status: number, body: string, lines = ''): string =>
    `HTTP/1.1 ${status} No\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n${lines}\r\n${body}`;

  it('passes its refusal on, without our credential', async () => {
    const { secret } = gateway.config;
    const body = JSON.stringify({ error: { message: `Slow down, ${secret}`, type: 'requests', code: 'slow' } });
    provider.onUpgrade = answer(error(429, body, 'retry-after: 7\r\nset-cookie: a=b\r\n'));
    const refusal = await expectUpgradeRefused(target());
    expect(refusal).toMatchObject({ status: 429, error: { message: 'Slow down, ***', code: 'slow' } });
    expect(refusal.headers['retry-after']).toBe('7');
    expect(refusal.headers['set-cookie']).toBeUndefined();
    expect(ends()).toMatchObject([{ outcome: 'provider-refused', status: 429, billedAttempt: null }]);
  });

  it.each([
    ['is not ours to pass on', error(401, '{"error":{"message":"bad key","type":"x"}}'), 'provider-refused'],
    [
      'would lead elsewhere',
      'HTTP/1.1 307 No\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n',
      'provider-failed',
    ],
    ['breaks off', '', 'provider-failed'],
    [
      'proves no handshake',
      'HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n',
      'provider-failed',
    ],
  ])('one whose answer %s is 502', async (_name, text, outcome) => {
    provider.onUpgrade = answer(text);
    expect(await expectUpgradeRefused(target())).toMatchObject({ status: 502, error: { code: 'upstream_failed' } });
    expect(ends()).toMatchObject([{ outcome, status: 502 }]);
  });

  it('one that does not answer is 504', async () => {
    provider.onUpgrade = () => undefined;
    expect(await expectUpgradeRefused(target())).toMatchObject({ status: 504 });
    expect(ends()).toMatchObject([{ outcome: 'timed-out', status: 504 }]);
  });

  it('one at an address that may not be called is 502, and not connected to', async () => {
    await restart({ PRIVATE_UPSTREAMS: [] });
    expect(await expectUpgradeRefused(target())).toMatchObject({ status: 502 });
    await restart({ PRIVATE_UPSTREAMS: [] }, provider.baseUrl.replace('127.0.0.1', 'localhost'));
    expect(await expectUpgradeRefused(target())).toMatchObject({ status: 502 });
    expect(provider.sockets).toHaveLength(0);
  });

  describe('is followed by the next', () => {
    let other: ScriptedProvider;
    beforeEach(async () => {
      other = await startSessionProvider();
      useTargets(gateway, [provider, other], {}, 'realtime-alias');
    });
    afterEach(() => {
      other.close();
    });

    it.each<[string, (request: IncomingMessage, socket: Duplex) => void, number | null]>([
      ['a fault', answer(error(500, '{}')), 500],
      ['a rate limit', answer(error(429, '{}', 'retry-after: 7\r\n')), 429],
      ['a refused credential', answer(error(401, '{}')), 401],
      ['a connection that breaks', answer(''), null],
      ['silence', () => undefined, null],
    ])('after %s, and its caller hears nothing of it', async (_name, onUpgrade, status) => {
      provider.onUpgrade = onUpgrade;
      const heard: string[] = [];
      other.onUpgrade = accept((socket) => {
        socket.on('message', (data) => heard.push((data as Buffer).toString()));
      });
      const caller = await openSession(target());
      caller.say({ type: 'response.create' });
      await eventually(() => heard.length === 1);
      expect(provider.requests).toHaveLength(1);
      expect(other.requests[0]?.url).toContain('model=second-0');
      caller.socket.close(1000);
      await eventually(() => ends().length === 1);
      expect(ends()).toMatchObject([{ outcome: 'completed', status: 101, attempts: [{ status }, { status: 101 }] }]);
    });

    it('and is not asked again while its credential is parked', async () => {
      provider.onUpgrade = answer(error(401, '{}'));
      for (let each = 0; each < 3; each += 1) (await openSession(target())).socket.close(1000);
      await eventually(() => ends().length === 3);
      expect([provider.requests.length, other.requests.length]).toEqual([1, 3]);
    });

    it('and where none agrees the last one’s refusal is told', async () => {
      provider.onUpgrade = answer('');
      other.onUpgrade = answer(error(503, '{"error":{"message":"full","type":"x"}}'));
      expect(await expectUpgradeRefused(target())).toMatchObject({ status: 503, error: { message: 'full' } });
      expect(ends()).toMatchObject([{ outcome: 'provider-failed', attempts: [{ status: null }, { status: 503 }] }]);
    });

    it('unless the fault is the caller’s', async () => {
      provider.onUpgrade = answer(error(400, '{"error":{"message":"no","type":"invalid_request_error"}}'));
      expect(await expectUpgradeRefused(target())).toMatchObject({ status: 400 });
      expect(other.requests).toHaveLength(0);
    });
  });

  it('is left alone at once when the caller leaves meanwhile', async () => {
    await restart({ UPSTREAM_HEADERS_TIMEOUT_MS: 20_000 });
    provider.onUpgrade = () => undefined;
    const closed = eventually(
      () => provider.sockets[0]?.destroyed === true || provider.sockets[0]?.readableEnded === true,
      5_000,
    );
    const lines = [
      'GET /v1/realtime?model=realtime-alias HTTP/1.1',
      'host: x',
      `authorization: Bearer ${gateway.config.bearer}`,
    ];
    const upgrade = [
      'connection: upgrade',
      'upgrade: websocket',
      'sec-websocket-version: 13',
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    ];
    const socket: Socket = connect(gateway.port, '127.0.0.1');
    socket.write([...lines, ...upgrade, '', ''].join('\r\n'));
    await eventually(() => provider.sockets.length === 1);
    provider.sockets[0]?.resume();
    socket.destroy();
    await closed;
    await eventually(() => ends().length === 1);
    expect(ends()).toMatchObject([{ outcome: 'caller-left', status: null }]);
  });

  it('is left alone when the process stops or the key is revoked meanwhile', async () => {
    await restart({ UPSTREAM_HEADERS_TIMEOUT_MS: 20_000 });
    provider.onUpgrade = () => undefined;
    const first = expectUpgradeRefused(target());
    await eventually(() => provider.sockets.length === 1);
    gateway.config.revoke(gateway.config.bearer);
    expect(await first).toMatchObject({ status: 401 });
    const second = expectUpgradeRefused({ ...target(), bearer: gateway.config.addKey({}) });
    await eventually(() => provider.sockets.length === 2);
    gateway.gateway.cutOpenCalls();
    expect(await second).toMatchObject({ status: 503 });
    expect(ends()).toMatchObject([{ outcome: 'interrupted' }, { outcome: 'interrupted' }]);
  });
});
