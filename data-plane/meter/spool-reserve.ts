import { closeSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SpoolIo } from './segment-file.js';

const RESTORE_EVERY_MS = 1_000;

/**
 * Room on the disk that only the ends of calls may use. Without it a spool that has filled its disk would stand still for
 * ever: the ends that would free its oldest segments could not be written. No call starts while the reserve is not there.
 */
export class SpoolReserve {
  readonly #path: string;
  readonly #bytes: number;
  readonly #io: SpoolIo;
  #isHeld = false;
  #triedAt = -Infinity;

  constructor({ folder, bytes, io }: { readonly folder: string; readonly bytes: number; readonly io: SpoolIo }) {
    this.#path = join(folder, RESERVE_FILE);
    this.#bytes = bytes;
    this.#io = io;
  }

  /**
   * Holds the reserve, or tries to, about once a second.
   * @throws the system's error while there is no room for it
   */
  demand(): void {
    if (this.#isHeld || this.#bytes === 0) return;
    if (performance.now() - this.#triedAt < RESTORE_EVERY_MS) throw new Error('the reserve of the spool is used up');
    this.#triedAt = performance.now();
    try {
      this.#write();
    } catch (error) {
      rmSync(this.#path, { force: true });
      throw error;
    }
    this.#isHeld = true;
  }

  /** @returns whether that made room */
  release(): boolean {
    if (!this.#isHeld) return false;
    rmSync(this.#path, { force: true });
    this.#isHeld = false;
    return true;
  }

  #write(): void {
    const zeros = Buffer.alloc(Math.min(this.#bytes, 1024 * 1024));
    const fd = openSync(this.#path, 'w', 0o600);
    try {
      for (let done = 0; done < this.#bytes;) {
        done += this.#io.writeSync(fd, zeros, 0, Math.min(zeros.length, this.#bytes - done));
      }
    } finally {
      closeSync(fd);
    }
  }
}

/** In the spool's folder: when its process is dead, the interrupted calls have the room. */
export const RESERVE_FILE = 'reserve';
