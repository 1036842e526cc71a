import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect } from 'vitest';
import {
  eventually,
  openRaw,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type RawConnection,
  type ScriptedUpstream,
  type MemorySpool,
} from './gateway-fixture.js';

/** The two clients that fetch answers: nothing that a caller or the books can see may differ between them. */
export const UPSTREAM_CLIENTS = [
  { client: 'undici', path: '/v1/chat/completions', upstreamPath: '/v1/chat/completions' },
  { client: 'http-proxy-middleware', path: '/passthrough/sim/audio/x?a=b', upstreamPath: '/v1/audio/x?a=b' },
] as const;

export const BODY = '{"model":"chat-alias","messages":[]}';

/** A gateway with short timeouts before a scripted provider, called over one of the two clients. */
export class RelayFixture {
  private constructor(
    readonly path: string,
    readonly upstream: ScriptedUpstream,
    public gateway: GatewayFixture,
  ) {}

  static async open(path: string): Promise<RelayFixture> {
    const upstream = await startUpstream(() => undefined);
    return new RelayFixture(path, upstream, await start(upstream.baseUrl));
  }

  async restart(change: Parameters<typeof startGateway>[1] = {}, baseUrl = this.upstream.baseUrl): Promise<void> {
    await this.gateway.close();
    this.gateway = await start(baseUrl, change);
  }

  /** Whatever happened: every call that went out is in the books, and once. */
  async close(): Promise<void> {
    const { spool, gateway } = this.gateway;
    await eventually(() => spool.starts.length === spool.ends.length);
    expect(new Set(spool.ends.map((end) => end.eventId)).size).toBe(spool.ends.length);
    expect(gateway.openCalls()).toBe(0);
    await this.gateway.close();
    this.upstream.close();
  }

  get ends(): MemorySpool['ends'] {
    return this.gateway.spool.ends;
  }

  respond(respondWith: (response: ServerResponse, request: IncomingMessage) => void): void {
    this.upstream.respond = (request, response) => {
      respondWith(response, request);
    };
  }

  headers(): Record<string, string> {
    return { authorization: `Bearer ${this.gateway.config.bearer}`, 'content-type': 'application/json' };
  }

  send(body: string = BODY): Promise<Response> {
    const init: RequestInit = { method: 'POST', headers: this.headers(), body, redirect: 'manual' };
    return fetch(this.gateway.url + this.path, init);
  }

  /** The text of one request. */
  requestText(lines: readonly string[] = [`content-length: ${BODY.length}`], body = BODY): string {
    const own = Object.entries(this.headers()).map(([name, value]) => `${name}: ${value}`);
    return [`POST ${this.path} HTTP/1.1`, 'host: x', ...own, ...lines, '', body].join('\r\n');
  }

  openCall(lines: readonly string[] = []): RawConnection {
    return openRaw(this.gateway.port, this.requestText([`content-length: ${BODY.length}`, ...lines]));
  }
}

async function start(baseUrl: string, change: Parameters<typeof startGateway>[1] = {}): Promise<GatewayFixture> {
  const gateway = await startGateway(baseUrl, {
    UPSTREAM_CONNECT_TIMEOUT_MS: 400,
    UPSTREAM_HEADERS_TIMEOUT_MS: 400,
    IDLE_TIMEOUT_MS: 400,
    ...change,
  });
  gateway.config.addPassthrough('POST', '/audio/*');
  return gateway;
}
