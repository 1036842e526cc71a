import { mkdirSync } from 'node:fs';
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { SegmentWriter, createSegment, type Segment, type SpoolIo } from './segment-file.js';
import { encodeRecords, type SpoolRecord } from './spool-record.js';
import { SpoolReserve } from './spool-reserve.js';

/** Where a call's start record lies, while the call has not ended. */
export interface OpenStart {
  readonly segment: Segment;
  readonly offset: number;
  readonly length: number;
}

/** What the files of a spool held when they were read; all empty for a new one. */
export interface SpoolContents {
  readonly segments: readonly Segment[];
  readonly openStarts: ReadonlyMap<string, OpenStart>;
  readonly nextSeq: number;
  readonly confirmedSeq: number;
}

export interface SpoolStoreOptions {
  readonly folder: string;
  readonly spoolId: string;
  readonly contents: SpoolContents;
  readonly io: SpoolIo;
  readonly logger: Logger;
  readonly limits: SpoolLimits;
}

export interface SpoolLimits {
  /** A segment that has grown to this is followed by another. */
  readonly segmentBytes: number;
  /** The oldest segment is held back by a call that lasts: with more segments than this, its start is copied onward. */
  readonly segmentsBeforeCarry: number;
  /** A power cut takes at most what was written within this and one fdatasync. */
  readonly syncAfterMs: number;
  /** Confirmations are noted, and segments deleted, once for all that came within this. */
  readonly tidyAfterMs: number;
  /** Kept free on the disk for the ends of calls that are open; about 1 KB for each. */
  readonly reserveBytes: number;
}

export const SPOOL_LIMITS: SpoolLimits = {
  segmentBytes: 8 * 1024 * 1024,
  segmentsBeforeCarry: 4,
  syncAfterMs: 40,
  tidyAfterMs: 500,
  reserveBytes: 8 * 1024 * 1024,
};

const SYNC_RETRY_MS = 500;

/** The files of one spool: appends records, knows what is durable and confirmed, deletes what is needed no more. */
export class SpoolStore {
  readonly spoolId: string;
  readonly folder: string;
  /** Called when more records can be enqueued. */
  onDurable: () => void = () => undefined;
  readonly #options: SpoolStoreOptions;
  readonly #segments: Segment[];
  readonly #reserve: SpoolReserve;
  readonly #openStarts: Map<string, OpenStart>;
  #writer: SegmentWriter;
  /** Full segments that have not been synced since their last record. */
  #retired: SegmentWriter[] = [];
  #nextSeq: number;
  #durableSeq: number;
  #confirmedSeq: number;
  #notedSeq: number;
  #syncTimer: NodeJS.Timeout | undefined;
  #syncing: Promise<void> | undefined;
  #syncFailed = false;
  #folderChanged = true;
  #tidyTimer: NodeJS.Timeout | undefined;
  #tidying: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: SpoolStoreOptions) {
    const { contents, folder } = options;
    this.#options = options;
    this.spoolId = options.spoolId;
    this.folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#openStarts = new Map(contents.openStarts);
    this.#nextSeq = contents.nextSeq;
    this.#confirmedSeq = contents.confirmedSeq;
    this.#notedSeq = contents.confirmedSeq;
    this.#durableSeq = contents.confirmedSeq;
    this.#segments = [...contents.segments];
    this.#reserve = new SpoolReserve({ folder, bytes: options.limits.reserveBytes, io: options.io });
    this.#writer = this.#openSegment();
    this.#scheduleSync(0);
    try {
      // Now, and not at the cost of the first call. A disk without room for it is the first call's to find out.
      this.#reserve.demand();
    } catch (error) {
      options.logger.error({ reason: String(error) }, 'no room for the reserve of the usage spool');
    }
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  get openStarts(): ReadonlyMap<string, OpenStart> {
    return this.#openStarts;
  }

  /** The highest seq written. */
  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  /**
   * Only records up to this one may be enqueued: what a power cut can still take back must not have been seen by anyone,
   * or its seq would later stand for another call, which the ledger would then pass over.
   */
  get durableSeq(): number {
    return this.#durableSeq;
  }

  get confirmedSeq(): number {
    return this.#confirmedSeq;
  }

  /**
   * All of them or none.
   * @throws the system's error
   */
  appendStarts(records: readonly Omit<SpoolRecord, 'type' | 'seq'>[]): void {
    if (this.#syncFailed) throw new Error('the disk does not take what was written');
    this.#reserve.demand();
    const lines = encodeRecords(records.map((record) => ({ ...record, type: 'S', seq: 0 })));
    let offset = this.#append(lines.bytes);
    const { segment } = this.#writer;
    for (const [index, { eventId }] of records.entries()) {
      const length = lines.lengths[index] ?? 0;
      this.#openStarts.set(eventId, { segment, offset, length });
      offset += length;
    }
    segment.openStarts += records.length;
  }

  /**
   * All of them or none.
   * @param records their seqs must be the next
   * @throws the system's error
   */
  appendEnds(records: readonly Omit<SpoolRecord, 'type'>[]): void {
    for (const [index, { seq }] of records.entries()) {
      if (seq !== this.#nextSeq + index) throw new RangeError(`seq ${seq} where ${this.#nextSeq + index} comes next`);
    }
    const { bytes } = encodeRecords(records.map((record) => ({ ...record, type: 'E' })));
    try {
      this.#append(bytes);
    } catch (error) {
      if (!this.#reserve.release()) throw error;
      this.#append(bytes);
    }
    this.#nextSeq += records.length;
    this.#writer.segment.lastSeq = this.lastSeq;
    for (const { eventId, seq } of records) this.#settleStart(eventId, seq);
  }

  #settleStart(eventId: string, seq: number): void {
    const start = this.#openStarts.get(eventId);
    if (start === undefined) return;
    this.#openStarts.delete(eventId);
    start.segment.openStarts -= 1;
    start.segment.lastSeq = Math.max(start.segment.lastSeq, seq);
  }

  /** All that was ever written here is settled and in the ledger. */
  get isDone(): boolean {
    return this.#openStarts.size === 0 && this.#confirmedSeq === this.lastSeq;
  }

  /** Every record up to this one is in the ledger. Older news are passed over, and what cannot be is reported. */
  confirm(seq: number): void {
    if (seq <= this.#confirmedSeq) return;
    if (seq > this.lastSeq) {
      this.#options.logger.error({ spoolId: this.spoolId, seq, lastSeq: this.lastSeq }, 'confirmed beyond the spool');
      return;
    }
    this.#confirmedSeq = seq;
    this.#scheduleTidy();
  }

  /** On disk, power cut or not, when it resolves. */
  async sync(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    this.#syncing = this.#syncNow().finally(() => {
      this.#syncing = undefined;
    });
    await this.#syncing;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#tidyTimer);
    clearTimeout(this.#syncTimer);
    await this.#tidying;
    await this.sync();
    if (this.#confirmedSeq > this.#notedSeq) await this.#noteConfirmed().catch(() => undefined);
    this.#writer.close();
    this.#reserve.release();
  }

  /** Closes it and removes all of it: everything is confirmed. */
  async remove(): Promise<void> {
    await this.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  #openSegment(): SegmentWriter {
    const number = (this.#segments.at(-1)?.number ?? 0) + 1;
    const segment = createSegment(this.folder, number, this.#nextSeq);
    const writer = new SegmentWriter(segment, this.#options.io);
    this.#segments.push(segment);
    this.#folderChanged = true;
    return writer;
  }

  /** @returns the offset in the current segment */
  #append(bytes: Buffer): number {
    if (this.#writer.segment.bytes >= this.#options.limits.segmentBytes) {
      const next = this.#openSegment();
      this.#retired.push(this.#writer);
      this.#writer = next;
      this.#scheduleTidy();
    }
    const offset = this.#writer.segment.bytes;
    this.#writer.append(bytes);
    this.#scheduleSync(this.#options.limits.syncAfterMs);
    return offset;
  }

  #scheduleSync(afterMs: number): void {
    if (this.#closed || this.#syncTimer !== undefined) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = undefined;
      void this.sync();
    }, afterMs);
  }

  async #syncNow(): Promise<void> {
    const coveredSeq = this.lastSeq;
    const retired = this.#retired;
    const folderChanged = this.#folderChanged;
    this.#folderChanged = false;
    try {
      for (const writer of retired) await writer.datasync();
      await this.#writer.datasync();
      if (folderChanged) {
        await syncFolder(this.folder);
        await syncFolder(dirname(this.folder));
      }
      for (const writer of retired) writer.close();
      this.#retired = this.#retired.filter((writer) => !retired.includes(writer));
      this.#syncFailed = false;
      this.#durableSeq = Math.max(this.#durableSeq, coveredSeq);
      this.onDurable();
    } catch (error) {
      this.#syncFailed = true;
      this.#folderChanged ||= folderChanged;
      this.#options.logger.error({ spoolId: this.spoolId, reason: String(error) }, 'the spool cannot be synced');
      this.#scheduleSync(SYNC_RETRY_MS);
    }
  }

  #scheduleTidy(): void {
    if (this.#closed || this.#tidyTimer !== undefined) return;
    this.#tidyTimer = setTimeout(() => {
      this.#tidyTimer = undefined;
      this.#tidying = this.#tidying
        .then(() => this.#tidy())
        .catch((error: unknown) => {
          this.#options.logger.error({ spoolId: this.spoolId, reason: String(error) }, 'the spool cannot be tidied');
        });
    }, this.#options.limits.tidyAfterMs);
    this.#tidyTimer.unref();
  }

  async #tidy(): Promise<void> {
    // The names of the segments that stay tell as much, so that a disk too full for the note is no reason to keep the rest.
    if (this.#confirmedSeq > this.#notedSeq) await this.#noteConfirmed().catch(() => undefined);
    await this.#deleteSettled();
    await this.#carryOldestStarts();
    await this.#deleteSettled();
  }

  /** In order and from the front only: the end of a call must not vanish while its start remains. */
  async #deleteSettled(): Promise<void> {
    for (let oldest = this.#segments[0]; oldest !== undefined; oldest = this.#segments[0]) {
      if (oldest === this.#writer.segment || oldest.openStarts > 0 || oldest.lastSeq > this.#confirmedSeq) return;
      await rm(oldest.path, { force: true });
      this.#segments.shift();
    }
  }

  async #noteConfirmed(): Promise<void> {
    const seq = this.#confirmedSeq;
    const path = join(this.folder, 'confirmed');
    await writeFile(`${path}.new`, String(seq), { mode: 0o600 });
    await rename(`${path}.new`, path);
    this.#notedSeq = seq;
  }

  /** Copies the starts of calls that last into the newest segment, so that the oldest can go. */
  async #carryOldestStarts(): Promise<void> {
    const oldest = this.#segments[0];
    if (oldest === undefined || this.#segments.length <= this.#options.limits.segmentsBeforeCarry) return;
    if (oldest.openStarts === 0 || oldest.lastSeq > this.#confirmedSeq) return;
    const bytes = await readFile(oldest.path);
    for (const [eventId, start] of [...this.#openStarts]) {
      // A call may have ended while the file was read.
      if (start.segment !== oldest || this.#openStarts.get(eventId) !== start) continue;
      const line = bytes.subarray(start.offset, start.offset + start.length);
      const offset = this.#append(line);
      this.#openStarts.set(eventId, { segment: this.#writer.segment, offset, length: line.length });
      this.#writer.segment.openStarts += 1;
      oldest.openStarts -= 1;
    }
    await this.sync();
    if (this.#syncFailed) throw new Error('copied starts are not durable yet');
  }
}

/** A new file is only as durable as the folder that names it, and so is a folder. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
