import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { eventually, openRaw, startGateway, startUpstream } from '../../test/kit/gateway-fixture.js';
import type { GatewayFixture, RawConnection, ScriptedUpstream } from '../../test/kit/gateway-fixture.js';

const DIALECTS = ['openai', 'anthropic', 'gemini'] as const satisfies readonly Dialect[];
const PAIRS = DIALECTS.flatMap((caller) => DIALECTS.map((provider) => ({ caller, provider })));

const BEGINNING: Readonly<Record<Dialect, string>> = {
  openai: sse({ id: 'c1', created: 1, choices: [{ index: 0, delta: { role: 'assistant', content: 'Hi' } }] }),
  anthropic:
    sse({ type: 'message_start', message: { id: 'm1', usage: { input_tokens: 9, output_tokens: 1 } } }) +
    sse({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }) +
    sse({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } }),
  gemini: sse({
    candidates: [{ index: 0, content: { role: 'model', parts: [{ text: 'Hi' }] } }],
    usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 1 },
  }),
};

function sse(event: object): string {
  return `${'type' in event ? `event: ${String(event.type)}\n` : ''}data: ${JSON.stringify(event)}\n\n`;
}

function errorOf(provider: Dialect, message: string): string {
  switch (provider) {
    case 'openai':
      return sse({ error: { message, type: 'server_error', param: null, code: null } });
    case 'anthropic':
      return sse({ type: 'error', error: { type: 'overloaded_error', message } });
    case 'gemini':
      return sse({ error: { code: 503, message, status: 'UNAVAILABLE' } });
  }
}

let upstream: ScriptedUpstream;
let fixture: GatewayFixture;

async function begin(provider: Dialect, change: Parameters<typeof startGateway>[1] = {}): Promise<void> {
  await fixture.close();
  fixture = await startGateway(upstream.baseUrl, change);
  Object.assign(fixture.config.provider, { dialect: provider });
}

beforeEach(async () => {
  upstream = await startUpstream(() => undefined);
  fixture = await startGateway(upstream.baseUrl);
});

afterEach(async () => {
  await fixture.close();
  upstream.close();
});

function respond(act: (response: ServerResponse) => void, headers: Record<string, string> = {}): void {
  upstream.respond = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', ...headers });
    response.flushHeaders();
    act(response);
  };
}

function open(caller: Dialect, streamed = true): RawConnection {
  const messages = [{ role: 'user', content: 'Hello' }];
  const [path, body] = {
    openai: ['/v1/chat/completions', { model: 'chat-alias', messages, stream: streamed }],
    anthropic: ['/v1/messages', { model: 'chat-alias', max_tokens: 9, messages, stream: streamed }],
    gemini: [
      `/v1beta/models/chat-alias:${streamed ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
      { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }] },
    ],
  }[caller] as [string, object];
  const json = JSON.stringify(body);
  const head = [`POST ${path} HTTP/1.1`, 'host: x', `authorization: Bearer ${fixture.config.bearer}`];
  const lines = [...head, 'content-type: application/json', `content-length: ${Buffer.byteLength(json)}`, '', json];
  return openRaw(fixture.port, lines.join('\r\n'));
}

/** What came, without the lengths of its chunks. */
function eventsOf(raw: RawConnection): string {
  const received = raw.received();
  const body = received.slice(received.indexOf('\r\n\r\n') + 4);
  return body.replace(/^[0-9a-f]+\r\n/gm, '').replaceAll('\r\n', '');
}

describe.each(PAIRS)('an error inside a stream of $provider, for a caller of $caller', ({ caller, provider }) => {
  it('tells nothing of our account and costs nothing, also where the caller leaves at its sight', async () => {
    await begin(provider);
    const ours = `${fixture.config.secret} of org-AbCdEf123456 in proj_AbCdEf123456`;
    respond((response) => {
      response.write(BEGINNING[provider] + errorOf(provider, `Overloaded: ${ours}`));
    });
    const raw = open(caller);
    await eventually(() => eventsOf(raw).includes('"error"'), 10_000);
    raw.socket.destroy();
    await eventually(() => fixture.spool.ends.length === 1, 20_000);
    expect(raw.received()).not.toContain(fixture.config.secret);
    expect(raw.received()).not.toMatch(/(?:org|proj)[-_]AbCdEf/);
    expect(fixture.spool.ends).toMatchObject([{ outcome: 'caller-left', billedAttempt: null }]);
  });
});

describe('an error inside a stream of the caller’s own dialect', () => {
  it.each(DIALECTS)('of %s goes on byte for byte where it says nothing of us', async (dialect) => {
    await begin(dialect);
    const text = BEGINNING[dialect] + errorOf(dialect, 'Overloaded, try again');
    respond((response) => response.end(text));
    const raw = open(dialect);
    await eventually(() => raw.received().includes('0\r\n\r\n'), 10_000);
    expect(eventsOf(raw)).toContain(text.replaceAll('\r\n', ''));
    expect(fixture.spool.ends).toMatchObject([{ outcome: 'provider-failed', billedAttempt: null }]);
    raw.socket.destroy();
  });
});

describe.each(PAIRS)('a silence in a stream of $provider', ({ caller, provider }) => {
  it(`is filled with comments for a caller of ${caller}, from its head on, and never inside an event`, async () => {
    await begin(provider, { STREAM_COMMENT_INTERVAL_MS: 60 });
    const half = Math.floor(BEGINNING[provider].length / 2);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    respond((response) => {
      setTimeout(() => response.write(BEGINNING[provider].slice(0, half)), 400);
      void promise.then(() => response.write(BEGINNING[provider].slice(half)));
    });
    const raw = open(caller);
    const comments = (): number => eventsOf(raw).split(': keep-alive\n\n').length - 1;
    await eventually(() => comments() >= 2, 10_000);
    expect(eventsOf(raw)).not.toContain('Hi');
    await new Promise((elapsed) => setTimeout(elapsed, 600));
    resolve(undefined);
    await eventually(() => eventsOf(raw).includes('Hi'), 10_000);
    const events = eventsOf(raw).replaceAll(': keep-alive\n\n', '');
    if (caller === provider) expect(events).toBe(BEGINNING[provider]);
    const before = comments();
    await eventually(() => comments() > before, 10_000);
    raw.socket.destroy();
    await eventually(() => fixture.spool.ends.length === 1, 20_000);
  });
});

describe('before the provider’s head', () => {
  it('nothing is said, so that an error still has its status', async () => {
    await begin('openai', { STREAM_COMMENT_INTERVAL_MS: 40 });
    upstream.respond = (_request, response) => {
      setTimeout(() => response.writeHead(429).end('{"error":{"message":"slow down"}}'), 400);
    };
    const raw = open('openai');
    await eventually(() => raw.received().includes('slow down'), 10_000);
    expect(raw.received()).toMatch(/^HTTP\/1\.1 429 /);
    raw.socket.destroy();
  });
});

describe('the service tier that the provider names', () => {
  const cases: [string, Dialect, object, Record<string, string>, string | undefined][] = [
    ['OpenAI', 'openai', { choices: [], usage: { prompt_tokens: 1 }, service_tier: 'flex' }, {}, 'flex'],
    [
      'OpenAI, the standard',
      'openai',
      { choices: [], usage: { prompt_tokens: 1 }, service_tier: 'default' },
      {},
      undefined,
    ],
    [
      'Anthropic',
      'anthropic',
      { type: 'message_start', message: { usage: { input_tokens: 1, output_tokens: 1, service_tier: 'priority' } } },
      {},
      'priority',
    ],
    [
      'Gemini in its head',
      'gemini',
      { candidates: [], usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1 } },
      { 'x-gemini-service-tier': 'priority' },
      'priority',
    ],
    [
      'Gemini in its usage',
      'gemini',
      { candidates: [], usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, serviceTier: 'flex' } },
      {},
      'flex',
    ],
  ];

  it.each(cases)(
    '%s, is in the books of a stream, relayed or translated',
    async (_name, provider, event, headers, tier) => {
      await begin(provider);
      respond((response) => response.end(sse(event)), headers);
      for (const caller of DIALECTS) {
        const raw = open(caller);
        await eventually(() => fixture.spool.ends.length === DIALECTS.indexOf(caller) + 1, 20_000);
        raw.socket.destroy();
      }
      expect(fixture.spool.ends.map(({ attempts }) => attempts[0]?.serviceTier)).toEqual([tier, tier, tier]);
    },
  );

  const message = { role: 'assistant', content: 'Hi' };
  const bodies: [Dialect, object, Record<string, string>][] = [
    [
      'openai',
      {
        id: 'c',
        choices: [{ index: 0, message, finish_reason: 'stop' }],
        usage: { prompt_tokens: 1 },
        service_tier: 'flex',
      },
      {},
    ],
    [
      'anthropic',
      {
        ...{ id: 'm', type: 'message', role: 'assistant', model: 'x', content: [{ type: 'text', text: 'Hi' }] },
        ...{ stop_reason: 'end_turn', usage: { input_tokens: 1, output_tokens: 1, service_tier: 'flex' } },
      },
      {},
    ],
    [
      'gemini',
      {
        candidates: [{ index: 0, content: { role: 'model', parts: [{ text: 'Hi' }] }, finishReason: 'STOP' }],
        usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1 },
      },
      { 'x-gemini-service-tier': 'flex' },
    ],
  ];

  it.each(bodies)('%s, is in the books of a whole answer, relayed or translated', async (provider, body, headers) => {
    await begin(provider);
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
    };
    for (const caller of DIALECTS) {
      const raw = open(caller, false);
      await eventually(() => raw.received().includes('Hi'), 10_000);
      raw.socket.destroy();
    }
    expect(fixture.spool.ends.map(({ attempts }) => attempts[0]?.serviceTier)).toEqual(['flex', 'flex', 'flex']);
  });
});
