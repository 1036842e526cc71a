import type { IncomingMessage } from 'node:http';
import type { CallerResponse } from '../http-error.js';
import { OUTPUT_CAP_HEADER } from '../limits/limit-headers.js';

/** All that went, or would have gone, to the caller. */
export interface Recording {
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  /** The body had more bytes than are kept; it is empty then. */
  readonly isTooLong: boolean;
}

export interface RecordedResponseOptions {
  readonly request: IncomingMessage;
  /** The caller's own. */
  readonly response: CallerResponse;
  readonly maxBytes: number;
  /** Called once: with all of it, or with nothing where the answer was broken off. */
  readonly onEnd: (recording: Recording | undefined) => void;
}

/**
 * A caller's response that keeps what is written to it. When the caller leaves, it takes the rest as if somebody read it, so
 * that a call which others wait for can go on.
 */
export class RecordedResponse implements CallerResponse {
  readonly #options: RecordedResponseOptions;
  #head: Pick<Recording, 'status' | 'headers'> | undefined;
  #cap: readonly string[] = [];
  #chunks: Buffer[] = [];
  #bytes = 0;
  #isEnded = false;
  #isDestroyed = false;

  constructor(options: RecordedResponseOptions) {
    this.#options = options;
  }

  get headersSent(): boolean {
    return this.#head !== undefined;
  }

  get destroyed(): boolean {
    return this.#isDestroyed;
  }

  get writableEnded(): boolean {
    return this.#isEnded;
  }

  get writableNeedDrain(): boolean {
    return !this.#hasLeft && this.#options.response.writableNeedDrain;
  }

  /** Concerns this caller at this moment, and is not kept; but for what says that the answer itself was held short. */
  setHeader(name: string, value: string): void {
    if (name === OUTPUT_CAP_HEADER) this.#cap = [name, value];
    if (!this.#hasLeft) this.#options.response.setHeader(name, value);
  }

  writeContinue(): void {
    if (!this.#hasLeft) this.#options.response.writeContinue();
  }

  writeHead(status: number, headers: string[]): void {
    this.#head = { status, headers: [...this.#cap, ...headers] };
    if (!this.#hasLeft) this.#options.response.writeHead(status, headers);
  }

  flushHeaders(): void {
    if (!this.#hasLeft) this.#options.response.flushHeaders();
  }

  write(piece: Buffer | string, written?: () => void): boolean {
    this.#record(typeof piece === 'string' ? Buffer.from(piece) : piece);
    if (!this.#hasLeft) return this.#options.response.write(piece, written);
    if (written !== undefined) process.nextTick(written);
    return true;
  }

  end(rest?: Buffer | string, encoding?: BufferEncoding): void {
    if (this.#isEnded || this.#isDestroyed) return;
    if (rest !== undefined) this.#record(typeof rest === 'string' ? Buffer.from(rest, encoding) : rest);
    this.#isEnded = true;
    if (!this.#hasLeft) this.#options.response.end(rest, encoding);
    const isTooLong = this.#bytes > this.#options.maxBytes;
    const body = Buffer.concat(this.#chunks);
    this.#options.onEnd(this.#head === undefined ? undefined : { ...this.#head, body, isTooLong });
    this.#chunks = [];
  }

  /** Who has left takes everything at once. */
  once(_event: 'drain', listener: () => void): void {
    if (this.#hasLeft) {
      process.nextTick(listener);
      return;
    }
    const { socket } = this.#options.request;
    const done = (): void => {
      socket.removeListener('close', done);
      listener();
    };
    socket.once('close', done);
    this.#options.response.once('drain', done);
  }

  destroy(): void {
    if (!this.#isDestroyed && !this.#isEnded) this.#options.onEnd(undefined);
    this.#isDestroyed = true;
    this.#chunks = [];
    this.#options.response.destroy();
  }

  get #hasLeft(): boolean {
    return this.#options.request.socket.destroyed || this.#options.response.destroyed;
  }

  #record(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes <= this.#options.maxBytes) this.#chunks.push(piece);
    else this.#chunks = [];
  }
}
