import { parseJson } from '@pingtoken/shared/wire';
import { scanObject } from '../dialects/json-scanner.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** A member that is longer, its long strings left out, is not kept. Parsing so much takes some milliseconds. */
const MAX_MEMBER_BYTES = 512 * 1024;

/** A longer string, quotes included, is kept as an empty one: no report has any, while a picture is one of megabytes. */
const MAX_STRING_BYTES = 256;
const EMPTY_STRING = Buffer.from('""');

/**
 * Watches a JSON answer go by and keeps those top-level members that tell what was used: vectors and pictures of many
 * megabytes are neither kept nor parsed, and each piece costs about a nanosecond a byte.
 */
export class BodyUsage {
  /** Containers that are open. */
  #depth = 0;
  #rootIsObject = false;
  #inString = false;
  #escaped = false;
  /** At depth 1: a string that begins now is a key. */
  #expectsKey = false;
  /** Of the members asked for, the one whose key was read last and whose value begins or goes on. */
  #member: string | undefined;
  #captures = false;
  #captured: Buffer[] = [];
  #capturedBytes = 0;
  /** Beginning of a string that goes on in the next piece: of a key, or of one inside a member that is kept. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  readonly #values = new Map<string, Buffer>();
  /** The first piece, as long as it is the only one: most answers are one piece, and one piece is read quicker whole. */
  #only: Buffer | undefined;
  #pieces = 0;

  /** @param members names of top-level members: `usage`, `usageMetadata` */
  constructor(readonly members: ReadonlySet<string>) {}

  push(chunk: Buffer): void {
    this.#pieces += 1;
    if (this.#pieces === 1) {
      this.#only = chunk;
      return;
    }
    if (this.#only !== undefined) this.#scan(this.#only);
    this.#only = undefined;
    this.#scan(chunk);
  }

  /** @returns those of the members that were there and could be read; of equal ones the last */
  result(): Readonly<Record<string, unknown>> {
    if (this.#only !== undefined) this.#readWhole(this.#only);
    this.#only = undefined;
    const read: Record<string, unknown> = {};
    for (const [name, value] of this.#values) {
      try {
        read[name] = parseJson(value.toString());
      } catch {
        // What is no JSON is no report.
      }
    }
    return read;
  }

  #readWhole(body: Buffer): void {
    const scan = scanObject(body, this.members, decodeKey);
    if (scan === undefined) this.#scan(body);
    else for (const [name, { start, end }] of scan.values) this.#values.set(name, body.subarray(start, end));
  }

  #scan(chunk: Buffer): void {
    let at = this.#inString ? this.#resumeString(chunk) : 0;
    /** What of a member that is kept has not been kept yet. */
    let keptTo = at;
    for (; at < chunk.length; at += 1) {
      switch (chunk[at] ?? 0) {
        case QUOTE: {
          const from = at;
          at = this.#readString(chunk, from + 1) - 1;
          if (!this.#captures) this.#endKey(chunk, from, at);
          else if (this.#inString || at + 1 - from > MAX_STRING_BYTES) {
            this.#keep(chunk.subarray(keptTo, from));
            if (this.#inString) this.#hold(chunk.subarray(from));
            else this.#keep(EMPTY_STRING);
            keptTo = at + 1;
          }
          break;
        }
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.#open(chunk[at] === OPEN_BRACE);
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (this.#depth === 1 && this.#captures) this.#endCapture(chunk.subarray(keptTo, at));
          this.#depth -= 1;
          break;
        case COLON:
          if (this.#depth !== 1 || !this.#rootIsObject) break;
          this.#expectsKey = false;
          this.#captures = this.#member !== undefined;
          keptTo = at + 1;
          break;
        case COMMA:
          if (this.#depth !== 1) break;
          if (this.#captures) this.#endCapture(chunk.subarray(keptTo, at));
          this.#expectsKey = this.#rootIsObject;
          this.#member = undefined;
          break;
        default:
          break;
      }
    }
    if (this.#captures) this.#keep(chunk.subarray(keptTo));
  }

  /**
   * Goes on inside a string. Most of an answer is strings, so this loop touches as little as it can.
   * @returns offset behind the closing quote, or the chunk's length where the string goes on in the next
   */
  #readString(chunk: Buffer, from: number): number {
    let escaped = this.#escaped;
    for (let at = from; at < chunk.length; at += 1) {
      const byte = chunk[at];
      if (escaped) escaped = false;
      else if (byte === QUOTE) {
        this.#inString = false;
        this.#escaped = false;
        return at + 1;
      } else if (byte === BACKSLASH) escaped = true;
    }
    this.#inString = true;
    this.#escaped = escaped;
    return chunk.length;
  }

  /** @returns offset behind the string that an earlier piece began */
  #resumeString(chunk: Buffer): number {
    const end = this.#readString(chunk, 0);
    if (this.#captures || this.#isKey()) {
      this.#hold(chunk.subarray(0, end));
      if (!this.#inString) this.#release();
    }
    return end;
  }

  /** @param end of the last byte of the string, or of the chunk */
  #endKey(chunk: Buffer, from: number, end: number): void {
    if (!this.#isKey()) return;
    if (this.#inString) this.#hold(chunk.subarray(from));
    else this.#member = this.#find(chunk.toString('latin1', from + 1, end));
  }

  #isKey(): boolean {
    return this.#expectsKey && this.#depth === 1;
  }

  /** Providers do not spell their keys with escapes. */
  #find(key: string): string | undefined {
    return this.members.has(key) ? key : undefined;
  }

  #hold(bytes: Buffer): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes <= MAX_STRING_BYTES) this.#held.push(bytes);
    else this.#held = [];
  }

  /** The string that was held has ended. */
  #release(): void {
    const text = this.#heldBytes <= MAX_STRING_BYTES ? Buffer.concat(this.#held) : EMPTY_STRING;
    this.#held = [];
    this.#heldBytes = 0;
    if (this.#captures) this.#keep(text);
    else this.#member = this.#find(text.toString('latin1', 1, text.length - 1));
  }

  #open(isObject: boolean): void {
    if (this.#depth === 0) {
      this.#rootIsObject = isObject;
      this.#expectsKey = isObject;
    }
    this.#depth += 1;
  }

  #keep(bytes: Buffer): void {
    this.#capturedBytes += bytes.length;
    if (this.#capturedBytes <= MAX_MEMBER_BYTES) this.#captured.push(bytes);
  }

  #endCapture(bytes: Buffer): void {
    this.#keep(bytes);
    if (this.#member !== undefined) {
      if (this.#capturedBytes <= MAX_MEMBER_BYTES) this.#values.set(this.#member, Buffer.concat(this.#captured));
      else this.#values.delete(this.#member);
    }
    this.#captured = [];
    this.#capturedBytes = 0;
    this.#captures = false;
  }
}

function decodeKey(): string {
  return '';
}
