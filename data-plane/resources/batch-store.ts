import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import { batchSubmissionSchema } from './batch-submission.js';

/**
 * A batch, or a response in the background, that is to be billed by this data plane, from before money is asked for it until its last line is in the ledger and
 * what is left of the money has gone back.
 */
export const batchRecordSchema = z.object({
  submission: batchSubmissionSchema,
  /** What marks it in the list of its provider; by this it is found again when nobody heard the answer to its submission. */
  mark: z.string().max(200),
  /** The provider's id of it, named after the batch; null as long as no answer to its submission has come. */
  rawBatchId: z.string().max(512).nullable(),
  /** Undefined for a batch. */
  kind: z.literal('response').optional(),
  /** While money is asked for: nobody has been sent anything, and what was granted goes back. */
  isReserving: z.boolean().default(false),
});
export type BatchRecord = z.infer<typeof batchRecordSchema>;

/** One file a batch, in `DATA_PLANE_HOME/batches`, mode 0600. */
export interface BatchStore {
  /** Those whose files can be read; others are set aside and reported. */
  list(): Promise<readonly BatchRecord[]>;
  /**
   * On disk, power cut or not, when it resolves.
   * @throws the system's error
   */
  put(record: BatchRecord): Promise<void>;
  /**
   * The same, before anything else is done: for what is known in the middle of a stream.
   * @throws the system's error
   */
  putNow(record: BatchRecord): void;
  remove(submissionId: string): Promise<void>;
}

const SUFFIX = '.json';

/** @throws the system's error when the folder cannot be made */
export function openBatchStore({ folder, logger }: { readonly folder: string; readonly logger: Logger }): BatchStore {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const pathOf = (submissionId: string): string => join(folder, submissionId + SUFFIX);

  async function read(name: string): Promise<BatchRecord | undefined> {
    const path = join(folder, name);
    let text;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      // Removed meanwhile, or not to be had now: it stays for the next start.
      logger.warn({ path, reason: String(error) }, 'the record of a batch cannot be read');
      return undefined;
    }
    const record = parseRecord(text);
    if (record !== undefined) return record;
    logger.error({ path }, 'the record of a batch is damaged and set aside');
    await rename(path, `${path}.damaged`);
    return undefined;
  }

  return {
    list: async () => {
      const names = (await readdir(folder)).filter((name) => name.endsWith(SUFFIX)).sort();
      const records = [];
      for (const name of names) records.push(await read(name));
      return records.filter((record) => record !== undefined);
    },
    put: async (record) => {
      const path = pathOf(record.submission.submissionId);
      const file = await open(`${path}.new`, 'w', 0o600);
      try {
        await file.writeFile(JSON.stringify(record));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${path}.new`, path);
      await syncFolder(folder);
    },
    putNow: (record) => {
      const path = pathOf(record.submission.submissionId);
      const file = openSync(`${path}.now`, 'w', 0o600);
      try {
        writeSync(file, JSON.stringify(record));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(`${path}.now`, path);
    },
    remove: (submissionId) => rm(pathOf(submissionId), { force: true }),
  };
}

function parseRecord(text: string): BatchRecord | undefined {
  try {
    return batchRecordSchema.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}

/** A rename is only as durable as the folder that records it. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
