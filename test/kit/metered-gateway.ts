import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { startProviderSimulator, type RunningSimulator } from '../../control-plane/standalone/simulator/server.js';
import { startGateway, eventually, type GatewayFixture, type MemorySpool } from './gateway-fixture.js';
import { createSimulatorBooks, type ServedCall, type SimulatorBooks } from './simulator-books.js';

export const DIALECTS = ['openai', 'anthropic', 'gemini'] as const satisfies readonly Dialect[];

const BASE_PATHS: Readonly<Record<Dialect, string>> = { openai: '/v1', anthropic: '/v1', gemini: '/v1beta' };

/** A call that is open, as its caller sees it. */
export interface OpenStream {
  readonly status: number;
  readonly requestId: string;
  /** The texts of the answer so far. */
  text(): string;
  /** All that came so far, as it came. */
  received(): string;
  leave(): void;
  /** Resolves when the stream has ended, however. */
  ended(): Promise<void>;
}

/** A gateway before the provider simulator, which counts by itself what it was asked and has handed over. */
export class MeteredGateway {
  private constructor(
    readonly simulator: RunningSimulator,
    readonly books: SimulatorBooks,
    readonly gateway: GatewayFixture,
  ) {}

  static async open(provider: Dialect, change: Parameters<typeof startGateway>[1] = {}): Promise<MeteredGateway> {
    const simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
    const gateway = await startGateway(simulator.url + BASE_PATHS[provider], change);
    Object.assign(gateway.config.provider, { dialect: provider });
    return new MeteredGateway(simulator, createSimulatorBooks(simulator.url), gateway);
  }

  async close(): Promise<void> {
    await this.gateway.close();
    await this.simulator.close();
  }

  get ends(): MemorySpool['ends'] {
    return this.gateway.spool.ends;
  }

  /** Every call that went out is in the books, and once. */
  async settled(calls = 1): Promise<void> {
    const { starts, ends } = this.gateway.spool;
    await eventually(() => ends.length >= calls && starts.length === ends.length, 28_000);
    if (new Set(ends.map(({ eventId }) => eventId)).size !== ends.length) throw new Error('a call has ended twice');
  }

  /** What the provider's own books say, once it has noticed that the call is over. */
  async servedCall(requestId: string): Promise<ServedCall> {
    for (;;) {
      const call = await this.books.servedCall(requestId);
      if (call.outcome !== 'open') return call;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  request(caller: Dialect, text: string, streamed: boolean): Promise<Response> {
    const { url, config } = this.gateway;
    const path = pathOf(caller, streamed);
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${config.bearer}` };
    return fetch(url + path, { method: 'POST', headers, body: JSON.stringify(bodyOf(caller, text, streamed)) });
  }

  async stream(caller: Dialect, text: string): Promise<OpenStream> {
    const leaving = new AbortController();
    const { url, config } = this.gateway;
    const response = await fetch(url + pathOf(caller, true), {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${config.bearer}` },
      body: JSON.stringify(bodyOf(caller, text, true)),
      signal: leaving.signal,
    });
    let received = '';
    const read = async (): Promise<void> => {
      const pieces = response.body?.pipeThrough(new TextDecoderStream());
      if (pieces === undefined) return;
      for await (const piece of pieces) received += piece;
    };
    const ended = read().catch(() => undefined);
    return {
      status: response.status,
      requestId: response.headers.get('x-request-id') ?? '',
      text: () => textsOf(received),
      received: () => received,
      leave: () => {
        leaving.abort();
      },
      ended: () => ended,
    };
  }
}

function pathOf(caller: Dialect, streamed: boolean): string {
  switch (caller) {
    case 'openai':
      return '/v1/chat/completions';
    case 'anthropic':
      return '/v1/messages';
    case 'gemini':
      return `/v1beta/models/chat-alias:${streamed ? 'streamGenerateContent?alt=sse' : 'generateContent'}`;
  }
}

function bodyOf(caller: Dialect, text: string, streamed: boolean): Record<string, unknown> {
  const stream = streamed ? { stream: true } : {};
  const messages = [{ role: 'user', content: text }];
  switch (caller) {
    case 'openai':
      return { model: 'chat-alias', messages, ...stream };
    case 'anthropic':
      return { model: 'chat-alias', max_tokens: 1000, messages, ...stream };
    case 'gemini':
      return { contents: [{ role: 'user', parts: [{ text }] }] };
  }
}

/** The texts in whole events of any of the dialects: each says them under `content` or `text`. */
function textsOf(stream: string): string {
  const texts = stream.matchAll(/"(?:content|text)":("(?:[^"\\]|\\.)*")/g);
  return [...texts].map(([, text]) => JSON.parse(text ?? '""') as string).join('');
}
