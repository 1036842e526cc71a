import type OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchFile, chatLine, KeptThingsFixture } from '../kit/kept-things-fixture.js';

const THINGS = 5;
let fixture: KeptThingsFixture;
let ours: OpenAI;
let files: string[];
let batches: string[];

beforeAll(async () => {
  fixture = await KeptThingsFixture.open();
  ({ ours } = fixture);
  [files, batches] = [[], []];
  // Another tenant's stand between ours in the provider's lists.
  for (let index = 0; index < THINGS; index += 1) {
    for (const client of [ours, fixture.theirs]) {
      const input = await client.files.create({
        file: batchFile([chatLine('a')], `n${index}.jsonl`),
        purpose: 'batch',
      });
      const batch = await client.batches.create({
        ...{ input_file_id: input.id, endpoint: '/v1/chat/completions', completion_window: '24h' },
      });
      if (client !== ours) continue;
      files.unshift(input.id);
      batches.unshift(batch.id);
    }
  }
});
afterAll(() => fixture.close());

async function all<Item extends { id: string }>(pages: AsyncIterable<Item>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of pages) ids.push(id);
  return ids;
}

describe('lists, as the official client reads them', () => {
  it.each([1, 2, 3, 5, 50])('are the tenant’s own, whole and in order, in pages of %d', async (limit) => {
    expect(await all(ours.files.list({ limit }))).toEqual(files);
    expect(await all(ours.batches.list({ limit }))).toEqual(batches);
  });

  it('say whether there are more of the tenant’s own, and go on behind any of them', async () => {
    const page = await ours.files.list({ limit: 2, after: files[1] ?? '' });
    expect(page.data.map(({ id }) => id)).toEqual(files.slice(2, 4));
    expect(page.has_more).toBe(true);
    const last = await page.getNextPage();
    expect(last.data.map(({ id }) => id)).toEqual(files.slice(4));
    expect([last.has_more, last.hasNextPage()]).toEqual([false, false]);
    expect(await all(ours.files.list({ order: 'asc', limit: 2 }))).toEqual(files.toReversed());
    // Behind the last there is nothing, though others' things follow.
    expect((await ours.batches.list({ after: batches.at(-1) ?? '' })).data).toEqual([]);
  });

  it('do not go on behind another tenant’s, a raw id or none, nor in pages that are none', async () => {
    const [foreign] = await all(fixture.theirs.files.list({ limit: 1 }));
    const calls = await fixture.callsDuring(async () => {
      for (const after of [foreign ?? '', 'file-sim1', 'x']) {
        await expect(ours.files.list({ after })).rejects.toMatchObject({ status: 404, param: 'after' });
      }
      for (const limit of [0, -1, 101, 1.5]) {
        await expect(ours.batches.list({ limit })).rejects.toMatchObject({ status: 400, param: 'limit' });
      }
    });
    expect(calls).toBe(0);
  });
});
