import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RoutePolicy } from '@pingtoken/shared/route-policy';
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

const ANSWER = JSON.stringify({
  ...{ id: 'c', object: 'chat.completion', created: 1, model: 'm' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'hello' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
});

const serve = (_request: IncomingMessage, response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER);
};
const refuseWith =
  (status: number, body: unknown = { error: { message: 'no' } }, headers = {}) =>
  (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
const reset = (request: IncomingMessage): void => {
  request.socket.resetAndDestroy();
};

/** Dies behind the head of a stream. */
const breakOff = (request: IncomingMessage, response: ServerResponse): void => {
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  setTimeout(() => {
    reset(request);
  }, 30);
};

beforeEach(async () => {
  first = await startUpstream(serve);
  second = await startUpstream(serve);
  gateway = await startRoutedGateway([first, second], {}, { UPSTREAM_HEADERS_TIMEOUT_MS: 5_000 });
});

afterEach(async () => {
  const { spool } = gateway;
  await eventually(() => spool.starts.length === spool.ends.length, 20_000);
  expect(new Set(spool.ends.map(({ eventId }) => eventId)).size).toBe(spool.ends.length);
  expect(gateway.gateway.openCalls()).toBe(0);
  await gateway.close();
  first.close();
  second.close();
});

function useBoth(policy: Partial<RoutePolicy>, ...more: readonly ScriptedUpstream[]): void {
  useTargets(gateway, [first, second, ...more], policy);
}

const retry = (change: Partial<RoutePolicy['retry']>): Partial<RoutePolicy> => {
  const policy = gateway.config.routeList[0]?.retry;
  if (policy === undefined) throw new Error('no route');
  return { retry: { ...policy, ...change } };
};

function call(change: object = {}): Promise<Response> {
  return fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${gateway.config.bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'chat-alias', messages: [{ role: 'user', content: 'hi' }], ...change }),
  });
}

const lastEnd = () => {
  const end = gateway.spool.ends.at(-1);
  if (end === undefined) throw new Error('no record');
  return end;
};

describe('a call whose provider fails before it has answered', () => {
  it.each<[string, (request: IncomingMessage, response: ServerResponse) => void, number | null]>([
    ['a fault', refuseWith(500), 500],
    ['overload', refuseWith(529), 529],
    ['a rate limit', refuseWith(429, {}, { 'retry-after': '1' }), 429],
    ['a refused credential', refuseWith(401), 401],
    ['an empty account', refuseWith(402), 402],
    ['a used up quota', refuseWith(429, { error: { code: 'insufficient_quota', message: 'x' } }), 429],
    ['a model that is gone', refuseWith(404, { error: { code: 'model_not_found', message: 'x' } }), 404],
    ['a reset', reset, null],
    ['a redirect', refuseWith(302, {}, { location: 'http://127.0.0.1/' }), 302],
    ['silence', () => undefined, null],
  ])('is answered by the next: %s', async (_name, respond, status) => {
    first.respond = respond;
    const response = await call();
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(ANSWER);
    expect(second.requests).toHaveLength(1);
    expect(JSON.parse(second.requests[0]?.body.toString() ?? '')).toMatchObject({ model: 'second-0' });
    const { attempts, billedAttempt, outcome } = lastEnd();
    expect(outcome).toBe('completed');
    expect(billedAttempt).toBe(1);
    expect(attempts).toMatchObject([
      { status, usage: {}, countedBy: 'none', upstreamModel: 'pingtoken-sim-small' },
      { status: 200, usage: { input: 3, output: 2 }, countedBy: 'provider', upstreamModel: 'second-0' },
    ]);
  });

  it('and whose machine is gone, too', async () => {
    first.close();
    expect((await call()).status).toBe(200);
    expect(lastEnd().attempts).toMatchObject([{ status: null }, { status: 200 }]);
  });

  it('streams from the next', async () => {
    first.respond = refuseWith(503);
    second.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n');
      response.end('data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\ndata: [DONE]\n\n');
    };
    const response = await call({ stream: true });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('data: [DONE]');
    expect(lastEnd()).toMatchObject({ outcome: 'completed', attempts: [{ status: 503 }, { status: 200 }] });
  });

  it('goes to a provider of another dialect, in its words', async () => {
    gateway.config.moreProviders[0] = {
      ...(gateway.config.moreProviders[0] ?? gateway.config.provider),
      ...{ dialect: 'anthropic', auth: 'x-api-key' },
    };
    first.respond = refuseWith(500);
    second.respond = (_request, response) => {
      const content = [{ type: 'text', text: 'good day' }];
      const usage = { input_tokens: 7, output_tokens: 2 };
      const message = {
        id: 'm',
        type: 'message',
        role: 'assistant',
        model: 'x',
        content,
        stop_reason: 'end_turn',
        usage,
      };
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(message));
    };
    const response = await call({ max_tokens: 10 });
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'good day' } }] });
    expect(second.requests[0]?.url).toBe('/v1/messages');
    expect(lastEnd().attempts[1]).toMatchObject({ usage: { input: 7, output: 2 } });
  });

  it('and none is left: the caller is told what the last one said', async () => {
    first.respond = refuseWith(500);
    second.respond = refuseWith(503, { error: { message: 'come back', code: 'x' } });
    const response = await call();
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { message: 'come back' } });
    expect(lastEnd()).toMatchObject({ billedAttempt: null, attempts: [{ status: 500 }, { status: 503 }] });
  });

  it('is not tried beyond what its route allows', async () => {
    const third = await startUpstream(serve);
    first.respond = second.respond = refuseWith(500);
    useBoth(retry({ maxAttempts: 2 }), third);
    expect((await call()).status).toBe(500);
    expect(third.requests).toHaveLength(0);
    useBoth(retry({ maxAttempts: 3 }), third);
    expect((await call()).status).toBe(200);
    third.close();
  });
});

it('a form that fails is sent to the next provider', async () => {
  gateway.config.addModel('transcription-alias', 'transcriptions', 'whisper');
  useTargets(gateway, [first, second], {}, 'transcription-alias');
  second.respond = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"text":"said"}');
  };
  for (const respond of [reset, refuseWith(500), breakOff]) {
    first.respond = respond;
    const body = new FormData();
    body.set('model', 'transcription-alias');
    body.set('file', new Blob([new Uint8Array(200_000)]), 'sound.wav');
    const headers = { authorization: `Bearer ${gateway.config.bearer}` };
    const response = await fetch(`${gateway.url}/v1/audio/transcriptions`, { method: 'POST', headers, body });
    expect(await response.json()).toEqual({ text: 'said' });
    const [one, other] = [first.requests.at(-1)?.body, second.requests.at(-1)?.body];
    expect(other?.toString('latin1')).toBe(one?.toString('latin1').replace('whisper', 'second-0'));
  }
  await eventually(() => gateway.spool.ends.length === 3);
  expect(gateway.spool.ends.map(({ attempts }) => attempts.map(({ status }) => status))).toEqual([
    [null, 200],
    [500, 200],
    [200, 200],
  ]);
});

describe('no other attempt is made', () => {
  it('for what is the caller’s own fault', async () => {
    first.respond = refuseWith(400, { error: { message: 'bad', type: 'invalid_request_error' } });
    expect((await call()).status).toBe(400);
    expect(second.requests).toHaveLength(0);
  });

  it('once an answer has begun', async () => {
    first.respond = (request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n', () => {
        request.socket.resetAndDestroy();
      });
    };
    const response = await call({ stream: true });
    await expect(response.text()).rejects.toThrow();
    expect(second.requests).toHaveLength(0);
    expect(lastEnd()).toMatchObject({ outcome: 'provider-failed', attempts: [{ status: 200 }] });
  });

  it('for a caller that has left', async () => {
    first.respond = () => undefined;
    const leaving = new AbortController();
    const left = fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      signal: leaving.signal,
      headers: { authorization: `Bearer ${gateway.config.bearer}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'chat-alias', messages: [] }),
    });
    await eventually(() => first.requests.length === 1);
    leaving.abort();
    await expect(left).rejects.toThrow();
    await eventually(() => gateway.spool.ends.length === 1);
    expect(lastEnd()).toMatchObject({ outcome: 'caller-left', attempts: { length: 1 } });
    expect(second.requests).toHaveLength(0);
  });
});

describe('what is known of targets', () => {
  it('keeps calls off one that fails, until a probe finds it well', async () => {
    first.respond = refuseWith(500);
    for (let each = 0; each < 8; each += 1) expect((await call()).status).toBe(200);
    expect(first.requests).toHaveLength(5);
    expect(second.requests).toHaveLength(8);
  });

  it('parks a credential that is refused at once', async () => {
    first.respond = refuseWith(403, { error: { message: 'key revoked' } });
    for (let each = 0; each < 4; each += 1) expect((await call()).status).toBe(200);
    expect(first.requests).toHaveLength(1);
  });

  it('waits as long as a provider asks for, and tells the caller where nobody else is left', async () => {
    first.respond = second.respond = refuseWith(429, { error: { message: 'slow down' } }, { 'retry-after': '60' });
    expect((await call()).status).toBe(429);
    const response = await call();
    expect(response.status).toBe(429);
    expect(response.headers.get('x-should-retry')).toBe('true');
    expect([first.requests.length, second.requests.length]).toEqual([1, 1]);
  });

  it('leaves an attempt that is late where the route says how long it may take', async () => {
    useBoth(retry({ perAttemptTimeoutMs: 500 }));
    first.respond = () => undefined;
    expect((await call()).status).toBe(200);
    await eventually(() => first.aborts.length === 1);
    expect(lastEnd().attempts).toMatchObject([{ status: null }, { status: 200 }]);
  });

  it('lets the same target be tried again, after a pause, where the route says so', async () => {
    useBoth(retry({ sameTargetRetries: 2, maxAttempts: 4 }));
    second.respond = refuseWith(500);
    let times = 0;
    first.respond = (request, response) => {
      times += 1;
      refuseWith(500)(request, response);
    };
    expect((await call()).status).toBe(500);
    expect(times).toBe(1);
    expect(second.requests).toHaveLength(3);
    expect(lastEnd().attempts).toHaveLength(4);
  });
});

it('every one of many calls is answered while one of two providers dies under them', async () => {
  useBoth({});
  const statuses: number[] = [];
  const caller = async (): Promise<void> => {
    for (let each = 0; each < 10; each += 1) {
      const response = await call();
      await response.arrayBuffer();
      statuses.push(response.status);
    }
  };
  const callers = Array.from({ length: 20 }, caller);
  await eventually(() => statuses.length > 40, 20_000);
  first.respond = reset;
  await Promise.all(callers);
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(gateway.spool.ends.filter(({ billedAttempt }) => billedAttempt === null)).toEqual([]);
  const served = gateway.spool.ends.filter(({ attempts }) => attempts.at(-1)?.upstreamModel === 'second-0');
  expect(second.requests).toHaveLength(served.length);
});
