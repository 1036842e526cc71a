import { join } from 'node:path';
import type { Logger } from 'pino';
import { v7 as createUuidV7 } from 'uuid';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { SYSTEM_IO, type SpoolIo } from './segment-file.js';
import { SPOOL_LIMITS, SpoolStore, type SpoolLimits } from './spool-store.js';

/** What an interrupted call is made from: everything known at admission. */
export type StartRecord = Pick<
  UsageEvent,
  | 'eventId'
  | 'tenantId'
  | 'apiKeyId'
  | 'memberId'
  | 'config'
  | 'operation'
  | 'model'
  | 'streamed'
  | 'admittedAt'
  | 'attempts'
  | 'priceCardVersionId'
  | 'leaseIds'
  | 'client'
>;

/** How a call ended; the spool adds its own id, the sequence number and the kind. */
export type EndRecord = Omit<UsageEvent, 'version' | 'spoolId' | 'seq' | 'kind'>;

export interface Spool {
  /** UUIDv7, new at every process start. */
  readonly spoolId: string;
  /**
   * Written to the file when it returns: a kill -9 after that cannot take it.
   * @throws SpoolUnavailableError (disk full, I/O error): the call must not go out
   */
  start(record: StartRecord): void;
  /** Settles a started call; becomes a usage event with the next seq. Never throws: kept in memory and retried if the disk refuses. */
  end(record: EndRecord): void;
  close(): Promise<void>;
}

/** No record can be kept, so no call may be made. */
export class SpoolUnavailableError extends Error {
  constructor(cause: unknown) {
    super('the usage spool cannot be written', { cause });
    this.name = 'SpoolUnavailableError';
  }
}

export interface CreateSpoolOptions {
  /** `DATA_PLANE_HOME/spool`. */
  readonly root: string;
  readonly logger: Logger;
  readonly io?: SpoolIo;
  readonly limits?: Partial<SpoolLimits>;
}

const RETRY_MS = 100;

/**
 * The spool of this process.
 * @throws the system's error when its folder cannot be made: a data plane that can keep no record does not start
 */
export function createSpool({ root, logger, io = SYSTEM_IO, limits }: CreateSpoolOptions): {
  readonly spool: Spool;
  readonly store: SpoolStore;
} {
  const spoolId = createUuidV7();
  const store = new SpoolStore({
    folder: join(root, spoolId),
    spoolId,
    contents: { segments: [], openStarts: new Map(), nextSeq: 1, confirmedSeq: 0 },
    io,
    logger,
    limits: { ...SPOOL_LIMITS, ...limits },
  });
  /** Ends that the disk has refused, in order. There are never more than calls were open, for no call starts meanwhile. */
  const unwritten: EndRecord[] = [];
  let retry: NodeJS.Timeout | undefined;

  function writeEnd(record: EndRecord): void {
    const event: UsageEvent = { ...record, version: 1, spoolId, seq: store.lastSeq + 1, kind: 'usage' };
    const { eventId, seq } = event;
    store.appendEnd({ eventId, seq, atMs: record.endedAt, json: JSON.stringify(event) });
  }

  /** @throws the system's error */
  function writeUnwritten(): void {
    for (let first = unwritten[0]; first !== undefined; first = unwritten[0]) {
      writeEnd(first);
      unwritten.shift();
    }
  }

  function tryUnwritten(): void {
    retry = undefined;
    try {
      writeUnwritten();
    } catch (error) {
      logger.error({ reason: String(error), unwritten: unwritten.length }, 'the usage spool cannot be written');
      retry = setTimeout(tryUnwritten, RETRY_MS);
    }
  }

  const spool: Spool = {
    spoolId,
    start: (record) => {
      try {
        writeUnwritten();
        store.appendStart({ eventId: record.eventId, atMs: record.admittedAt, json: JSON.stringify(record) });
      } catch (error) {
        throw new SpoolUnavailableError(error);
      }
    },
    end: (record) => {
      unwritten.push(record);
      if (retry === undefined) tryUnwritten();
    },
    close: async () => {
      clearTimeout(retry);
      retry = undefined;
      // What the disk still refuses has its start on disk, and the next process records it as interrupted.
      if (unwritten.length > 0) tryUnwritten();
      clearTimeout(retry);
      await store.close();
    },
  };
  return { spool, store };
}
