import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createServed } from './served.js';
import { startProviderSimulator, type RunningSimulator } from './server.js';
import { NO_TOKENS, NO_UNITS } from './tokens.js';

let simulator: RunningSimulator;
const model = 'pingtoken-sim-small';

beforeAll(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 }, { keptRecords: 5, keptReceptions: 3 });
});
beforeEach(async () => {
  await get('/served', 'DELETE');
  await get('/received', 'DELETE');
});
afterAll(() => simulator.close());

interface Answer {
  models: Record<string, unknown>;
  requests: { requestId: string; status: number }[];
  earlier: unknown[];
  bodyBase64: string;
}

async function get(path: string, method = 'GET'): Promise<Answer> {
  return (await fetch(simulator.url + path, { method })).json() as Promise<Answer>;
}

async function call(id: string, content = '[[sim tokens=4]]', wanted = model): Promise<void> {
  const answer = await fetch(`${simulator.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer k', 'x-request-id': id },
    body: JSON.stringify({ model: wanted, messages: [{ role: 'user', content }] }),
  });
  expect(answer.headers.get('x-request-id')).toBe(id);
  await answer.arrayBuffer();
}

describe('/served', () => {
  it('counts what was completed, refused and failed, by model and path', async () => {
    await call('a');
    await call('b', '[[sim tokens=6 cached=1]]');
    await call('c', '[[sim status=500]]');
    await call('d', 'hi', 'no-such-model');
    const served = await get('/served');
    expect(served).toMatchObject({ calls: 4, completed: 2, errors: 2, aborted: 0, died: 0, inFlight: 0 });
    expect(served.models[model]).toMatchObject({
      calls: 3,
      completed: 2,
      errors: 1,
      promptTokens: 4 + 7,
      completionTokens: 10,
      cachedTokens: 1,
      cutOff: { promptTokens: 0, completionTokens: 0 },
    });
    expect(served).toMatchObject({ paths: { '/v1/chat/completions': 4 } });
    expect(served.requests.map(({ requestId, status }) => [requestId, status])).toEqual([
      ['a', 200],
      ['b', 200],
      ['c', 500],
      ['d', 404],
    ]);
    expect(served.requests[0]).toEqual({
      requestId: 'a',
      model,
      path: '/v1/chat/completions',
      status: 200,
      outcome: 'completed',
      promptTokens: 4,
      completionTokens: 4,
      cachedTokens: 0,
      reasoningTokens: 0,
      cacheWriteTokens: 0,
      images: 0,
      audioSeconds: 0,
      searches: 0,
      chunksSent: 0,
      usage: 'reported',
      callsOfId: 1,
    });
    expect(await get('/served?requests=false')).not.toHaveProperty('requests');
  });

  it('shows an id that was served twice', async () => {
    await call('twice');
    await call('once');
    await call('twice');
    expect(await get('/served?requests=false')).toMatchObject({ repeatedIdCount: 1, repeatedIds: { twice: 2 } });
    expect(await get('/served/twice')).toMatchObject({ calls: 2, records: [{ callsOfId: 2 }, { callsOfId: 2 }] });
    expect((await fetch(`${simulator.url}/served/never`)).status).toBe(404);
  });

  it('keeps the latest records and counts all calls', async () => {
    for (const id of ['1', '1', '2', '3', '4', '5', '6']) await call(id);
    const served = await get('/served');
    expect(served).toMatchObject({ calls: 7, completed: 7, keptRequests: 5, droppedRequests: 2, repeatedIdCount: 0 });
    expect(served.requests.map(({ requestId }) => requestId)).toEqual(['2', '3', '4', '5', '6']);
  });

  it('does not count the instrument, nor a call whose caller hung up before its end', async () => {
    await fetch(`${simulator.url}/healthz`).then(async (answer) => {
      expect(await answer.text()).toBe('ok');
    });
    const socket = connect(simulator.port, '127.0.0.1');
    socket.write(
      'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: 99\r\n\r\n{',
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await once(socket, 'close');
    expect(await get('/served')).toMatchObject({ calls: 0, requests: [] });
  });

  it('counts a call in flight, and as aborted when its caller leaves', async () => {
    const controller = new AbortController();
    const answer = fetch(`${simulator.url}/v1/chat/completions`, {
      method: 'POST',
      signal: controller.signal,
      headers: { authorization: 'Bearer k', 'x-request-id': 'left' },
      body: JSON.stringify({ model, messages: [{ role: 'user', content: '[[sim delay=60000]]' }] }),
    });
    answer.catch(() => undefined);
    await expect.poll(() => get('/served?requests=false')).toMatchObject({ calls: 1, inFlight: 1 });
    controller.abort();
    await expect.poll(() => get('/served?requests=false')).toMatchObject({ inFlight: 0, aborted: 1, completed: 0 });
    expect(await get('/served/left')).toMatchObject({ records: [{ outcome: 'aborted', status: 0, promptTokens: 5 }] });
  });

  it('is not disturbed by a call that began before a reset', () => {
    const served = createServed({ keep: 2 });
    const start = { requestId: 'r', path: '/v1/chat/completions', model } as const;
    const tokens = { ...NO_TOKENS, prompt: 1, completion: 1 };
    const end = {
      status: 200,
      outcome: 'completed',
      tokens,
      units: NO_UNITS,
      chunksSent: 0,
      usage: 'reported',
    } as const;
    const before = served.begin(start);
    served.clear();
    served.begin({ ...start, requestId: 's' });
    served.end(before, start, end);
    expect(served.summary()).toMatchObject({
      calls: 1,
      inFlight: 1,
      completed: 0,
      keptRequests: 1,
      droppedRequests: 0,
    });
    expect([...served.records()]).toMatchObject([{ requestId: 's', outcome: 'open' }]);
  });
});

describe('/received', () => {
  it('shows a request exactly as it came', async () => {
    const body = '{"model": "pingtoken-sim-small",\n "messages":[{"role":"user","content":"é"}]}';
    const socket = connect(simulator.port, '127.0.0.1');
    socket.write(
      'POST /v1/chat/completions?a=1 HTTP/1.1\r\nHost: x\r\nX-Odd: 1\r\nAuthorization: Bearer k\r\nx-odd: 2\r\n' +
        `X-Request-Id: raw\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    await once(socket, 'data');
    socket.destroy();
    expect(await get('/received/raw')).toEqual({
      requestId: 'raw',
      method: 'POST',
      url: '/v1/chat/completions?a=1',
      httpVersion: '1.1',
      headers: [
        ['Host', 'x'],
        ['X-Odd', '1'],
        ['Authorization', 'Bearer k'],
        ['x-odd', '2'],
        ['X-Request-Id', 'raw'],
        ['Content-Length', String(Buffer.byteLength(body))],
      ],
      bodyBase64: Buffer.from(body).toString('base64'),
      bodyLength: Buffer.byteLength(body),
      bodySha256: createHash('sha256').update(body).digest('hex'),
      bodyTruncated: false,
      earlier: [],
    });
  });

  it('keeps the latest ids, newest first, and earlier requests of the same id', async () => {
    for (const id of ['1', '2', '3', '3']) await call(id, `${id} hi`);
    expect(await get('/received')).toEqual({ ids: ['3', '3', '2'] });
    expect((await get('/received/3')).earlier).toHaveLength(1);
    expect((await fetch(`${simulator.url}/received/1`)).status).toBe(404);
  });

  it('keeps one MiB of a long body, and hashes all of it', async () => {
    const content = 'x'.repeat(1_500_000);
    await call('long', content);
    const seen = await get('/received/long');
    const body = JSON.stringify({ model, messages: [{ role: 'user', content }] });
    expect(seen).toMatchObject({
      bodyTruncated: true,
      bodyLength: body.length,
      bodySha256: createHash('sha256').update(body).digest('hex'),
    });
    expect(Buffer.from(seen.bodyBase64, 'base64').length).toBe(1024 * 1024);
  });
});
