import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  eventually,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';

const RAW = 'resp_0123456789abcdef';
let upstream: ScriptedUpstream;
let gateway: GatewayFixture;
let id: string;

function call(method: string, path: string, body?: string): Promise<Response> {
  const headers = { authorization: `Bearer ${gateway.config.bearer}`, 'content-type': 'application/json' };
  return fetch(`${gateway.url}/v1/responses${path}`, { method, headers, ...(body !== undefined && { body }) });
}

beforeEach(async () => {
  upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`{"id":"${RAW}","output":[],"usage":{"input_tokens":1,"output_tokens":2}}`);
  });
  gateway = await startGateway(upstream.baseUrl);
  gateway.config.addModel('alias', 'responses', 'up');
  const response = await call('POST', '', '{"model":"alias","input":"x"}');
  ({ id } = (await response.json()) as { id: string });
});
afterEach(async () => {
  await gateway.close();
  upstream.close();
});

describe('a stored response', () => {
  it('is told to its provider by the provider’s own id, and of the query only what these paths take', async () => {
    await call('GET', `/${id}?stream=true&starting_after=3&include%5B%5D=a&api_key=x`);
    await call('GET', `/${id}/input_items?limit=2&order=asc&x=y`);
    await call('POST', `/${id}/cancel`);
    await call('DELETE', `/${id}`);
    expect(upstream.requests.slice(1).map(({ method, url }) => `${method} ${url}`)).toEqual([
      `GET /v1/responses/${RAW}?include%5B%5D=a&stream=true&starting_after=3`,
      `GET /v1/responses/${RAW}/input_items?limit=2&order=asc`,
      `POST /v1/responses/${RAW}/cancel`,
      // Whether it is a response that is still to be billed.
      `GET /v1/responses/${RAW}`,
      `DELETE /v1/responses/${RAW}`,
    ]);
    expect(upstream.requests[1]?.headers).not.toHaveProperty('content-length');
  });

  it('is taken up again as a stream, under the id that its owner knows', async () => {
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`event: response.created\ndata: {"response":{"id":"resp_01234567`);
      setTimeout(() => response.end(`89abcdef"}}\n\n`), 20);
    };
    const text = await (await call('GET', `/${id}?stream=true`)).text();
    expect(text).toBe(`event: response.created\ndata: {"response":{"id":"${id}"}}\n\n`);
    const end = gateway.spool.ends.at(-1);
    expect(end).toMatchObject({ operation: 'responses', outcome: 'completed', attempts: [{ usage: {} }] });
  });

  it.each(['GET', 'DELETE'])('says what its provider says where it is refused: %s', async (method) => {
    for (const [status, told] of [
      [404, 404],
      [401, 502],
      [302, 502],
      [503, 503],
    ] as const) {
      upstream.respond = (_request, response) => {
        response.writeHead(status, { location: 'http://elsewhere.example/' });
        response.end(`{"error":{"message":"nothing under sk-provider-secret-0123456789"}}`);
      };
      const response = await call(method, `/${id}`);
      expect(response.status).toBe(told);
      expect(await response.text()).not.toContain('sk-provider');
    }
    const outcomes = gateway.spool.ends.slice(1).map(({ outcome }) => outcome);
    expect(outcomes).toEqual(['provider-refused', 'provider-refused', 'provider-failed', 'provider-failed']);
  });

  it.each(['GET', 'DELETE'])('is asked for no longer when its caller leaves: %s', async (method) => {
    upstream.respond = () => undefined;
    const leaving = new AbortController();
    const headers = { authorization: `Bearer ${gateway.config.bearer}` };
    const init = { method, headers, signal: leaving.signal };
    const asked = fetch(`${gateway.url}/v1/responses/${id}`, init).catch(() => undefined);
    await eventually(() => upstream.requests.length === 2);
    leaving.abort();
    await asked;
    await eventually(() => upstream.aborts.length === 1 && gateway.spool.ends.length === 2);
    expect(gateway.spool.ends[1]).toMatchObject({ outcome: 'caller-left', status: null });
  });

  it('is not there where provider, grant or account are no more', async () => {
    const { requests } = upstream;
    const account = [...gateway.config.accounts.values()][0];
    Object.assign(account?.tenant ?? {}, { grantedProviderIds: [] });
    expect((await call('GET', `/${id}`)).status).toBe(403);
    Object.assign(gateway.config.provider, { status: 'disabled' });
    expect((await call('GET', `/${id}`)).status).toBe(404);
    expect(requests).toHaveLength(1);
  });
});
