import { once } from 'node:events';
import { createSecureServer, type Http2SecureServer, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startGateway, type GatewayFixture } from '../../test/kit/gateway-fixture.js';
import { makeSelfSigned } from '../../test/kit/self-signed.js';
import { waitFor } from '../../test/kit/wait-for.js';

/** A provider that speaks both; each of its streams goes on until it is told to end. */
const certificate = makeSelfSigned();
const trusted = getCACertificates('default');
const WAIT = { timeoutMs: 20_000 };
const EVENT = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n';

let provider: Http2SecureServer;
let versions: string[];
let sessions: number;
let streams: Http2ServerResponse[];
let fixture: GatewayFixture;

beforeAll(() => {
  setDefaultCACertificates([...trusted, certificate.cert]);
});
afterAll(() => {
  setDefaultCACertificates(trusted);
});
beforeEach(async () => {
  [versions, sessions, streams] = [[], 0, []];
  provider = createSecureServer({ ...certificate, allowHTTP1: true });
  provider.on('session', () => {
    sessions += 1;
  });
  provider.on('request', (request, response) => {
    versions.push(request.httpVersion);
    request.resume();
    response.on('error', () => undefined);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(EVENT);
    streams.push(response);
  });
  provider.listen(0, '127.0.0.1');
  await once(provider, 'listening');
});
afterEach(async () => {
  await fixture.close();
  provider.close();
});

async function start(setting: 'on' | 'off', warmConnections = 0): Promise<void> {
  const { port } = provider.address() as AddressInfo;
  fixture = await startGateway(`https://127.0.0.1:${port}/v1`, {
    UPSTREAM_HTTP2: setting,
    WARM_CONNECTIONS: warmConnections,
  });
}

interface Stream {
  readonly controller: AbortController;
  /** The next piece, undefined at the end. */
  readonly next: () => Promise<string | undefined>;
}

async function openStream(): Promise<Stream> {
  const controller = new AbortController();
  const response = await fetch(`${fixture.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${fixture.config.bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'chat-alias', messages: [], stream: true, stream_options: { include_usage: true } }),
    signal: controller.signal,
  });
  expect(response.status).toBe(200);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  return { controller, next: async () => (await reader?.read())?.value };
}

describe('HTTP/2 to providers', () => {
  it('is off by default, though the provider offers it', async () => {
    await start('off');
    const stream = await openStream();
    expect(await stream.next()).toBe(EVENT);
    expect(versions).toEqual(['1.1']);
    stream.controller.abort();
  });

  it('brings each event as it comes, on a connection that was warm, and ends as the provider ends', async () => {
    await start('on', 1);
    await waitFor(() => sessions === 1, { ...WAIT, what: 'a warm connection' });
    const stream = await openStream();
    expect(versions).toEqual(['2.0']);
    expect(sessions).toBe(1);
    expect(await stream.next()).toBe(EVENT);
    streams[0]?.write('data: [DONE]\n\n');
    expect(await stream.next()).toBe('data: [DONE]\n\n');
    streams[0]?.end();
    expect(await stream.next()).toBeUndefined();
  });

  it('ends the exchange of a caller that leaves, and no other', async () => {
    await start('on');
    const leaving = await openStream();
    const staying = await openStream();
    expect(versions).toEqual(['2.0', '2.0']);
    await leaving.next();
    await staying.next();
    leaving.controller.abort();
    await waitFor(() => streams[0]?.stream.destroyed === true, { ...WAIT, what: 'the provider to hear of it' });
    streams[1]?.end('data: [DONE]\n\n');
    expect(await staying.next()).toBe('data: [DONE]\n\n');
    expect(await staying.next()).toBeUndefined();
  });
});
