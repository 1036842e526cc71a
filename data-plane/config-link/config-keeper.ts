import { rm } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import type { ConfigAck, ConfigPosition } from '@pingtoken/shared/config-snapshot';
import type { Logger } from 'pino';
import type { ConfigFiles, ConfigFilesOptions } from './config-files.js';
import type { ConfigState } from './config-state.js';
import { loadSnapshot } from './load-snapshot.js';
import { DocumentFault, isAtOrBehind, targetOf, verifyDelta, type BrokenObject, type Entry } from './verify.js';

/** What came of a document: what to tell the control plane, and whether a snapshot is needed to go on. */
export interface Taken {
  readonly acks: readonly ConfigAck[];
  /** `fault`: only a snapshot helps; `compaction`: a fresh one would shorten the log. */
  readonly needsSnapshot: 'fault' | 'compaction' | undefined;
}

/** Holds the state in force and takes documents, one after the other. */
export interface ConfigKeeper {
  readonly state: ConfigState | undefined;
  /** Brings the last good state of the disk into force. Never throws: what cannot be trusted is reported and left out. */
  loadFromDisk(): Promise<void>;
  takeDelta(document: Buffer): Promise<Taken>;
  /** Takes the snapshot that lies at `ConfigFiles.incomingPath`. */
  takeSnapshot(): Promise<Taken>;
}

export interface ConfigKeeperOptions extends Omit<ConfigFilesOptions, 'folder'> {
  readonly files: ConfigFiles;
  readonly logger: Logger;
}

/** Replaying that many deltas takes about 200 ms of a start. */
const MAX_LOG = { documents: 1000, bytes: 8 * 1024 * 1024 };
const MAX_REFUSALS_TOLD = 8;
const ENTRIES_PER_SLICE = 500;

export function createConfigKeeper(options: ConfigKeeperOptions): ConfigKeeper {
  const { files, logger, verifyKey, dataPlaneId, sealing } = options;
  let state: ConfigState | undefined;
  /** The disk has missed a delta, so that no later one may be appended: the log would lead nowhere. */
  let diskIsBehind = false;

  async function loadFromDisk(): Promise<void> {
    try {
      state = await files.load();
      logger.info(
        { position: state?.standpoint?.position },
        state === undefined ? 'no config on disk' : 'config loaded from disk',
      );
    } catch (error) {
      logger.error({ reason: messageOf(error) }, 'the config on disk is refused');
    }
  }

  async function takeDelta(document: Buffer): Promise<Taken> {
    const base = state?.standpoint;
    if (state === undefined || base === undefined) return { acks: [], needsSnapshot: 'fault' };
    try {
      if (isAtOrBehind(targetOf(document), base.position)) return { acks: [], needsSnapshot: undefined };
      const { header, end, entries } = await verifyDelta(document, { verifyKey, dataPlaneId, base });
      await applyInSlices(state, entries);
      state.commit(header, end.chain);
      // In force first, then on disk, then acknowledged: what has been acknowledged survives any crash.
      if (diskIsBehind || !(await keepOnDisk(() => files.appendDelta(document))))
        return { acks: [], needsSnapshot: 'fault' };
      return { acks: acksFor(state, brokenOf(entries)), needsSnapshot: isLogLong() ? 'compaction' : undefined };
    } catch (error) {
      return refuse(error, 'delta');
    }
  }

  async function takeSnapshot(): Promise<Taken> {
    try {
      const loaded = await loadSnapshot({ path: files.incomingPath, verifyKey, dataPlaneId, sealing, previous: state });
      refuseOlder(loaded, state);
      state = loaded;
      diskIsBehind = !(await keepOnDisk(() => files.keepSnapshot()));
      if (diskIsBehind) return { acks: [], needsSnapshot: 'fault' };
      return { acks: acksFor(state, [...state.broken.values()]), needsSnapshot: undefined };
    } catch (error) {
      await rm(files.incomingPath, { force: true }).catch(() => undefined);
      return refuse(error, 'snapshot');
    }
  }

  /** @returns whether the disk holds the state in force */
  async function keepOnDisk(write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      diskIsBehind = true;
      logger.error({ reason: messageOf(error) }, 'the config in force cannot be kept on disk; it is not acknowledged');
      return false;
    }
  }

  function refuse(error: unknown, what: string): Taken {
    if (error instanceof DocumentFault && error.fault === 'base') {
      logger.warn({ reason: error.message }, `a config ${what} does not follow on the state in force`);
      return { acks: [], needsSnapshot: 'fault' };
    }
    const reason = `${what}: ${messageOf(error)}`.slice(0, MAX_REASON_CHARACTERS);
    const object = error instanceof DocumentFault ? error.object : null;
    logger.error({ reason, object }, 'config refused; the last good state stays in force');
    const position = state?.standpoint?.position ?? NOWHERE;
    return { acks: [{ status: 'refused', position, object, reason }], needsSnapshot: 'fault' };
  }

  function isLogLong(): boolean {
    return files.log.documents >= MAX_LOG.documents || files.log.bytes >= MAX_LOG.bytes;
  }

  function acksFor(applied: ConfigState, broken: readonly BrokenObject[]): ConfigAck[] {
    const position = applied.standpoint?.position ?? NOWHERE;
    for (const { kind, id, reason } of broken) logger.error({ kind, id, reason }, 'config object set aside');
    // The state as a whole is in force; the objects that are not are named one by one, so that someone mends them.
    return [
      { status: 'applied', position },
      ...broken
        .slice(0, MAX_REFUSALS_TOLD)
        .map(({ kind, id, reason }): ConfigAck => ({ status: 'refused', position, object: { kind, id }, reason })),
    ];
  }

  return {
    get state() {
      return state;
    },
    loadFromDisk,
    takeDelta,
    takeSnapshot,
  };
}

const NOWHERE: ConfigPosition = { epoch: 0, seq: 0 };
const MAX_REASON_CHARACTERS = 1000;

/**
 * An older state, however well signed, would bring revoked keys back. Only a new epoch may set the counting back.
 * @throws DocumentFault
 */
function refuseOlder(loaded: ConfigState, state: ConfigState | undefined): void {
  const now = state?.standpoint?.position;
  const then = loaded.standpoint?.position;
  if (now === undefined || then === undefined) return;
  if (isAtOrBehind(then, now) && !(then.epoch === now.epoch && then.seq === now.seq)) {
    throw new DocumentFault(
      'content',
      `${then.epoch}.${then.seq} is older than ${now.epoch}.${now.seq}, which is in force`,
    );
  }
}

/** A large delta comes into force over a few turns of the event loop; its catalogue and its position at once, at the end. */
async function applyInSlices(state: ConfigState, entries: readonly Entry[]): Promise<void> {
  for (let start = 0; start < entries.length; start += ENTRIES_PER_SLICE) {
    if (start > 0) await setImmediate();
    for (const entry of entries.slice(start, start + ENTRIES_PER_SLICE)) state.apply(entry);
  }
}

function brokenOf(entries: readonly Entry[]): BrokenObject[] {
  return entries.filter((entry) => entry.type === 'broken');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
