import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../../test/kit/gateway-fixture.js';

const RAW = 'audio_68af4030';
let upstream: ScriptedUpstream;
let gateway: GatewayFixture;

const usage = { prompt_tokens: 1, completion_tokens: 2 };
const audio = { id: RAW, data: '', transcript: 'Hi', expires_at: 1_800_000_000 };
const whole = { id: 'chatcmpl-1', choices: [{ message: { role: 'assistant', content: null, audio } }], usage };

function ask(body: object, bearer = gateway.config.bearer): Promise<Response> {
  const headers = { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' };
  const spoken = { model: 'chat-alias', modalities: ['text', 'audio'], audio: { voice: 'alloy', format: 'wav' } };
  return fetch(`${gateway.url}/v1/chat/completions`, {
    ...{ method: 'POST', headers },
    body: JSON.stringify({ ...spoken, messages: [{ role: 'user', content: 'Hello' }], ...body }),
  });
}

const goOn = (id: string) => ({
  messages: [
    { role: 'assistant', audio: { id } },
    { role: 'user', content: 'Go on' },
  ],
});

beforeEach(async () => {
  upstream = await startUpstream((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(whole));
  });
  gateway = await startGateway(upstream.baseUrl);
});
afterEach(async () => {
  await gateway.close();
  upstream.close();
});

describe('an answer that was spoken', () => {
  it('is named by an id of the tenant’s own, by which it can be gone on from', async () => {
    const text = await (await ask({})).text();
    expect(text).not.toContain(RAW);
    const { choices } = JSON.parse(text) as { choices: { message: { audio: { id: string } } }[] };
    const id = choices[0]?.message.audio.id ?? '';
    expect(id).toMatch(/^audio_/);
    expect((await ask(goOn(id))).status).toBe(200);
    const sent = JSON.parse(upstream.requests.at(-1)?.body.toString() ?? '') as { messages: object[] };
    expect(sent.messages[0]).toEqual({ role: 'assistant', audio: { id: RAW } });
    expect(gateway.spool.ends.at(-1)).toMatchObject({ attempts: [{ usage: { input: 1, output: 2 } }] });
  });

  it('is named so in a stream too, whose usage is asked for as in any', async () => {
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(`data: {"choices":[{"delta":{"audio":{"id":"audio_68`);
      setTimeout(() => {
        response.end(`af4030"}}}]}\n\ndata: {"choices":[],"usage":${JSON.stringify(usage)}}\n\ndata: [DONE]\n\n`);
      }, 20);
    };
    const text = await (await ask({ stream: true })).text();
    const [, id = ''] = /"audio":\{"id":"([^"]+)"/.exec(text) ?? [];
    expect(text).not.toContain(RAW);
    await (await ask({ ...goOn(id), stream: true })).text();
    const sent = upstream.requests.at(-1)?.body.toString() ?? '';
    expect(sent).toContain(RAW);
    expect(sent).toContain('"include_usage":true');
  });

  it('of another tenant, and a raw id, are not there, before anything is sent', async () => {
    const text = await (await ask({})).text();
    const [, id = ''] = /"audio":\{"id":"([^"]+)"/.exec(text) ?? [];
    const { length } = upstream.requests;
    const tenantId = crypto.randomUUID();
    const stranger = gateway.config.addKey({ tenantId }, { id: tenantId, pseudonymKey: 'q'.repeat(43) });
    expect((await ask(goOn(id), stranger)).status).toBe(404);
    expect((await ask(goOn(RAW))).status).toBe(404);
    expect(upstream.requests).toHaveLength(length);
  });
});
