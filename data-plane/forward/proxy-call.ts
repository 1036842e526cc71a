import { ServerResponse, type ClientRequest, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { createProxyMiddleware, type Options } from 'http-proxy-middleware';
import { failureReason, type UpstreamCallerOptions, type UpstreamTimeouts } from './json-call.js';
import { addressOf } from '../provider-address.js';
import type { Outgoing } from './prepared-call.js';
import type { Relay, UpstreamSource } from './relay.js';
import { createUpstreamAgents, type UpstreamAgents } from './upstream-address.js';
import { upstreamHeaders } from './upstream-headers.js';

export interface ProxyCaller {
  send(relay: Relay, outgoing: Outgoing): void;
  close(): void;
}

/**
 * Makes calls whose bodies are no JSON: forms, and what is passed through; over http-proxy-middleware. The body was received
 * whole before, under the same limits as any other; the answer goes through the same {@link Relay}.
 */
export function createProxyCaller({ timeouts, addresses }: UpstreamCallerOptions): ProxyCaller {
  const calls = new WeakMap<IncomingMessage, ProxyCall>();
  const agents = createUpstreamAgents(addresses);
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
    send: (relay, outgoing) => {
      const { request } = relay.call.routed;
      const call = new ProxyCall(relay, outgoing, timeouts);
      calls.set(request, call);
      relay.attach(call);
      // A stand-in without a socket: the middleware destroys its response when the provider's ends early, and the caller's
      // has to take the error first.
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
 * Replaces the request's head by the one for the provider: the middleware copies all that it finds there. Attacks that the
 * list ends: a `Trailer` header crashes httpxy 0.5; a `Connection` header names others for removal; the caller's key, cookie
 * or address would reach the provider.
 */
function prepare(call: ProxyCall | undefined, options: Options, agents: UpstreamAgents) {
  if (call === undefined) throw new TypeError('a request to the proxy without a call');
  const { relay, outgoing } = call;
  const { routed, attempt } = relay.call;
  const { request } = routed;
  const { body } = outgoing;
  const { origin, basePath } = addressOf(attempt.provider);
  const headers: IncomingMessage['headers'] = {};
  const list = upstreamHeaders(routed, attempt, outgoing);
  for (let at = 0; at < list.length; at += 2) headers[list[at] ?? ''] = list[at + 1];
  if (body.length > 0 || request.method !== 'GET') headers['content-length'] = String(body.length);
  request.headers = headers;
  request.url = outgoing.path;
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
    readonly relay: Relay,
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
      this.#sent();
      return;
    }
    this.#expect(this.timeouts.connectTimeoutMs);
    socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      this.#sent();
    });
  }

  onAnswer(answer: IncomingMessage): void {
    this.#answer = answer;
    this.#expect(this.timeouts.idleTimeoutMs);
    this.relay.head(answer.statusCode ?? 502, answer.headers);
    answer.on('data', (chunk: Buffer) => {
      this.#timer?.refresh();
      this.relay.data(chunk);
    });
    answer.on('end', () => {
      clearTimeout(this.#timer);
      if (answer.complete) this.relay.end();
    });
    answer.on('error', (error) => {
      this.onError(error);
    });
  }

  onError(error: Error): void {
    clearTimeout(this.#timer);
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ETIMEDOUT') this.relay.fail('upstream_timeout', 'timed-out', code);
    else this.relay.fail('upstream_failed', 'provider-failed', failureReason(error));
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

  #sent(): void {
    if (!this.#isAborted) this.relay.sent();
    this.#expect(this.timeouts.headersTimeoutMs);
  }

  #expect(withinMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isAborted) return;
    this.#timer = setTimeout(() => {
      this.relay.fail('upstream_timeout', 'timed-out', `nothing came for ${withinMs} ms`);
    }, withinMs);
  }
}
