import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listSegments } from '../../data-plane/meter/segment-file.js';
import { readLines } from '../../data-plane/meter/spool-record.js';

/** What of a data plane's spools is not in the ledger yet, read from its files alone. */
export interface SpoolRest {
  readonly spoolId: string;
  /** Calls that have begun and not ended. */
  readonly open: number;
  readonly lastSeq: number;
  readonly confirmedSeq: number;
}

/** @returns every spool below a distribution's home that is not at rest: calls are open, or records unconfirmed */
export async function findUnrest(home: string): Promise<SpoolRest[]> {
  const folders = (await readdir(home)).filter((name) => name.startsWith('data-plane-'));
  const found: SpoolRest[] = [];
  for (const folder of folders) {
    const root = join(home, folder, 'spool');
    for (const spoolId of await readdir(root).catch(() => [])) {
      if (spoolId.endsWith('.corrupt')) continue;
      const rest = await readRest(join(root, spoolId), spoolId).catch(ignoreRemoved);
      if (rest !== undefined && (rest.open > 0 || rest.confirmedSeq < rest.lastSeq)) found.push(rest);
    }
  }
  return found;
}

async function readRest(folder: string, spoolId: string): Promise<SpoolRest> {
  const open = new Set<string>();
  const segments = listSegments(folder);
  let lastSeq = (segments[0]?.firstSeq ?? 1) - 1;
  const deletedSeq = lastSeq;
  for (const { path } of segments) {
    for (const { record } of readLines(await readFile(path))) {
      if (record?.type === 'S') open.add(record.eventId);
      if (record?.type !== 'E') continue;
      open.delete(record.eventId);
      lastSeq = Math.max(lastSeq, record.seq);
    }
  }
  const noted = Number(await readFile(join(folder, 'confirmed'), 'utf8').catch(() => '0'));
  return { spoolId, open: open.size, lastSeq, confirmedSeq: Math.max(noted, deletedSeq) };
}

/** A spool that is all in the ledger is removed, also while it is read. */
function ignoreRemoved(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  return undefined;
}
