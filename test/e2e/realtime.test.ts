import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startProviderSimulator, type RunningSimulator } from '../../control-plane/standalone/simulator/server.js';
import { eventually, startGateway, type GatewayFixture } from '../kit/gateway-fixture.js';
import { openSession, userText, type RealtimeCaller } from '../kit/realtime-caller.js';
import { createSimulatorBooks } from '../kit/simulator-books.js';

let simulator: RunningSimulator;
let gateway: GatewayFixture;

beforeEach(async () => {
  simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  gateway = await startGateway(`${simulator.url}/v1`);
  gateway.config.addModel('realtime-alias', 'realtime', 'sim-realtime');
  gateway.config.addModel('transcription-alias', 'transcriptions', 'sim-transcription');
});
afterEach(async () => {
  const { starts, ends } = gateway.spool;
  await eventually(() => starts.length === ends.length);
  expect(new Set(ends.map(({ eventId }) => eventId)).size).toBe(ends.length);
  await eventually(() => gateway.gateway.openCalls() === 0);
  await gateway.close();
  await simulator.close();
});

const open = (change: Partial<Parameters<typeof openSession>[0]> = {}): Promise<RealtimeCaller> =>
  openSession({ url: gateway.url, bearer: gateway.config.bearer, ...change });
/** Ends of the calls that cost something, and the end of the session itself. */
const responses = () => gateway.spool.ends.filter(({ attempts }) => attempts[0]?.status === 200);
const sessions = () => gateway.spool.ends.filter(({ attempts }) => attempts[0]?.status === 101);
const billed = (): Record<string, number> => {
  const sum: Record<string, number> = {};
  for (const { attempts, billedAttempt } of gateway.spool.ends) {
    if (billedAttempt === null) continue;
    for (const [dimension, count] of Object.entries(attempts[0]?.usage ?? {})) {
      sum[dimension] = (sum[dimension] ?? 0) + count;
    }
  }
  return sum;
};
const served = (requestId: string) => createSimulatorBooks(simulator.url).servedCall(requestId);
const received = (requestId: string) => createSimulatorBooks(simulator.url).received(requestId);
const whatWasSaid = async (requestId: string): Promise<string> => {
  await eventually(() => sessions().length > 0);
  await expect.poll(() => received(requestId).catch(() => null)).not.toBeNull();
  return Buffer.from((await received(requestId)).bodyBase64, 'base64').toString();
};

describe('a session', () => {
  it('carries a conversation, and is billed response by response as the provider counted', async () => {
    const caller = await open();
    await caller.next('session.created');
    await caller.ask('[[sim tokens=6]]');
    await caller.ask('[[sim tokens=4 cached=3]]');
    expect(responses()).toHaveLength(2);
    caller.socket.close();
    await caller.closed;
    await eventually(() => sessions().length === 1);
    await expect.poll(() => served(caller.requestId)).toMatchObject({ outcome: 'completed' });
    const { promptTokens, completionTokens, cachedTokens } = await served(caller.requestId);
    expect(billed()).toEqual({
      input: promptTokens - cachedTokens,
      cacheRead: cachedTokens,
      output: completionTokens,
      request: 2,
    });
    expect(sessions()[0]).toMatchObject({
      eventId: caller.requestId,
      operation: 'realtime',
      model: 'realtime-alias',
      outcome: 'completed',
      status: 101,
      billedAttempt: null,
      attempts: [{ usage: {}, countedBy: 'none', upstreamModel: 'sim-realtime' }],
    });
    for (const end of responses()) {
      expect(end).toMatchObject({ outcome: 'completed', status: 200, billedAttempt: 0, operation: 'realtime' });
      expect(end.firstByteMs).not.toBeNull();
    }
  });

  it('bills sound that is heard and made, and its transcription as the model that transcribes', async () => {
    const caller = await open();
    const transcription = { model: 'transcription-alias', language: 'en' };
    const session = { type: 'realtime', output_modalities: ['audio'], audio: { input: { transcription } } };
    caller.say({ type: 'session.update', session });
    await caller.next('session.updated');
    caller.say({ type: 'input_audio_buffer.append', audio: Buffer.alloc(50_000, 7).toString('base64') });
    caller.say({ type: 'input_audio_buffer.commit' });
    await caller.next('conversation.item.input_audio_transcription.completed');
    await caller.ask('[[sim tokens=5]]');
    caller.socket.close();
    await caller.closed;
    await eventually(() => sessions().length === 1);
    const transcribed = gateway.spool.ends.filter(({ operation }) => operation === 'transcriptions');
    expect(transcribed).toMatchObject([
      { model: 'transcription-alias', attempts: [{ usage: { audioInput: 11, output: 3 }, countedBy: 'provider' }] },
    ]);
    const sound = caller.heard.filter(({ type }) => type === 'response.output_audio.delta');
    expect(sound).toHaveLength(5);
    await expect.poll(() => served(caller.requestId)).toMatchObject({ outcome: 'completed', audioSeconds: 2 });
    const { promptTokens, completionTokens } = await served(caller.requestId);
    const { input = 0, audioInput = 0, output = 0, audioOutput = 0 } = billed();
    expect(input + audioInput).toBe(promptTokens);
    expect(output + audioOutput).toBe(completionTokens);
    expect([audioInput, audioOutput]).toEqual([22, 5]);
    expect(await whatWasSaid(caller.requestId)).toContain('"transcription":{"model":"sim-transcription"');
  });

  it('takes the key of a browser as a subprotocol, which is not agreed upon', async () => {
    const { bearer } = gateway.config;
    const caller = await openSession({
      url: gateway.url,
      protocols: ['realtime', `openai-insecure-api-key.${bearer}`],
    });
    expect(caller.socket.protocol).toBe('realtime');
    await caller.next('session.created');
    caller.socket.close();
    await caller.closed;
    expect(JSON.stringify(await received(caller.requestId).catch(() => ''))).not.toContain(bearer);
  });

  it('tells the provider nothing of the caller', async () => {
    const headers = {
      origin: 'https://page.example',
      'user-agent': 'OpenAI/JS 1',
      cookie: 'a=b',
      'x-forwarded-for': '203.0.113.9',
      'x-stainless-os': 'Linux',
      'openai-organization': 'org-caller',
      traceparent: '00-1-2-03',
      'openai-beta': 'realtime=v1',
    };
    const caller = await open({ options: { headers }, path: '/api/v1/realtime?model=realtime-alias' });
    const session = {
      user: 'lovelace',
      safety_identifier: 's1',
      tracing: { group_id: 'lovelace', metadata: { name: 'lovelace' } },
    };
    caller.say({ type: 'session.update', session });
    await caller.next('session.updated');
    caller.say({ type: 'response.create', response: { metadata: { name: 'lovelace' } } });
    await caller.next('response.done');
    caller.socket.close();
    await caller.closed;
    const said = await whatWasSaid(caller.requestId);
    const reception = await received(caller.requestId);
    expect(reception.url).toBe('/v1/realtime?model=sim-realtime');
    const names = reception.headers.map(([name]) => name.toLowerCase()).sort();
    expect(names).toEqual([
      'authorization',
      'connection',
      'host',
      'openai-beta',
      'sec-websocket-key',
      'sec-websocket-version',
      'upgrade',
      'user-agent',
      'x-request-id',
    ]);
    const all = JSON.stringify(reception.headers) + said;
    expect(all).toContain(`Bearer ${gateway.config.secret}`);
    for (const trace of ['lovelace', gateway.config.bearer, 'OpenAI/JS', 'page.example'])
      expect(all).not.toContain(trace);
    expect(said).toContain('"tracing":null');
  });

  it('keeps to its model, and goes on after a message that is refused', async () => {
    const caller = await open();
    const refused = async (event: object | string): Promise<unknown> => {
      caller.socket.send(typeof event === 'string' ? event : JSON.stringify(event));
      return (await caller.next('error'))['error'];
    };
    const change = { type: 'session.update', event_id: 'mine', session: { model: 'sim-dear' } };
    expect(await refused(change)).toMatchObject({
      type: 'invalid_request_error',
      code: 'invalid_request',
      param: 'session.model',
      event_id: 'mine',
    });
    expect(await refused('{"type":"session.update","session":{"model":"realtime-alias","model":"x"}}')).toMatchObject({
      code: 'duplicate_field',
    });
    expect(await refused('no json')).toMatchObject({ code: 'malformed_json' });
    caller.say({ type: 'session.update', session: { model: 'realtime-alias', instructions: 'Be brief.' } });
    expect((await caller.next('session.updated'))['session']).toMatchObject({ instructions: 'Be brief.' });
    await caller.ask('[[sim tokens=2]]');
    caller.socket.close();
    await caller.closed;
    const said = await whatWasSaid(caller.requestId);
    expect(said).not.toContain('dear');
    expect(said).toContain('"model":"sim-realtime"');
  });

  it('gives the caller back the metadata by which it knows its response', async () => {
    const caller = await open();
    const metadata = { topic: 'Ada Lovelace', kept: 'é"' };
    caller.say({ type: 'response.create', response: { metadata } });
    expect((await caller.next('response.created'))['response']).toMatchObject({ metadata });
    expect((await caller.next('response.done'))['response']).toMatchObject({ metadata });
    caller.socket.close();
    await caller.closed;
    expect(await whatWasSaid(caller.requestId)).not.toContain('Lovelace');
  });

  it('does not say how much our account there may still use', async () => {
    const caller = await open();
    await caller.ask('[[sim tokens=2]]');
    expect(caller.heard.map(({ type }) => type)).not.toContain('rate_limits.updated');
    caller.socket.close();
    await caller.closed;
  });

  it('bills a response that is broken off because the caller leaves, as far as the provider reports it', async () => {
    const caller = await open();
    caller.say(userText('[[sim tokens=500 chunk-delay=5]]'));
    caller.say({ type: 'response.create' });
    await caller.next('response.output_text.delta');
    caller.socket.terminate();
    await eventually(() => sessions().length === 1);
    await expect.poll(() => served(caller.requestId)).toMatchObject({ outcome: 'completed' });
    const { completionTokens } = await served(caller.requestId);
    expect(completionTokens).toBeLessThan(500);
    expect(billed()['output']).toBe(completionTokens);
    expect(sessions()).toMatchObject([{ outcome: 'caller-left' }]);
  });

  it('says so when the provider dies, and bills what was reported before', async () => {
    const caller = await open();
    await caller.ask('[[sim tokens=3]]');
    caller.say(userText('[[sim die-after=2]]'));
    caller.say({ type: 'response.create' });
    expect((await caller.next('error'))['error']).toMatchObject({ code: 'upstream_failed' });
    expect(await caller.closed).toBe(1011);
    await eventually(() => sessions().length === 1);
    expect(sessions()).toMatchObject([{ outcome: 'provider-failed', status: 101 }]);
    expect(responses()).toMatchObject([
      { outcome: 'completed', billedAttempt: 0 },
      { outcome: 'provider-failed', billedAttempt: null, attempts: [{ usage: {} }] },
    ]);
  });

  it('bills an explicit zero as zero', async () => {
    const caller = await open();
    await caller.ask('[[sim tokens=3 usage=zero]]');
    caller.socket.close();
    await caller.closed;
    await eventually(() => sessions().length === 1);
    expect(billed()).toEqual({ input: 0, output: 0, request: 1 });
  });

  it('counts by itself what is not reported, and says that it did', async () => {
    const caller = await open();
    caller.say({ type: 'session.update', session: { output_modalities: ['audio'] } });
    const first = (await caller.ask('[[sim tokens=3]]'))['usage'] as { input_tokens: number };
    await caller.ask('[[sim tokens=5 usage=none]]');
    caller.socket.close();
    await caller.closed;
    await eventually(() => responses().length === 2);
    const [, estimated] = responses();
    expect(estimated).toMatchObject({
      billedAttempt: 0,
      attempts: [
        {
          countedBy: 'estimated',
          usage: { input: first.input_tokens, output: 5, audioOutput: 5, request: 1 },
        },
      ],
    });
  });

  it('ends when its key is revoked', async () => {
    const caller = await open();
    await caller.next('session.created');
    gateway.config.revoke(gateway.config.bearer);
    expect((await caller.next('error'))['error']).toMatchObject({ code: 'invalid_api_key' });
    expect(await caller.closed).toBe(1008);
    expect(sessions()).toMatchObject([{ outcome: 'interrupted' }]);
  });

  it('ends with the process, in words of its own', async () => {
    const caller = await open();
    caller.say(userText('[[sim tokens=500 chunk-delay=5]]'));
    caller.say({ type: 'response.create' });
    await caller.next('response.output_text.delta');
    gateway.gateway.drain();
    gateway.gateway.cutOpenCalls();
    expect((await caller.next('error'))['error']).toMatchObject({ code: 'not_ready' });
    expect(await caller.closed).toBe(1012);
    expect(responses()).toMatchObject([{ billedAttempt: 0 }]);
  });

  it('carries fragments, binary and 200 at once', { timeout: 60_000 }, async () => {
    const callers = await Promise.all(Array.from({ length: 200 }, () => open()));
    await Promise.all(
      callers.map(async (caller, index) => {
        const text = JSON.stringify(userText(`[[sim tokens=${(index % 7) + 1}]]`));
        caller.socket.send(text.slice(0, 20), { fin: false, binary: index % 2 === 0 });
        caller.socket.send(text.slice(20), { fin: true });
        caller.say({ type: 'response.create' });
        await caller.next('response.done');
        caller.socket.close();
        await caller.closed;
      }),
    );
    await eventually(() => sessions().length === 200);
    expect(responses()).toHaveLength(200);
    const books = createSimulatorBooks(simulator.url);
    await expect.poll(async () => (await books.summary()).inFlight, { timeout: 10_000 }).toBe(0);
    const calls = (await books.served()).requests;
    expect(calls).toHaveLength(200);
    expect(billed()['output']).toBe(calls.reduce((sum, { completionTokens }) => sum + completionTokens, 0));
    expect(billed()['input']).toBe(calls.reduce((sum, { promptTokens }) => sum + promptTokens, 0));
  });
});

it('a message that is too long is refused with 1009, and the session is settled', async () => {
  const caller = await open();
  await caller.next('session.created');
  caller.socket.send('x'.repeat(1024 * 1024 + 1));
  expect(await caller.closed).toBe(1009);
  await eventually(() => sessions().length === 1);
});
