import * as fs from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The system calls of the spool, replaceable in tests by ones that fail. */
export interface SpoolIo {
  readonly writeSync: (fd: number, bytes: Uint8Array, offset: number, length: number) => number;
  readonly truncateSync: (fd: number, length: number) => void;
  readonly datasync: (fd: number) => Promise<void>;
}

export const SYSTEM_IO: SpoolIo = {
  writeSync: (fd, bytes, offset, length) => fs.writeSync(fd, bytes, offset, length),
  truncateSync: fs.ftruncateSync,
  datasync: promisify(fs.fdatasync),
};

/** A file of the spool, and what must be true before it may be deleted. */
export interface Segment {
  readonly number: number;
  /** The seq that came next when it was opened: all before it are in earlier segments. */
  readonly firstSeq: number;
  readonly path: string;
  /** Whole records, torn tail excluded. */
  bytes: number;
  /** Starts in it whose call has not ended. */
  openStarts: number;
  /** Highest seq of the ends in it, and of the ends that belong to its starts wherever they are. */
  lastSeq: number;
}

const NAME = /^(\d{8})-(\d+)\.log$/;

/** The name keeps the next seq even where every end has been confirmed and deleted: a seq is never used twice. */
export function createSegment(folder: string, number: number, firstSeq: number): Segment {
  const path = join(folder, `${String(number).padStart(8, '0')}-${firstSeq}.log`);
  return { number, firstSeq, path, bytes: 0, openStarts: 0, lastSeq: 0 };
}

/** @returns the segments of a folder in order; their contents are not read */
export function listSegments(folder: string): Segment[] {
  return fs
    .readdirSync(folder)
    .map((name) => NAME.exec(name))
    .filter((match) => match !== null)
    .map(([, number, firstSeq]) => createSegment(folder, Number(number), Number(firstSeq)))
    .sort((one, other) => one.number - other.number);
}

/** Appends whole records to a new file. */
export class SegmentWriter {
  readonly #fd: number;
  #written = 0;
  #torn = false;

  constructor(
    readonly segment: Segment,
    private readonly io: SpoolIo,
  ) {
    this.#fd = fs.openSync(segment.path, 'ax', 0o600);
  }

  /**
   * When it returns the record has been handed to the system, which keeps it whatever becomes of this process.
   * @throws the system's error; the file then ends where it ended before
   */
  append(record: Buffer): void {
    if (this.#torn) this.#cutBack();
    try {
      for (let done = 0; done < record.length;) {
        done += this.io.writeSync(this.#fd, record, done, record.length - done);
        this.#torn = true;
      }
    } catch (error) {
      this.#tryCutBack();
      throw error;
    }
    this.#torn = false;
    this.#written += record.length;
    this.segment.bytes = this.#written;
  }

  datasync(): Promise<void> {
    return this.io.datasync(this.#fd);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  /** A full disk takes the first part of a record and refuses the rest: the part must not stand before the next record. */
  #cutBack(): void {
    this.io.truncateSync(this.#fd, this.#written);
    this.#torn = false;
  }

  #tryCutBack(): void {
    try {
      if (this.#torn) this.#cutBack();
    } catch {
      // It stays torn, and nothing is appended before the cut has succeeded.
    }
  }
}
