import type { IncomingHttpHeaders } from 'node:http';
import { Agent, type buildConnector, type Dispatcher } from 'undici';
import { addressOf } from '../provider-address.js';
import type { AnswerEditor, Outgoing } from './prepared-call.js';
import type { Exchange, UpstreamSource } from './exchange.js';
import { UpstreamRefusedError, type UpstreamAddresses } from './upstream-address.js';
import { upstreamHeaders } from './upstream-headers.js';
import { takeWarmFirst, type WarmConnections } from './warm-connections.js';

export interface UpstreamTimeouts {
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

export interface UpstreamCallerOptions {
  readonly timeouts: UpstreamTimeouts;
  readonly addresses: UpstreamAddresses;
}

export interface WarmCallerOptions extends UpstreamCallerOptions {
  readonly warm: WarmConnections;
  /** As {@link warm} makes them. */
  readonly connect: buildConnector.connector;
  readonly allowH2: boolean;
}

export interface JsonCaller {
  send(exchange: Exchange, outgoing: Outgoing): void;
  close(): Promise<void>;
}

/** Makes JSON calls over a pool of kept connections. Redirects are not followed, bodies not unpacked, nothing is retried. */
export function createJsonCaller({ timeouts, connect, allowH2, warm }: WarmCallerOptions): JsonCaller {
  const agent = new Agent({
    connect: takeWarmFirst(connect, warm),
    headersTimeout: timeouts.headersTimeoutMs,
    bodyTimeout: timeouts.idleTimeoutMs,
    allowH2,
    // One call a connection at a time: an abort must not take its neighbours with it.
    pipelining: 1,
  });
  return {
    send: (exchange, outgoing) => {
      const { routed, attempt } = exchange.meter;
      const { origin, basePath } = addressOf(attempt.provider);
      const { path, body } = outgoing;
      const method = routed.request.method ?? 'POST';
      const headers = upstreamHeaders(routed, attempt, outgoing);
      const call = new JsonCall(exchange, outgoing);
      exchange.attach(call);
      warm.used(origin);
      agent.dispatch({ origin, path: basePath + path, method, headers, body }, call);
    },
    close: () => agent.destroy(),
  };
}

const TIMEOUTS: ReadonlySet<string | undefined> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/** What our log says of a failed exchange. Node's own messages hold addresses in many spellings, so only their codes go in. */
export function failureReason(error: NodeJS.ErrnoException): string {
  return error instanceof UpstreamRefusedError ? error.message : (error.code ?? error.name);
}

class JsonCall implements Dispatcher.DispatchHandler, UpstreamSource {
  #controller: Dispatcher.DispatchController | undefined;
  /** Whatever comes of it now, nobody waits for it any more: the call is over, or another attempt has taken its place. */
  #isAborted = false;

  readonly #editor: AnswerEditor | undefined;

  constructor(
    private readonly exchange: Exchange,
    { editAnswer }: Outgoing,
  ) {
    this.#editor = editAnswer?.();
  }

  /** The connection is there and nothing has been written: a call that ended meanwhile ends here. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isAborted) this.abort();
    else this.exchange.sent();
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    // 1xx: the answer itself is still to come.
    if (status < 200 || this.#isAborted) return;
    this.exchange.head(status, this.#editor === undefined ? headers : { ...headers, 'content-length': undefined });
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isAborted) return;
    const bytes = this.#editor === undefined ? chunk : this.#editor.push(chunk);
    if (bytes.length > 0) this.exchange.data(bytes);
  }

  onResponseEnd(): void {
    // The exchange is over: to abort it now would only cost the connection.
    this.#controller = undefined;
    if (this.#isAborted) return;
    const last = this.#editor?.end();
    if (last !== undefined && last.length > 0) this.exchange.data(last);
    this.exchange.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#isAborted) return;
    const { code } = error as NodeJS.ErrnoException;
    if (TIMEOUTS.has(code) || code === 'ETIMEDOUT') this.exchange.fail('upstream_timeout', 'timed-out', code ?? '');
    else this.exchange.fail('upstream_failed', 'provider-failed', failureReason(error));
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  abort(): void {
    this.#isAborted = true;
    this.#controller?.abort(new Error('the call is over'));
  }
}
