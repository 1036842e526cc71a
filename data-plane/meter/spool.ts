import { join } from 'node:path';
import type { Logger } from 'pino';
import { v7 as createUuidV7 } from 'uuid';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { SYSTEM_IO, type SpoolIo } from './segment-file.js';
import { SPOOL_LIMITS, SpoolStore, type SpoolLimits } from './spool-store.js';

/** What the calls of one caller have in common, as long as neither it nor the config changes. */
export type CallFacts = Pick<
  UsageEvent,
  | 'tenantId'
  | 'apiKeyId'
  | 'memberId'
  | 'tags'
  | 'config'
  | 'operation'
  | 'model'
  | 'priceCardVersionId'
  | 'leaseIds'
  | 'client'
>;

/** Facts with their JSON, which is made once for all the calls that share them. */
export class SharedFacts {
  /** What stands behind the members that each record has of its own, closing brace included. */
  readonly jsonTail: string;

  constructor(readonly values: CallFacts) {
    this.jsonTail = JSON.stringify(values).slice(1);
  }
}

/** What an interrupted call is made from: everything known at admission. */
export interface StartRecord extends Pick<UsageEvent, 'eventId' | 'streamed' | 'admittedAt' | 'attempts' | 'reserved'> {
  readonly facts: SharedFacts;
}

/** A start as it is on disk. */
export type StartedCall = CallFacts & Omit<StartRecord, 'facts'>;

/** How a call ended; the spool adds its own id, the sequence number and the kind. */
export interface EndRecord
  extends
    StartRecord,
    Pick<UsageEvent, 'endedAt' | 'firstByteMs' | 'outcome' | 'status' | 'billedAttempt' | 'repeated'> {}

/**
 * What comes in one turn of the event loop is written with one system call, at the end of the turn: a write for each record
 * would cost more than all else that is done for it.
 */
export interface Spool {
  /** UUIDv7, new at every process start. */
  readonly spoolId: string;
  /**
   * Written to the file when it resolves: a kill -9 after that cannot take it.
   * @throws SpoolUnavailableError (disk full, I/O error): the call must not go out
   */
  start(record: StartRecord): Promise<void>;
  /**
   * Settles a started call; becomes a usage event with the next seq. Resolves when it is written, or when the disk has
   * refused it: it is kept in memory then and tried again. Never rejects.
   */
  end(record: EndRecord): Promise<void>;
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

/** What one turn of the event loop has brought; its ends are with all that have not been written. */
interface Turn {
  readonly starts: StartRecord[];
  readonly started: PromiseWithResolvers<void>;
  readonly ended: PromiseWithResolvers<void>;
}

/**
 * The spool of this process.
 * @throws the system's error when its folder cannot be made: a data plane that can keep no record does not start
 */
export function createSpool({ root, logger, io = SYSTEM_IO, limits }: CreateSpoolOptions): {
  readonly spool: Spool;
  readonly store: SpoolStore;
  /** The highest seq; undefined while a call that has ended is not written yet. */
  readonly writtenSeq: () => number | undefined;
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
  const spool = new TurnSpool(store, logger);
  return { spool, store, writtenSeq: () => (spool.isAllWritten ? store.lastSeq : undefined) };
}

/** Gathers what one turn of the event loop brings. */
class TurnSpool implements Spool {
  readonly spoolId: string;
  /** Ends in order. Of those that the disk refuses there are never more than calls were open: no call starts meanwhile. */
  readonly #unwritten: EndRecord[] = [];
  #retry: NodeJS.Timeout | undefined;
  #turn: Turn | undefined;

  constructor(
    private readonly store: SpoolStore,
    private readonly logger: Logger,
  ) {
    this.spoolId = store.spoolId;
  }

  get isAllWritten(): boolean {
    return this.#unwritten.length === 0;
  }

  start(record: StartRecord): Promise<void> {
    const { starts, started } = this.#currentTurn();
    starts.push(record);
    return started.promise;
  }

  end(record: EndRecord): Promise<void> {
    this.#unwritten.push(record);
    return this.#currentTurn().ended.promise;
  }

  async close(): Promise<void> {
    this.#finishTurn();
    clearTimeout(this.#retry);
    // What the disk still refuses has its start on disk, and the next process records it as interrupted.
    if (this.#unwritten.length > 0) this.#tryUnwritten();
    clearTimeout(this.#retry);
    await this.store.close();
  }

  #currentTurn(): Turn {
    if (this.#turn !== undefined) return this.#turn;
    setImmediate(() => {
      this.#finishTurn();
    });
    this.#turn = { starts: [], started: Promise.withResolvers(), ended: Promise.withResolvers() };
    // Whoever started a call hears of it; nobody did in a turn of ends alone.
    this.#turn.started.promise.catch(() => undefined);
    return this.#turn;
  }

  #finishTurn(): void {
    if (this.#turn === undefined) return;
    const { starts, started, ended } = this.#turn;
    this.#turn = undefined;
    if (this.#retry === undefined) this.#tryUnwritten();
    ended.resolve();
    try {
      this.#writeStarts(starts);
      started.resolve();
    } catch (error) {
      started.reject(new SpoolUnavailableError(error));
    }
  }

  /** @throws the system's error */
  #writeStarts(records: readonly StartRecord[]): void {
    if (records.length === 0) return;
    if (this.#unwritten.length > 0) throw new Error('the disk has refused earlier records');
    this.store.appendStarts(
      records.map((record) => ({ eventId: record.eventId, atMs: record.admittedAt, json: startJson(record) })),
    );
  }

  /** @throws the system's error */
  #writeEnds(records: readonly EndRecord[]): void {
    const firstSeq = this.store.lastSeq + 1;
    this.store.appendEnds(
      records.map((record, index) => {
        const seq = firstSeq + index;
        return { eventId: record.eventId, seq, atMs: record.endedAt, json: endJson(record, this.spoolId, seq) };
      }),
    );
  }

  #tryUnwritten(): void {
    // After a failure one by one: a disk that has room for some of them takes those.
    const atOnce = this.#retry === undefined ? this.#unwritten.length : 1;
    this.#retry = undefined;
    try {
      while (this.#unwritten.length > 0) {
        this.#writeEnds(this.#unwritten.slice(0, atOnce));
        this.#unwritten.splice(0, atOnce);
      }
    } catch (error) {
      this.logger.error(
        { reason: String(error), unwritten: this.#unwritten.length },
        'the usage spool cannot be written',
      );
      this.#retry = setTimeout(() => {
        this.#tryUnwritten();
      }, RETRY_MS);
    }
  }
}

/** Ids, numbers and closed words need no escapes; the rest is JSON already or is made so. */
function startJson(record: StartRecord): string {
  return `${ownMembers(record)},${record.facts.jsonTail}`;
}

function endJson(record: EndRecord, spoolId: string, seq: number): string {
  const { endedAt, firstByteMs, outcome, status, billedAttempt, repeated } = record;
  const end = `"endedAt":${endedAt},"firstByteMs":${firstByteMs},"outcome":"${outcome}","status":${status}`;
  const answer = repeated === undefined ? '' : `"repeated":${JSON.stringify(repeated)},`;
  const place = `${answer}"billedAttempt":${billedAttempt},"version":1,"spoolId":"${spoolId}","seq":${seq},"kind":"usage"`;
  return `${ownMembers(record)},${end},${place},${record.facts.jsonTail}`;
}

function ownMembers({ eventId, admittedAt, streamed, attempts, reserved }: StartRecord): string {
  const held = reserved === undefined ? '' : `,"reserved":"${reserved}"`;
  return `{"eventId":"${eventId}","admittedAt":${admittedAt},"streamed":${streamed}${held},"attempts":${JSON.stringify(attempts)}`;
}
