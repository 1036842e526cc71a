import { open, readFile, readdir, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { Logger } from 'pino';
import { validate as isUuid } from 'uuid';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { parseJson } from '@pingtoken/shared/wire';
import { setAside } from './damaged-records.js';
import { SYSTEM_IO, listSegments, type Segment, type SpoolIo } from './segment-file.js';
import { readLines, type FoundRecord, type SpoolLine } from './spool-record.js';
import { RESERVE_FILE } from './spool-reserve.js';
import { SPOOL_LIMITS, SpoolStore, type OpenStart, type SpoolContents, type SpoolLimits } from './spool-store.js';
import type { StartedCall } from './spool.js';

export interface RecoverSpoolsOptions {
  /** `DATA_PLANE_HOME/spool`. Nobody else may be writing below it: see `StateLock`. */
  readonly root: string;
  /** Of this process, and not to be touched. */
  readonly ownSpoolId: string;
  /** Called for each spool that has unconfirmed records, its interrupted calls among them. */
  readonly onRecovered: (store: SpoolStore) => void;
  /** Called for each that has nothing left to be confirmed; it is removed where this is left out. */
  readonly onSettled?: (store: SpoolStore) => void;
  readonly logger: Logger;
  readonly io?: SpoolIo;
  readonly limits?: Partial<SpoolLimits>;
  readonly now?: () => number;
}

/**
 * Takes up what dead processes left: a start without an end becomes an `interrupted` event of its own spool. Killed at any
 * point it can be run again: an interrupted call has its end then, and is passed over.
 */
export async function recoverSpools(options: RecoverSpoolsOptions): Promise<void> {
  for (const spoolId of await readdir(options.root)) {
    if (spoolId === options.ownSpoolId || !isUuid(spoolId)) continue;
    try {
      await recoverSpool(spoolId, options);
    } catch (error) {
      // It stays where it is for the next start, and does not keep the others from being recovered.
      options.logger.error({ spoolId, reason: String(error) }, 'a usage spool could not be recovered');
    }
  }
}

async function recoverSpool(spoolId: string, options: RecoverSpoolsOptions): Promise<void> {
  const { logger } = options;
  const folder = join(options.root, spoolId);
  await rm(join(folder, RESERVE_FILE), { force: true });
  const scan = await scanSpool({ folder, spoolId, logger });
  const limits = { ...SPOOL_LIMITS, ...options.limits, reserveBytes: 0 };
  const store = new SpoolStore({ folder, spoolId, contents: scan, io: options.io ?? SYSTEM_IO, logger, limits });
  const endedAt = scan.lastAtMs ?? options.now?.() ?? Date.now();
  const interrupted = [...store.openStarts];
  for (const [eventId, start] of interrupted) {
    const record = await readStart(start);
    const json = JSON.stringify(toInterrupted(record, { spoolId, seq: store.lastSeq + 1, endedAt }));
    store.appendEnds([{ eventId, seq: store.lastSeq + 1, atMs: endedAt, json }]);
  }
  await store.sync();
  logger.info({ spoolId, interrupted: interrupted.length, lastSeq: store.lastSeq }, 'usage spool recovered');
  if (!store.isDone) options.onRecovered(store);
  else if (options.onSettled === undefined) await store.remove();
  else options.onSettled(store);
}

/** A provider may have been reached, so the call is in the ledger; nobody counted, so nothing is billed. */
function toInterrupted(
  start: StartedCall,
  { spoolId, seq, endedAt }: { readonly spoolId: string; readonly seq: number; readonly endedAt: number },
): UsageEvent {
  return {
    ...start,
    version: 1,
    spoolId,
    seq,
    kind: 'interrupted',
    outcome: 'interrupted',
    status: null,
    firstByteMs: null,
    billedAttempt: null,
    endedAt: Math.max(endedAt, start.admittedAt),
    attempts: start.attempts.map((attempt) => ({ ...attempt, usage: {}, countedBy: 'none' })),
  };
}

async function readStart({ segment, offset, length }: OpenStart): Promise<StartedCall> {
  return withFile(segment.path, async (file) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    const [line] = readLines(buffer.subarray(0, bytesRead));
    if (line?.record === undefined) throw new Error('a start record changed while it was read');
    return parseJson(line.record.json.toString()) as StartedCall;
  });
}

interface Scan extends SpoolContents {
  /** Instant of the last record; undefined when there is none. */
  readonly lastAtMs: number | undefined;
}

interface ScanOptions {
  readonly folder: string;
  readonly spoolId: string;
  readonly logger: Logger;
}

const LINES_PER_SLICE = 1000;

async function scanSpool({ folder, spoolId, logger }: ScanOptions): Promise<Scan> {
  const segments = listSegments(folder);
  const openStarts = new Map<string, OpenStart>();
  const confirmedNote = await readFile(join(folder, 'confirmed'), 'utf8').catch(() => '0');
  // What lay before the first segment has been deleted, which only happens to what is confirmed.
  const confirmedSeq = Math.max(Number(confirmedNote) || 0, (segments[0]?.firstSeq ?? 1) - 1);
  let nextSeq = confirmedSeq + 1;
  let lastAtMs: number | undefined;
  for (const segment of segments) {
    nextSeq = Math.max(nextSeq, segment.firstSeq);
    const bytes = await readDurably(segment);
    let count = 0;
    for (const line of readLines(bytes)) {
      count += 1;
      if (count % LINES_PER_SLICE === 0) await setImmediate();
      segment.bytes = line.offset + line.length;
      if (line.record === undefined) {
        await setAside({ folder, spoolId, segment, offset: line.offset, line, logger });
        // It may have been an end, and the ledger may know it: its seq must not be given to another call.
        nextSeq += 1;
        continue;
      }
      lastAtMs = Math.max(lastAtMs ?? 0, line.record.atMs);
      if (line.record.type === 'S') {
        started(line, line.record, segment, openStarts);
      } else {
        ended(line.record, segment, openStarts);
        nextSeq = line.record.seq + 1;
      }
    }
  }
  return { segments, openStarts, confirmedSeq, nextSeq: Math.max(nextSeq, confirmedSeq + 1), lastAtMs };
}

function started(line: SpoolLine, record: FoundRecord, segment: Segment, openStarts: Map<string, OpenStart>): void {
  // A start that was copied onward stands in two segments: the later one counts.
  const earlier = openStarts.get(record.eventId);
  if (earlier !== undefined) earlier.segment.openStarts -= 1;
  openStarts.set(record.eventId, { segment, offset: line.offset, length: line.length });
  segment.openStarts += 1;
}

function ended(record: FoundRecord, segment: Segment, openStarts: Map<string, OpenStart>): void {
  segment.lastSeq = Math.max(segment.lastSeq, record.seq);
  const start = openStarts.get(record.eventId);
  if (start === undefined) return;
  openStarts.delete(record.eventId);
  start.segment.openStarts -= 1;
  start.segment.lastSeq = Math.max(start.segment.lastSeq, record.seq);
}

/** What a dead process wrote may never have been synced; nothing of it may be enqueued before it is durable. */
async function readDurably(segment: Segment): Promise<Buffer> {
  return withFile(segment.path, async (file) => {
    await file.datasync();
    return file.readFile();
  });
}

async function withFile<Value>(path: string, use: (file: FileHandle) => Promise<Value>): Promise<Value> {
  const file = await open(path, 'r');
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
