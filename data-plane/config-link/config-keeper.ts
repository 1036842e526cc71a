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

export interface ConfigKeeperOptions extends Omit<ConfigFilesOptions, 'folder'> {
  readonly files: ConfigFiles;
  readonly logger: Logger;
}

/** Replaying that many deltas takes about 200 ms of a start. */
const MAX_LOG = { documents: 1000, bytes: 8 * 1024 * 1024 };
const MAX_REFUSALS_TOLD = 8;
const ENTRIES_PER_SLICE = 500;

/** Holds the state in force and takes documents, one after the other. */
export class ConfigKeeper {
  readonly #options: ConfigKeeperOptions;
  #state: ConfigState | undefined;
  /** The disk has missed a delta, so that no later one may be appended: the log would lead nowhere. */
  #diskIsBehind = false;
  /** Of a document as a whole, until one is taken: a new dial must not make the operator believe that all is well. */
  #refusal: ConfigAck | undefined;

  constructor(options: ConfigKeeperOptions) {
    this.#options = options;
  }

  get state(): ConfigState | undefined {
    return this.#state;
  }

  /** What there is to acknowledge at any time: where we stand, and what is refused. */
  standing(): readonly ConfigAck[] {
    const applied = this.#state === undefined ? [] : standingOf(this.#state);
    return this.#refusal === undefined ? applied : [...applied, this.#refusal];
  }

  /** Brings the last good state of the disk into force. Never throws: what cannot be trusted is reported and left out. */
  async loadFromDisk(): Promise<void> {
    const { files, logger } = this.#options;
    try {
      this.#state = await files.load();
      const position = this.#state?.standpoint?.position;
      logger.info({ position }, position === undefined ? 'no config on disk' : 'config loaded from disk');
    } catch (error) {
      logger.error({ reason: messageOf(error) }, 'the config on disk is refused');
    }
  }

  async takeDelta(document: Buffer): Promise<Taken> {
    const { files, logger, verifyKey, dataPlaneId } = this.#options;
    const state = this.#state;
    const base = state?.standpoint;
    if (state === undefined || base === undefined) return { acks: [], needsSnapshot: 'fault' };
    try {
      if (isAtOrBehind(targetOf(document), base.position)) return { acks: [], needsSnapshot: undefined };
      const { header, end, entries } = await verifyDelta(document, { verifyKey, dataPlaneId, base });
      await applyInSlices(state, entries);
      state.commit(header, end.chain);
      // In force first, then on disk, then acknowledged: what has been acknowledged survives any crash.
      const isKept = !this.#diskIsBehind && (await this.#keep(() => files.appendDelta(document)));
      if (!isKept) return { acks: [], needsSnapshot: 'fault' };
      this.#refusal = undefined;
      for (const entry of entries) if (entry.type === 'broken') logBroken(entry, logger);
      return { acks: standingOf(state), needsSnapshot: isLogLong(files) ? 'compaction' : undefined };
    } catch (error) {
      return this.#refuse(error, 'delta');
    }
  }

  /** Takes the snapshot that lies at `ConfigFiles.incomingPath`. */
  async takeSnapshot(): Promise<Taken> {
    const { files, logger, ...rest } = this.#options;
    try {
      const loaded = await loadSnapshot({ ...rest, path: files.incomingPath, previous: this.#state });
      refuseOlder(loaded, this.#state);
      this.#state = loaded;
      if (!(await this.#keep(() => files.keepSnapshot()))) return { acks: [], needsSnapshot: 'fault' };
      this.#refusal = undefined;
      for (const entry of loaded.broken.values()) logBroken(entry, logger);
      return { acks: standingOf(loaded), needsSnapshot: undefined };
    } catch (error) {
      await rm(files.incomingPath, { force: true }).catch(() => undefined);
      return this.#refuse(error, 'snapshot');
    }
  }

  /** @returns whether the disk holds the state in force */
  async #keep(write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      this.#diskIsBehind = false;
    } catch (error) {
      this.#diskIsBehind = true;
      const reason = messageOf(error);
      this.#options.logger.error({ reason }, 'the config in force cannot be kept on disk; it is not acknowledged');
    }
    return !this.#diskIsBehind;
  }

  #refuse(error: unknown, what: string): Taken {
    const { logger } = this.#options;
    if (error instanceof DocumentFault && error.fault === 'base') {
      logger.warn({ reason: error.message }, `a config ${what} does not follow on the state in force`);
      return { acks: [], needsSnapshot: 'fault' };
    }
    const reason = `${what}: ${messageOf(error)}`.slice(0, MAX_REASON_CHARACTERS);
    const object = error instanceof DocumentFault ? error.object : null;
    logger.error({ reason, object }, 'config refused; the last good state stays in force');
    const position = this.#state?.standpoint?.position ?? NOWHERE;
    this.#refusal = { status: 'refused', position, object, reason };
    return { acks: [this.#refusal], needsSnapshot: 'fault' };
  }
}

function isLogLong({ log }: ConfigFiles): boolean {
  return log.documents >= MAX_LOG.documents || log.bytes >= MAX_LOG.bytes;
}

/** The state as a whole is in force; the objects that are not are named one by one, so that someone mends them. */
function standingOf(state: ConfigState): ConfigAck[] {
  const position = state.standpoint?.position ?? NOWHERE;
  const broken = [...state.broken.values()].slice(0, MAX_REFUSALS_TOLD);
  return [
    { status: 'applied', position },
    ...broken.map(({ kind, id, reason }): ConfigAck => ({ status: 'refused', position, object: { kind, id }, reason })),
  ];
}

function logBroken({ kind, id, reason }: BrokenObject, logger: Logger): void {
  logger.error({ kind, id, reason }, 'config object set aside');
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
