import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RelayFixture, UPSTREAM_CLIENTS } from '../test/kit/relay-fixture.js';
import {
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../test/kit/gateway-fixture.js';

/** As a browser reads it: name to milliseconds. */
function timingOf(response: { headers: Headers }): Record<string, number> {
  const header = response.headers.get('server-timing') ?? '';
  return Object.fromEntries(
    header.split(', ').map((entry) => {
      const match = /^([a-z]+);dur=(\d+(?:\.\d{1,3})?)$/.exec(entry);
      expect(match, `server-timing: ${header}`).not.toBeNull();
      return [match?.[1] ?? '', Number(match?.[2])];
    }),
  );
}

/** How long the scripted provider takes: much more than what we do, whatever machine this runs on. */
const PROVIDER_MS = 300;

describe.each(UPSTREAM_CLIENTS)('server-timing of a call by $client', (way) => {
  let relay: RelayFixture;
  beforeEach(async () => {
    relay = await RelayFixture.open(way.path);
    await relay.restart({ UPSTREAM_HEADERS_TIMEOUT_MS: 20_000 });
  });
  afterEach(() => relay.close());

  it('tells the gateway’s share apart from what the provider took', async () => {
    relay.respond((response) => {
      setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'), PROVIDER_MS);
    });
    const before = performance.now();
    const response = await relay.send();
    const elapsedMs = performance.now() - before;
    const { gateway = NaN, upstream = NaN } = timingOf(response);
    expect(upstream).toBeGreaterThanOrEqual(PROVIDER_MS - 1);
    expect(gateway).toBeGreaterThan(0);
    expect(gateway + upstream).toBeLessThanOrEqual(elapsedMs);
  });

  it('is on the provider’s own error too', async () => {
    relay.respond((response) => {
      setTimeout(() => response.writeHead(422, { 'content-type': 'application/json' }).end('{}'), PROVIDER_MS);
    });
    const { upstream } = timingOf(await relay.send());
    expect(upstream).toBeGreaterThanOrEqual(PROVIDER_MS - 1);
  });
});

describe('server-timing of every answer', () => {
  let upstream: ScriptedUpstream;
  let fixture: GatewayFixture;
  beforeEach(async () => {
    upstream = await startUpstream((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n');
      setTimeout(() => response.end('data: [DONE]\n\n'), 50);
    });
    fixture = await startGateway(upstream.baseUrl);
  });
  afterEach(async () => {
    await fixture.close();
    upstream.close();
  });

  const post = (path: string, body: object, key = fixture.config.bearer): Promise<Response> =>
    fetch(fixture.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const MESSAGES = [{ role: 'user', content: 'Hi' }];

  it.each([
    [
      'a stream that goes on as it comes',
      '/v1/chat/completions',
      { model: 'chat-alias', messages: MESSAGES, stream: true },
    ],
    [
      'a stream of another dialect',
      '/v1/messages',
      { model: 'chat-alias', messages: MESSAGES, stream: true, max_tokens: 9 },
    ],
  ])('%s', async (_name, path, body) => {
    const response = await post(path, body);
    expect(response.status).toBe(200);
    expect(Object.keys(timingOf(response))).toContain('gateway');
    await response.text();
  });

  it('counts a translated body’s way from the provider as the provider’s', async () => {
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      const answer = { id: 'c', choices: [{ index: 0, message: { role: 'assistant', content: 'a' } }] };
      setTimeout(() => response.end(JSON.stringify(answer)), PROVIDER_MS);
    };
    const response = await post('/v1/messages', { model: 'chat-alias', messages: MESSAGES, max_tokens: 9 });
    expect(response.status).toBe(200);
    expect(timingOf(response)['upstream']).toBeGreaterThanOrEqual(PROVIDER_MS - 1);
  });

  it('refusals, of each dialect, and questions that no provider is asked', async () => {
    const chat = { model: 'nobody-knows', messages: MESSAGES, contents: [], max_tokens: 9 };
    for (const path of ['/v1/chat/completions', '/v1/messages', '/v1beta/models/x:generateContent', '/v1/nowhere']) {
      const response = await post(path, chat);
      expect(response.status, path).toBeGreaterThanOrEqual(400);
      expect(Object.keys(timingOf(response)), path).toContain('gateway');
      expect(Object.keys(timingOf(response)), path).not.toContain('upstream');
    }
    const unknown = await post('/v1/chat/completions', chat, 'sk-unknown');
    expect(Object.keys(timingOf(unknown))).toEqual(['gateway']);
    const listed = await fetch(`${fixture.url}/v1/models`, {
      headers: { authorization: `Bearer ${fixture.config.bearer}` },
    });
    expect(Object.keys(timingOf(listed))).toEqual(['gateway']);
  });

  it('a caller that is slow to send is not the gateway’s share', async () => {
    const text = JSON.stringify({ model: 'chat-alias', messages: MESSAGES, stream: true });
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(Buffer.from(text.slice(0, 5)));
        setTimeout(() => {
          controller.enqueue(Buffer.from(text.slice(5)));
          controller.close();
        }, PROVIDER_MS);
      },
    });
    const response = await fetch(`${fixture.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${fixture.config.bearer}`, 'content-type': 'application/json' },
      body,
      duplex: 'half',
    });
    expect(timingOf(response)['receive']).toBeGreaterThan(PROVIDER_MS / 2);
    await response.text();
  });
});
