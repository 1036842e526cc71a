import { randomUUID } from 'node:crypto';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeSubmission } from '../../test/kit/batch-submission.js';
import { makeTemporaryFolder, type TemporaryFolder } from '../../test/kit/temporary-folder.js';
import { openBatchStore, type BatchRecord } from './batch-store.js';

let home: TemporaryFolder;
let folder: string;
const open = () => openBatchStore({ folder, logger: pino({ level: 'silent' }) });
const record = (change: Partial<BatchRecord> = {}): BatchRecord => ({
  submission: makeSubmission({ submissionId: randomUUID() }),
  mark: 'tag.id',
  rawBatchId: null,
  isReserving: false,
  ...change,
});

beforeEach(async () => {
  home = await makeTemporaryFolder('batches');
  folder = join(home.path, 'batches');
});
afterEach(() => home.remove());

describe('the records of batches', () => {
  it('are there again in another process, each once, as they were last put', async () => {
    const store = open();
    const [one, other] = [record(), record()];
    await store.put(one);
    await store.put(other);
    await store.put({ ...one, rawBatchId: 'batch_1' });
    await store.remove(other.submission.submissionId);
    expect(await open().list()).toEqual([{ ...one, rawBatchId: 'batch_1' }]);
  });

  it('are for nobody else to read, and a removed one may be removed again', async () => {
    const store = open();
    const kept = record();
    await store.put(kept);
    const [name = ''] = await readdir(folder);
    expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    await store.remove(kept.submission.submissionId);
    await store.remove(kept.submission.submissionId);
    expect(await store.list()).toEqual([]);
  });

  it('that were cut off while they were written, or damaged, keep no other from being read', async () => {
    const store = open();
    const kept = record();
    await store.put(kept);
    await writeFile(join(folder, `${randomUUID()}.json.new`), '{"submission":');
    await writeFile(join(folder, `${randomUUID()}.json`), '{"submission":');
    expect(await open().list()).toEqual([kept]);
    expect((await readdir(folder)).filter((name) => name.endsWith('.damaged'))).toHaveLength(1);
  });
});
