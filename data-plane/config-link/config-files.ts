import type { KeyObject } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { SealingPair } from '@pingtoken/shared/crypto';
import { parseJson } from '@pingtoken/shared/wire';
import type { ConfigState } from './config-state.js';
import { loadSnapshot } from './load-snapshot.js';
import { DocumentFault, NEWLINE, isAtOrBehind, targetOf, verifyDelta } from './verify.js';

/**
 * The last good state on disk, as the signed documents that led to it: `snapshot.ndjson`, and `deltas.ndjson` with those
 * that came after. All are verified again when they are read, so that a file changed by hand is refused; content keys stay
 * sealed. Everything has mode 0600.
 */
export interface ConfigFiles {
  /** Where a new snapshot is to be written before {@link ConfigFiles.keepSnapshot}. */
  readonly incomingPath: string;
  /** Bytes and documents in the log of deltas: when they are many, a fresh snapshot is due. */
  readonly log: { readonly bytes: number; readonly documents: number };
  /**
   * @returns undefined when there is none
   * @throws DocumentFault, or a file system's error, when what is there cannot be trusted
   */
  load(): Promise<ConfigState | undefined>;
  /** On disk, power cut or not, when it resolves. */
  appendDelta(document: Buffer): Promise<void>;
  /** Puts the incoming file in the place of all that was kept. */
  keepSnapshot(): Promise<void>;
  /** Notes that the control plane was heard of: staleness counts across restarts. */
  noteContact(atMs: number): Promise<void>;
  lastContactAt(): Promise<number | undefined>;
}

export interface ConfigFilesOptions {
  readonly folder: string;
  readonly verifyKey: KeyObject;
  readonly dataPlaneId: string;
  readonly sealing: SealingPair;
}

const MODE = { file: 0o600, folder: 0o700 };

export async function openConfigFiles(options: ConfigFilesOptions): Promise<ConfigFiles> {
  const { folder } = options;
  await mkdir(folder, { recursive: true, mode: MODE.folder });
  const path = {
    snapshot: join(folder, 'snapshot.ndjson'),
    incoming: join(folder, 'snapshot.ndjson.incoming'),
    deltas: join(folder, 'deltas.ndjson'),
    contact: join(folder, 'last-contact'),
  };
  const log = { bytes: 0, documents: 0 };

  async function load(): Promise<ConfigState | undefined> {
    const state = await absentAsUndefined(() => loadSnapshot({ ...options, path: path.snapshot, previous: undefined }));
    const deltas = await absentAsUndefined(() => readFile(path.deltas));
    if (state === undefined || deltas === undefined) return state;
    const documents = splitDocuments(deltas);
    for (const document of documents.whole) await replay(document, state, options);
    Object.assign(log, { bytes: documents.wholeBytes, documents: documents.whole.length });
    if (documents.wholeBytes < deltas.length) await truncate(path.deltas, documents.wholeBytes);
    return state;
  }

  async function appendDelta(document: Buffer): Promise<void> {
    const text = document.at(-1) === NEWLINE ? document : Buffer.concat([document, Buffer.from('\n')]);
    await withFile(path.deltas, 'a', async (file) => {
      // A write that failed half-way, on a full disk say, must not stay before the next document.
      const { size } = await file.stat();
      if (size !== log.bytes) await file.truncate(log.bytes);
      await file.appendFile(text);
      await file.datasync();
      log.bytes += text.length;
      log.documents += 1;
    });
  }

  async function keepSnapshot(): Promise<void> {
    await withFile(path.incoming, 'r+', (file) => file.sync());
    // Between these two, old deltas lie beside the new snapshot; they lead to states before it and are passed over.
    await rename(path.incoming, path.snapshot);
    await syncFolder(folder);
    await rm(path.deltas, { force: true });
    Object.assign(log, { bytes: 0, documents: 0 });
  }

  return {
    incomingPath: path.incoming,
    log,
    load,
    appendDelta,
    keepSnapshot,
    noteContact: (atMs) => writeFile(path.contact, String(atMs), { mode: MODE.file }),
    lastContactAt: async () => {
      const text = await absentAsUndefined(() => readFile(path.contact, 'utf8'));
      const atMs = Number(text);
      return text !== undefined && Number.isSafeInteger(atMs) && atMs > 0 ? atMs : undefined;
    },
  };
}

/** @throws DocumentFault: a log with a foreign document in its middle is refused whole, for what follows may be a revocation. */
async function replay(document: Buffer, state: ConfigState, options: ConfigFilesOptions): Promise<void> {
  const base = state.standpoint;
  if (base === undefined || isAtOrBehind(targetOf(document), base.position)) return;
  const { verifyKey, dataPlaneId } = options;
  const { header, end, entries } = await verifyDelta(document, { verifyKey, dataPlaneId, base });
  for (const entry of entries) state.apply(entry);
  state.commit(header, end.chain);
}

/**
 * Documents end with their end line. What follows the last one is the torn tail of an append that was cut off, and was
 * never acknowledged: whole lines of JSON, then a piece of one.
 * @throws DocumentFault when it is not that: an end line that was damaged may have closed a revocation
 */
function splitDocuments(bytes: Buffer): { readonly whole: readonly Buffer[]; readonly wholeBytes: number } {
  const whole: Buffer[] = [];
  let start = 0;
  let lineStart = 0;
  for (let newline = bytes.indexOf(NEWLINE); newline >= 0; newline = bytes.indexOf(NEWLINE, lineStart)) {
    if (isEndLine(bytes.toString('utf8', lineStart, newline))) {
      whole.push(bytes.subarray(start, newline + 1));
      start = newline + 1;
    }
    lineStart = newline + 1;
  }
  return { whole, wholeBytes: start };
}

const endKindSchema = z.looseObject({ kind: z.literal('end') });

function isEndLine(line: string): boolean {
  try {
    return endKindSchema.safeParse(parseJson(line)).success;
  } catch {
    throw new DocumentFault('content', 'the log of deltas is damaged');
  }
}

async function truncate(path: string, bytes: number): Promise<void> {
  await withFile(path, 'r+', async (file) => {
    await file.truncate(bytes);
    await file.sync();
  });
}

async function withFile(path: string, flags: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, flags, MODE.file);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}

/** A rename is only as durable as the folder that records it. */
async function syncFolder(folder: string): Promise<void> {
  await withFile(folder, 'r', (file) => file.sync());
}

async function absentAsUndefined<Value>(read: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
