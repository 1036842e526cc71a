import { isUsageOnly, join, mayHoldUsage, NOTHING, readData, readErrorData, replaceData } from './stream-event.js';

const LF = 0x0a;
const CR = 0x0d;

const MAX_EVENT_BYTES = 4 * 1024 * 1024;

/** Events that are asked for their service tier: the first ones may say only what was asked for. */
const TIER_LOOKS = 4;

export interface StreamUsageOptions {
  /** Take the usage chunk out: the caller did not ask for it. */
  readonly hides: boolean;
  /** Bytes without which an event reports no usage: a quoted key. */
  readonly usageMark: string;
  /**
   * Longest event that is looked into, 4 MiB if left out; the rest of a longer one passes unread. Also how much is held back
   * at most, for an event can be judged only when all of it is there.
   */
  readonly maxEventBytes?: number;
  /** Receives the data of each event that may report usage; a later report replaces an earlier one. */
  readonly onData: (data: string) => void;
  /** Bytes without which an event names no service tier. */
  readonly tierMark: string;
  /** Receives the data of the first events that may name it. @returns whether one did */
  readonly onTier: (data: string) => boolean;
  /** @returns the data of an error event as the caller may have it, the very same text where that is as it came */
  readonly cleanError: (data: string) => string;
}

/**
 * Taps a stream of server-sent events, on bytes: events may be split anywhere, also inside a character; lines end with LF,
 * CRLF or CR; comments and data of several lines are understood.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 *
 * Nothing is changed but an error that says too much. Events go on whole, as soon as they are complete: a stream that dies can then be ended with an error
 * event that a client reads as one. With `hides`, the one event that has usage and no choices is left out.
 */
export class StreamUsage {
  readonly #options: StreamUsageOptions;
  readonly #usageMark: Buffer;
  readonly #maxEventBytes: number;
  #tierLooks = TIER_LOOKS;
  /** The beginning of the event at hand, from earlier chunks. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isOversized = false;
  #lineIsEmpty = true;
  #afterCr = false;
  /** The last event ended with a CR at the end of its chunk: an LF that comes first is still part of it. */
  #endsAfterCr = false;
  #lastWasReplaced = false;
  #sawError = false;

  constructor(options: StreamUsageOptions) {
    this.#options = options;
    this.#usageMark = Buffer.from(options.usageMark);
    this.#maxEventBytes = options.maxEventBytes ?? MAX_EVENT_BYTES;
  }

  /** The provider reported an error inside the stream. */
  get sawError(): boolean {
    return this.#sawError;
  }

  /** @returns the bytes that may go to the caller now, possibly none */
  push(chunk: Buffer): Buffer {
    if (chunk.length === 0) return chunk;
    const passed: Buffer[] = [];
    let passFrom = 0;
    let eventStart = 0;
    let at = 0;
    if (this.#endsAfterCr && chunk[0] === LF) {
      at = eventStart = 1;
      if (this.#lastWasReplaced) passFrom = 1;
    }
    this.#endsAfterCr = false;
    for (; at < chunk.length; at += 1) {
      if (!this.#endsEvent(chunk, at)) continue;
      if (chunk[at] === CR && chunk[at + 1] === LF) at += 1;
      this.#endsAfterCr = chunk[at] === CR && at + 1 === chunk.length;
      const end = at + 1;
      const replaced = this.#judge(chunk.subarray(eventStart, end));
      if (replaced === undefined) passed.push(...this.#held);
      else {
        if (eventStart > passFrom) passed.push(chunk.subarray(passFrom, eventStart));
        if (replaced.length > 0) passed.push(replaced);
        passFrom = end;
      }
      this.#beginEvent();
      eventStart = end;
    }
    return this.#passOn(chunk, passed, passFrom, eventStart);
  }

  /** The caller has the beginning of an event whose end it does not have. */
  get isInsidePassedEvent(): boolean {
    return this.#isOversized;
  }

  /** The stream is over: what was held of an unfinished event. It is the provider's, so the caller gets it. */
  end(): Buffer {
    if (this.#heldBytes === 0) return NOTHING;
    return this.#judge(NOTHING) ?? join(this.#held);
  }

  /** An empty line ends an event. */
  #endsEvent(chunk: Buffer, at: number): boolean {
    const byte = chunk[at];
    if (byte === LF && this.#afterCr) {
      this.#afterCr = false;
      return false;
    }
    this.#afterCr = byte === CR;
    if (byte !== LF && byte !== CR) {
      this.#lineIsEmpty = false;
      return false;
    }
    const ends = this.#lineIsEmpty;
    this.#lineIsEmpty = true;
    return ends;
  }

  #beginEvent(): void {
    this.#afterCr = false;
    if (this.#heldBytes > 0) this.#held = [];
    this.#heldBytes = 0;
    this.#isOversized = false;
  }

  /** Holds the unfinished event back, unless it is too long for that, and hands out the rest. */
  #passOn(chunk: Buffer, passed: Buffer[], passFrom: number, eventStart: number): Buffer {
    let passTo = chunk.length;
    if (eventStart < chunk.length && !this.#isOversized) {
      const rest = chunk.subarray(eventStart);
      if (this.#heldBytes + rest.length <= this.#maxEventBytes) {
        this.#held.push(rest);
        this.#heldBytes += rest.length;
        passTo = eventStart;
      } else {
        this.#isOversized = true;
        passed.push(...this.#held);
        this.#held = [];
      }
    }
    if (passTo > passFrom) passed.push(chunk.subarray(passFrom, passTo));
    return join(passed);
  }

  /** @returns what goes on in place of the event at hand; undefined where it goes on as it is */
  #judge(lastPiece: Buffer): Buffer | undefined {
    this.#lastWasReplaced = false;
    if (this.#isOversized) return undefined;
    const event = this.#held.length === 0 ? lastPiece : Buffer.concat([...this.#held, lastPiece]);
    const replaced = this.#cleanError(event) ?? this.#hideUsage(event);
    this.#lastWasReplaced = replaced !== undefined;
    return replaced;
  }

  #cleanError(event: Buffer): Buffer | undefined {
    const data = readErrorData(event);
    if (data === undefined) return undefined;
    this.#sawError = true;
    const cleaned = this.#options.cleanError(data);
    return cleaned === data ? undefined : replaceData(event, cleaned);
  }

  #hideUsage(event: Buffer): Buffer | undefined {
    const { hides, tierMark, onData, onTier } = this.#options;
    const mayHold = mayHoldUsage(event, this.#usageMark);
    const mayTell = this.#tierLooks > 0 && event.includes(tierMark);
    if (!mayHold && !mayTell) return undefined;
    const data = readData(event).toString();
    if (mayTell) this.#tierLooks = onTier(data) ? 0 : this.#tierLooks - 1;
    if (!mayHold) return undefined;
    onData(data);
    return hides && isUsageOnly(data) ? NOTHING : undefined;
  }
}
