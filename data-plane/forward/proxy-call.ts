import { IncomingMessage, ServerResponse, type ClientRequest } from 'node:http';
import { Readable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { createProxyMiddleware, type Options } from 'http-proxy-middleware';
import { failureReason, type UpstreamTimeouts, type WarmCallerOptions } from './json-call.js';
import { addressOf } from '../provider-address.js';
import type { Outgoing } from './prepared-call.js';
import type { Exchange, UpstreamSource } from './exchange.js';
import { createUpstreamAgents, type UpstreamAgents } from './upstream-address.js';
import { upstreamHeaders } from './upstream-headers.js';

export interface ProxyCaller {
  send(exchange: Exchange, outgoing: Outgoing): void;
  close(): void;
}

/**
 * Makes calls whose bodies are no JSON: forms, and what is passed through; over http-proxy-middleware. The body was received
 * whole before, under the same limits as other calls; the answer goes through the same {@link Exchange}.
 */
export function createProxyCaller({ timeouts, addresses, allowH2, warm }: WarmCallerOptions): ProxyCaller {
  const calls = new WeakMap<IncomingMessage, ProxyCall>();
  // Node's own client speaks HTTP/1.1 only.
  const agents = createUpstreamAgents(addresses, allowH2 ? undefined : warm);
  const proxy = createProxyMiddleware({
    router: (request, _response, options) => prepare(calls.get(request), options, agents),
    changeOrigin: true,
    // Relay answers, so that errors, headers and metering are the same as everywhere.
    selfHandleResponse: true,
    // Its own handlers answer with plain text and log addresses.
    ejectPlugins: true,
    plugins: [
      (server) => {
        server.on('proxyReq', (proxyRequest, request) => calls.get(request)?.onRequest(proxyRequest));
        server.on('proxyRes', (answer, request) => calls.get(request)?.onAnswer(answer));
        server.on('error', (error, request) => request && calls.get(request)?.onError(error));
        server.on('econnreset', (error, request) => calls.get(request)?.onError(error));
      },
    ],
  });
  return {
    send: (exchange, outgoing) => {
      const call = new ProxyCall(exchange, outgoing, timeouts);
      const request = standIn(exchange, outgoing);
      calls.set(request, call);
      exchange.attach(call);
      warm.used(addressOf(exchange.meter.attempt.provider).origin);
      // Without a socket: the middleware destroys its response when the provider's ends early, and the caller's has to take
      // the error first.
      proxy(request, new ServerResponse(request), (error) => {
        if (error !== undefined) call.onError(error as Error);
      }).catch((error: unknown) => {
        call.onError(error as Error);
      });
    },
    close: () => {
      agents.http.destroy();
      agents.https.destroy();
    },
  };
}

/**
 * A request that has the head for the provider and stands in for the caller's, for the middleware copies all that it finds
 * there; and one for each attempt, so that what is still heard of one that failed is not taken for the next one's. Attacks
 * that this ends: a `Trailer` header crashes httpxy 0.5; a `Connection` header names others for removal; the caller's key,
 * cookie or address would reach the provider.
 */
function standIn({ meter: { routed, attempt } }: Exchange, outgoing: Outgoing): IncomingMessage {
  const { socket, method } = routed.request;
  const { body, path } = outgoing;
  const request = new IncomingMessage(socket);
  request.httpVersion = '1.1';
  request.httpVersionMajor = 1;
  request.httpVersionMinor = 1;
  if (method !== undefined) request.method = method;
  request.url = path;
  const list = upstreamHeaders(routed, attempt, outgoing);
  for (let at = 0; at < list.length; at += 2) request.headers[list[at] ?? ''] = list[at + 1];
  if (body.length > 0 || method !== 'GET') request.headers['content-length'] = String(body.length);
  return request;
}

/** Where the request goes, and what it carries. */
function prepare(call: ProxyCall | undefined, options: Options, agents: UpstreamAgents) {
  if (call === undefined) throw new TypeError('a request to the proxy without a call');
  const { exchange, outgoing } = call;
  const { body } = outgoing;
  const { origin, basePath } = addressOf(exchange.meter.attempt.provider);
  options.buffer = Readable.from(body.length > 0 ? [body] : []);
  options.agent = origin.startsWith('https:') ? agents.https : agents.http;
  return origin + basePath;
}

class ProxyCall implements UpstreamSource {
  #request: ClientRequest | undefined;
  #answer: IncomingMessage | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isAborted = false;

  constructor(
    readonly exchange: Exchange,
    readonly outgoing: Outgoing,
    private readonly timeouts: UpstreamTimeouts,
  ) {}

  /** A socket is assigned, connected or not yet; nothing has been written. */
  onRequest(request: ClientRequest): void {
    this.#request = request;
    // An upgrade that nobody asked for ends the exchange without an error.
    request.once('close', () => {
      if (this.#answer === undefined) this.onError(new Error('closed without an answer'));
    });
    if (this.#isAborted) {
      request.destroy();
      return;
    }
    const { socket } = request;
    if (socket?.connecting !== true) {
      this.#onConnected();
      return;
    }
    this.#expect(this.timeouts.connectTimeoutMs);
    socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      this.#onConnected();
    });
  }

  onAnswer(answer: IncomingMessage): void {
    this.#answer = answer;
    answer.on('error', (error) => {
      this.onError(error);
    });
    if (this.#isAborted) {
      answer.destroy();
      return;
    }
    this.#expect(this.timeouts.idleTimeoutMs);
    this.exchange.head(answer.statusCode ?? 502, answer.headers);
    answer.on('data', (chunk: Buffer) => {
      this.#timer?.refresh();
      this.exchange.data(chunk);
    });
    answer.on('end', () => {
      clearTimeout(this.#timer);
      if (answer.complete) this.exchange.end();
    });
  }

  onError(error: Error): void {
    clearTimeout(this.#timer);
    if (this.#isAborted) return;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ETIMEDOUT') this.exchange.fail('upstream_timeout', 'timed-out', code);
    else this.exchange.fail('upstream_failed', 'provider-failed', failureReason(error));
  }

  pause(): void {
    // While the caller does not take what is there, the provider is not the one that is late.
    clearTimeout(this.#timer);
    this.#answer?.pause();
  }

  resume(): void {
    this.#expect(this.timeouts.idleTimeoutMs);
    this.#answer?.resume();
  }

  abort(): void {
    this.#isAborted = true;
    clearTimeout(this.#timer);
    this.#answer?.destroy();
    this.#request?.destroy();
  }

  #onConnected(): void {
    if (this.#isAborted) return;
    this.exchange.sent();
    this.#expect(this.timeouts.headersTimeoutMs);
  }

  #expect(withinMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isAborted) return;
    this.#timer = setTimeout(() => {
      this.exchange.fail('upstream_timeout', 'timed-out', `nothing came for ${withinMs} ms`);
    }, withinMs);
  }
}
