import type { Duplex } from 'node:stream';

/** What a caller may send before it has been told that it may: a well-behaved one sends nothing. */
const MAX_EARLY_BYTES = 64 * 1024;

/**
 * The connection of a caller that waits for its answer. It is read meanwhile, for one that is not read does not say that it
 * has ended; what comes too early is kept.
 */
export class HeldCaller {
  readonly #socket: Duplex;
  readonly #early: Buffer[];
  #earlyBytes = 0;
  #isReleased = false;
  readonly #onLeft: () => void;
  readonly #onData = (chunk: Buffer): void => {
    this.#early.push(chunk);
    this.#earlyBytes += chunk.length;
    if (this.#earlyBytes > MAX_EARLY_BYTES) this.#socket.destroy();
  };

  /** @param head what came behind the request's head */
  constructor(socket: Duplex, head: Buffer, onLeft: () => void) {
    this.#socket = socket;
    this.#early = [head];
    this.#onLeft = onLeft;
    socket.on('data', this.#onData);
    // A caller that has ended its half cannot take part in a conversation.
    socket.on('end', onLeft);
    socket.on('close', onLeft);
    if (socket.destroyed) onLeft();
  }

  /** Lets go of the connection, once. @returns all that came early */
  release(): Buffer {
    if (this.#isReleased) return NOTHING;
    this.#isReleased = true;
    this.#socket.pause();
    this.#socket.removeListener('data', this.#onData);
    this.#socket.removeListener('end', this.#onLeft);
    this.#socket.removeListener('close', this.#onLeft);
    return Buffer.concat(this.#early);
  }
}

const NOTHING = Buffer.alloc(0);
