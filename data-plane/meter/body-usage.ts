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

const MAX_USAGE_BYTES = 64 * 1024;

/**
 * Watches a JSON answer go by and keeps the one top-level member that reports its usage: vectors of many megabytes are neither kept nor parsed,
 * and each piece costs about a nanosecond a byte.
 */
export class BodyUsage {
  readonly #key: Buffer;
  readonly #wanted: ReadonlySet<string>;
  /** Containers that are open. */
  #depth = 0;
  #rootIsObject = false;
  #inString = false;
  #escaped = false;
  /** At depth 1: a string that begins now is a key. */
  #expectsKey = false;
  /** Bytes of it that the key at hand has matched; -1 once it differs. */
  #matched = -1;
  #keyIsUsage = false;
  #captures = false;
  #captured: Buffer[] = [];
  #capturedBytes = 0;
  #value: Buffer | undefined;
  /** The first piece, as long as it is the only one: most answers are one piece, and one piece is read quicker whole. */
  #only: Buffer | undefined;
  #pieces = 0;

  /** @param key `usage`, `usageMetadata` */
  constructor(readonly key: string) {
    this.#key = Buffer.from(key);
    this.#wanted = new Set([key]);
  }

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

  #scan(chunk: Buffer): void {
    let captureStart = 0;
    let at = this.#inString ? this.#readString(chunk, 0) : 0;
    for (; at < chunk.length; at += 1) {
      switch (chunk[at] ?? 0) {
        case QUOTE:
          this.#inString = true;
          this.#matched = this.#expectsKey && this.#depth === 1 ? 0 : -1;
          at = this.#readString(chunk, at + 1) - 1;
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.#open(chunk[at] === OPEN_BRACE);
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (this.#depth === 1 && this.#captures) this.#endCapture(chunk.subarray(captureStart, at));
          this.#depth -= 1;
          break;
        case COLON:
          if (this.#depth !== 1 || !this.#rootIsObject) break;
          this.#expectsKey = false;
          this.#captures = this.#keyIsUsage;
          captureStart = at + 1;
          break;
        case COMMA:
          if (this.#depth !== 1) break;
          if (this.#captures) this.#endCapture(chunk.subarray(captureStart, at));
          this.#expectsKey = this.#rootIsObject;
          this.#keyIsUsage = false;
          break;
        default:
          break;
      }
    }
    if (this.#captures) this.#keep(chunk.subarray(captureStart));
  }

  /** @returns the value of the last such member, or undefined where there was none that could be read */
  result(): unknown {
    if (this.#only !== undefined) this.#readWhole(this.#only);
    this.#only = undefined;
    if (this.#value === undefined) return undefined;
    try {
      return parseJson(this.#value.toString());
    } catch {
      return undefined;
    }
  }

  #readWhole(body: Buffer): void {
    const scan = scanObject(body, this.#wanted, decodeKey);
    const range = scan?.values.get(this.key);
    if (range !== undefined) this.#value = body.subarray(range.start, range.end);
    else if (scan === undefined) this.#scan(body);
  }

  /**
   * Goes on inside a string. Most of an answer is strings, so this loop touches as little as it can.
   * @returns offset behind the closing quote, or the chunk's length where the string goes on in the next
   */
  #readString(chunk: Buffer, from: number): number {
    let escaped = this.#escaped;
    let matched = this.#matched;
    const key = this.#key;
    for (let at = from; at < chunk.length; at += 1) {
      const byte = chunk[at];
      if (escaped) {
        escaped = false;
        matched = -1;
      } else if (byte === QUOTE) {
        this.#endString(matched);
        return at + 1;
      } else if (byte === BACKSLASH) escaped = true;
      else if (matched >= 0) matched = byte === key[matched] ? matched + 1 : -1;
    }
    this.#escaped = escaped;
    this.#matched = matched;
    return chunk.length;
  }

  #endString(matched: number): void {
    this.#inString = false;
    this.#escaped = false;
    if (this.#depth === 1 && this.#expectsKey) this.#keyIsUsage = matched === this.#key.length;
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
    if (this.#capturedBytes <= MAX_USAGE_BYTES) this.#captured.push(bytes);
  }

  #endCapture(bytes: Buffer): void {
    this.#keep(bytes);
    this.#value = this.#capturedBytes <= MAX_USAGE_BYTES ? Buffer.concat(this.#captured) : undefined;
    this.#captured = [];
    this.#capturedBytes = 0;
    this.#captures = false;
  }
}

/** Providers do not spell their keys with escapes. */
function decodeKey(): string {
  return '';
}
