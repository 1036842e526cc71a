import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { openClient } from '@pingtoken/shared/crypto';
import {
  eventually,
  openRaw,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../test/kit/gateway-fixture.js';

const USAGE = {
  prompt_tokens: 12,
  completion_tokens: 5,
  total_tokens: 17,
  prompt_tokens_details: { cached_tokens: 2 },
  completion_tokens_details: { reasoning_tokens: 1 },
};
const COMPLETION = {
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'pingtoken-sim-small',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello.' }, finish_reason: 'stop' }],
  usage: USAGE,
};
const messages = [{ role: 'user' as const, content: 'Hi' }];

let upstream: ScriptedUpstream;
let fixture: GatewayFixture;
let client: OpenAI;

function answerJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function chunk(change: object): string {
  return `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', usage: null, ...change })}\n\n`;
}

function answerStream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  for (const content of ['Hel', 'lo.'])
    response.write(chunk({ choices: [{ index: 0, delta: { content }, finish_reason: null }] }));
  response.write(chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }));
  response.write(chunk({ choices: [], usage: USAGE }));
  response.end('data: [DONE]\n\n');
}

async function readAll(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

beforeAll(async () => {
  upstream = await startUpstream((_request, response) => {
    answerJson(response, COMPLETION);
  });
});

afterAll(() => {
  upstream.close();
});

beforeEach(async () => {
  upstream.requests.length = 0;
  upstream.respond = (_request, response) => {
    answerJson(response, COMPLETION);
  };
  fixture = await startGateway(upstream.baseUrl);
  client = new OpenAI({ apiKey: fixture.config.bearer, baseURL: `${fixture.url}/v1`, maxRetries: 0 });
});

afterEach(async () => {
  await fixture.close();
});

describe('a chat call of the official client', () => {
  it('is answered, counted and priced from what was in force at admission', async () => {
    const { data, response } = await client.chat.completions.create({ model: 'chat-alias', messages }).withResponse();
    expect(data.choices[0]?.message.content).toBe('Hello.');
    const [end] = fixture.spool.ends;
    expect(fixture.spool.ends).toHaveLength(1);
    expect(end).toMatchObject({
      eventId: response.headers.get('x-request-id'),
      operation: 'chat-completions',
      model: 'chat-alias',
      streamed: false,
      outcome: 'completed',
      status: 200,
      billedAttempt: 0,
      priceCardVersionId: fixture.config.rateCard.versions[0]?.id,
      config: { epoch: 1, seq: 7 },
      attempts: [
        {
          status: 200,
          upstreamModel: 'pingtoken-sim-small',
          usage: { input: 10, cacheRead: 2, output: 4, reasoning: 1, request: 1 },
          countedBy: 'provider',
          costCardVersionId: fixture.config.rateCard.versions[0]?.id,
        },
      ],
    });
  });

  it('has its start in the spool before the request leaves', async () => {
    upstream.respond = (_request, response) => {
      expect(fixture.spool.starts).toHaveLength(1);
      expect(fixture.spool.ends).toHaveLength(0);
      answerJson(response, COMPLETION);
    };
    await client.chat.completions.create({ model: 'chat-alias', messages });
    expect(fixture.spool.starts[0]?.attempts).toMatchObject([{ status: null, countedBy: 'none', usage: {} }]);
    expect(fixture.spool.starts[0]?.eventId).toBe(fixture.spool.ends[0]?.eventId);
  });

  it('does not go out until its start is written', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const start = vi.spyOn(fixture.spool, 'start').mockReturnValue(promise);
    const answer = client.chat.completions.create({ model: 'chat-alias', messages });
    await eventually(() => start.mock.calls.length === 1);
    await new Promise((elapsed) => setTimeout(elapsed, 50));
    expect(upstream.requests).toHaveLength(0);
    resolve(undefined);
    expect((await answer).choices[0]?.message.content).toBe('Hello.');
    expect(upstream.requests).toHaveLength(1);
  });

  it('seals who called to the key’s owner', async () => {
    await client.chat.completions.create({ model: 'chat-alias', messages });
    const sealed = fixture.spool.ends[0]?.client;
    expect(sealed).not.toBeNull();
    const opened = sealed && openClient(fixture.config.sealing, sealed);
    expect(opened).toMatchObject({ ip: '127.0.0.1', browser: expect.stringMatching(/OpenAI/) as unknown });
    expect(JSON.stringify(fixture.spool.ends)).not.toContain('127.0.0.1');
  });

  it('reaches the provider with its bytes untouched but for the model’s name', async () => {
    const body = '{ "model":"chat-alias", "messages":[{"role":"user","content":"H\\u0069"}],"seed":9007199254740993 }';
    const response = await fetch(`${fixture.url}/api/v1/chat/completions?x=1`, {
      method: 'POST',
      headers: { authorization: `bearer ${fixture.config.bearer}`, 'content-type': 'application/json; charset=utf-8' },
      body,
    });
    expect(response.status).toBe(200);
    expect(upstream.requests[0]).toMatchObject({ method: 'POST', url: '/v1/chat/completions' });
    expect(upstream.requests[0]?.body.toString()).toBe(body.replace('chat-alias', 'pingtoken-sim-small'));
  });

  it('that names no usage in its answer is counted here, and flagged', async () => {
    upstream.respond = (_request, response) => {
      answerJson(response, { ...COMPLETION, usage: null });
    };
    await client.chat.completions.create({ model: 'chat-alias', messages });
    await eventually(() => fixture.spool.ends.length === 1, 20_000);
    expect(fixture.spool.ends[0]).toMatchObject({
      outcome: 'completed',
      billedAttempt: 0,
      attempts: [{ usage: { request: 1 }, countedBy: 'estimated' }],
    });
    expect(fixture.spool.ends[0]?.attempts[0]?.usage.output).toBeGreaterThan(0);
  });
});

describe('a streamed chat call', () => {
  it('shows no usage chunk to a caller who did not ask, and is counted', async () => {
    upstream.respond = (_request, response) => {
      answerStream(response);
    };
    const stream = await client.chat.completions.create({ model: 'chat-alias', messages, stream: true });
    const seen = [];
    for await (const part of stream) seen.push(part);
    expect(seen.map((part) => part.choices.length)).toEqual([1, 1, 1]);
    expect(JSON.parse(upstream.requests[0]?.body.toString() ?? '')).toMatchObject({
      stream_options: { include_usage: true },
    });
    expect(fixture.spool.ends[0]).toMatchObject({
      streamed: true,
      outcome: 'completed',
      billedAttempt: 0,
      attempts: [{ usage: { input: 10, cacheRead: 2, output: 4, reasoning: 1, request: 1 } }],
    });
  });

  it('shows the usage chunk to one who did', async () => {
    upstream.respond = (_request, response) => {
      answerStream(response);
    };
    const stream = await client.chat.completions.create({
      model: 'chat-alias',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let last;
    for await (const part of stream) last = part;
    expect(last?.usage).toMatchObject({ prompt_tokens: 12 });
  });

  it('brings each event at once, not at the end', async () => {
    let finish: () => void = () => undefined;
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(chunk({ choices: [{ index: 0, delta: { content: 'first' } }] }));
      finish = () => response.end('data: [DONE]\n\n');
    };
    const stream = await client.chat.completions.create({ model: 'chat-alias', messages, stream: true });
    for await (const part of stream) {
      expect(part.choices[0]?.delta.content).toBe('first');
      expect(fixture.spool.ends).toHaveLength(0);
      finish();
    }
    await eventually(() => fixture.spool.ends.length === 1, 20_000);
    expect(fixture.spool.ends[0]?.firstByteMs).toBeGreaterThanOrEqual(0);
  });

  it('ends as failed where the provider reports an error inside it', async () => {
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(chunk({ choices: [{ index: 0, delta: { content: 'x' } }] }));
      response.end('data: {"error":{"message":"overloaded","type":"server_error"}}\n\n');
    };
    const stream = await client.chat.completions.create({ model: 'chat-alias', messages, stream: true });
    await expect(readAll(stream)).rejects.toThrow(/overloaded/);
    expect(fixture.spool.ends[0]).toMatchObject({ outcome: 'provider-failed', billedAttempt: null });
  });
});

describe('an embeddings call', () => {
  it('is relayed whole and counted, however large', async () => {
    const vectors = Array.from({ length: 200 }, (_, index) => ({
      object: 'embedding',
      index,
      embedding: Array.from({ length: 1536 }, () => 0.123456789),
    }));
    upstream.respond = (_request, response) => {
      answerJson(response, {
        object: 'list',
        data: vectors,
        model: 'e',
        usage: { prompt_tokens: 800, total_tokens: 800 },
      });
    };
    const answer = await client.embeddings.create({ model: 'embedding-alias', input: ['x'], encoding_format: 'float' });
    expect(answer.data).toHaveLength(200);
    expect(upstream.requests[0]?.url).toBe('/v1/embeddings');
    expect(fixture.spool.ends[0]).toMatchObject({
      operation: 'embeddings',
      attempts: [{ usage: { input: 800, output: 0, request: 1 }, upstreamModel: 'pingtoken-sim-embedding' }],
    });
  });
});

describe('the list of models', () => {
  it('names those that the caller could call now, and no others', async () => {
    fixture.config.addModel('off', 'chat-completions', 'x', { status: 'disabled' });
    fixture.config.addModel('priceless', 'chat-completions', 'x', { priceCardId: null });
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    expect(names).toEqual(['chat-alias', 'embedding-alias']);
    expect(await client.models.retrieve('chat-alias')).toMatchObject({
      id: 'chat-alias',
      created: 1_700_000_000,
      owned_by: 'sim',
    });
    await expect(client.models.retrieve('priceless')).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const stranger = fixture.config.addKey({}, { grantedProviderIds: [] });
    expect((await client.withOptions({ apiKey: stranger }).models.list()).data).toEqual([]);
    expect(fixture.spool.starts).toHaveLength(0);
  });
});

describe('the probes', () => {
  it('say alive, ready, and what happens, without a name of anybody', async () => {
    await client.chat.completions.create({ model: 'chat-alias', messages });
    expect((await fetch(`${fixture.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${fixture.url}/readyz`)).status).toBe(200);
    const metrics = await (await fetch(`${fixture.url}/metrics`)).text();
    expect(metrics).toContain('pingtoken_calls_total{operation="chat-completions",outcome="completed",status="200"} 1');
    for (const name of [
      'call_duration_seconds_bucket',
      'call_first_byte_seconds_bucket',
      'config_seq 7',
      'config_link_connected 1',
      'open_calls 0',
    ]) {
      expect(metrics).toContain(`pingtoken_${name}`);
    }
    expect(metrics).toContain('nodejs_eventloop_lag_seconds');
    for (const { tenant, apiKey } of fixture.config.accounts.values()) {
      expect(metrics).not.toContain(tenant.id);
      expect(metrics).not.toContain(apiKey.id);
    }
  });

  it('are not ready without a verified config, and refuse calls so that they are tried elsewhere', async () => {
    fixture.config.isLoaded = false;
    expect((await fetch(`${fixture.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${fixture.url}/healthz`)).status).toBe(200);
    await expect(client.chat.completions.create({ model: 'chat-alias', messages })).rejects.toMatchObject({
      status: 503,
      code: 'not_ready',
    });
  });

  it('are not ready while draining: new calls are refused, open ones end', async () => {
    let finish: () => void = () => undefined;
    upstream.respond = (_request, response) => {
      finish = () => {
        answerJson(response, COMPLETION);
      };
    };
    const open = client.chat.completions.create({ model: 'chat-alias', messages });
    await eventually(() => fixture.gateway.openCalls() === 1);
    fixture.gateway.drain();
    expect((await fetch(`${fixture.url}/readyz`)).status).toBe(503);
    await expect(client.chat.completions.create({ model: 'chat-alias', messages })).rejects.toMatchObject({
      status: 503,
    });
    finish();
    expect((await open).choices[0]?.message.content).toBe('Hello.');
  });
});

describe('a call that is cut by us', () => {
  it('at the end of a drain is told so and settled as interrupted', async () => {
    upstream.respond = () => undefined;
    const open = client.chat.completions.create({ model: 'chat-alias', messages });
    const refused = expect(open).rejects.toMatchObject({ status: 503, code: 'not_ready' });
    await eventually(() => fixture.gateway.openCalls() === 1);
    fixture.gateway.cutOpenCalls();
    await refused;
    expect(fixture.spool.ends).toMatchObject([{ outcome: 'interrupted', status: 503, billedAttempt: null }]);
  });

  it('because its key was revoked ends within seconds, and its stream with an error', async () => {
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(chunk({ choices: [{ index: 0, delta: { content: 'x' } }] }));
    };
    const stream = await client.chat.completions.create({ model: 'chat-alias', messages, stream: true });
    fixture.config.revoke(fixture.config.bearer);
    await expect(readAll(stream)).rejects.toThrow(/Incorrect API key/);
    await eventually(() => upstream.aborts.length > 0);
    await eventually(() => fixture.spool.ends.length === 1, 20_000);
    // What was delivered is paid for: or a key that is revoked before the last word would make its calls free.
    expect(fixture.spool.ends).toMatchObject([
      { outcome: 'interrupted', status: 200, billedAttempt: 0, attempts: [{ countedBy: 'estimated' }] },
    ]);
  });
});

describe('every answer', () => {
  it('carries the call’s id, and the provider is told the same one', async () => {
    const { response } = await client.chat.completions.create({ model: 'chat-alias', messages }).withResponse();
    const id = response.headers.get('x-request-id');
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/);
    expect(upstream.requests[0]?.headers['x-request-id']).toBe(id);
    for (const path of ['/healthz', '/nothing', '/v1/models', '/metrics']) {
      expect((await fetch(fixture.url + path)).headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    }
  });

  it('of HTTP/1.0 and keep-alive connections is framed for them', async () => {
    const raw = openRaw(fixture.port, 'GET /healthz HTTP/1.0\r\n\r\n');
    expect(await raw.closed()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n\{"status":"ok"\}$/);
    const kept = openRaw(fixture.port, 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(kept.socket, 'data');
    kept.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
    await eventually(() => kept.received().split('{"status":"ok"}').length === 3);
    kept.socket.destroy();
  });
});
