import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import type { ConfigAck } from '@pingtoken/shared/config-snapshot';
import { readVerifyKey } from '@pingtoken/shared/crypto';
import { healthReportSchema, type HealthReport } from '@pingtoken/shared/health-report';
import { LEASE_LINK, leaseFencesSchema, leaseRequestsSchema, type LeaseFences } from '@pingtoken/shared/lease';
import { CONFIG_LINK } from '@pingtoken/shared/wire';
import { deltaEvent, type ConfigJournal, type TestIdentity } from './config-documents.js';

/** The control plane's end of the config link, with the faults that a test asks for. */
export class ConfigServer {
  /** What each dial told of where the data plane stands. */
  readonly dials: { readonly lastEventId: string | undefined; readonly chain: string | undefined }[] = [];
  readonly acks: ConfigAck[] = [];
  readonly fences: LeaseFences[] = [];
  readonly healthReports: HealthReport[] = [];
  snapshotRequests = 0;
  /** Changes a snapshot or a delta on its way. */
  spoil: (document: string) => string = (document) => document;
  /** Answers every request with this status instead. */
  status: number | undefined;
  readonly #streams = new Set<ServerResponse>();
  #server: Server;
  #port = 0;

  constructor(
    readonly journal: ConfigJournal,
    readonly identity: TestIdentity,
  ) {
    this.#server = this.#create();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get streams(): number {
    return this.#streams.size;
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** As a crash does. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
    this.#server = this.#create();
  }

  /** To every stream, byte by byte where `splitBytes` says so. */
  async send(event: string, splitBytes = Infinity): Promise<void> {
    const bytes = Buffer.from(event);
    for (let at = 0; at < bytes.length; at += splitBytes) {
      for (const stream of this.#streams) stream.write(bytes.subarray(at, Math.min(bytes.length, at + splitBytes)));
      if (splitBytes !== Infinity) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  sendDelta(fromSeq: number, splitBytes?: number): Promise<void> {
    const document = this.spoil(this.journal.delta(this.identity, fromSeq));
    return this.send(deltaEvent(document, this.journal.position), splitBytes);
  }

  dropStreams(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  #create(): Server {
    return createServer((request, response) => {
      this.#answer(request, response).catch(() => {
        response.writeHead(401).end();
      });
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const { id, verifyKey } = this.identity;
    const claims = { issuer: id, subject: id, audience: CONFIG_LINK.audience, requiredClaims: ['exp', 'iat'] };
    await jwtVerify(token, readVerifyKey(verifyKey), { ...claims, algorithms: ['EdDSA'] });
    if (this.status !== undefined) {
      response.writeHead(this.status).end();
    } else if (request.url === CONFIG_LINK.stream) {
      this.#openStream(request, response);
    } else if (request.url === CONFIG_LINK.snapshot) {
      this.snapshotRequests += 1;
      response.end(this.spoil(this.journal.snapshot(this.identity)));
    } else if (request.url === CONFIG_LINK.health) {
      this.healthReports.push(healthReportSchema.parse(await readJson(request)));
      response.writeHead(204).end();
    } else if (request.url === LEASE_LINK.requests) {
      response.end(JSON.stringify(this.#grantAll(await readJson(request))));
    } else if (request.url === LEASE_LINK.fences) {
      this.fences.push(leaseFencesSchema.parse(await readJson(request)));
      response.writeHead(204).end();
    } else {
      this.acks.push((await readJson(request)) as ConfigAck);
      response.writeHead(204).end();
    }
  }

  /** Whatever is asked for: money is not what is tested here. */
  #grantAll(body: unknown): unknown {
    const admitUntil = Date.now() + 600_000;
    const place = { admitUntil, windowFrom: null, windowTo: null };
    return {
      answers: leaseRequestsSchema.parse(body).requests.map(({ requestId, asks }) => ({
        requestId,
        results: asks.map(({ desired }) => ({ ...place, leaseId: randomUUID(), granted: desired })),
      })),
    };
  }

  #openStream(request: IncomingMessage, response: ServerResponse): void {
    const lastEventId = request.headers['last-event-id'] as string | undefined;
    this.dials.push({ lastEventId, chain: request.headers['x-config-chain'] as string | undefined });
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    this.#streams.add(response);
    response.on('close', () => this.#streams.delete(response));
    // As the control plane does: whatever was changed since, or word that a snapshot is needed.
    const seq = Number(lastEventId?.split('.')[1] ?? Number.NaN);
    if (lastEventId === undefined) response.write('event: resync\ndata:\n\n');
    else if (seq < this.journal.position.seq) {
      const document = this.spoil(this.journal.delta(this.identity, seq));
      response.write(deltaEvent(document, this.journal.position));
    }
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
}
