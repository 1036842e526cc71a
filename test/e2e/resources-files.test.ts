import OpenAI, { toFile } from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KeptThingsFixture } from '../kit/kept-things-fixture.js';

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
    ['without a purpose', [['file', new File(['x'], 'x')]]],
    ['without a file', [['purpose', 'batch']]],
    [
      'with a file that is none',
      [
        ['file', 'x'],
        ['purpose', 'user_data'],
      ],
    ],
    [
      'with two files',
      [
        ['file', new File(['x'], 'x')],
        ['file', new File(['y'], 'y')],
        ['purpose', 'user_data'],
      ],
    ],
    [
      'with two purposes',
      [
        ['file', new File(['x'], 'x')],
        ['purpose', 'user_data'],
        ['purpose', 'batch'],
      ],
    ],
    [
      'with another spelling',
      [
        ['file', new File(['x'], 'x')],
        ['purpose', 'user_data'],
        ['Purpose', 'batch'],
      ],
    ],
  ] as const)('are refused %s, before anything is sent', async (_name, fields) => {
    const form = new FormData();
    for (const [name, value] of fields) form.append(name, value);
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
