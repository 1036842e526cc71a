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

const JSON_TYPE = 'application/json';
const FORM_TYPE = 'multipart/form-data; boundary=b';
export const BODY = '{"model":"chat-alias","messages":[]}';
const FORM = [
  ...['--b', 'Content-Disposition: form-data; name="model"', '', 'transcription-alias'],
  ...['--b', 'Content-Disposition: form-data; name="file"; filename="a"', '', 'sound', '--b--', ''],
].join('\r\n');

/**
 * The kinds of calls, by the two clients that fetch their answers: nothing that a caller or the books can see may differ
 * between them.
 */
export const UPSTREAM_CLIENTS = [
  {
    client: 'undici',
    path: '/v1/chat/completions',
    upstreamPath: '/v1/chat/completions',
    body: BODY,
    contentType: JSON_TYPE,
    accept: JSON_TYPE,
  },
  {
    client: 'undici, with speech',
    path: '/api/v1/audio/speech',
    upstreamPath: '/v1/audio/speech',
    body: '{"model":"speech-alias","input":"a river"}',
    contentType: JSON_TYPE,
    accept: '*/*',
  },
  {
    client: 'http-proxy-middleware',
    path: '/passthrough/sim/audio/x?a=b',
    upstreamPath: '/v1/audio/x?a=b',
    body: BODY,
    contentType: JSON_TYPE,
    // The caller's own.
    accept: undefined,
  },
  {
    client: 'http-proxy-middleware, with a form',
    path: '/v1/audio/transcriptions',
    upstreamPath: '/v1/audio/transcriptions',
    body: FORM,
    contentType: FORM_TYPE,
    accept: '*/*',
  },
] as const;

/** An answer that says what it used, so that its call is in the books before it ends. */
export const ANSWER = '{"usage":{"prompt_tokens":1}}';

/** A gateway with short timeouts before a scripted provider, called in one of these ways. */
export class RelayFixture {
  readonly body: string;
  readonly contentType: string;

  private constructor(
    readonly path: string,
    readonly upstream: ScriptedUpstream,
    public gateway: GatewayFixture,
  ) {
    const kind = UPSTREAM_CLIENTS.find((each) => each.path === path) ?? UPSTREAM_CLIENTS[0];
    this.body = kind.body;
    this.contentType = kind.contentType;
  }

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
    await this.settled(0);
    expect(new Set(spool.ends.map((end) => end.eventId)).size).toBe(spool.ends.length);
    expect(gateway.openCalls()).toBe(0);
    await this.gateway.close();
    this.upstream.close();
  }

  /** Every call that went out is in the books. What is counted here gets there last. */
  async settled(calls = 1): Promise<void> {
    const { starts, ends } = this.gateway.spool;
    await eventually(() => ends.length >= calls && starts.length === ends.length, SETTLE_MS);
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
    return { authorization: `Bearer ${this.gateway.config.bearer}`, 'content-type': this.contentType };
  }

  send(body: string = this.body): Promise<Response> {
    const init: RequestInit = { method: 'POST', headers: this.headers(), body, redirect: 'manual' };
    return fetch(this.gateway.url + this.path, init);
  }

  /** The text of one request. */
  requestText(lines: readonly string[] = [`content-length: ${this.body.length}`], body: string = this.body): string {
    const own = Object.entries(this.headers()).map(([name, value]) => `${name}: ${value}`);
    return [`POST ${this.path} HTTP/1.1`, 'host: x', ...own, ...lines, '', body].join('\r\n');
  }

  openCall(lines: readonly string[] = []): RawConnection {
    return openRaw(this.gateway.port, this.requestText([`content-length: ${this.body.length}`, ...lines]));
  }
}

/** The tokenizer takes a while to load where the machine is busy. */
const SETTLE_MS = 20_000;

async function start(baseUrl: string, change: Parameters<typeof startGateway>[1] = {}): Promise<GatewayFixture> {
  const gateway = await startGateway(baseUrl, {
    UPSTREAM_CONNECT_TIMEOUT_MS: 400,
    UPSTREAM_HEADERS_TIMEOUT_MS: 400,
    IDLE_TIMEOUT_MS: 400,
    ...change,
  });
  gateway.config.addPassthrough('POST', '/audio/*');
  gateway.config.addModel('speech-alias', 'speech', 'speech-alias');
  gateway.config.addModel('transcription-alias', 'transcriptions', 'transcription-alias');
  return gateway;
}
