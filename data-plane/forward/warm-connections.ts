import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { buildConnector } from 'undici';
import { addressOf } from '../provider-address.js';
import type { Catalogue } from '../snapshot.js';

export interface WarmConnectionsOptions {
  /** Judges addresses as for any other connection. */
  readonly connect: buildConnector.connector;
  /** Connections kept ready for each origin in use; 0 keeps none. */
  readonly perOrigin: number;
  /** Milliseconds since 1970. */
  readonly clock?: () => number;
}

/**
 * Connections to providers that are open and have carried nothing yet, so that a call pays no handshake. Making one sends no
 * request and no credential. The clients' own pools take from here what they would have to connect to first.
 */
export interface WarmConnections {
  /** A call goes to this origin. */
  used(origin: string): void;
  /** @returns an open connection that nothing has been sent on; undefined where there is none */
  take(origin: string): Socket | undefined;
  /** Once a second: follows the config, and replaces what has grown old. Undefined as long as there is no config. */
  tend(catalogue: Catalogue | undefined): void;
  /** Connections that are ready. */
  readonly size: () => number;
  close(): void;
}

/** A target's origin is in use if a call has gone there within this time. */
const IN_USE_MS = 10 * 60_000;

/** Origins that are kept warm at once: those used last. */
const MAX_ORIGINS = 64;

/** Before anything is known of use: origins of the first models' targets. */
const MAX_ORIGINS_AT_START = 16;

/**
 * Servers close a connection on which no request comes, some after 20 s (Apache's `RequestReadTimeout`, the strictest default
 * of the usual ones; nginx, Envoy and Node wait 60 s). One that is about to be closed must not be given to a call.
 */
const MAX_AGE_MS = 15_000;

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

export function createWarmConnections(options: WarmConnectionsOptions): WarmConnections {
  return new WarmPools(options);
}

/** Lets a client of ours take what is warm, and connect where nothing is. */
export function takeWarmFirst(connect: buildConnector.connector, warm: WarmConnections): buildConnector.connector {
  return (options, callback) => {
    // Later: undici is in the middle of its own work here. And only then is it known whether the connection still holds.
    process.nextTick(() => {
      const socket = warm.take(`${options.protocol}//${options.host ?? options.hostname}`);
      if (socket === undefined) connect(options, callback);
      else callback(null, socket);
    });
  };
}

class WarmPools implements WarmConnections {
  readonly #origins = new Map<string, WarmOrigin>();
  readonly #options: WarmConnectionsOptions;
  readonly #clock: () => number;
  #tended: Catalogue | undefined;
  #active: ReadonlySet<string> = new Set();

  constructor(options: WarmConnectionsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  used(origin: string): void {
    if (this.#options.perOrigin === 0) return;
    const known = this.#origins.get(origin);
    if (known === undefined) this.#add(origin);
    else known.usedAt = this.#clock();
  }

  take(origin: string): Socket | undefined {
    return this.#origins.get(origin)?.take();
  }

  tend(catalogue: Catalogue | undefined): void {
    if (catalogue === undefined || this.#options.perOrigin === 0) return;
    if (this.#tended === undefined) for (const origin of firstOrigins(catalogue)) this.#add(origin);
    if (this.#tended !== catalogue) this.#active = activeOrigins(catalogue);
    this.#tended = catalogue;
    const now = this.#clock();
    for (const [origin, pool] of this.#origins) {
      if (pool.usedAt + IN_USE_MS < now || !this.#active.has(origin)) this.#drop(origin);
      else pool.tend();
    }
  }

  size = (): number => {
    let size = 0;
    for (const pool of this.#origins.values()) size += pool.size;
    return size;
  };

  close(): void {
    for (const origin of this.#origins.keys()) this.#drop(origin);
  }

  #add(origin: string): void {
    if (this.#origins.size >= MAX_ORIGINS) {
      const [oldest] = [...this.#origins].sort(([, one], [, other]) => one.usedAt - other.usedAt);
      if (oldest !== undefined) this.#drop(oldest[0]);
    }
    this.#origins.set(origin, new WarmOrigin(origin, this.#options, this.#clock));
  }

  #drop(origin: string): void {
    this.#origins.get(origin)?.close();
    this.#origins.delete(origin);
  }
}

/** Where providers that are on can be reached; what has lost its place here is let go at once. */
function activeOrigins({ providers }: Catalogue): ReadonlySet<string> {
  const origins = new Set<string>();
  for (const provider of providers.values()) {
    if (provider.status === 'active') origins.add(addressOf(provider).origin);
  }
  return origins;
}

function firstOrigins({ models, routes, providers }: Catalogue): ReadonlySet<string> {
  const origins = new Set<string>();
  for (const model of models.values()) {
    if (model.status !== 'active') continue;
    for (const target of routes(model.id, NOBODY).flatMap((route) => route.targets)) {
      const provider = providers.get(target.providerId);
      if (target.status !== 'active' || provider?.status !== 'active') continue;
      origins.add(addressOf(provider).origin);
      if (origins.size === MAX_ORIGINS_AT_START) return origins;
    }
  }
  return origins;
}

/** Has general routes only. */
const NOBODY = '';

interface Ready {
  readonly socket: Socket;
  readonly expiresAt: number;
  /** Takes our listeners off. */
  readonly release: () => void;
}

/** What is ready for one origin. */
class WarmOrigin {
  usedAt: number;
  #ready: Ready[] = [];
  #connecting = 0;
  #pauseMs = FIRST_PAUSE_MS;
  #notBefore = 0;
  #isClosed = false;

  constructor(
    private readonly origin: string,
    private readonly options: WarmConnectionsOptions,
    private readonly clock: () => number,
  ) {
    this.usedAt = clock();
  }

  get size(): number {
    return this.#ready.length;
  }

  /** The youngest, which is the least likely to be closed meanwhile. */
  take(): Socket | undefined {
    for (;;) {
      const ready = this.#ready.pop();
      if (ready === undefined) return undefined;
      ready.release();
      const { socket } = ready;
      if (!isFresh(socket) || ready.expiresAt <= this.clock()) {
        socket.destroy();
        continue;
      }
      this.#pauseMs = FIRST_PAUSE_MS;
      socket.ref();
      return socket;
    }
  }

  tend(): void {
    const now = this.clock();
    for (const ready of this.#ready.filter(({ expiresAt }) => expiresAt <= now)) this.#discard(ready);
    if (now < this.#notBefore) return;
    for (let missing = this.options.perOrigin - this.size - this.#connecting; missing > 0; missing -= 1)
      this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    for (const ready of [...this.#ready]) this.#discard(ready);
  }

  #connect(): void {
    const { protocol, host, hostname, port } = new URL(this.origin);
    this.#connecting += 1;
    // Undici's connector wants the bare address of an IPv6 host, as its own clients give it.
    const target = { protocol, host, hostname: hostname.replace(/^\[|\]$/g, ''), port };
    this.options.connect(target, (error, socket) => {
      this.#connecting -= 1;
      if (error !== null) this.#pause();
      else if (this.#isClosed) socket.destroy();
      else this.#keep(socket);
    });
  }

  #keep(socket: Socket): void {
    // Whatever comes before we have asked for anything says that the server has had enough (408), and an end does.
    const lost = (): void => {
      this.#discard(ready);
      this.#pause();
    };
    // A server that speaks HTTP/2 says its settings first.
    const events = speaksHttp2(socket) ? (['error', 'close'] as const) : (['readable', 'error', 'close'] as const);
    const release = (): void => {
      for (const event of events) socket.removeListener(event, lost);
    };
    const ready: Ready = { socket, expiresAt: this.clock() + MAX_AGE_MS, release };
    for (const event of events) socket.on(event, lost);
    socket.unref();
    this.#ready.push(ready);
  }

  /** A host that cannot be reached, or does not bear idle connections, is left in peace for longer and longer. */
  #pause(): void {
    this.#notBefore = this.clock() + this.#pauseMs;
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }

  #discard(ready: Ready): void {
    this.#ready = this.#ready.filter((each) => each !== ready);
    ready.release();
    // An error of a connection that nobody has any more concerns nobody.
    ready.socket.on('error', () => undefined).destroy();
  }
}

function isFresh(socket: Socket): boolean {
  if (socket.destroyed || !socket.readable || !socket.writable) return false;
  return socket.readableLength === 0 || speaksHttp2(socket);
}

function speaksHttp2(socket: Socket): boolean {
  return socket instanceof TLSSocket && socket.alpnProtocol === 'h2';
}
