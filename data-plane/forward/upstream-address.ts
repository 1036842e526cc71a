import { lookup as resolveName, type LookupAddress, type LookupOptions } from 'node:dns';
import { Agent as HttpAgent, type ClientRequestArgs } from 'node:http';
import { Agent as HttpsAgent, type RequestOptions } from 'node:https';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { buildConnector } from 'undici';
import type { AddressRange } from '@pingtoken/shared/address-ranges';
import { addressFault } from '@pingtoken/shared/upstream-url';

/** A provider's host leads to where calls may not go. The message is for our log: a caller is not told. */
export class UpstreamRefusedError extends Error {
  readonly code = 'UPSTREAM_REFUSED';

  constructor(host: string, meanings: readonly string[]) {
    super(`the provider's host ${host} may not be called: ${[...new Set(meanings)].join(', ')}`);
  }
}

/** Finds all addresses of a name, as `dns.lookup` does. */
export type Resolve = (
  host: string,
  options: LookupOptions & { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

export interface UpstreamAddressOptions {
  /** Ranges that are not public and may be connected to nonetheless. */
  readonly privateUpstreams: readonly AddressRange[];
  readonly resolve?: Resolve;
}

/**
 * Judges the addresses of a provider while connecting to it. The socket connects to the very addresses that were judged: a
 * name that is asked for again, after it was found harmless, may stand for another address by then (DNS rebinding). It runs
 * once a connection, and connections are kept.
 */
export interface UpstreamAddresses {
  /** Gives a socket those addresses of a name that may be connected to, and an error where there are none. */
  readonly lookup: LookupFunction;
  /** Node looks up names only. @returns the error where the host is an address that may not be connected to */
  checkLiteral(host: string): UpstreamRefusedError | undefined;
}

export function createUpstreamAddresses({
  privateUpstreams,
  resolve = resolveName,
}: UpstreamAddressOptions): UpstreamAddresses {
  return {
    lookup: (host, options, callback) => {
      resolve(host, { ...options, all: true }, (error, addresses) => {
        if (error !== null) {
          callback(error, []);
          return;
        }
        const faults = addresses.map(({ address }) => addressFault(address, privateUpstreams));
        const allowed = addresses.filter((_, index) => faults[index] === undefined);
        const [first] = allowed;
        if (first === undefined) {
          callback(
            new UpstreamRefusedError(
              host,
              faults.map((fault) => fault ?? ''),
            ),
            [],
          );
        } else if (options.all === true) callback(null, allowed);
        else callback(null, first.address, first.family);
      });
    },
    checkLiteral: (host) => {
      if (isIP(host) === 0) return undefined;
      const fault = addressFault(host, privateUpstreams);
      return fault === undefined ? undefined : new UpstreamRefusedError(host, [fault]);
    },
  };
}

/** How undici connects to providers. */
export function createUpstreamConnector(
  addresses: UpstreamAddresses,
  connectTimeoutMs: number,
  allowH2 = false,
): buildConnector.connector {
  const connect = buildConnector({ timeout: connectTimeoutMs, allowH2, lookup: addresses.lookup });
  return (options, callback) => {
    const refused = addresses.checkLiteral(options.hostname);
    if (refused === undefined) connect(options, callback);
    else callback(refused, null);
  };
}

export interface UpstreamAgents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

/** Connections that are open already, and were judged when they were made. */
export interface OpenConnections {
  take(origin: string): Socket | undefined;
}

/** How Node's own client connects to providers. */
export function createUpstreamAgents(addresses: UpstreamAddresses, warm?: OpenConnections): UpstreamAgents {
  // The options of an agent override those of a request, so no request brings a look-up of its own.
  const options = { keepAlive: true, lookup: addresses.lookup };
  return {
    http: new UpstreamHttpAgent(addresses, options, warm),
    https: new UpstreamHttpsAgent(addresses, options, warm),
  };
}

type OnConnection = (error: Error | null, socket: Duplex) => void;

class UpstreamHttpAgent extends HttpAgent {
  constructor(
    private readonly addresses: UpstreamAddresses,
    options: object,
    private readonly warm: OpenConnections | undefined,
  ) {
    super(options);
  }

  override createConnection(options: ClientRequestArgs, callback?: OnConnection): Duplex | null | undefined {
    const refused = refuseLiteral(this.addresses, options.host, callback);
    return refused
      ? undefined
      : (this.warm?.take(originOf('http:', options)) ?? super.createConnection(options, callback));
  }
}

class UpstreamHttpsAgent extends HttpsAgent {
  constructor(
    private readonly addresses: UpstreamAddresses,
    options: object,
    private readonly warm: OpenConnections | undefined,
  ) {
    super(options);
  }

  override createConnection(options: RequestOptions, callback?: OnConnection): Duplex | null | undefined {
    const refused = refuseLiteral(this.addresses, options.host, callback);
    return refused
      ? undefined
      : (this.warm?.take(originOf('https:', options)) ?? super.createConnection(options, callback));
  }
}

function originOf(protocol: string, { host, port }: ClientRequestArgs): string {
  const name = host ?? '';
  return new URL(`${protocol}//${isIP(name) === 6 ? `[${name}]` : name}:${port ?? ''}`).origin;
}

/** @returns whether the connection was refused; its one who asked has been told */
function refuseLiteral(
  addresses: UpstreamAddresses,
  host: string | null | undefined,
  callback: OnConnection | undefined,
): boolean {
  const refused = addresses.checkLiteral((host ?? '').replace(/^\[|\]$/g, ''));
  if (refused === undefined) return false;
  if (callback === undefined) throw refused;
  // Node's own type of this callback wants a socket even where there is an error.
  (callback as (error: Error) => void)(refused);
  return true;
}
