import { validate, version } from 'uuid';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { usageEventSchema } from '@pingtoken/shared/usage-event';
import { makeSubmission } from '../../test/kit/batch-submission.js';
import { MemorySpool } from '../../test/kit/gateway-fixture.js';
import { billBatch, eventIdOf, readLines, type FinishedBatch } from './bill-batch.js';

const submission = makeSubmission();
const finished: FinishedBatch = { submission, rawBatchId: 'batch_1', endedAt: submission.admittedAt + 5_000 };

function output(customId: string, response: unknown): string {
  return JSON.stringify({ id: 'batch_req_1', custom_id: customId, response, error: null });
}

function served(customId: string, input = 10): string {
  const body = { choices: [], usage: { prompt_tokens: input, completion_tokens: 5, total_tokens: input + 5 } };
  return output(customId, { status_code: 200, request_id: 'r', body });
}

async function* each(...lines: readonly (string | undefined)[]): AsyncGenerator<string | undefined> {
  for (const line of lines) yield await Promise.resolve(line);
}

describe('the output of a batch', () => {
  it('is billed line by line at the tier of batches and the prices of its submission', async () => {
    const spool = new MemorySpool();
    expect(await billBatch(finished, each(served('a', 10), '', served('b', 20)), spool)).toEqual({
      billed: 2,
      unreadable: 0,
    });
    const [first, second] = spool.ends;
    expect(first).toMatchObject({
      tenantId: submission.tenantId,
      apiKeyId: submission.apiKeyId,
      operation: 'chat-completions',
      model: submission.model,
      admittedAt: submission.admittedAt,
      priceCardVersionId: submission.priceCardVersionId,
      billedAttempt: 0,
      attempts: [{ usage: { input: 10, output: 5, request: 1 }, serviceTier: 'batch', countedBy: 'provider' }],
    });
    expect(second?.attempts[0]?.usage).toEqual({ input: 20, output: 5, request: 1 });
  });

  it('makes events that the ledger can read', async () => {
    const spool = new MemorySpool();
    await billBatch(finished, each(served('a')), spool);
    const { facts, ...event } = spool.ends[0] ?? {};
    expect(facts).toBeDefined();
    const whole = { ...event, version: 1, spoolId: spool.spoolId, seq: 1, kind: 'usage' };
    expect(usageEventSchema.safeParse(whole).error).toBeUndefined();
  });

  it('costs nothing where a line failed, or reports no usage, and says how many could not be read', async () => {
    const spool = new MemorySpool();
    const failed = output('f', { status_code: 500, body: { usage: { prompt_tokens: 9, completion_tokens: 9 } } });
    const silent = output('s', { status_code: 200, body: { choices: [] } });
    const lines = each(failed, silent, output('n', null), 'no json', '{"id":7}', undefined);
    expect(await billBatch(finished, lines, spool)).toEqual({ billed: 0, unreadable: 3 });
    expect(spool.ends).toEqual([]);
  });

  it('gives the same events each time it is read, of the instant of submission', async () => {
    const [one, other] = [new MemorySpool(), new MemorySpool()];
    await billBatch(finished, each(served('a'), served('b')), one);
    await billBatch(finished, each(served('b'), served('a')), other);
    const ids = (spool: MemorySpool) => spool.ends.map(({ eventId }) => eventId).sort();
    expect(ids(one)).toEqual(ids(other));
    expect(new Set(ids(one)).size).toBe(2);
    for (const id of ids(one)) {
      expect(validate(id) && version(id)).toBe(7);
      expect(Number.parseInt(id.replace('-', '').slice(0, 12), 16)).toBe(submission.admittedAt);
    }
    expect(eventIdOf({ ...finished, rawBatchId: 'batch_2' }, 'a')).not.toBe(eventIdOf(finished, 'a'));
  });
});

describe('lines', () => {
  it('are the same however the file is cut', async () => {
    const text = 'Grüße\n\n{"a":"\\n"}\r\nlast';
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 40 })), async (cuts) => {
        const bytes = Buffer.from(text);
        const places = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
        const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(await gather(readLines(toAsync(pieces)))).toEqual(text.split('\n'));
      }),
    );
  });

  it('that are too long are passed over, and those behind are read', async () => {
    const pieces = ['short\nlo', 'ng and lon', 'ger\nshort'].map((text) => Buffer.from(text));
    expect(await gather(readLines(toAsync(pieces), 8))).toEqual(['short', undefined, 'short']);
  });
});

async function* toAsync(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const piece of pieces) yield await Promise.resolve(piece);
}

async function gather<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const gathered = [];
  for await (const value of values) gathered.push(value);
  return gathered;
}
