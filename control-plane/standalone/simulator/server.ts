import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { KEPT_BODY_BYTES, readBody } from './body.js';
import type { Books } from './books.js';
import { parseRules } from './directives.js';
import { createFaultBook } from './fault-book.js';
import { createProvider } from './provider.js';
import { createUpgrade } from './realtime/upgrade.js';
import { createReceptions } from './received.js';
import { createServed, type Served } from './served.js';

/** How much is remembered. With the defaults, the books hold some 150 MB at most. */
export interface SimulatorBounds {
  /** Records in `/served`, default 200,000. */
  readonly keptRecords?: number;
  /** Requests in `/received`, default 1000. */
  readonly keptReceptions?: number;
}

interface Simulator {
  readonly server: Server;
  /** Cuts the connections that are HTTP's no longer. */
  readonly cutUpgraded: () => void;
}

const RECORDS_PER_SLICE = 1000;

/**
 * A provider in three dialects with an instrument beside it, not yet listening.
 *
 * The provider: what OpenAI, Anthropic and Google offer, listed in `endpoints.ts`.
 * The instrument, which asks for no credential and must not be reachable for strangers: `/healthz`,
 * `/served` (GET, DELETE; `/served/:requestId`), `/received` (GET, DELETE; `/received/:requestId`),
 * `/faults` (GET, PUT, DELETE). Everything else is counted as a call to the provider and is 404.
 */
function createProviderSimulator({ keptRecords, keptReceptions }: SimulatorBounds): Simulator {
  const books: Books = {
    served: createServed(keptRecords === undefined ? {} : { keep: keptRecords }),
    receptions: createReceptions(keptReceptions === undefined ? {} : { keep: keptReceptions }),
    faults: createFaultBook(),
  };
  const provide = createProvider(books);
  const instrument = createInstrument(books);
  // A gateway keeps connections open between calls. Closing one at the moment of its reuse would look like a fault.
  const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    const work = instrument(request, response) ?? provide(request, response);
    work.catch((error: unknown) => {
      const message = error instanceof Error ? error.stack : String(error);
      process.stderr.write(`${JSON.stringify({ level: 'error', event: 'simulator-failed', message })}\n`);
      response.destroy();
    });
  });
  const upgrade = createUpgrade(books);
  server.on('upgrade', upgrade.handle);
  return { server, cutUpgraded: upgrade.cut };
}

/** A simulator that listens. */
export interface RunningSimulator {
  readonly port: number;
  /** `http://host:port`, without a path. */
  readonly url: string;
  /** Stops listening and cuts every connection: a stalled answer would hold a polite close for ever. */
  readonly close: () => Promise<void>;
}

/** Starts a simulator; `port` 0 takes any free one. Rejects with the system's error if it cannot listen there. */
export function startProviderSimulator(
  { host, port }: { host: string; port: number },
  bounds: SimulatorBounds = {},
): Promise<RunningSimulator> {
  const { server, cutUpgraded } = createProviderSimulator(bounds);
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
      cutUpgraded();
    });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      const address = server.address() as AddressInfo;
      const name = host.includes(':') ? `[${host}]` : host;
      resolve({ port: address.port, url: `http://${name}:${address.port}`, close });
    });
  });
}

/** Answers the instrument's own requests; undefined for all others. */
function createInstrument(books: Books) {
  return (request: IncomingMessage, response: ServerResponse): Promise<void> | undefined => {
    const [pathname = '', query = ''] = (request.url ?? '').split('?', 2);
    const [, area = '', rawId = ''] = pathname.split('/', 3);
    if (!['healthz', 'served', 'received', 'faults'].includes(area)) return undefined;
    if (area === 'faults' && request.method === 'PUT') return putFaults(books, request, response);
    const id = decodeId(rawId);
    const route = `${request.method} /${area}${id === '' ? '' : '/:id'}`;
    if (route === 'GET /served' && query !== 'requests=false') return listServed(books.served, response);
    const [status, value] = answerInstrument(books, route, id);
    if (typeof value === 'string') response.writeHead(status, { 'content-type': 'text/plain' }).end(value);
    else sendJson(response, status, value);
    return Promise.resolve();
  };
}

function answerInstrument({ served, receptions, faults }: Books, route: string, id: string): [number, unknown] {
  switch (route) {
    case 'GET /healthz':
      return [200, 'ok'];
    case 'GET /served':
      return [200, served.summary()];
    case 'GET /served/:id': {
      const records = [...served.records()].filter(({ requestId }) => requestId === id);
      return records.length > 0 ? [200, { requestId: id, calls: records.length, records }] : notKept(id);
    }
    case 'DELETE /served':
      served.clear();
      return [200, {}];
    case 'GET /received':
      return [200, { ids: receptions.ids() }];
    case 'GET /received/:id': {
      const report = receptions.report(id);
      return report ? [200, report] : notKept(id);
    }
    case 'DELETE /received':
      receptions.clear();
      return [200, {}];
    case 'GET /faults':
      return [200, { rules: faults.list() }];
    case 'DELETE /faults':
      faults.put([]);
      return [200, { rules: [] }];
    default:
      return [405, { error: { message: `There is no ${route}.` } }];
  }
}

function notKept(id: string): [number, unknown] {
  return [404, { error: { message: `Nothing is kept about the request ${id}.` } }];
}

async function putFaults({ faults }: Books, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await readBody(request, KEPT_BODY_BYTES);
  if (!body) return;
  let json: unknown;
  try {
    json = JSON.parse(body.bytes.toString('utf8'));
  } catch {
    sendJson(response, 400, { error: { message: 'The body is not JSON.' } });
    return;
  }
  const parsed = parseRules(json);
  if ('problem' in parsed) {
    sendJson(response, 400, { error: { message: parsed.problem } });
    return;
  }
  faults.put(parsed.value);
  sendJson(response, 200, { rules: faults.list() });
}

/** The summary with all records, in slices: 200,000 of them in one piece would stop all other calls meanwhile. */
function listServed(served: Served, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json' });
  const slices = function* (): Generator<string> {
    yield `${JSON.stringify(served.summary()).slice(0, -1)},"requests":[`;
    let slice: string[] = [];
    let separator = '';
    for (const record of served.records()) {
      slice.push(JSON.stringify(record));
      if (slice.length < RECORDS_PER_SLICE) continue;
      yield separator + slice.join(',');
      separator = ',';
      slice = [];
    }
    yield `${slice.length > 0 ? separator + slice.join(',') : ''}]}`;
  };
  Readable.from(slices()).pipe(response);
  return Promise.resolve();
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function decodeId(rawId: string): string {
  try {
    return decodeURIComponent(rawId);
  } catch {
    return rawId;
  }
}
