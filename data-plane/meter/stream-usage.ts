import { parseJson } from '@pingtoken/shared/wire';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const LETTER_N = 0x6e;

const MAX_EVENT_BYTES = 4 * 1024 * 1024;

const ERROR_MARK = Buffer.from('"error"');
const DATA_FIELD = Buffer.from('data');

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
}

/**
 * Taps a stream of server-sent events, on bytes: events may be split anywhere, also inside a character; lines end with LF,
 * CRLF or CR; comments and data of several lines are understood.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 *
 * Nothing is changed. Events go on whole, as soon as they are complete: a stream that dies can then be ended with an error
 * event that a client reads as one. With `hides`, the one event that has usage and no choices is left out.
 */
export class StreamUsage {
  readonly #hides: boolean;
  readonly #usageMark: Buffer;
  readonly #onData: (data: string) => void;
  readonly #maxEventBytes: number;
  /** The beginning of the event at hand, from earlier chunks. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isOversized = false;
  #lineIsEmpty = true;
  #afterCr = false;
  /** The last event ended with a CR at the end of its chunk: an LF that comes first is still part of it. */
  #endsAfterCr = false;
  #lastWasHidden = false;
  #sawError = false;

  constructor({ hides, usageMark, onData, maxEventBytes = MAX_EVENT_BYTES }: StreamUsageOptions) {
    this.#hides = hides;
    this.#usageMark = Buffer.from(usageMark);
    this.#onData = onData;
    this.#maxEventBytes = maxEventBytes;
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
      if (this.#lastWasHidden) passFrom = 1;
    }
    this.#endsAfterCr = false;
    for (; at < chunk.length; at += 1) {
      if (!this.#endsEvent(chunk, at)) continue;
      if (chunk[at] === CR && chunk[at + 1] === LF) at += 1;
      this.#endsAfterCr = chunk[at] === CR && at + 1 === chunk.length;
      const end = at + 1;
      if (this.#isHidden(chunk.subarray(eventStart, end))) {
        if (eventStart > passFrom) passed.push(chunk.subarray(passFrom, eventStart));
        passFrom = end;
      } else {
        passed.push(...this.#held);
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
    return join(this.#held);
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

  #isHidden(lastPiece: Buffer): boolean {
    this.#lastWasHidden = false;
    if (this.#isOversized) return false;
    const event = this.#held.length === 0 ? lastPiece : Buffer.concat([...this.#held, lastPiece]);
    if (!this.#sawError && event.includes(ERROR_MARK)) this.#sawError = isErrorEvent(event);
    if (!mayHoldUsage(event, this.#usageMark)) return false;
    const data = readData(event).toString();
    this.#onData(data);
    this.#lastWasHidden = this.#hides && isUsageOnly(data);
    return this.#lastWasHidden;
  }
}

const NOTHING = Buffer.alloc(0);

function join(pieces: readonly Buffer[]): Buffer {
  const [first = NOTHING] = pieces;
  return pieces.length <= 1 ? first : Buffer.concat(pieces);
}

/** Every chunk of a stream says `"usage":null`, so parsing starts only where something else follows. */
function mayHoldUsage(event: Buffer, mark: Buffer): boolean {
  for (let at = event.indexOf(mark); at !== -1; at = event.indexOf(mark, at)) {
    at += mark.length;
    while (event[at] === SPACE) at += 1;
    if (event[at] !== COLON) continue;
    at += 1;
    while (event[at] === SPACE) at += 1;
    if (event[at] !== LETTER_N) return true;
  }
  return false;
}

/** OpenAI's last chunk before the end, which has usage and no choices. */
function isUsageOnly(data: string): boolean {
  try {
    const value = parseJson(data);
    if (typeof value !== 'object' || value === null || !('usage' in value) || !('choices' in value)) return false;
    const { usage, choices } = value;
    return typeof usage === 'object' && usage !== null && Array.isArray(choices) && choices.length === 0;
  } catch {
    return false;
  }
}

/** OpenAI's and Google's object begins with the word, Anthropic's says it as its type. */
function isErrorEvent(event: Buffer): boolean {
  return ERROR_EVENT.test(readData(event).subarray(0, ERROR_EVENT_BYTES).toString('latin1'));
}

const ERROR_EVENT_BYTES = 64;
const ERROR_EVENT = /^\s*\{\s*(?:"type"\s*:\s*)?"error"\s*[:,}]/;

/** The event's data: the values of its `data` lines, joined with LF; other fields and comments are left out. */
function readData(event: Buffer): Buffer {
  const lines: Buffer[] = [];
  let start = 0;
  for (let at = 0; at <= event.length; at += 1) {
    const byte = event[at];
    if (byte !== LF && byte !== CR && at < event.length) continue;
    const line = event.subarray(start, at);
    start = at + 1;
    if (!line.subarray(0, DATA_FIELD.length).equals(DATA_FIELD) || line[DATA_FIELD.length] !== COLON) continue;
    const value = line.subarray(DATA_FIELD.length + 1);
    if (lines.length > 0) lines.push(NEWLINE);
    lines.push(value[0] === SPACE ? value.subarray(1) : value);
  }
  return join(lines);
}

const NEWLINE = Buffer.from('\n');
