import { Agent, type Dispatcher } from 'undici';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { failureReason, type UpstreamCallerOptions } from '../forward/json-call.js';
import { createUpstreamConnector } from '../forward/upstream-address.js';
import { addressOf, credentialHeader, USER_AGENT } from '../provider-address.js';

/** Whom to ask, and by whose account. */
export interface ProviderAccount {
  readonly provider: ConfigObjectOf<'provider'>;
  readonly secret: string;
}

export interface RequestBody {
  readonly contentType: string;
  readonly bytes: Buffer;
}

/** A body of JSON. */
export function jsonBody(bytes: Buffer): RequestBody {
  return { contentType: 'application/json', bytes };
}

export interface ProviderRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Behind the provider's base URL, with its query. */
  readonly path: string;
  readonly requestId: string;
  readonly body?: RequestBody | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ProviderAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export interface Exchanger {
  /**
   * Asks a provider for a short JSON answer. Redirects are not followed, bodies not unpacked, nothing is retried.
   * @throws ExchangeFailedError when no whole answer came
   */
  ask(account: ProviderAccount, request: ProviderRequest): Promise<ProviderAnswer>;
  /**
   * A long answer as it comes.
   * @throws ExchangeFailedError, as reading the body does
   */
  download(
    account: ProviderAccount,
    request: ProviderRequest,
  ): Promise<{ status: number; body: AsyncIterable<Buffer> }>;
  close(): Promise<void>;
}

/** The reason is for our log: a caller is not told. */
export class ExchangeFailedError extends Error {
  constructor(
    readonly code: 'upstream_failed' | 'upstream_timeout',
    reason: string,
  ) {
    super(reason);
    this.name = 'ExchangeFailedError';
  }
}

/** A page of a list, or a response with its pictures. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const TIMEOUT_CODES: ReadonlySet<string | undefined> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]);

export function createExchanger({ timeouts, addresses }: UpstreamCallerOptions): Exchanger {
  const agent = new Agent({
    connect: createUpstreamConnector(addresses, timeouts.connectTimeoutMs),
    headersTimeout: timeouts.headersTimeoutMs,
    bodyTimeout: timeouts.idleTimeoutMs,
    allowH2: false,
    pipelining: 1,
  });

  async function start(
    { provider, secret }: ProviderAccount,
    { method, path, requestId, body, signal }: ProviderRequest,
  ): Promise<Dispatcher.ResponseData> {
    const { origin, basePath } = addressOf(provider);
    const [credentialName, credential = ''] = credentialHeader(provider.auth, secret);
    const headers: Record<string, string> = {
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': USER_AGENT,
      'x-request-id': requestId,
      ...(body !== undefined && { 'content-type': body.contentType }),
      ...(credentialName !== undefined && { [credentialName]: credential }),
    };
    try {
      return await agent.request({
        origin,
        path: basePath + path,
        method,
        headers,
        ...(body !== undefined && { body: body.bytes }),
        ...(signal !== undefined && { signal }),
      });
    } catch (error) {
      throw toFailure(error);
    }
  }

  return {
    ask: async (account, request) => {
      const { statusCode: status, body } = await start(account, request);
      const parts: Buffer[] = [];
      let bytes = 0;
      for await (const part of piecesOf(body)) {
        bytes += part.length;
        if (bytes > MAX_ANSWER_BYTES) throw new ExchangeFailedError('upstream_failed', 'the answer is too long');
        parts.push(part);
      }
      return { status, body: Buffer.concat(parts) };
    },
    download: async (account, request) => {
      const { statusCode: status, body } = await start(account, request);
      return { status, body: piecesOf(body) };
    },
    close: () => agent.destroy(),
  };
}

async function* piecesOf(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw toFailure(error);
  }
}

function toFailure(error: unknown): ExchangeFailedError {
  const fault = error as NodeJS.ErrnoException;
  return new ExchangeFailedError(
    TIMEOUT_CODES.has(fault.code) ? 'upstream_timeout' : 'upstream_failed',
    failureReason(fault),
  );
}
