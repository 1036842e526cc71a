import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { pino, type Logger } from 'pino';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { createSealingPair } from '@pingtoken/shared/crypto';
import { DEFAULT_ROUTE_POLICY, DEFAULT_TARGET_POLICY } from '@pingtoken/shared/route-policy';
import { createApiKey, hashApiKey } from '@pingtoken/shared/key-format';
import type { Operation } from '@pingtoken/shared/usage-event';
import { createGateway, type Gateway, type GatewayOptions } from '../../data-plane/gateway.js';
import { createHttpServer } from '../../data-plane/listen.js';
import { createClientSealers } from '../../data-plane/meter/seal-client.js';
import {
  SpoolUnavailableError,
  type CallFacts,
  type EndRecord,
  type Spool,
  type StartRecord,
} from '../../data-plane/meter/spool.js';
import { openBatchStore } from '../../data-plane/resources/batch-store.js';
import type { Account, Catalogue, Snapshot } from '../../data-plane/snapshot.js';
import { ENVIRONMENT, type FixtureEnvironment } from './gateway-environment.js';
import { makeTemporaryFolder } from './temporary-folder.js';

/** A config in memory that a test changes as it likes; every object has what it needs to let a call through. */
export class MemoryConfig implements Snapshot {
  readonly sealing = createSealingPair();
  readonly secret = 'sk-provider-secret-0123456789';
  readonly bearer: string;
  readonly provider: ConfigObjectOf<'provider'>;
  readonly rateCard: ConfigObjectOf<'rate-card'>;
  readonly accounts = new Map<string, Account>();
  readonly models = new Map<string, ConfigObjectOf<'model'>>();
  readonly routeList: ConfigObjectOf<'route'>[] = [];
  readonly moreProviders: ConfigObjectOf<'provider'>[] = [];
  readonly plans: ConfigObjectOf<'plan'>[] = [];
  readonly passthrough: ConfigObjectOf<'passthrough-route'>[] = [];
  /** Ids of credentials that are the tenant's own. */
  readonly ownCredentials = new Set<string>();
  /** Grows when credentials are published anew. */
  credentialSeq = 1;
  isLoaded = true;
  guardrailKey: Buffer | undefined = Buffer.alloc(32, 7);
  readonly #tenantId = randomUUID();
  readonly #credentialId = randomUUID();

  constructor(baseUrl: string) {
    this.provider = {
      kind: 'provider',
      id: randomUUID(),
      seq: 1,
      slug: 'sim',
      baseUrl,
      dialect: 'openai',
      auth: 'bearer',
      region: null,
      status: 'active',
    };
    this.rateCard = {
      kind: 'rate-card',
      id: randomUUID(),
      seq: 2,
      versions: [
        {
          id: randomUUID(),
          effectiveFrom: 0,
          currency: 'USD',
          rates: { input: '1' },
          contextTiers: [],
          serviceTiers: {},
          windows: [],
          freeTokensPerMonth: 0,
        },
      ],
    };
    this.bearer = this.addKey({});
    this.addModel('chat-alias', 'chat-completions', 'pingtoken-sim-small');
    this.addModel('embedding-alias', 'embeddings', 'pingtoken-sim-embedding');
  }

  get catalogue(): Catalogue | undefined {
    if (!this.isLoaded) return undefined;
    return {
      position: { epoch: 1, seq: 7 },
      models: this.models,
      modelById: (id) => [...this.models.values()].find((model) => model.id === id),
      routes: (modelId, tenantId) =>
        this.routeList
          .filter((route) => route.modelId === modelId && (route.tenantId ?? tenantId) === tenantId)
          .sort(
            (one, other) =>
              Number(one.tenantId === null) - Number(other.tenantId === null) || one.position - other.position,
          ),
      providers: new Map([this.provider, ...this.moreProviders].map((provider) => [provider.id, provider])),
      providersBySlug: new Map([this.provider, ...this.moreProviders].map((provider) => [provider.slug, provider])),
      rateCards: new Map([[this.rateCard.id, this.rateCard]]),
      plans: new Map(this.plans.map((plan) => [plan.id, plan])),
      budgets: () => [],
      passthroughRoutes: (providerId) => this.passthrough.filter((route) => route.providerId === providerId),
      secretOf: () => this.secret,
      guardrailKeyOf: () => this.guardrailKey,
      isOwnCredential: (credentialId) => this.ownCredentials.has(credentialId),
      credentialSeq: () => this.credentialSeq,
    };
  }

  findAccount(keyHash: string): Account | undefined {
    return this.accounts.get(keyHash);
  }

  /** @returns the bearer */
  addKey(key: Partial<ConfigObjectOf<'api-key'>>, tenant: Partial<ConfigObjectOf<'tenant'>> = {}): string {
    const { secret, hash } = createApiKey();
    const tenantId = this.#tenantId;
    const memberId = randomUUID();
    const sealingKey = Buffer.from(this.sealing.publicKey).toString('base64url');
    this.accounts.set(hash, {
      apiKey: {
        kind: 'api-key',
        id: randomUUID(),
        seq: 3,
        tenantId,
        memberId,
        hash,
        status: 'active',
        expiresAt: null,
        limits: null,
        ...key,
      },
      tenant: {
        kind: 'tenant',
        id: tenantId,
        seq: 4,
        status: 'active',
        grantedProviderIds: [this.provider.id],
        endUsers: 'pseudonym',
        pseudonymKey: 'k'.repeat(43),
        planId: null,
        limits: null,
        billingMode: 'prepaid',
        ...tenant,
      },
      member: { kind: 'member', id: memberId, seq: 5, tenantId, sealingKey, limits: null },
    });
    return secret;
  }

  revoke(bearer: string): void {
    const hash = hashApiKey(bearer);
    const account = this.accounts.get(hash);
    if (account) this.accounts.set(hash, { ...account, apiKey: { ...account.apiKey, status: 'revoked' } });
  }

  addModel(
    name: string,
    operation: Operation,
    upstreamModel: string,
    change: Partial<ConfigObjectOf<'model'>> = {},
  ): void {
    const id = randomUUID();
    this.models.set(name, {
      kind: 'model',
      id,
      seq: 8,
      name,
      operations: [operation],
      capabilities: [],
      contextWindow: null,
      maxOutputTokens: null,
      status: 'active',
      createdAt: 1_700_000_000_000,
      priceCardId: this.rateCard.id,
      ...change,
    });
    this.routeList.push({
      kind: 'route',
      id: randomUUID(),
      seq: 9,
      modelId: id,
      tenantId: null,
      dropsUnsupported: false,
      ...DEFAULT_ROUTE_POLICY,
      targets: [
        {
          ...DEFAULT_TARGET_POLICY,
          id: randomUUID(),
          providerId: this.provider.id,
          credentialId: this.#credentialId,
          upstreamModel,
          priority: 0,
          weight: 1,
          costCardId: this.rateCard.id,
        },
      ],
    });
  }

  addPassthrough(method: 'GET' | 'POST' | 'DELETE', path: string): void {
    this.passthrough.push({
      kind: 'passthrough-route',
      id: randomUUID(),
      seq: 10,
      providerId: this.provider.id,
      credentialId: randomUUID(),
      method,
      path,
      priceCardId: this.rateCard.id,
    });
  }
}

/** A spool that a test reads. */
export class MemorySpool implements Spool {
  readonly spoolId = randomUUID();
  /** Records as they are on disk: with their facts among their own members. */
  readonly starts: (StartRecord & CallFacts)[] = [];
  readonly ends: (EndRecord & CallFacts)[] = [];
  isBroken = false;
  /** What an end waits for until it is written. */
  written: Promise<void> = Promise.resolve();

  start(record: StartRecord): Promise<void> {
    if (this.isBroken) return Promise.reject(new SpoolUnavailableError(new Error('disk full')));
    this.starts.push({ ...record, ...record.facts.values });
    return Promise.resolve();
  }

  end(record: EndRecord): Promise<void> {
    this.ends.push({ ...record, ...record.facts.values });
    return this.written;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export interface GatewayFixture {
  readonly url: string;
  readonly port: number;
  readonly gateway: Gateway;
  readonly config: MemoryConfig;
  readonly spool: MemorySpool;
  readonly server: Server;
  close(): Promise<void>;
}

/** A whole gateway over HTTP, with config and spool in memory. */
export async function startGateway(
  upstreamUrl: string,
  change: Partial<FixtureEnvironment> = {},
  logger: Logger = pino({ level: 'silent' }),
  parts: Pick<GatewayOptions['state'], 'leases' | 'shares'> = {},
): Promise<GatewayFixture> {
  const config = new MemoryConfig(upstreamUrl);
  const spool = new MemorySpool();
  const environment = { ...ENVIRONMENT, ...change };
  const home = await makeTemporaryFolder('gateway');
  const state = {
    snapshot: config,
    spool,
    batches: openBatchStore({ folder: home.path, logger }),
    clientSealers: createClientSealers({ maxPeople: 100 }),
    ...parts,
    linkStatus: () => ({ connected: true, lastContactAt: 1_700_000_000_000, position: { epoch: 1, seq: 7 } }),
  };
  const gateway = createGateway({ state, environment, logger });
  const server = createHttpServer(gateway, environment);
  const port = await listenOnLoopback(server);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    gateway,
    config,
    spool,
    server,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await gateway.close();
      await home.remove();
    },
  };
}

function listenOnLoopback(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** What a scripted provider was sent. */
export interface UpstreamRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export interface ScriptedUpstream {
  /** With `/v1`. */
  readonly baseUrl: string;
  readonly requests: UpstreamRequest[];
  /** Connections that were opened, whether or not a request came. */
  connections: number;
  /** Exchanges that the gateway cut before the answer was over: `performance.now()` of each. */
  readonly aborts: number[];
  /** Answers a request whose body has been read. */
  respond: RequestListener;
  close(): void;
}

/** A provider that does what a test says. */
export async function startUpstream(respond: RequestListener): Promise<ScriptedUpstream> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = request;
      upstream.requests.push({ method, url, headers, rawHeaders, body: Buffer.concat(chunks) });
      upstream.respond(request, response);
    });
    response.on('close', () => {
      if (!response.writableFinished) upstream.aborts.push(performance.now());
    });
  });
  server.on('connection', () => {
    upstream.connections += 1;
  });
  const port = await listenOnLoopback(server);
  const upstream: ScriptedUpstream = {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests: [],
    connections: 0,
    aborts: [],
    respond,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return upstream;
}

/** A raw connection: writes bytes as they are and collects what comes. */
export interface RawConnection {
  readonly socket: Socket;
  received(): string;
  /** Resolves with all that came when the other side has closed. */
  closed(): Promise<string>;
}

export function openRaw(port: number, text: string): RawConnection {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  const closed = new Promise<string>((resolve) => {
    socket.on('close', () => {
      resolve(received);
    });
  });
  socket.write(text, 'latin1');
  return { socket, received: () => received, closed: () => closed };
}

/** Waits until something holds, at most `withinMs`. */
export async function eventually(condition: () => boolean, withinMs = 3_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline)
      throw new Error(`did not come true within ${withinMs} ms: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
