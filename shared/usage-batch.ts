import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants } from 'node:zlib';
import { z } from 'zod';
import { parseJson } from './wire.js';

/**
 * A BullMQ job: usage events of one spool with contiguous `seq`, as NDJSON, compressed. One event's text resembles the next
 * one's, so that a job takes a fifth of the queue's memory, and neither side of the queue spends its event loop on quoting
 * what is JSON already.
 */
export const usageJobSchema = z.object({
  dataPlaneId: z.uuid(),
  spoolId: z.uuid(),
  firstSeq: z.int().positive(),
  /** Lines in `records`. */
  count: z.int().min(1).max(1000),
  /** base64 of brotli of lines with `\n` between them. */
  records: z
    .string()
    .min(1)
    .max(8 * 1024 * 1024),
});
export type UsageJob = z.infer<typeof usageJobSchema>;

/** A job that was opened. Its events are unparsed beyond JSON: a bad one is set aside and does not take its batch with it. */
export interface UsageBatch extends Pick<UsageJob, 'dataPlaneId' | 'spoolId' | 'firstSeq'> {
  readonly events: readonly unknown[];
}

/** A batch whose events cannot be had back, ever. */
export class UnreadableBatchError extends Error {
  constructor(reason: string) {
    super(`the batch cannot be read: ${reason}`);
    this.name = 'UnreadableBatchError';
  }
}

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);
const NEWLINE = Buffer.from('\n');
/** Attack: a small job that unpacks to gigabytes. A data plane's batches are of about one megabyte. */
const MAX_UNPACKED_BYTES = 64 * 1024 * 1024;

/**
 * @param lines JSON texts in UTF-8 without raw newlines, at most 1,000
 * @returns `records` of a job
 */
export async function packRecords(lines: readonly Uint8Array[]): Promise<string> {
  const text = Buffer.concat(lines.flatMap((line, index) => (index === 0 ? [line] : [NEWLINE, line])));
  const packed = await compress(text, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 1, [constants.BROTLI_PARAM_SIZE_HINT]: text.length },
  });
  return packed.toString('base64');
}

/** @throws UnreadableBatchError */
export async function openUsageJob({ dataPlaneId, spoolId, firstSeq, count, records }: UsageJob): Promise<UsageBatch> {
  const lines = (await unpack(records)).split('\n');
  if (lines.length !== count) throw new UnreadableBatchError(`${lines.length} records where ${count} are announced`);
  return { dataPlaneId, spoolId, firstSeq, events: lines.map(parseOrKeep) };
}

async function unpack(records: string): Promise<string> {
  try {
    return (await decompress(Buffer.from(records, 'base64'), { maxOutputLength: MAX_UNPACKED_BYTES })).toString();
  } catch (error) {
    throw new UnreadableBatchError(String((error as NodeJS.ErrnoException).code ?? error));
  }
}

/** A line that is no JSON is no event either; it is set aside as the text that it is. */
function parseOrKeep(line: string): unknown {
  try {
    return parseJson(line);
  } catch {
    return line;
  }
}
