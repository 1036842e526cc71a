import { WebSocket } from 'ws';

/** Bytes that may wait to be taken by one side before the other side is no longer read. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = HIGH_WATER_BYTES / 4;

export interface LaneOptions {
  readonly from: WebSocket;
  readonly to: WebSocket;
  /** How long `to` may take nothing of what waits for it. */
  readonly stuckAfterMs: number;
  readonly onStuck: () => void;
}

/**
 * One direction of a session. Messages go out as they came, in order. A side that does not take them makes the other one
 * wait, not our memory grow: what waits is the high-water mark, one message, and what one read of the socket brought.
 */
export class Lane {
  readonly #options: LaneOptions;
  #isFull = false;
  #isClosed = false;
  #holds = 0;
  #stuck: NodeJS.Timeout | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Whether `from` is not read at the moment, so that its silence says nothing. */
  get isPaused(): boolean {
    return this.#isFull || this.#holds > 0;
  }

  send(data: Buffer | string, isBinary: boolean): void {
    const { to } = this.#options;
    if (to.readyState !== WebSocket.OPEN) return;
    to.send(data, { binary: isBinary, compress: false }, () => {
      this.#taken();
    });
    if (!this.#isFull && to.bufferedAmount > HIGH_WATER_BYTES) {
      this.#isFull = true;
      this.#apply();
      this.#expectTaking();
    }
  }

  /** Does not read on until {@link release}. */
  hold(): void {
    this.#holds += 1;
    this.#apply();
  }

  release(): void {
    this.#holds -= 1;
    this.#apply();
  }

  /** Nothing waits any more, and what `from` still says is read to its end. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#stuck);
    this.#options.from.resume();
  }

  #taken(): void {
    if (!this.#isFull || this.#isClosed) return;
    if (this.#options.to.bufferedAmount > LOW_WATER_BYTES) {
      this.#expectTaking();
      return;
    }
    clearTimeout(this.#stuck);
    this.#isFull = false;
    this.#apply();
  }

  #expectTaking(): void {
    clearTimeout(this.#stuck);
    this.#stuck = setTimeout(this.#options.onStuck, this.#options.stuckAfterMs);
  }

  #apply(): void {
    if (this.isPaused && !this.#isClosed) this.#options.from.pause();
    else this.#options.from.resume();
  }
}
