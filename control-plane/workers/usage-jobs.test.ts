import { pino } from 'pino';
import { expect, test } from 'vitest';
import { packRecords, type UsageJob } from '@pingtoken/shared/usage-batch';
import { EarlyJobError, HopelessJobError } from '../queue.js';
import { SpoolGapError, type IngestResult } from './ingest-usage.js';
import { BatchRefusedError } from './spool-row.js';
import { createUsageJobs } from './usage-jobs.js';

const logger = pino({ level: 'silent' });
const [spoolId, otherSpoolId, dataPlaneId] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
const records = await packRecords([Buffer.from('{}')]);
const job = (firstSeq: number, of = spoolId) => ({ dataPlaneId, spoolId: of, firstSeq, count: 1, records });
const result = (confirmedSeq: number): IngestResult => ({
  confirmedSeq,
  settled: [],
  losses: [],
  duplicates: 0,
  quarantined: [],
});

test('batches of one spool go one after the other, a failed one included; other spools do not wait', async () => {
  const log: string[] = [];
  const { promise: otherIsDone, resolve: otherDone } = Promise.withResolvers<undefined>();
  const process = createUsageJobs({
    logger,
    onIngested: () => undefined,
    async ingest({ spoolId: of, firstSeq }, turn) {
      await turn;
      const name = of === spoolId ? `a${firstSeq}` : `b${firstSeq}`;
      log.push(`${name} begins`);
      if (name === 'a1') await otherIsDone;
      log.push(`${name} ends`);
      if (name === 'b1') otherDone(undefined);
      if (name === 'a1') throw new Error('deadlock detected');
      return result(firstSeq);
    },
  });
  const done = await Promise.allSettled([process(job(1)), process(job(2)), process(job(1, otherSpoolId))]);
  expect(done.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
  expect(log.filter((line) => line.startsWith('a'))).toEqual(['a1 begins', 'a1 ends', 'a2 begins', 'a2 ends']);
  expect(log.indexOf('b1 ends')).toBeLessThan(log.indexOf('a1 ends'));
});

test.each<[Error, typeof EarlyJobError | typeof HopelessJobError]>([
  [new SpoolGapError(3), EarlyJobError],
  [new BatchRefusedError('the data plane is not enrolled'), HopelessJobError],
])('%s decides whether the job is tried again', async (error, expected) => {
  const process = createUsageJobs({ logger, onIngested: () => undefined, ingest: () => Promise.reject(error) });
  await expect(process(job(9))).rejects.toBeInstanceOf(expected);
});

test.each<[Partial<UsageJob>, string]>([
  [{ count: 2 }, 'another count than announced'],
  [{ records: Buffer.from('no brotli').toString('base64') }, 'bytes that cannot be unpacked'],
])('a job with %s (%s) is hopeless, for it will be the same the next time', async (change) => {
  const process = createUsageJobs({ logger, onIngested: () => undefined, ingest: () => Promise.resolve(result(1)) });
  await expect(process({ ...job(1), ...change })).rejects.toBeInstanceOf(HopelessJobError);
});

test.each([
  null,
  'x',
  [],
  {},
  { ...job(1), firstSeq: 0 },
  { ...job(1), count: 0 },
  { ...job(1), records: '' },
  { ...job(1), spoolId: '1' },
])('a job that is no batch (%j) is hopeless', async (data) => {
  const process = createUsageJobs({ logger, onIngested: () => undefined, ingest: () => Promise.resolve(result(1)) });
  await expect(process(data)).rejects.toBeInstanceOf(HopelessJobError);
});
