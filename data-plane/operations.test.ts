import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Operation } from '@pingtoken/shared/usage-event';
import {
  eventually,
  startGateway,
  startUpstream,
  type GatewayFixture,
  type ScriptedUpstream,
} from '../test/kit/gateway-fixture.js';

let upstream: ScriptedUpstream;
let gateway: GatewayFixture;

beforeEach(async () => {
  upstream = await startUpstream((_request, response) => response.end('{}'));
  gateway = await startGateway(upstream.baseUrl);
});
afterEach(async () => {
  const { spool } = gateway;
  await eventually(() => spool.starts.length === spool.ends.length);
  await gateway.close();
  upstream.close();
});

const DIMENSIONS = ['characters', 'image', 'imageInput', 'imageOutput', 'audioInput', 'audioOutput', 'audioSeconds'];

function sell(operation: Operation, rates: readonly string[] = DIMENSIONS): void {
  gateway.config.addModel('alias', operation, 'up/stream');
  const [version] = gateway.config.rateCard.versions;
  for (const name of rates) Object.assign(version?.rates ?? {}, { [name]: '1' });
}

function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  const { url, config } = gateway;
  return fetch(url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${config.bearer}`, 'content-type': 'application/json', ...headers },
    body,
  });
}

function answer(body: string | Buffer, contentType = 'application/json'): void {
  upstream.respond = (_request, response) => response.writeHead(200, { 'content-type': contentType }).end(body);
}

const usage = (): unknown => gateway.spool.ends.at(-1)?.attempts[0]?.usage;
const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

const JSON_OPERATIONS = [
  [
    'completions',
    '/completions',
    '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}',
    { input: 3, output: 4, request: 1 },
  ],
  ['embeddings', '/embeddings', '{"data":[],"usage":{"prompt_tokens":3}}', { input: 3, output: 0, request: 1 }],
  [
    'responses',
    '/responses',
    '{"output":[{"type":"web_search_call","action":{"type":"search"}}],"usage":{"input_tokens":3,"output_tokens":4}}',
    { input: 3, output: 4, webSearch: 1, request: 1 },
  ],
  ['images', '/images/generations', '{"data":[{"url":"a"},{"url":"b"}]}', { image: 2, request: 1 }],
  [
    'images',
    '/images/edits',
    '{"data":[],"usage":{"input_tokens":3,"output_tokens":4}}',
    { input: 3, output: 0, imageOutput: 4, request: 1 },
  ],
  ['moderations', '/moderations', '{"results":[{"flagged":false}]}', { request: 1 }],
  ['rerank', '/rerank', '{"results":[],"meta":{"billed_units":{"search_units":2}}}', { request: 2 }],
] as const;

describe.each(['/v1', '/api/v1'])('below %s', (prefix) => {
  it.each(JSON_OPERATIONS)('%s of %s is relayed and counted', async (operation, path, body, counted) => {
    sell(operation);
    answer(body);
    const sent = '{ "input":"x", "model" : "alias","seed":9007199254740993 , "user": null}';
    const response = await post(prefix + path, sent);
    expect(await response.text()).toBe(body);
    expect(response.status).toBe(200);
    const [request] = upstream.requests;
    expect(request?.url).toBe(`/v1${path}`);
    expect(request?.body.toString()).toBe(sent.replace('alias', 'up/stream'));
    expect(gateway.spool.ends).toMatchObject([{ operation, model: 'alias', billedAttempt: 0, outcome: 'completed' }]);
    expect(usage()).toEqual(counted);
  });
});

describe('speech', () => {
  const speak = (more = ''): Promise<Response> =>
    post('/v1/audio/speech', `{"model":"alias","input":"na\u00efve 🙂"${more}}`);
  // What begins like JSON, so that a reader of usage that looked into sound would be misled.
  const sound = Buffer.concat([
    Buffer.from('{"usage":{"input_tokens":0,"output_tokens":0},"type":"speech.audio.done"}'),
    Buffer.alloc(100_000, 0xf3),
  ]);

  it('comes as it is, and is charged by its characters', async () => {
    sell('speech');
    answer(sound, 'audio/mpeg');
    const response = await speak();
    expect(response.headers.get('content-type')).toBe('audio/mpeg');
    expect(Buffer.from(await response.arrayBuffer()).equals(sound)).toBe(true);
    expect(upstream.requests[0]?.headers.accept).toBe('*/*');
    expect(usage()).toEqual({ characters: 7, request: 1 });
  });

  it('is a request where the card has no price by characters', async () => {
    sell('speech', ['output']);
    answer(sound, 'audio/mpeg');
    await (await speak()).arrayBuffer();
    expect(usage()).toEqual({ request: 1 });
  });

  it('as events is charged by the tokens that they report', async () => {
    sell('speech');
    const events = event({ type: 'speech.audio.delta', audio: 'AAAA' });
    answer(
      events + event({ type: 'speech.audio.done', usage: { input_tokens: 4, output_tokens: 40 } }),
      'text/event-stream',
    );
    await (await speak(',"stream_format":"sse"')).text();
    expect(upstream.requests[0]?.headers.accept).toBe('text/event-stream');
    expect(usage()).toEqual({ input: 4, audioOutput: 40, request: 1 });
    answer(events + event({ type: 'speech.audio.done' }), 'text/event-stream');
    await (await speak(',"stream_format":"sse"')).text();
    expect(usage()).toEqual({ characters: 7, request: 1 });
  });

  it('of which the caller took a part is charged; what broke off is not', async () => {
    sell('speech');
    upstream.respond = (_request, response) => {
      response.writeHead(200, { 'content-type': 'audio/mpeg' }).write(sound);
    };
    const abort = new AbortController();
    const { url, config } = gateway;
    const headers = { authorization: `Bearer ${config.bearer}`, 'content-type': 'application/json' };
    const body = '{"model":"alias","input":"four"}';
    const response = await fetch(`${url}/v1/audio/speech`, { method: 'POST', headers, body, signal: abort.signal });
    await response.body?.getReader().read();
    abort.abort();
    await eventually(() => gateway.spool.ends.length === 1);
    expect(gateway.spool.ends).toMatchObject([{ outcome: 'caller-left', billedAttempt: 0 }]);
    expect(usage()).toEqual({ characters: 4, request: 1 });
    upstream.respond = (_request, answering) => {
      answering.writeHead(200, { 'content-type': 'audio/mpeg', 'content-length': 1_000_000 }).write(sound);
      setTimeout(() => answering.destroy(), 50);
    };
    await expect(post('/v1/audio/speech', body).then((broken) => broken.arrayBuffer())).rejects.toThrow();
    expect(gateway.spool.ends.at(-1)).toMatchObject({ outcome: 'provider-failed', billedAttempt: null });
    expect(usage()).toEqual({});
  });
});

describe('pictures', () => {
  it('of megabytes are relayed and what they report is found behind them', async () => {
    sell('images');
    const data = Array.from({ length: 3 }, () => ({ b64_json: 'iVBO'.repeat(1_000_000) }));
    answer(JSON.stringify({ data, usage: { input_tokens: 1, output_tokens: 9 } }));
    const text = await (await post('/v1/images/generations', '{"model":"alias"}')).text();
    expect(text.length).toBeGreaterThan(12_000_000);
    expect(usage()).toEqual({ input: 1, output: 0, imageOutput: 9, request: 1 });
    answer(JSON.stringify({ data }));
    await (await post('/v1/images/generations', '{"model":"alias"}')).text();
    expect(usage()).toEqual({ image: 3, request: 1 });
  });

  it('as events of megabytes report too', async () => {
    sell('images');
    const b64 = 'iVBO'.repeat(2_000_000);
    const partial = event({ type: 'image_generation.partial_image', b64_json: b64 });
    const last = { type: 'image_generation.completed', b64_json: b64, usage: { input_tokens: 1, output_tokens: 9 } };
    answer(partial + event(last), 'text/event-stream');
    const stream = '{"model":"alias","stream":true,"n":2}';
    expect((await (await post('/v1/images/generations', stream)).text()).length).toBe((partial + event(last)).length);
    expect(usage()).toEqual({ input: 1, output: 0, imageOutput: 9, request: 1 });
    answer(event({ type: 'image_generation.completed', b64_json: 'iVBO' }), 'text/event-stream');
    await (await post('/v1/images/generations', stream)).text();
    expect(usage()).toEqual({ image: 2, request: 1 });
  });
});

describe('an error in an answer of status 200', () => {
  it.each([
    ['images', '/v1/images/generations', '{"error":{"message":"No."}}', 'application/json'],
    ['rerank', '/v1/rerank', '{"error":{"message":"No."}}', 'application/json'],
    ['responses', '/v1/responses', 'event: error\ndata: {"type":"error","message":"No."}\n\n', 'text/event-stream'],
    ['speech', '/v1/audio/speech', 'data: {"error":{"message":"No."}}\n\n', 'text/event-stream'],
  ] as const)('costs nothing: %s', async (operation, path, body, contentType) => {
    sell(operation);
    answer(body, contentType);
    expect(await (await post(path, '{"model":"alias"}')).text()).toBe(body);
    expect(usage()).toEqual({});
  });
});

it('a response that is streamed is relayed byte for byte and counted from its last event', async () => {
  sell('responses');
  const response = {
    output: [],
    usage: { input_tokens: 5, output_tokens: 6, output_tokens_details: { reasoning_tokens: 2 } },
  };
  const stream =
    `event: response.created\n${event({ type: 'response.created', response: { usage: null } })}` +
    `event: response.completed\n${event({ type: 'response.completed', response })}`;
  answer(stream, 'text/event-stream');
  expect(await (await post('/v1/responses', '{"model":"alias","stream":true}')).text()).toBe(stream);
  expect(usage()).toEqual({ input: 5, output: 4, reasoning: 2, request: 1 });
  expect(gateway.spool.ends).toMatchObject([{ streamed: true, operation: 'responses' }]);
});

describe('a model is called only for what it is sold for', () => {
  it.each(JSON_OPERATIONS)('%s of %s', async (operation, path) => {
    sell(operation === 'moderations' ? 'rerank' : 'moderations');
    const response = await post(`/v1${path}`, '{"model":"alias"}');
    expect(response.status).toBe(404);
    expect(upstream.connections).toBe(0);
  });
});
