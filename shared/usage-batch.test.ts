import { brotliCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openUsageJob, packRecords, UnreadableBatchError, usageJobSchema, type UsageJob } from './usage-batch.js';

const place = {
  dataPlaneId: '0190a0a0-0000-7000-8000-000000000001',
  spoolId: '0190a0a0-0000-7000-8000-000000000002',
  firstSeq: 5,
};

async function jobOf(texts: readonly string[]): Promise<UsageJob> {
  return { ...place, count: texts.length, records: await packRecords(texts.map((text) => Buffer.from(text))) };
}

describe('a usage job', () => {
  it('gives back the events that were put in, in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue(), { minLength: 1, maxLength: 50 }), async (values) => {
        const texts = values.map((value) => JSON.stringify(value));
        const job = usageJobSchema.parse(await jobOf(texts));
        const { events, ...rest } = await openUsageJob(job);
        expect(rest).toEqual(place);
        expect(events.map((event) => JSON.stringify(event))).toEqual(
          texts.map((text) => JSON.stringify(JSON.parse(text))),
        );
      }),
    );
  });

  it('keeps a line that is no JSON as its text, so that the others are not lost with it', async () => {
    const { events } = await openUsageJob(await jobOf(['{"a":1}', '{"torn', '{"b":2}']));
    expect(events).toEqual([{ a: 1 }, '{"torn', { b: 2 }]);
  });

  it.each([
    ['is not compressed', 'bm9uc2Vuc2U='],
    ['holds another number of lines', brotliCompressSync('{}\n{}').toString('base64')],
    ['unpacks to more than any batch', brotliCompressSync(Buffer.alloc(65 * 1024 * 1024, 0x20)).toString('base64')],
  ])('is refused when it %s', async (_, records) => {
    await expect(openUsageJob({ ...place, count: 1, records })).rejects.toThrow(UnreadableBatchError);
  });
});
