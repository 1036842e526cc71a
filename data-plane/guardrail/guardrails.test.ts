import { createHmac, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAddressRanges } from '@pingtoken/shared/address-ranges';
import { createSymmetricKey, encrypt } from '@pingtoken/shared/crypto';
import { guardrailSecretContext, type Guardrail } from '@pingtoken/shared/guardrail';
import {
  eventually,
  openRaw,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';
import { RouteWorld } from '../../test/kit/route-values.js';
import { createCatalogue } from '../config-link/catalogue.js';

interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

let upstream: ScriptedUpstream;
let fixture: GatewayFixture;
let server: Server;
let asked: Asked[];
let answer: RequestListener;
let port: number;

beforeEach(async () => {
  asked = [];
  answer = (_request, response) => response.end('{"action":"allow"}');
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => (text += chunk.toString()));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      asked.push({ method, url, headers, text });
      answer(request, response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
  upstream = await startUpstream((_request, response) => {
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end('{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}');
  });
});
afterEach(async () => {
  await fixture.close();
  upstream.close();
  server.close();
  server.closeAllConnections();
});

/** A gateway whose only route asks this guardrail. */
async function start(
  change: Partial<Guardrail> = {},
  environment: Parameters<typeof startGateway>[1] = {},
): Promise<void> {
  fixture = await startGateway(upstream.baseUrl, environment);
  const guardrail: Guardrail = {
    ...{ url: `http://127.0.0.1:${port}/judge`, timeoutMs: 20_000, onFault: 'closed', sends: 'body' },
    ...{ contentKeyId: '00000000-0000-4000-8000-000000000000', sealedSecret: 'x' },
    ...change,
  };
  Object.assign(fixture.config.routeList[0] ?? {}, { guardrail });
}

const SAID = '{"model":"chat-alias","seed":9007199254740993,"messages":[{"role":"user","content":"é 🙂"}]}';

function call(path = '/v1/chat/completions', body = SAID): Promise<Response> {
  return fetch(fixture.url + path, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${fixture.config.bearer}`,
      'content-type': 'application/json',
      cookie: 'a=secret-cookie',
      'x-forwarded-for': '203.0.113.9',
    },
    body,
  });
}

const errorOf = async (response: Response): Promise<{ code: string; message: string }> =>
  ((await response.json()) as { error: { code: string; message: string } }).error;

describe('a guardrail', () => {
  it('is asked before the provider is, with what the caller says and pseudonyms, signed', async () => {
    await start();
    let callsBefore = -1;
    answer = (_request, response) => {
      callsBefore = upstream.connections;
      response.end('{"action":"allow"}');
    };
    const response = await call();
    expect(response.status).toBe(200);
    expect(callsBefore).toBe(0);
    expect(upstream.requests).toHaveLength(1);
    expect(response.headers.get('server-timing')).toMatch(/guardrail;dur=/);
    const [question] = asked;
    expect(asked).toHaveLength(1);
    expect([question?.method, question?.url]).toEqual(['POST', '/judge']);
    // Byte for byte: a large number would not outlive being read and written.
    expect(question?.text).toContain(`"body":${SAID}}`);
    const { body, ...facts } = JSON.parse(question?.text ?? '') as Record<string, unknown>;
    expect(body).toMatchObject({ model: 'chat-alias' });
    expect(facts).toEqual({
      ...{ version: 1, requestId: response.headers.get('x-request-id'), operation: 'chat-completions' },
      ...{ model: 'chat-alias', dialect: 'openai', streamed: false },
      tenant: expect.stringMatching(/^[\w-]{16}$/) as unknown,
      key: expect.stringMatching(/^[\w-]{16}$/) as unknown,
    });
    const everything = JSON.stringify([question?.headers, question?.text]);
    for (const account of fixture.config.accounts.values()) {
      for (const id of [account.tenant.id, account.apiKey.id, account.apiKey.memberId]) {
        expect(everything).not.toContain(id);
      }
    }
    for (const secret of [fixture.config.bearer, fixture.config.secret, '203.0.113.9', '127.0.0.9', 'secret-cookie']) {
      expect(everything).not.toContain(secret);
    }
  });

  it('can tell that we are the sender, by Standard Webhooks', async () => {
    await start();
    await call();
    const [question] = asked;
    const {
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': signature,
    } = question?.headers ?? {};
    const key = fixture.config.guardrailKey ?? Buffer.alloc(0);
    const expected = createHmac('sha256', key)
      .update(`${String(id)}.${String(timestamp)}.${question?.text ?? ''}`)
      .digest('base64');
    expect(signature).toBe(`v1,${expected}`);
    expect(Math.abs(Number(timestamp) * 1000 - Date.now())).toBeLessThan(120_000);
  });

  it('is told nothing of what is said where the route sends facts only', async () => {
    await start({ sends: 'facts' });
    expect((await call()).status).toBe(200);
    expect(asked[0]?.text).not.toContain('messages');
    expect(JSON.parse(asked[0]?.text ?? '')).toMatchObject({ model: 'chat-alias' });
  });

  it.each([
    ['/v1/chat/completions', SAID],
    ['/v1/messages', '{"model":"chat-alias","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}'],
    ['/v1beta/models/chat-alias:generateContent', '{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}'],
  ])(
    'that blocks makes %s an error of its dialect, recorded without tokens, and the provider hears nothing',
    async (path, said) => {
      await start();
      answer = (_request, response) => response.end('{"action":"block","message":"No \\u0000weapons.\\nPlease."}');
      const response = await call(path, said);
      expect(response.status).toBe(400);
      expect(await response.text()).toContain('No weapons. Please.');
      expect(response.headers.get('x-should-retry')).toBe('false');
      expect(upstream.connections).toBe(0);
      await eventually(() => fixture.spool.ends.length === 1);
      const [end] = fixture.spool.ends;
      expect(end).toMatchObject({
        outcome: 'blocked',
        status: 400,
        attempts: [],
        billedAttempt: null,
        firstByteMs: null,
      });
      expect(end?.eventId).toBe(response.headers.get('x-request-id'));
      expect(fixture.spool.starts).toHaveLength(1);
    },
  );

  it('that blocks a call which cannot be recorded is not heard either', async () => {
    await start();
    answer = (_request, response) => response.end('{"action":"block"}');
    fixture.spool.isBroken = true;
    expect((await errorOf(await call())).code).toBe('spool_unavailable');
    expect(upstream.connections).toBe(0);
  });

  it('of a fallback is asked too, once, and its word holds for the call', async () => {
    await start();
    const [own, other] = fixture.config.routeList;
    if (own === undefined || other === undefined) throw new Error('no route');
    fixture.config.routeList.push({ ...own, id: other.id, position: 1 });
    delete own.guardrail;
    answer = (_request, response) => response.end('{"action":"block"}');
    expect((await errorOf(await call())).code).toBe('guardrail_blocked');
    expect(asked).toHaveLength(1);
    expect(upstream.connections).toBe(0);
  });

  it('is not asked for calls that other routes serve, nor for callers that nobody knows', async () => {
    await start();
    const vectors = await call('/v1/embeddings', '{"model":"embedding-alias","input":"a"}');
    expect(vectors.status).toBe(200);
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: SAID };
    expect((await fetch(`${fixture.url}/v1/chat/completions`, init)).status).toBe(401);
    expect(asked).toEqual([]);
  });
});

const LONG_MS = 20_000;
const FAULTS: readonly (readonly [string, RequestListener, number])[] = [
  ['is silent', () => undefined, 2_000],
  ['stops in the middle', (_request, response) => response.writeHead(200).write('{"action":'), 2_000],
  ['answers garbage', (_request, response) => response.end('{"action":"perhaps"}'), LONG_MS],
  ['answers nothing', (_request, response) => response.end(), LONG_MS],
  ['says no by a status', (_request, response) => response.writeHead(500).end('{"action":"allow"}'), LONG_MS],
  ['redirects', (_request, response) => response.writeHead(307, { location: '/x' }).end('{"action":"allow"}'), LONG_MS],
  ['is long', (_request, response) => response.end(`{"action":"allow","x":"${'y'.repeat(20_000)}"}`), LONG_MS],
  ['breaks off', (_request, response) => response.destroy(), LONG_MS],
];

describe.each(FAULTS)('a guardrail that %s', (_what, respond, timeoutMs) => {
  it.each([
    ['closed', 503],
    ['open', 200],
  ] as const)('fails %s as its route says, and is not asked again', async (onFault, status) => {
    await start({ onFault, timeoutMs });
    answer = respond;
    const response = await call();
    expect(response.status).toBe(status);
    if (onFault === 'closed') expect((await errorOf(response)).code).toBe('guardrail_unavailable');
    expect(asked).toHaveLength(1);
    expect(upstream.requests).toHaveLength(onFault === 'open' ? 1 : 0);
  });
});

describe('what a guardrail could not judge as a whole', () => {
  it('is refused: a session', async () => {
    await start();
    fixture.config.addModel('talker', 'realtime', 'talker');
    Object.assign(fixture.config.routeList.at(-1) ?? {}, { guardrail: fixture.config.routeList[0]?.guardrail });
    const lines = ['GET /v1/realtime?model=talker HTTP/1.1', 'host: x', 'connection: upgrade', 'upgrade: websocket'];
    const rest = ['sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='];
    const key = `authorization: Bearer ${fixture.config.bearer}`;
    const text = await openRaw(fixture.port, [...lines, ...rest, key, '', ''].join('\r\n')).closed();
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain('guardrail_blocked');
    expect(upstream.connections).toBe(0);
    expect(asked).toEqual([]);
  });

  it('is refused: a batch, and the file that is its input', async () => {
    await start();
    fixture.config.addModel('batched', 'chat-completions', 'batched', { operations: ['chat-completions', 'batches'] });
    Object.assign(fixture.config.routeList.at(-1) ?? {}, { guardrail: fixture.config.routeList[0]?.guardrail });
    const line = {
      custom_id: 'a',
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: 'batched', messages: [] },
    };
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set('file', new Blob([`${JSON.stringify(line)}\n`]), 'input.jsonl');
    const headers = { authorization: `Bearer ${fixture.config.bearer}` };
    const response = await fetch(`${fixture.url}/v1/files`, { method: 'POST', headers, body: form });
    expect((await errorOf(response)).code).toBe('guardrail_blocked');
    expect(upstream.connections).toBe(0);
  });
});

describe('the secret of a guardrail', () => {
  const ROUTE_ID = randomUUID();
  const contentKeyId = randomUUID();
  const contentKey = createSymmetricKey();
  const secret = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;
  const sealed = (routeId: string, url: string): string =>
    encrypt(contentKey, secret, guardrailSecretContext(routeId, url)).toString('base64url');

  /** @param sealedFor the address that the secret was given for */
  function keyOf(sealedFor: string, routeId = ROUTE_ID): Buffer | undefined {
    const guardrail: Guardrail = {
      ...{ url: 'https://guard.example/v2', timeoutMs: 100, onFault: 'open', sends: 'facts', contentKeyId },
      sealedSecret: sealed(routeId, sealedFor),
    };
    const route = { ...new RouteWorld().addRoute([]), id: ROUTE_ID, guardrail };
    const contentKeys = new Map([[contentKeyId, contentKey]]);
    const catalogue = createCatalogue({ position: { epoch: 1, seq: 1 }, objects: [route], contentKeys });
    return catalogue.guardrailKeyOf(route);
  }

  it('opens for its route and host, whatever the path', async () => {
    await start();
    expect(keyOf('https://guard.example/v1')?.equals(Buffer.alloc(32, 9))).toBe(true);
    expect(keyOf('https://else.example/v1')).toBeUndefined();
    expect(keyOf('https://guard.example/v1', randomUUID())).toBeUndefined();
  });
});

describe('where a guardrail may be', () => {
  it('is judged when it is connected to, as a provider is', async () => {
    await start({}, { PRIVATE_UPSTREAMS: parseAddressRanges('10.0.0.0/8') });
    expect((await errorOf(await call())).code).toBe('guardrail_unavailable');
    expect(asked).toEqual([]);
  });

  it('matters not where its secret cannot be opened: it is not asked unsigned', async () => {
    await start();
    fixture.config.guardrailKey = undefined;
    expect((await errorOf(await call())).code).toBe('guardrail_unavailable');
    expect(asked).toEqual([]);
  });
});
