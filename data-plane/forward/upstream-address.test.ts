import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent } from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAddressRanges } from '@pingtoken/shared/address-ranges';
import { RelayFixture, UPSTREAM_CLIENTS } from '../../test/kit/relay-fixture.js';
import {
  createUpstreamAddresses,
  createUpstreamAgents,
  createUpstreamConnector,
  type UpstreamAddresses,
} from './upstream-address.js';

interface Place {
  readonly server: Server;
  readonly port: number;
  connections: number;
}

async function openPlace(address: string, port = 0): Promise<Place> {
  const server = createServer((_request, response) => response.end(address)).listen(port, address);
  await once(server, 'listening');
  const place = { server, port: (server.address() as AddressInfo).port, connections: 0 };
  server.on('connection', () => {
    place.connections += 1;
  });
  return place;
}

/** Each fetches a text over connections that it keeps. */
const CLIENTS = [
  {
    client: 'undici',
    open: (addresses: UpstreamAddresses) => {
      const agent = new Agent({ connect: createUpstreamConnector(addresses, 1_000), pipelining: 1 });
      return {
        get: async (origin: string) => (await agent.request({ origin, path: '/', method: 'GET' })).body.text(),
        close: () => agent.destroy(),
      };
    },
  },
  {
    client: 'the agents of http-proxy-middleware',
    open: (addresses: UpstreamAddresses) => {
      const agents = createUpstreamAgents(addresses);
      const get = (origin: string): Promise<string> =>
        new Promise((resolve, reject) => {
          const request = httpRequest(origin, { agent: agents.http }, (answer) => {
            let text = '';
            answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
            answer.on('end', () => {
              resolve(text);
            });
          });
          request.on('error', reject).end();
        });
      return {
        get,
        close: () => {
          agents.http.destroy();
          return Promise.resolve();
        },
      };
    },
  },
] as const;

let good: Place;
let bad: Place;
beforeAll(async () => {
  good = await openPlace('127.0.0.1');
  bad = await openPlace('127.0.0.2', good.port);
});
afterAll(() => {
  good.server.close();
  bad.server.close();
});
beforeEach(() => {
  good.connections = bad.connections = 0;
});

const v4 = (address: string): LookupAddress => ({ address, family: 4 });

describe.each(CLIENTS)('a connection by $client', ({ open }) => {
  let asked: string[];
  let client: ReturnType<typeof open>;

  /** @param answers one for each time that a name is asked for, the last for all later ones */
  function start(answers: LookupAddress[][], ranges = '127.0.0.1'): void {
    asked = [];
    const addresses = createUpstreamAddresses({
      privateUpstreams: parseAddressRanges(ranges),
      resolve: (host, _options, callback) => {
        asked.push(host);
        const answer = answers[Math.min(asked.length, answers.length) - 1] ?? [];
        setImmediate(callback, null, answer);
      },
    });
    client = open(addresses);
  }

  afterEach(() => client.close());

  const get = (host: string): Promise<string> => client.get(`http://${host}:${good.port}`);

  it('goes to the address that was judged, though the name stands for another one a moment later', async () => {
    start([[v4('127.0.0.1')], [v4('127.0.0.2')]]);
    expect(await get('rebinding.example')).toBe('127.0.0.1');
    expect(asked).toEqual(['rebinding.example']);
    expect(bad.connections).toBe(0);
  });

  it('is judged anew each time that it is made, and only then', async () => {
    start([[v4('127.0.0.1')], [v4('127.0.0.2')]]);
    for (let round = 0; round < 5; round += 1) {
      expect(await get('kept.example')).toBe('127.0.0.1');
      // A client takes a connection back only after it has given out the answer.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(asked).toHaveLength(1);
    good.server.closeAllConnections();
    await new Promise((resolve) => setTimeout(resolve, 30));
    await expect(get('kept.example')).rejects.toMatchObject({ code: 'UPSTREAM_REFUSED' });
    expect(asked).toHaveLength(2);
    expect([good.connections, bad.connections]).toEqual([1, 0]);
  });

  it('tries only those of several addresses that are allowed', async () => {
    start([[v4('127.0.0.2'), { address: '::ffff:127.0.0.2', family: 6 }, v4('10.0.0.1'), v4('127.0.0.1')]]);
    expect(await get('many.example')).toBe('127.0.0.1');
    expect(bad.connections).toBe(0);
  });

  it('is not made where no address is allowed, and the error says why', async () => {
    start([[v4('127.0.0.2'), v4('169.254.169.254'), { address: '64:ff9b::1', family: 6 }]]);
    await expect(get('bad.example')).rejects.toThrow(
      "the provider's host bad.example may not be called: loopback, a metadata service, NAT64",
    );
    expect([good.connections, bad.connections]).toEqual([0, 0]);
  });

  it('is not made where a name has no address', async () => {
    start([[]]);
    await expect(get('empty.example')).rejects.toMatchObject({ code: 'UPSTREAM_REFUSED' });
  });

  it.each([
    '127.0.0.2',
    '127.2',
    '0x7f.0.0.2',
    '2130706434',
    '[::ffff:127.0.0.2]',
    '[::1]',
    '[64:ff9b::7f00:2]',
    '0.0.0.0',
  ])('is not made to an address that stands in the URL: %s', async (host) => {
    start([[v4('127.0.0.1')]]);
    const { origin } = new URL(`http://${host}:${bad.port}`);
    await expect(client.get(origin)).rejects.toMatchObject({ code: 'UPSTREAM_REFUSED' });
    expect(asked).toEqual([]);
    expect([good.connections, bad.connections]).toEqual([0, 0]);
  });

  it('is made to an address that stands in the URL and that the operator opened', async () => {
    start([]);
    expect(await get('127.0.0.1')).toBe('127.0.0.1');
    expect(asked).toEqual([]);
  });
});

describe.each(UPSTREAM_CLIENTS)('a call over $client', ({ path }) => {
  let relay: RelayFixture;
  beforeEach(async () => {
    relay = await RelayFixture.open(path);
    relay.respond((response) => response.end('{}'));
  });
  afterEach(() => relay.close());

  it.each(['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433'])(
    'to a provider at %s is 502 without a word of the address, and is in the books',
    async (host) => {
      const { port } = new URL(relay.upstream.baseUrl);
      await relay.restart({ PRIVATE_UPSTREAMS: [] }, `http://${host}:${port}/v1`);
      const response = await relay.send();
      expect(response.status).toBe(502);
      const text = await response.text();
      expect(text).toContain('"code":"upstream_failed"');
      expect(text).not.toMatch(/127|::|loopback|localhost|may not/);
      expect(relay.upstream.connections).toBe(0);
      expect(relay.ends).toMatchObject([
        { outcome: 'provider-failed', billedAttempt: null, attempts: [{ status: null }] },
      ]);
    },
  );
});
