import type OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../kit/gateway-fixture.js';
import { batchFile, chatLine, KeptThingsFixture } from '../kit/kept-things-fixture.js';

let fixture: KeptThingsFixture;
let ours: OpenAI;
let theirs: OpenAI;

beforeAll(async () => {
  fixture = await KeptThingsFixture.open();
  ({ ours, theirs } = fixture);
});
afterAll(() => fixture.close());
afterEach(() => fixture.expectBooked());
const callsDuring = (act: () => Promise<unknown>): Promise<number> => fixture.callsDuring(act);

const inputFile = (client: OpenAI, lines = [chatLine('a'), chatLine('b', 'More')]) =>
  client.files.create({ file: batchFile(lines), purpose: 'batch' });
const order = (client: OpenAI, inputFileId: string, change: Partial<OpenAI.BatchCreateParams> = {}) =>
  client.batches.create({
    input_file_id: inputFileId,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    ...change,
  });

interface OutputLine {
  readonly custom_id: string;
  readonly response: { readonly request_id: string };
}
const readOutputLine = (line: string): OutputLine => JSON.parse(line) as OutputLine;
const billedLines = ({ gateway }: KeptThingsFixture) =>
  gateway.spool.ends.filter(({ attempts }) => attempts[0]?.serviceTier === 'batch');

describe('batches', () => {
  it('are worked off, and billed line by line as the provider served them', async () => {
    const one = await KeptThingsFixture.open({ BATCH_POLL_INTERVAL_MS: 200 });
    try {
      const metadata = { project: 'nightly', owner: 'Ada' };
      const input = await inputFile(one.ours);
      expect((await one.ours.files.retrieve(input.id)).id).toBe(input.id);
      const batch = await order(one.ours, input.id, { metadata });
      expect(batch).toMatchObject({ object: 'batch', input_file_id: input.id, metadata });
      const done = await one.ours.batches.retrieve(batch.id);
      expect(done).toMatchObject({ id: batch.id, status: 'completed', input_file_id: input.id, metadata });
      const output = await (await one.ours.files.content(done.output_file_id ?? '')).text();
      const lines = output.trim().split('\n').map(readOutputLine);
      expect(lines.map(({ custom_id: id }) => id)).toEqual(['a', 'b']);
      await eventually(() => billedLines(one).length === 2);
      for (const { response } of lines) {
        const served = await one.books.servedCall(response.request_id);
        const { promptTokens: input, completionTokens, reasoningTokens } = served;
        const usage = expect.objectContaining({ input, output: completionTokens - reasoningTokens }) as unknown;
        const attempts = [expect.objectContaining({ usage, serviceTier: 'batch' })];
        const facts = { model: 'vendor/chat', operation: 'chat-completions', billedAttempt: 0 };
        expect(billedLines(one)).toContainEqual(expect.objectContaining({ ...facts, attempts }));
      }
    } finally {
      await one.close();
    }
  });

  it('of another tenant can be neither seen, nor cancelled, nor made of its files', async () => {
    const input = await inputFile(ours);
    const batch = await order(ours, input.id);
    const calls = await callsDuring(async () => {
      await expect(theirs.batches.retrieve(batch.id)).rejects.toMatchObject({ status: 404 });
      await expect(theirs.batches.cancel(batch.id)).rejects.toMatchObject({ status: 404 });
      await expect(order(theirs, input.id)).rejects.toMatchObject({ status: 404, param: 'input_file_id' });
      await expect(order(ours, 'file-sim1')).rejects.toMatchObject({ status: 404, param: 'input_file_id' });
    });
    expect(calls).toBe(0);
    const listed = async (client: OpenAI) => (await client.batches.list()).data.map(({ id }) => id);
    expect(await listed(ours)).toContain(batch.id);
    expect(await listed(theirs)).toEqual([]);
  });

  it('are not made of a file that was never judged, nor for another endpoint than its lines', async () => {
    const plain = await ours.files.create({
      file: batchFile([chatLine('a', 'x', 'pingtoken-sim-large')]),
      purpose: 'user_data',
    });
    await expect(order(ours, plain.id)).rejects.toMatchObject({ status: 404 });
    const input = await inputFile(ours);
    await expect(order(ours, input.id, { endpoint: '/v1/embeddings' })).rejects.toMatchObject({
      status: 400,
      param: 'endpoint',
    });
  });

  it.each([
    ['a model that there is not', [chatLine('a', 'x', 'nobody')], 404],
    ['a model that is not sold in batches', [chatLine('a', 'x', 'chat-alias')], 404],
    ['two models', [chatLine('a'), chatLine('b', 'x', 'vendor/embed')], 400],
    ['a provider’s own name of a model', [chatLine('a', 'x', 'pingtoken-sim-small')], 404],
    ['no JSON', ['x'], 400],
  ])('are refused at the upload for %s', async (_name, lines, status) => {
    const calls = await callsDuring(() =>
      expect(inputFile(ours, lines)).rejects.toMatchObject({ status, param: 'file' }),
    );
    expect(calls).toBe(0);
  });

  it('tell the provider neither who the end users are nor what the caller notes of them', async () => {
    const line = JSON.parse(chatLine('a')) as { body: object };
    const before = fixture.gateway.spool.ends.length;
    const input = await inputFile(ours, [JSON.stringify({ ...line, body: { ...line.body, user: 'Lovelace' } })]);
    await order(ours, input.id, { metadata: { who: 'Lovelace' } });
    const ids = fixture.gateway.spool.starts.map(({ eventId }) => eventId);
    for (const { eventId } of fixture.gateway.spool.ends.slice(before)) {
      if (!ids.includes(eventId)) continue;
      const { bodyBase64 } = await fixture.books.received(eventId);
      expect(Buffer.from(bodyBase64, 'base64').toString()).not.toContain('Lovelace');
    }
  });

  it('of responses make responses that can be gone on from', async () => {
    const body = { model: 'vendor/chat', input: 'My name is Ada.' };
    const line = { custom_id: 'a', method: 'POST', url: '/v1/responses', body };
    const input = await inputFile(ours, [JSON.stringify(line)]);
    const { id } = await order(ours, input.id, { endpoint: '/v1/responses' });
    const { output_file_id: output } = await ours.batches.retrieve(id);
    const text = await (await ours.files.content(output ?? '')).text();
    const [, response = ''] = /"body":\{"id":"(resp_[^"]+)"/.exec(text) ?? [];
    expect((await ours.responses.retrieve(response)).id).toBe(response);
    const next = { model: 'vendor/chat', input: 'What is my name?', previous_response_id: response };
    expect((await ours.responses.create(next)).previous_response_id).toBe(response);
    await expect(theirs.responses.create(next)).rejects.toMatchObject({ status: 404 });
  });

  it('are billed before their output is deleted', async () => {
    const slow = await KeptThingsFixture.open({ BATCH_POLL_INTERVAL_MS: 3_600_000 });
    try {
      const batch = await order(slow.ours, (await inputFile(slow.ours)).id);
      const { output_file_id: output } = await slow.ours.batches.retrieve(batch.id);
      expect(billedLines(slow)).toHaveLength(0);
      await slow.ours.files.delete(output ?? '');
      expect(billedLines(slow)).toHaveLength(2);
      await expect(slow.ours.files.content(output ?? '')).rejects.toMatchObject({ status: 404 });
    } finally {
      await slow.close();
    }
  });

  it('are billed though the key was revoked', async () => {
    const one = await KeptThingsFixture.open({ BATCH_POLL_INTERVAL_MS: 500 });
    try {
      const batch = await order(one.ours, (await inputFile(one.ours)).id);
      one.gateway.config.revoke(one.ours.apiKey ?? '');
      await expect(one.ours.batches.retrieve(batch.id)).rejects.toMatchObject({ status: 401 });
      await eventually(() => billedLines(one).length === 2);
    } finally {
      await one.close();
    }
  });
});
