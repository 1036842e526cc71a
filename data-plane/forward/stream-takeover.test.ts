import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';
import { startRoutedGateway, useTargets } from '../../test/kit/routed-gateway.js';

/** Two providers of one model, the second for when the first fails. */
let first: ScriptedUpstream;
let second: ScriptedUpstream;
let gateway: GatewayFixture;

beforeEach(async () => {
  first = await startUpstream(() => undefined);
  second = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).end(OPENING + REST);
  });
  gateway = await startRoutedGateway([first, second]);
});

afterEach(async () => {
  await gateway.close();
  first.close();
  second.close();
});

function call(change: object = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.config.bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'chat-alias', messages: [{ role: 'user', content: 'hi' }], stream: true, ...change }),
  });
}

const settled = (calls = 1): Promise<void> => eventually(() => gateway.spool.ends.length === calls, 20_000);

const lastEnd = () => {
  const end = gateway.spool.ends.at(-1);
  if (end === undefined) throw new Error('no record');
  return end;
};

const OPENING = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n';
const REST =
  'data: {"choices":[{"index":0,"delta":{"content":"whole"}}]}\n\n' +
  'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\ndata: [DONE]\n\n';

/** Sends a stream's head and these events, and then does as is said. */
const beginWith =
  (events: readonly string[], act: (request: IncomingMessage, response: ServerResponse) => void) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-should-retry': 'first' }).flushHeaders();
    for (const event of events) response.write(event);
    setTimeout(() => {
      act(request, response);
    }, 30);
  };
const die = (request: IncomingMessage): void => {
  request.socket.resetAndDestroy();
};
const end = (_request: IncomingMessage, response: ServerResponse): void => {
  response.end();
};
const OVERLOADED = 'data: {"error":{"message":"busy","type":"overloaded_error"}}\n\n';
const PING = ': waiting\n\n';

describe('a stream that breaks before it has said anything', () => {
  it.each([
    ['behind its head', [], die],
    ['behind the role', [OPENING], die],
    ['behind half of an event', [OPENING, 'data: {"choi'], die],
    ['behind a comment', [PING, OPENING, PING], die],
    ['by a clean end', [OPENING], end],
    ['by an error event', [OPENING + OVERLOADED], end],
  ])('is streamed from the next: %s', async (_name, events, act) => {
    first.respond = beginWith(events, act);
    const response = await call();
    expect(response.status).toBe(200);
    expect(response.headers.get('x-should-retry')).toBeNull();
    expect(await response.text()).toBe(OPENING + REST.replace(/data: \{"choices":\[\],.*\n\n/, ''));
    await settled();
    expect(lastEnd()).toMatchObject({
      outcome: 'completed',
      billedAttempt: 1,
      attempts: [
        { status: 200, usage: {}, countedBy: 'none' },
        { status: 200, usage: { input: 1, output: 1 } },
      ],
    });
  });

  it('is streamed from one that speaks another dialect, and the other way round', async () => {
    const anthropic = { dialect: 'anthropic', auth: 'x-api-key' } as const;
    const other = gateway.config.moreProviders[0] ?? gateway.config.provider;
    gateway.config.moreProviders[0] = { ...other, ...anthropic };
    const event = (type: string, rest: object): string =>
      `event: ${type}\ndata: ${JSON.stringify({ type, ...rest })}\n\n`;
    const message = { id: 'm', role: 'assistant', content: [], usage: { input_tokens: 3, output_tokens: 1 } };
    const opening = event('message_start', { message }) + event('ping', {});
    const block = event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
    const content = block + event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'good day' } });
    const close =
      event('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 2 } }) +
      event('message_stop', {});
    first.respond = beginWith([OPENING], die);
    second.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(opening + content + close);
    };
    expect(await (await call({ max_tokens: 5 })).text()).toContain('good day');
    useTargets(gateway, [first, second], {});
    const { config } = gateway;
    Object.assign(config.provider, anthropic);
    config.moreProviders[0] = { ...(config.moreProviders[0] ?? config.provider), dialect: 'openai', auth: 'bearer' };
    first.respond = beginWith([opening], die);
    second.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(OPENING + REST);
    };
    expect(await (await call({ max_tokens: 5 })).text()).toContain('whole');
    await settled(2);
    // What it had said of its prompt is the operator's to pay.
    expect(lastEnd().attempts).toMatchObject([{ usage: { input: 3 }, countedBy: 'provider' }, { status: 200 }]);
  });

  it('and has nobody to follow it is told as an error, with its status', async () => {
    first.respond = second.respond = beginWith([OPENING], die);
    const response = await call();
    expect(response.status).toBe(502);
    await settled();
    expect(lastEnd()).toMatchObject({ outcome: 'provider-failed', status: 502, billedAttempt: null });
  });

  it('and reports an error where nobody follows passes it on', async () => {
    first.respond = second.respond = beginWith([OPENING + OVERLOADED], end);
    const response = await call();
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('busy');
    await settled();
    expect(lastEnd()).toMatchObject({ outcome: 'provider-failed', billedAttempt: null, attempts: { length: 2 } });
  });
});

it('a stream that is silent for long begins for its caller all the same, and is then its own', async () => {
  await gateway.close();
  gateway = await startRoutedGateway([first, second], {}, { STREAM_COMMENT_INTERVAL_MS: 100 });
  first.respond = (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(OPENING);
    response.on('close', () => undefined);
    setTimeout(() => {
      request.socket.resetAndDestroy();
    }, 1_000);
  };
  const response = await call();
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow();
  expect(second.requests).toHaveLength(0);
  await settled();
  expect(lastEnd()).toMatchObject({ outcome: 'provider-failed', attempts: { length: 1 } });
});

it.each(['\n', '\r\n', '\r'])('a stream of single bytes, with lines that end with %j, comes whole', async (line) => {
  const whole = (OPENING + REST).replaceAll('\n', line);
  first.respond = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const bytes = [...Buffer.from(whole)];
    const next = (): void => {
      const byte = bytes.shift();
      if (byte === undefined) response.end();
      else response.write(Buffer.from([byte]), next);
    };
    next();
  };
  const text = await (await call({ stream_options: { include_usage: true } })).text();
  expect(text).toBe(whole);
  expect(second.requests).toHaveLength(0);
});

const SILENT = (): void => undefined;

describe('a stream that says nothing for longer than FIRST_TOKEN_TIMEOUT_MS', () => {
  beforeEach(async () => {
    await gateway.close();
    gateway = await startRoutedGateway([first, second], {}, { FIRST_TOKEN_TIMEOUT_MS: 200 });
  });

  it('is taken over by the next provider', async () => {
    first.respond = beginWith([], SILENT);
    const response = await call();
    expect(await response.text()).toContain('whole');
    await settled();
    expect(lastEnd()).toMatchObject({ outcome: 'completed', billedAttempt: 1 });
  });

  it('and has nobody to follow it ends as timed out', async () => {
    useTargets(gateway, [first], {});
    first.respond = beginWith([], SILENT);
    const text = await call().then((response) => response.text().catch(() => 'cut'));
    expect(text).toMatch(/upstream_timeout|cut/);
    await settled();
    expect(lastEnd()).toMatchObject({ outcome: 'timed-out', billedAttempt: null });
  });
});
