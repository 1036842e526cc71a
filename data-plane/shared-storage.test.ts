import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../test/kit/gateway-fixture.js';

let upstream: ScriptedUpstream;
let gateway: GatewayFixture;

beforeEach(async () => {
  upstream = await startUpstream((_request, response) => response.end('{"usage":{"prompt_tokens":1}}'));
  gateway = await startGateway(upstream.baseUrl);
  for (const operation of ['responses', 'images', 'speech'] as const)
    gateway.config.addModel(operation, operation, 'up');
});
afterEach(async () => {
  await gateway.close();
  upstream.close();
});

function post(path: string, body: string): Promise<Response> {
  const headers = { authorization: `Bearer ${gateway.config.bearer}`, 'content-type': 'application/json' };
  return fetch(gateway.url + path, { method: 'POST', headers, body });
}

/** What the error names, whichever dialect it is in. */
async function refusalOf(response: Response): Promise<string> {
  const { error } = (await response.json()) as { error: { message: string; param?: string; code?: unknown } };
  return `${response.status} ${error.message}`;
}

const CALLS = [
  ['/v1/responses', '{"model":"responses","input":"x","previous_response_id":"resp_1"}', 'previous_response_id'],
  ['/v1/responses', '{"model":"responses","conversation":"conv_1"}', 'conversation'],
  ['/v1/responses', '{"model":"responses","input":[{"type":"item_reference","id":"msg_1"}]}', 'id'],
  [
    '/v1/chat/completions',
    '{"model":"chat-alias","messages":[{"content":[{"file":{"file_id":"file-1"}}]}]}',
    'file_id',
  ],
  ['/v1/images/edits', '{"model":"images","images":[{"file_id":"file-1"}]}', 'file_id'],
  ['/v1/audio/speech', '{"model":"speech","input":"x","voice":{"id":"voice_1"}}', 'voice'],
  ['/v1/messages', '{"model":"chat-alias","messages":[],"container":"container_1"}', 'container'],
  ['/v1beta/models/chat-alias:generateContent', '{"contents":[],"cachedContent":"cachedContents/1"}', 'cachedContent'],
] as const;

describe('what a provider keeps for the account that many share', () => {
  it.each(CALLS)('is not there for who names it: %s %s', async (path, body, field) => {
    const response = await post(path, body);
    expect(await refusalOf(response)).toBe(`404 What the field "${field}" names is not there.`);
    expect(upstream.connections).toBe(0);
    expect(gateway.spool.starts).toHaveLength(0);
  });

  it.each(CALLS.slice(0, 6))('is the tenant’s where the account is: %s %s', async (path, body) => {
    for (const { targets } of gateway.config.routeList) {
      for (const { credentialId } of targets) gateway.config.ownCredentials.add(credentialId);
    }
    expect((await post(path, body)).status).toBe(200);
    const model = /"model":"[^"]+"/;
    const received = upstream.requests[0]?.body.toString() ?? '';
    expect(received.replace(model, '')).toBe(body.replace(model, ''));
  });

  it('is asked for at the tenant’s own account, whatever stands before it in the order', async () => {
    const [shared] = gateway.config.routeList.filter(
      ({ modelId }) => modelId === gateway.config.models.get('responses')?.id,
    );
    const [target] = shared?.targets ?? [];
    if (shared === undefined || target === undefined) throw new Error('no route');
    const own = { ...target, credentialId: crypto.randomUUID(), upstreamModel: 'own', priority: 1 };
    gateway.config.ownCredentials.add(own.credentialId);
    gateway.config.routeList.splice(0, Infinity, { ...shared, targets: [target, own] });
    expect((await post('/v1/responses', '{"model":"responses","previous_response_id":"resp_1"}')).status).toBe(200);
    expect((await post('/v1/responses', '{"model":"responses"}')).status).toBe(200);
    expect(upstream.requests.map(({ body }) => (JSON.parse(body.toString()) as { model: string }).model)).toEqual([
      'own',
      'up',
    ]);
  });
});

describe('training', () => {
  it('is nobody’s but with a credential of one’s own', async () => {
    gateway.config.addPassthrough('POST', '/fine_tuning/jobs');
    const refused = await post('/passthrough/sim/fine_tuning/jobs', '{}');
    expect(await refusalOf(refused)).toBe('403 Models are trained only with a credential of your own.');
    expect(upstream.connections).toBe(0);
    for (const { credentialId } of gateway.config.passthrough) gateway.config.ownCredentials.add(credentialId);
    expect((await post('/passthrough/sim/fine_tuning/jobs', '{}')).status).toBe(200);
  });

  it('has no address of its own, and its callers are told why', async () => {
    const response = await post('/v1/fine_tuning/jobs', '{}');
    expect(await refusalOf(response)).toMatch(/^404 .*credential of your own/);
  });
});
