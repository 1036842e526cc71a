import { once } from 'node:events';
import { connect } from 'node:net';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { parseUnits, readPriceList, type PriceList } from '../kit/exact-price.js';
import { openSession, userText } from '../kit/realtime-caller.js';
import { readUsage, type ShownUsage } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';

const MODEL = 'pingtoken-sim-realtime';
const TRANSCRIBER = 'pingtoken-sim-transcribe';
const SETTLE_MS = 30_000;

let distribution: Distribution;
let customer: Customer;
let prices: Record<string, PriceList>;

beforeAll(async () => {
  distribution = await startDistribution({ env: { DRAIN_TIMEOUT_MS: '500' } });
  customer = await createCustomer(distribution);
  await waitFor(async () => (await listModels(distribution.runtime.gatewayUrl, customer.key.secret)).includes(MODEL), {
    timeoutMs: 15_000,
    what: MODEL,
  });
  prices = {
    [MODEL]: await readPriceList(customer.platform, MODEL),
    [TRANSCRIBER]: await readPriceList(customer.platform, TRANSCRIBER),
  };
});
afterAll(async () => {
  await distribution.dispose();
});

/** The official client. It insists on TLS, which is the load balancer's affair: the bytes of its connection go without. */
function openClient(
  model = MODEL,
  apiKey = customer.key.secret,
): { session: OpenAIRealtimeWS; requestId: () => string } {
  const { hostname, port } = new URL(distribution.runtime.gatewayUrl);
  const client = new OpenAI({ baseURL: distribution.runtime.gatewayUrl, apiKey });
  const createConnection = (() => connect(Number(port), hostname)) as typeof connect;
  const session = new OpenAIRealtimeWS({ model, options: { createConnection } }, client);
  let requestId = '';
  session.socket.on('upgrade', ({ headers }) => {
    requestId = String(headers['x-request-id']);
  });
  return { session, requestId: () => requestId };
}

/** A key of its own for each test, so that its calls are its own. */
async function createKey(): Promise<Customer['key']> {
  const key = await customer.platform.createKey(customer.tenant);
  // A data plane that is being replaced does not answer.
  const list = (): Promise<string[]> => listModels(distribution.runtime.gatewayUrl, key.secret).catch(() => []);
  await waitFor(async () => (await list()).includes(MODEL), { timeoutMs: 20_000, what: 'the key' });
  return key;
}

/** Calls of a key, once there are so many. */
async function awaitCalls(keyId: string, count: number): Promise<ShownUsage[]> {
  const { platform, tenant } = customer;
  const find = async (): Promise<ShownUsage[] | undefined> => {
    const all = [...(await readUsage(platform, tenant.token)).values()];
    const own = all.filter(({ apiKeyId }) => apiKeyId === keyId);
    return own.length >= count ? own : undefined;
  };
  return waitFor(find, { timeoutMs: SETTLE_MS, what: `${count} calls in the ledger` });
}

function sumOf(calls: readonly ShownUsage[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const { counts } of calls) {
    for (const { dimension, count } of counts) sum[dimension] = (sum[dimension] ?? 0) + count;
  }
  return sum;
}

function exactPriceOf({ model, counts }: ShownUsage): bigint {
  return counts.reduce((sum, { dimension, count }) => sum + BigInt(count) * (prices[model]?.[dimension] ?? 0n), 0n);
}

it('the official client converses by text and sound, and each response is billed as the provider counted it', async () => {
  const { books } = customer;
  const key = await createKey();
  const { session, requestId } = openClient(MODEL, key.secret);
  await once(session.socket, 'open');
  const said: string[] = [];
  let soundBytes = 0;
  session.on('response.output_text.delta', ({ delta }) => said.push(delta));
  session.on('response.output_audio.delta', ({ delta }) => {
    soundBytes += Buffer.from(delta, 'base64').length;
  });
  const done = () => new Promise((resolve) => session.once('response.done', resolve));
  const ask = async (text: string): Promise<unknown> => {
    const answered = done();
    const content = [{ type: 'input_text' as const, text }];
    session.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
    session.send({ type: 'response.create' });
    return answered;
  };
  expect(await ask('[[sim tokens=7]]')).toMatchObject({ response: { status: 'completed' } });
  expect(said).toHaveLength(7);
  const transcribed = new Promise((resolve) => {
    session.once('conversation.item.input_audio_transcription.completed', resolve);
  });
  const input = { transcription: { model: TRANSCRIBER } };
  session.send({
    type: 'session.update',
    session: { type: 'realtime', output_modalities: ['audio'], audio: { input } },
  });
  session.send({ type: 'input_audio_buffer.append', audio: Buffer.alloc(24_000).toString('base64') });
  session.send({ type: 'input_audio_buffer.commit' });
  expect(await transcribed).toMatchObject({ transcript: 'so it said' });
  await ask('[[sim tokens=4]]');
  expect(soundBytes).toBe(4 * 2_400);
  session.close();
  await once(session.socket, 'close');

  const calls = await awaitCalls(key.id, 4);
  expect(calls.map(({ operation, model, outcome }) => [operation, model, outcome]).sort()).toEqual([
    ['REALTIME', MODEL, 'COMPLETED'],
    ['REALTIME', MODEL, 'COMPLETED'],
    ['REALTIME', MODEL, 'COMPLETED'],
    ['TRANSCRIPTIONS', TRANSCRIBER, 'COMPLETED'],
  ]);
  const served = await books.servedCall(requestId());
  const sum = sumOf(calls);
  expect((sum['INPUT'] ?? 0) + (sum['AUDIO_INPUT'] ?? 0)).toBe(served.promptTokens);
  expect((sum['OUTPUT'] ?? 0) + (sum['AUDIO_OUTPUT'] ?? 0)).toBe(served.completionTokens);
  expect([sum['AUDIO_INPUT'], sum['AUDIO_OUTPUT']]).toEqual([10, 4]);
  for (const call of calls) expect(parseUnits(call.price.amount)).toBe(exactPriceOf(call));
  const own = calls.find(({ id }) => id === requestId());
  expect(own).toMatchObject({ status: 101, counts: [], price: { amount: '0' } });
});

it('the official client is told in its own dialect what was wrong', async () => {
  const refusedWith = async (model: string, apiKey?: string): Promise<string> => {
    const { session } = openClient(model, apiKey);
    return new Promise((resolve) => {
      session.on('error', ({ message }) => {
        resolve(message);
      });
    });
  };
  expect(await refusedWith(MODEL, 'sk-wrong')).toContain('401');
  expect(await refusedWith('none')).toContain('404');
  expect(await refusedWith('pingtoken-sim-small')).toContain('404');

  const { session } = openClient();
  await once(session.socket, 'open');
  const failed = new Promise((resolve) => {
    session.on('error', ({ error }) => {
      resolve(error);
    });
  });
  session.send({ type: 'session.update', session: { type: 'realtime', model: 'gpt-realtime' } });
  expect(await failed).toMatchObject({ type: 'invalid_request_error', param: 'session.model' });
  session.close();
  await once(session.socket, 'close');
});

it('the official client is let go within seconds when its key is revoked', async () => {
  const { platform, tenant } = customer;
  const key = await createKey();
  const { session } = openClient(MODEL, key.secret);
  await once(session.socket, 'open');
  const failed = new Promise((resolve) => {
    session.on('error', ({ error }) => {
      resolve(error);
    });
  });
  const closed = once(session.socket, 'close');
  await platform.revokeKey(tenant, key.id);
  expect(await failed).toMatchObject({ code: 'invalid_api_key' });
  expect((await closed)[0]).toBe(1008);
});

it('the official client is told to come again when the data plane stops', async () => {
  const key = await createKey();
  const { session } = openClient(MODEL, key.secret);
  await once(session.socket, 'open');
  const failed = new Promise((resolve) => {
    session.on('error', ({ error }) => {
      resolve(error);
    });
  });
  const closed = once(session.socket, 'close');
  process.kill(distribution.runtime.processes.dataPlanes[0] ?? 0, 'SIGTERM');
  expect(await failed).toMatchObject({ code: 'not_ready' });
  expect((await closed)[0]).toBe(1012);
  expect(await awaitCalls(key.id, 1)).toMatchObject([{ outcome: 'INTERRUPTED', status: 101 }]);
});

it('a data plane that is killed loses no response that was given to its end', { timeout: 90_000 }, async () => {
  const { books } = customer;
  const key = await createKey();
  const url = new URL(distribution.runtime.gatewayUrl).origin;
  const path = `/v1/realtime?model=${MODEL}`;
  const caller = await openSession({ url, bearer: key.secret, path });
  await caller.ask('[[sim tokens=3]]');
  await caller.ask('[[sim tokens=5]]');
  caller.say(userText('[[sim tokens=2000 chunk-delay=20]]'));
  caller.say({ type: 'response.create' });
  await caller.next('response.output_text.delta');
  process.kill(distribution.readRuntime()?.processes.dataPlanes[0] ?? 0, 'SIGKILL');
  await caller.closed;

  const calls = await awaitCalls(key.id, 4);
  const outcomes = calls.map(({ outcome, counts }) => [outcome, sumOfOne(counts, 'OUTPUT')]).sort();
  expect(outcomes).toEqual([
    ['COMPLETED', 3],
    ['COMPLETED', 5],
    ['INTERRUPTED', 0],
    ['INTERRUPTED', 0],
  ]);
  expect(calls.find(({ id }) => id === caller.requestId)).toMatchObject({ outcome: 'INTERRUPTED' });
  expect(await books.servedCall(caller.requestId)).toMatchObject({ path: '/v1/realtime' });
});

function sumOfOne(counts: ShownUsage['counts'], wanted: string): number {
  return counts.find(({ dimension }) => dimension === wanted)?.count ?? 0;
}
