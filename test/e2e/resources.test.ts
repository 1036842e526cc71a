import { randomUUID } from 'node:crypto';
import OpenAI, { toFile } from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../kit/gateway-fixture.js';
import { batchFile, chatLine, KeptThingsFixture } from '../kit/kept-things-fixture.js';

let fixture: KeptThingsFixture;
let ours: OpenAI;
let theirs: OpenAI;

beforeAll(async () => {
  // Nothing is asked of the provider but what the callers ask.
  fixture = await KeptThingsFixture.open({ BATCH_POLL_INTERVAL_MS: 3_600_000 });
  ({ ours, theirs } = fixture);
});
afterAll(() => fixture.close());
/** Whatever happened: every call that went out is in the books, and once. */
afterEach(async () => {
  const { starts, ends } = fixture.gateway.spool;
  const direct = ends.filter(({ eventId }) => starts.some((start) => start.eventId === eventId));
  await eventually(() => starts.length === direct.length);
  expect(new Set(ends.map(({ eventId }) => eventId)).size).toBe(ends.length);
});

/** @returns what was called at the provider meanwhile */
async function callsDuring(act: () => Promise<unknown>): Promise<number> {
  const before = (await fixture.summary()).calls;
  await act();
  return (await fixture.summary()).calls - before;
}

const upload = (client: OpenAI, name = 'notes.txt') =>
  client.files.create({ file: new File(['Grüße'], name), purpose: 'user_data' });

async function listNames(client: OpenAI, query: OpenAI.FileListParams = {}): Promise<string[]> {
  const names = [];
  for await (const file of client.files.list(query)) names.push(file.filename);
  return names;
}

describe('files', () => {
  it('are uploaded, shown, read and deleted by their owner', async () => {
    const file = await upload(ours);
    expect(file).toMatchObject({ object: 'file', filename: 'notes.txt', purpose: 'user_data', bytes: 7 });
    expect(await ours.files.retrieve(file.id)).toEqual(file);
    expect(await (await ours.files.content(file.id)).text()).toBe('Grüße');
    expect(await ours.files.delete(file.id)).toEqual({ id: file.id, object: 'file', deleted: true });
    await expect(ours.files.retrieve(file.id)).rejects.toMatchObject({ status: 404 });
  });

  it('of another tenant, raw ids and those of other kinds are not there, before anything is asked', async () => {
    const file = await upload(ours);
    const rawIds = ['file-sim1', 'file-abc', file.id.slice(0, -1), file.id.replace('file-', 'batch_'), 'a%2Fb', 'x'];
    const asks: (() => Promise<unknown>)[] = [];
    for (const [client, ids] of [
      [theirs, [file.id, ...rawIds]],
      [ours, rawIds],
    ] as const) {
      for (const id of ids) {
        asks.push(
          () => client.files.retrieve(id),
          () => client.files.content(id),
          () => client.files.delete(id),
          () => client.batches.retrieve(id),
          () => client.responses.retrieve(id),
          () => client.uploads.cancel(id),
        );
      }
    }
    const calls = await callsDuring(async () => {
      for (const ask of asks) await expect(ask()).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    });
    expect(calls).toBe(0);
    expect(await (await ours.files.content(file.id)).text()).toBe('Grüße');
  });

  it('are listed to their owner alone, page by page, in order', async () => {
    const one = await KeptThingsFixture.open();
    try {
      for (let index = 0; index < 5; index += 1) {
        await upload(one.ours, `ours-${index}.txt`);
        await upload(one.theirs, `theirs-${index}.txt`);
      }
      const expected = [4, 3, 2, 1, 0].map((index) => `ours-${index}.txt`);
      expect(await listNames(one.ours)).toEqual(expected);
      expect(await listNames(one.ours, { limit: 2 })).toEqual(expected);
      expect(await listNames(one.ours, { limit: 2, order: 'asc' })).toEqual(expected.toReversed());
      expect(await listNames(one.theirs, { purpose: 'batch' })).toEqual([]);
      const page = await one.ours.files.list({ limit: 5 });
      expect(page.has_more).toBe(false);
      const foreign = (await one.theirs.files.list()).data[0]?.id ?? '';
      await expect(one.ours.files.list({ after: foreign })).rejects.toMatchObject({ status: 404, param: 'after' });
      await expect(one.ours.files.list({ limit: 0 })).rejects.toMatchObject({ status: 400, param: 'limit' });
    } finally {
      await one.close();
    }
  });

  it('come to the provider under a name that tells it nothing of the tenant but that it is the same one', async () => {
    const { books } = fixture;
    const before = fixture.gateway.spool.ends.length;
    await upload(ours);
    const id = fixture.gateway.spool.ends[before]?.eventId ?? '';
    const { bodyBase64, headers } = await books.received(id);
    const body = Buffer.from(bodyBase64, 'base64').toString();
    expect(body).toMatch(/filename="[\w-]{22}\.[\w-]+\.notes\.txt"/);
    expect(headers.map(([name]) => name.toLowerCase()).sort()).toEqual(
      'accept,accept-encoding,authorization,connection,content-length,content-type,host,user-agent,x-request-id'.split(
        ',',
      ),
    );
    expect(fixture.gateway.spool.ends[before]).toMatchObject({ operation: 'batches', attempts: [{ usage: {} }] });
  });

  it.each([
    ['without a purpose', (form: FormData) => form.set('file', new File(['x'], 'x'))],
    ['without a file', (form: FormData) => form.set('purpose', 'batch')],
    [
      'with two files',
      (form: FormData) => [
        form.append('file', new File(['x'], 'x')),
        form.append('file', new File(['y'], 'y')),
        form.set('purpose', 'user_data'),
      ],
    ],
    [
      'with two purposes',
      (form: FormData) => [
        form.append('file', new File(['x'], 'x')),
        form.append('purpose', 'user_data'),
        form.append('purpose', 'batch'),
      ],
    ],
    [
      'with a purpose in another spelling',
      (form: FormData) => [
        form.append('file', new File(['x'], 'x')),
        form.append('purpose', 'user_data'),
        form.append('Purpose', 'batch'),
      ],
    ],
  ])('are refused %s, before anything is sent', async (_name, fill) => {
    const form = new FormData();
    fill(form);
    const { baseURL, apiKey } = ours;
    const calls = await callsDuring(async () => {
      const response = await fetch(`${baseURL}/files`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKey}` },
        body: form,
      });
      expect(response.status).toBe(400);
    });
    expect(calls).toBe(0);
  });

  it('are refused by methods that there are not, with those that there are', async () => {
    const { baseURL, apiKey } = ours;
    const response = await fetch(`${baseURL}/files`, { method: 'PUT', headers: { authorization: `Bearer ${apiKey}` } });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, POST']);
  });
});

describe('uploads', () => {
  it('make a file of parts', async () => {
    const upload = await ours.uploads.create({
      filename: 'big.txt',
      purpose: 'user_data',
      bytes: 10,
      mime_type: 'text/plain',
    });
    expect(upload).toMatchObject({ object: 'upload', filename: 'big.txt', status: 'pending' });
    const parts = [];
    for (const text of ['first', 'other'])
      parts.push(await ours.uploads.parts.create(upload.id, { data: await toFile(Buffer.from(text)) }));
    const ids = parts.map(({ id }) => id);
    expect(parts.map(({ upload_id: id }) => id)).toEqual([upload.id, upload.id]);
    await expect(theirs.uploads.complete(upload.id, { part_ids: ids })).rejects.toMatchObject({ status: 404 });
    await expect(ours.uploads.complete(upload.id, { part_ids: ['part-sim1'] })).rejects.toMatchObject({ status: 404 });
    const { file } = await ours.uploads.complete(upload.id, { part_ids: ids });
    expect(file?.filename).toBe('big.txt');
    expect(await (await ours.files.content(file?.id ?? '')).text()).toBe('firstother');
    expect(await listNames(ours)).toContain('big.txt');
  });

  it('are cancelled, and are no way around the judging of a batch', async () => {
    const create = { filename: 'x', bytes: 1, mime_type: 'text/plain' };
    const upload = await ours.uploads.create({ ...create, purpose: 'user_data' });
    expect((await ours.uploads.cancel(upload.id)).status).toBe('cancelled');
    await expect(ours.uploads.create({ ...create, purpose: 'batch' })).rejects.toMatchObject({ status: 400 });
  });
});

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

describe('stored responses', () => {
  const ask = (client: OpenAI, input: string, previous?: string) =>
    client.responses.create({
      model: 'vendor/chat',
      input,
      ...(previous !== undefined && { previous_response_id: previous }),
    });

  it('are kept for their owner under ids of its own, and can be asked for, read and deleted', async () => {
    const response = await ask(ours, 'Hello');
    expect(response.id.length).toBeGreaterThan(60);
    expect(await ours.responses.retrieve(response.id)).toMatchObject({ id: response.id, output: response.output });
    await ours.responses.delete(response.id);
    await expect(ours.responses.retrieve(response.id)).rejects.toMatchObject({ status: 404 });
  });

  it('are gone on from, streamed or not, at the account that has them', async () => {
    const first = await ask(ours, 'My name is Ada.');
    const second = await ask(ours, 'What is my name?', first.id);
    expect(second.previous_response_id).toBe(first.id);
    expect(second.usage?.input_tokens).toBeGreaterThan(first.usage?.input_tokens ?? 0);
    const stream = ours.responses.stream({ model: 'vendor/chat', input: 'Again?', previous_response_id: second.id });
    const seen = new Set<string>();
    for await (const event of stream) if ('response' in event) seen.add(event.response.id);
    const third = await stream.finalResponse();
    expect([...seen]).toEqual([third.id]);
    expect(third.previous_response_id).toBe(second.id);
    expect(await ours.responses.retrieve(third.id)).toMatchObject({ id: third.id, previous_response_id: second.id });
    const ends = fixture.gateway.spool.ends.filter(({ operation }) => operation === 'responses').slice(-4);
    expect(ends.map(({ attempts }) => attempts[0]?.countedBy)).toContain('provider');
  });

  it('of another tenant, raw ids and what is none cannot be gone on from, before anything is asked', async () => {
    const { id } = await ask(ours, 'A secret');
    const calls = await callsDuring(async () => {
      for (const [client, previous] of [
        [theirs, id],
        [ours, 'resp_sim1'],
        [ours, `${id}A`],
        [ours, id.replace('resp_', 'file-')],
      ] as const) {
        const refused = { status: 404, param: 'previous_response_id' };
        await expect(ask(client, 'Go on', previous)).rejects.toMatchObject(refused);
      }
      await expect(theirs.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
      await expect(theirs.responses.delete(id)).rejects.toMatchObject({ status: 404 });
      await expect(theirs.responses.cancel(id)).rejects.toMatchObject({ status: 404 });
      await expect(theirs.responses.inputItems.list(id)).rejects.toMatchObject({ status: 404 });
    });
    expect(calls).toBe(0);
  });

  it('are not gone on from where their account serves the model no more', async () => {
    const { id } = await ask(ours, 'Hello');
    const { config } = fixture.gateway;
    const routes = [...config.routeList];
    for (const [index, route] of routes.entries()) {
      const targets = route.targets.map((target) => ({ ...target, credentialId: randomUUID() }));
      config.routeList[index] = { ...route, targets };
    }
    await expect(ask(ours, 'Go on', id)).rejects.toMatchObject({ status: 404, param: 'previous_response_id' });
    config.routeList.splice(0, Infinity, ...routes);
    expect((await ask(ours, 'Go on', id)).previous_response_id).toBe(id);
  });

  it('may hold a file of the tenant’s own, and none of another', async () => {
    const file = await upload(ours);
    const asking = (client: OpenAI, fileId: string) =>
      client.responses.create({
        model: 'vendor/chat',
        input: [{ role: 'user', content: [{ type: 'input_file', file_id: fileId }] }],
      });
    const before = fixture.gateway.spool.starts.length;
    await asking(ours, file.id).catch((error: unknown) => {
      // Which parts the simulator reads is not what is asked here.
      if (!(error instanceof OpenAI.BadRequestError)) throw error;
    });
    const { bodyBase64 } = await fixture.books.received(fixture.gateway.spool.starts[before]?.eventId ?? '');
    expect(Buffer.from(bodyBase64, 'base64').toString()).toMatch(/"file_id":"file-sim\d+"/);
    await expect(asking(theirs, file.id)).rejects.toMatchObject({ status: 404, param: 'file_id' });
  });
});
