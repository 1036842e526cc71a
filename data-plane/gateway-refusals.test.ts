import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  openRaw,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../test/kit/gateway-fixture.js';

const messages = [{ role: 'user' as const, content: 'Hi' }];
let upstream: ScriptedUpstream;
let fixture: GatewayFixture;
let client: OpenAI;

beforeAll(async () => {
  upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"choices":[],"usage":{"prompt_tokens":1}}');
  });
});

afterAll(() => {
  upstream.close();
});

beforeEach(async () => {
  upstream.requests.length = 0;
  upstream.connections = 0;
  fixture = await startGateway(upstream.baseUrl, { MAX_BODY_BYTES: 100_000, RECEIVE_TIMEOUT_MS: 400 });
  client = new OpenAI({ apiKey: fixture.config.bearer, baseURL: `${fixture.url}/v1`, maxRetries: 0 });
});

afterEach(async () => {
  await fixture.close();
  expect(upstream.requests).toHaveLength(0);
  expect(fixture.spool.starts).toHaveLength(0);
});

function call(model = 'chat-alias', apiKey = fixture.config.bearer): Promise<unknown> {
  return client.withOptions({ apiKey }).chat.completions.create({ model, messages });
}

function post(body: string | Buffer, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${fixture.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${fixture.config.bearer}`, 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
}

async function codeOf(response: Response): Promise<unknown> {
  const { error } = (await response.json()) as {
    error: { code: string; message: string; type: string; param: unknown };
  };
  expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type']);
  return error.code;
}

describe('the official client raises its typed error', () => {
  it('for keys that are unknown, revoked or expired', async () => {
    const revoked = fixture.config.addKey({ status: 'revoked' });
    const expired = fixture.config.addKey({ expiresAt: Date.now() - 1 });
    for (const key of ['pt-unknown', revoked, expired]) {
      const error: unknown = await call('chat-alias', key).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
      expect(error).toMatchObject({ status: 401, code: 'invalid_api_key' });
      expect(String(error)).not.toContain(key);
    }
    await expect(call('chat-alias', fixture.config.addKey({ expiresAt: Date.now() - 1 }))).rejects.toBeInstanceOf(
      OpenAI.AuthenticationError,
    );
  });

  it('for a suspended account, and for a key without a member', async () => {
    const suspended = fixture.config.addKey({}, { status: 'suspended' });
    await expect(call('chat-alias', suspended)).rejects.toMatchObject({ status: 403, code: 'tenant_suspended' });
    const orphan = fixture.config.addKey({});
    for (const [hash, account] of fixture.config.accounts)
      fixture.config.accounts.set(hash, { ...account, member: undefined });
    await expect(call('chat-alias', orphan)).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it('for a model that is unknown, off, or of another kind', async () => {
    fixture.config.addModel('off', 'chat-completions', 'x', { status: 'disabled' });
    for (const model of ['no-such-model', 'off', 'embedding-alias']) {
      const error: unknown = await call(model).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OpenAI.NotFoundError);
      expect(error).toMatchObject({ code: 'model_not_found', param: 'model' });
    }
  });

  it('for a model whose every route is another tenant’s or through a disabled provider', async () => {
    fixture.config.addModel('private', 'chat-completions', 'x');
    const route = fixture.config.routeList.at(-1);
    if (route) fixture.config.routeList[fixture.config.routeList.length - 1] = { ...route, tenantId: randomUUID() };
    await expect(call('private')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    Object.assign(fixture.config.provider, { status: 'disabled' });
    await expect(call()).rejects.toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('for a provider that the tenant has not granted', async () => {
    const stranger = fixture.config.addKey({}, { grantedProviderIds: [randomUUID()] });
    const error: unknown = await call('chat-alias', stranger).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
    expect(error).toMatchObject({ code: 'provider_not_granted' });
  });

  it('for a model without a price in force', async () => {
    fixture.config.addModel('priceless', 'chat-completions', 'x', { priceCardId: null });
    await expect(call('priceless')).rejects.toMatchObject({ status: 403, code: 'price_missing' });
    Object.assign(fixture.config.rateCard.versions[0] ?? {}, { effectiveFrom: Date.now() + 60_000 });
    await expect(call()).rejects.toMatchObject({ status: 403, code: 'price_missing' });
  });

  it('where usage cannot be recorded', async () => {
    fixture.spool.isBroken = true;
    await expect(call()).rejects.toMatchObject({ status: 503, code: 'spool_unavailable' });
  });

  it('and tries again by itself only what may succeed', async () => {
    for (const [key, retries] of [
      ['pt-unknown', 0],
      [fixture.config.bearer, 1],
    ] as const) {
      fixture.spool.isBroken = true;
      const seen: string[] = [];
      const counting = new OpenAI({
        apiKey: key,
        baseURL: `${fixture.url}/v1`,
        maxRetries: 1,
        fetch: (input, init) => {
          seen.push('sent');
          return fetch(input, init);
        },
      });
      await expect(counting.chat.completions.create({ model: 'chat-alias', messages })).rejects.toBeInstanceOf(
        OpenAI.APIError,
      );
      expect(seen).toHaveLength(retries + 1);
    }
  });
});

describe('a body is refused', () => {
  it('when a field is given twice, in any spelling', async () => {
    const response = await post('{"model":"chat-alias","m\\u006fdel":"embedding-alias","messages":[]}');
    expect(response.status).toBe(400);
    expect(await codeOf(response)).toBe('duplicate_field');
  });

  it('when it is no JSON or no UTF-8', async () => {
    expect(await codeOf(await post('{"model":'))).toBe('malformed_json');
    expect(await codeOf(await post(Buffer.from([0x7b, 0xff, 0x7d])))).toBe('malformed_json');
  });

  it('when its type is another, or it is compressed', async () => {
    for (const headers of [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/jsonx' },
      { 'content-encoding': 'gzip' },
    ]) {
      const response = await post('{"model":"chat-alias"}', headers);
      expect(response.status).toBe(415);
      expect(await codeOf(response)).toBe('unsupported_media_type');
    }
  });
});

const head = (lines: readonly string[], key = fixture.config.bearer): string =>
  [
    'POST /v1/chat/completions HTTP/1.1',
    'host: x',
    `authorization: Bearer ${key}`,
    'content-type: application/json',
    ...lines,
    '',
    '',
  ].join('\r\n');

describe('nothing is read for a caller who may not call', () => {
  it.each(['content-length: 50000000', 'transfer-encoding: chunked'])(
    'the answer comes and the connection ends (%s)',
    async (framing) => {
      const started = performance.now();
      const raw = openRaw(fixture.port, head([framing], 'pt-unknown'));
      const answer = await raw.closed();
      expect(answer).toMatch(/^HTTP\/1\.1 401 /);
      expect(answer).toContain('connection: close');
      expect(answer).toContain('"code":"invalid_api_key"');
      expect(performance.now() - started).toBeLessThan(2_000);
    },
  );

  it('and none is given leave to send', async () => {
    const raw = openRaw(fixture.port, head(['content-length: 10', 'expect: 100-continue'], 'pt-unknown'));
    expect(await raw.closed()).toMatch(/^HTTP\/1\.1 401 /);
  });

  it('while one who may is given it', async () => {
    const raw = openRaw(fixture.port, head(['content-length: 2', 'expect: 100-continue']));
    await eventually(() => raw.received().includes('100 Continue'));
    raw.socket.write('{}');
    await eventually(() => raw.received().includes('"param":"model"'));
    raw.socket.destroy();
  });

  it('a caller that is refused in the middle of a large upload still gets the answer', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const upload = httpRequest(
        `${fixture.url}/v1/chat/completions`,
        { method: 'POST', headers: { authorization: 'Bearer x' } },
        (response) => {
          resolve(response.statusCode);
          response.resume();
        },
      );
      upload.on('error', reject);
      for (let round = 0; round < 40; round += 1) upload.write(Buffer.alloc(65_536, 'x'));
    });
    expect(status).toBe(401);
  });
});

describe('a body that is too long', () => {
  it('by its declared length is refused before it is read', async () => {
    const raw = openRaw(fixture.port, head(['content-length: 100001']));
    const answer = await raw.closed();
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('"code":"body_too_large"');
  });

  it('by what comes is refused as soon as it is', async () => {
    const raw = openRaw(fixture.port, head(['transfer-encoding: chunked']));
    for (let round = 0; round < 30; round += 1) raw.socket.write(`1000\r\n${'x'.repeat(4096)}\r\n`);
    expect(await raw.closed()).toMatch(/^HTTP\/1\.1 413 /);
    expect(upstream.connections).toBe(0);
  });
});

describe('a request that two readers could read differently', () => {
  it.each([
    ['two Host headers', 'GET /v1/models HTTP/1.1\r\nhost: a\r\nHOST: b\r\n\r\n'],
    ['no Host header', 'GET /v1/models HTTP/1.1\r\n\r\n'],
    ['an absolute target', 'GET http://evil.example/v1/models HTTP/1.1\r\nhost: a\r\n\r\n'],
    ['an asterisk', 'OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n'],
    [
      'both framings',
      'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'two lengths',
      'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!',
    ],
    ['a folded header', 'GET /v1/models HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n'],
    ['a bare line feed in a header', 'GET /v1/models HTTP/1.1\r\nhost: a\r\nx: y\nauthorization: z\r\n\r\n'],
    ['a space before the colon', 'GET /v1/models HTTP/1.1\r\nhost : a\r\n\r\n'],
    ['garbage', 'not http at all\r\n\r\n'],
  ])('is 400: %s', async (_name, text) => {
    const raw = openRaw(fixture.port, text);
    await eventually(() => raw.received() !== '');
    expect(raw.received()).toMatch(/^HTTP\/1\.1 400 /);
    raw.socket.destroy();
  });

  it('is 431 with a head beyond measure, in the form of an error', async () => {
    const raw = openRaw(fixture.port, `GET /v1/models HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(40_000)}\r\n\r\n`);
    const answer = await raw.closed();
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('{"error":{');
  });
});

describe('a slow sender', () => {
  it('is cut off with 408', async () => {
    const raw = openRaw(fixture.port, head(['content-length: 100']));
    raw.socket.write('{"model"');
    const answer = await raw.closed();
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('{"error":{');
  });
});

describe('a path', () => {
  it('that is unknown is 404, with another method 405', async () => {
    for (const path of [
      '/',
      '/v1',
      '/v1/chat',
      '/v1/chat/completions/',
      '/v1//chat/completions',
      '/V1/chat/completions',
      '/passthrough/',
      '/passthrough/sim',
      '/v1/models/%E0%A4%A',
    ]) {
      const response = await fetch(fixture.url + path);
      expect([path, response.status, await codeOf(response)]).toEqual([path, 404, 'unknown_path']);
    }
    const response = await fetch(`${fixture.url}/v1/chat/completions`, { method: 'GET' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
    expect(await codeOf(response)).toBe('method_not_allowed');
  });
});

describe('a pass-through path', () => {
  const get = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(fixture.url + path, { ...init, headers: { authorization: `Bearer ${fixture.config.bearer}` } });

  it('is off unless the config names it, with its method', async () => {
    expect((await get('/passthrough/sim/files')).status).toBe(404);
    fixture.config.addPassthrough('GET', '/files/*');
    for (const path of [
      '/passthrough/sim/files',
      '/passthrough/sim/files/',
      '/passthrough/sim/files/a/b',
      '/passthrough/other/files/a',
      '/passthrough/sim/files/..%2fmodels',
    ]) {
      const response = await get(path);
      expect([path, await codeOf(response)]).toEqual([path, 'unknown_path']);
    }
    expect((await get('/passthrough/sim/files/a', { method: 'DELETE' })).status).toBe(404);
  });

  it('is never one that is metered, whatever the config says and however it is spelt', async () => {
    fixture.config.addPassthrough('POST', '/chat/completions');
    fixture.config.addPassthrough('POST', '/*/*');
    fixture.config.addPassthrough('POST', '/*');
    for (const path of [
      'chat/completions',
      'chat/completions?x',
      'chat%2Fcompletions',
      '/chat//completions',
      'x/../chat/completions',
      'x/%2e%2e/chat/completions',
      'Chat/Completions',
      'embeddings',
      'embedding%73',
      'responses/',
    ]) {
      const raw = openRaw(
        fixture.port,
        `POST /passthrough/sim/${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${fixture.config.bearer}\r\ncontent-length: 0\r\n\r\n`,
      );
      await eventually(() => raw.received() !== '');
      expect(raw.received(), path).toContain('"code":"metered_path"');
      raw.socket.destroy();
    }
  });

  it('needs the provider’s grant and a price in force', async () => {
    fixture.config.addPassthrough('GET', '/files');
    const stranger = fixture.config.addKey({}, { grantedProviderIds: [] });
    const response = await fetch(`${fixture.url}/passthrough/sim/files`, {
      headers: { authorization: `Bearer ${stranger}` },
    });
    expect(await codeOf(response)).toBe('provider_not_granted');
    Object.assign(fixture.config.rateCard.versions[0] ?? {}, { effectiveFrom: Date.now() + 60_000 });
    expect(await codeOf(await get('/passthrough/sim/files'))).toBe('price_missing');
  });
});
