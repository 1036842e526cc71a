import { open, type FileHandle } from 'node:fs/promises';
import type { Logger } from 'pino';
import { createDamagedEvent, setAside } from './damaged-records.js';
import type { Segment } from './segment-file.js';
import { readLines, type SpoolLine } from './spool-record.js';
import type { SpoolStore } from './spool-store.js';

export interface ReadEventsOptions {
  /** The first event wanted is the one after it. */
  readonly afterSeq: number;
  readonly limit: number;
  /** About: a batch may be one record larger. */
  readonly maxBytes: number;
}

const PIECE_BYTES = 256 * 1024;

/**
 * Reads usage events back from the files of a spool, in order and without gaps, as the bytes that they were written as. What has not been enqueued lives in the
 * files and not in the heap, so that a queue that is down for hours costs disk and nothing else.
 */
export class SpoolReader {
  #segment: Segment | undefined;
  /** Of the segment. */
  #file: FileHandle | undefined;
  #offset = 0;
  #nextSeq = 0;
  #damaged: Buffer[] = [];

  constructor(
    private readonly store: SpoolStore,
    private readonly logger: Logger,
  ) {}

  /** @returns JSON texts of durable events with contiguous seqs, as many as there are within the limits; not to be called twice at once */
  async read({ afterSeq, limit, maxBytes }: ReadEventsOptions): Promise<Buffer[]> {
    // A segment whose ends have been read may be deleted with the rest of it unread: nothing but starts, copied onward.
    const isGone = this.#segment === undefined || !this.store.segments.includes(this.#segment);
    if (isGone || this.#nextSeq !== afterSeq + 1) await this.#seek(afterSeq + 1);
    const batch: Batch = { events: [], bytes: 0, limit, maxBytes };
    while (!isFull(batch) && this.#nextSeq <= this.store.durableSeq) {
      const more = await this.#readPiece(batch);
      if (!more && !(await this.#nextSegment())) {
        // The last records of all were damaged: nothing follows whose seq would show it.
        while (!isFull(batch) && this.#nextSeq <= this.store.durableSeq) this.#addDamaged(batch);
      }
    }
    return batch.events;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  async #seek(seq: number): Promise<void> {
    await this.#turnTo(this.store.segments.findLast((segment) => segment.firstSeq <= seq) ?? this.store.segments[0]);
    this.#nextSeq = seq;
    this.#damaged = [];
  }

  async #nextSegment(): Promise<boolean> {
    const number = this.#segment?.number ?? 0;
    const next = this.store.segments.find((segment) => segment.number > number);
    if (next === undefined) return false;
    await this.#turnTo(next);
    return true;
  }

  async #turnTo(segment: Segment | undefined): Promise<void> {
    await this.close();
    this.#segment = segment;
    this.#offset = 0;
  }

  /** @returns false at the end of the segment */
  async #readPiece(batch: Batch): Promise<boolean> {
    const segment = this.#segment;
    if (segment === undefined) return false;
    for (let pieceBytes = PIECE_BYTES; this.#offset < segment.bytes; pieceBytes *= 2) {
      const piece = await this.#readBytes(segment, pieceBytes);
      const start = this.#offset;
      for (const line of readLines(piece)) {
        if (!(await this.#take(line, segment, start + line.offset, batch))) return true;
        this.#offset = start + line.offset + line.length;
      }
      if (this.#offset > start) return true;
    }
    return false;
  }

  async #readBytes(segment: Segment, mostBytes: number): Promise<Buffer> {
    this.#file ??= await open(segment.path, 'r');
    const length = Math.min(mostBytes, segment.bytes - this.#offset);
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(length), 0, length, this.#offset);
    return buffer.subarray(0, bytesRead);
  }

  /** @returns false when the line is to be read again, for the next batch */
  async #take(line: SpoolLine, segment: Segment, offset: number, batch: Batch): Promise<boolean> {
    const { record } = line;
    if (record === undefined) {
      const { folder, spoolId } = this.store;
      await setAside({ folder, spoolId, segment, offset, line, logger: this.logger });
      this.#damaged.push(Buffer.from(line.bytes));
      return true;
    }
    if (record.type === 'S' || record.seq < this.#nextSeq) return true;
    if (record.seq > this.store.durableSeq) return false;
    while (this.#nextSeq < record.seq) {
      if (isFull(batch)) return false;
      this.#addDamaged(batch);
    }
    if (isFull(batch)) return false;
    batch.events.push(record.json);
    batch.bytes += line.length;
    this.#nextSeq = record.seq + 1;
    this.#damaged = [];
    return true;
  }

  #addDamaged(batch: Batch): void {
    batch.events.push(createDamagedEvent(this.store.spoolId, this.#nextSeq, this.#damaged));
    this.#damaged = [];
    this.#nextSeq += 1;
  }
}

interface Batch {
  readonly events: Buffer[];
  bytes: number;
  readonly limit: number;
  readonly maxBytes: number;
}

function isFull({ events, bytes, limit, maxBytes }: Batch): boolean {
  return events.length >= limit || bytes >= maxBytes;
}
