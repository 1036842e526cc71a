import { once } from 'node:events';
import { createServer as createPlainServer, type Server } from 'node:http';
import { createServer as createTlsServer, request as httpsRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { Agent } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAddressRanges } from '@pingtoken/shared/address-ranges';
import { MemoryConfig } from '../../test/kit/gateway-fixture.js';
import { makeSelfSigned } from '../../test/kit/self-signed.js';
import { waitFor } from '../../test/kit/wait-for.js';
import { createUpstreamAddresses, createUpstreamAgents, createUpstreamConnector } from './upstream-address.js';
import { createWarmConnections, takeWarmFirst, type WarmConnections } from './warm-connections.js';

/** A provider that notes what reaches it. */
interface Place {
  readonly server: Server;
  readonly origin: string;
  readonly sockets: Socket[];
  requests: number;
  bytes: number;
}

async function openPlace(server: Server, protocol: 'http' | 'https'): Promise<Place> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const place: Place = { server, origin: `${protocol}://127.0.0.1:${port}`, sockets: [], requests: 0, bytes: 0 };
  server.on(protocol === 'https' ? 'secureConnection' : 'connection', (socket: Socket) => {
    place.sockets.push(socket);
  });
  server.on('request', (_request, response) => {
    place.requests += 1;
    response.end('served');
  });
  return place;
}

const certificate = makeSelfSigned();
const trusted = getCACertificates('default');
let place: Place;
let now: number;
let config: MemoryConfig;
let warm: WarmConnections;
let asked: string[];

beforeAll(() => {
  setDefaultCACertificates([...trusted, certificate.cert]);
});
afterAll(() => {
  setDefaultCACertificates(trusted);
});

const WAIT = { timeoutMs: 20_000, intervalMs: 5 };
const ready = (count: number, what = `${count} connections`): Promise<unknown> =>
  waitFor(
    () => {
      warm.tend(config.catalogue);
      return warm.size() === count && place.sockets.filter((socket) => !socket.destroyed).length >= count;
    },
    { ...WAIT, what },
  );

const addresses = (ranges = '127.0.0.0/8', at = '127.0.0.1') =>
  createUpstreamAddresses({
    privateUpstreams: parseAddressRanges(ranges),
    resolve: (host, _options, callback) => {
      asked.push(host);
      setImmediate(callback, null, [{ address: at, family: 4 }]);
    },
  });

function open(change: { readonly perOrigin?: number; readonly ranges?: string; readonly baseUrl?: string } = {}): void {
  config = new MemoryConfig(`${change.baseUrl ?? place.origin}/v1`);
  const connect = createUpstreamConnector(addresses(change.ranges), 5_000);
  warm = createWarmConnections({ connect, perOrigin: change.perOrigin ?? 1, clock: () => now });
}

beforeEach(async () => {
  now = 1_700_000_000_000;
  asked = [];
  place = await openPlace(createPlainServer(), 'http');
});
afterEach(() => {
  warm.close();
  place.server.close();
  place.server.closeAllConnections();
});

describe('a warm connection', () => {
  it('is made for the targets of the config before anybody calls, and sends nothing', async () => {
    open({ perOrigin: 2 });
    const seen: Buffer[] = [];
    place.server.on('connection', (socket: Socket) => socket.on('data', (chunk: Buffer) => seen.push(chunk)));
    await ready(2);
    warm.tend(config.catalogue);
    expect(place.sockets).toHaveLength(2);
    expect(place.requests).toBe(0);
    expect(seen).toEqual([]);
  });

  it('is not made without a config, nor where none are wanted', async () => {
    open();
    warm.tend(undefined);
    expect(warm.size()).toBe(0);
    open({ perOrigin: 0 });
    warm.used(place.origin);
    warm.tend(config.catalogue);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(place.sockets).toEqual([]);
  });

  it('is gone at the next look when its provider is switched off, and comes no more', async () => {
    open();
    await ready(1);
    const [socket] = place.sockets;
    Object.assign(config.provider, { status: 'disabled' });
    warm.used(place.origin);
    warm.tend(config.catalogue);
    expect(warm.size()).toBe(0);
    await waitFor(() => socket?.destroyed, { ...WAIT, what: 'the end of the connection' });
    warm.tend(config.catalogue);
    expect(place.sockets).toHaveLength(1);
  });

  it('is let go when no call has gone there for ten minutes', async () => {
    open();
    await ready(1);
    now += 10 * 60_000 + 1;
    warm.tend(config.catalogue);
    expect(warm.size()).toBe(0);
    warm.used(place.origin);
    await ready(1);
  });

  it('is replaced before the provider would close it', async () => {
    open();
    await ready(1);
    now += 15_001;
    expect(warm.take(place.origin)).toBeUndefined();
    await ready(1);
    expect(place.sockets).toHaveLength(2);
  });

  it('is replaced after the provider has closed it, later and later', async () => {
    open();
    await ready(1);
    for (const pauseMs of [1_000, 2_000, 4_000]) {
      place.sockets.at(-1)?.end();
      await waitFor(() => warm.size() === 0, { ...WAIT, what: 'the loss to be seen' });
      const before = place.sockets.length;
      now += pauseMs - 1;
      warm.tend(config.catalogue);
      await new Promise((resolve) => setTimeout(resolve, 30));
      now += 1;
      expect(place.sockets).toHaveLength(before);
      await ready(1);
    }
  });

  it.each([
    ['says that it has waited too long', (socket: Socket) => socket.write('HTTP/1.1 408 Request Timeout\r\n\r\n')],
    ['resets it', (socket: Socket) => socket.resetAndDestroy()],
  ])('is given to nobody once the provider %s', async (_what, act) => {
    open();
    await ready(1);
    const [socket] = place.sockets;
    if (socket !== undefined) act(socket);
    await waitFor(() => warm.size() === 0, { ...WAIT, what: 'the loss to be seen' });
    expect(warm.take(place.origin)).toBeUndefined();
  });

  it('is kept for the 64 origins used last at most', async () => {
    open();
    await ready(1);
    for (let at = 1; at < 100; at += 1) {
      now += 1;
      warm.used(`http://127.0.0.1:${at}`);
    }
    expect(warm.size()).toBe(0);
  });
});

describe('where a warm connection may go', () => {
  it('is judged like any other: an address that is forbidden is not connected to', async () => {
    open({ ranges: '10.0.0.0/8' });
    for (let round = 0; round < 5; round += 1) {
      now += 120_000;
      warm.used(place.origin);
      warm.tend(config.catalogue);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(place.sockets).toEqual([]);
    expect(warm.size()).toBe(0);
  });

  it('is the address that the name stood for when it was judged', async () => {
    const { port } = new URL(place.origin);
    open({ baseUrl: `http://provider.example:${port}` });
    await ready(1);
    expect(asked).toEqual(['provider.example']);
    expect(warm.take(`http://provider.example:${port}`)?.remoteAddress).toBe('127.0.0.1');
    expect(warm.take(place.origin)).toBeUndefined();
  });
});

describe('over TLS', () => {
  let secure: Place;
  beforeEach(async () => {
    secure = await openPlace(createTlsServer(certificate), 'https');
    place.server.close();
    place = secure;
    open({ perOrigin: 2 });
  });

  it('a call by undici takes what is warm and makes no connection', async () => {
    await ready(2);
    const connect = takeWarmFirst(createUpstreamConnector(addresses(), 5_000), warm);
    const agent = new Agent({ connect, pipelining: 1, allowH2: false });
    const get = async (): Promise<string> => {
      const { body } = await agent.request({ origin: secure.origin, path: '/', method: 'GET' });
      return body.text();
    };
    expect(await Promise.all([get(), get()])).toEqual(['served', 'served']);
    expect(secure.sockets).toHaveLength(2);
    expect(warm.size()).toBe(0);
    // Where nothing is left, it connects as ever.
    expect(await Promise.all([get(), get(), get()])).toEqual(['served', 'served', 'served']);
    expect(secure.sockets.length).toBeGreaterThanOrEqual(3);
    await agent.destroy();
  });

  it('a call by Node’s own client does, too', async () => {
    await ready(2);
    const agents = createUpstreamAgents(addresses(), warm);
    const get = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const request = httpsRequest(secure.origin, { agent: agents.https }, (answer) => {
          let text = '';
          answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
          answer.on('end', () => {
            resolve(text);
          });
        });
        request.on('error', reject).end();
      });
    expect(await Promise.all([get(), get()])).toEqual(['served', 'served']);
    expect(secure.sockets).toHaveLength(2);
    agents.https.destroy();
  });

  it('a host whose certificate is not valid is not kept', async () => {
    const { port } = new URL(secure.origin);
    open({ baseUrl: `https://other.example:${port}` });
    warm.tend(config.catalogue);
    await waitFor(() => asked.length > 0, { ...WAIT, what: 'a connection to be tried' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(warm.size()).toBe(0);
  });
});
