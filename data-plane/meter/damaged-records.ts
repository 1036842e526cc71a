import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import type { Segment } from './segment-file.js';
import type { SpoolLine } from './spool-record.js';

export interface SetAsideOptions {
  /** The spool's own; the file goes beside it, so that it outlives the spool. */
  readonly folder: string;
  readonly spoolId: string;
  readonly segment: Segment;
  /** Of the line, in the segment. */
  readonly offset: number;
  readonly line: SpoolLine;
  readonly logger: Logger;
}

/** Keeps a damaged line for a person to look at, and says so: once, however often the segment is read. */
export async function setAside({ folder, spoolId, segment, offset, line, logger }: SetAsideOptions): Promise<void> {
  const path = join(dirname(folder), `${spoolId}.${segment.number}.${offset}.corrupt`);
  try {
    await writeFile(path, line.bytes, { mode: 0o600, flag: 'wx' });
    logger.error({ path }, 'a damaged record of the usage spool was set aside');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    logger.error({ path, reason: String(error) }, 'a damaged record of the usage spool could not be set aside');
  }
}

const MAX_DAMAGED_BYTES = 8 * 1024;

/**
 * Stands in a batch for a record that cannot be read. It is no usage event, so the worker puts it into quarantine and goes
 * on: without it the seqs had a gap, and the worker would wait at it for ever.
 */
export function createDamagedEvent(spoolId: string, seq: number, lines: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(lines).subarray(0, MAX_DAMAGED_BYTES);
  return Buffer.from(JSON.stringify({ version: 1, spoolId, seq, kind: 'damaged', bytes: bytes.toString('base64') }));
}
