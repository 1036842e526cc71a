import { parseJson } from '@pingtoken/shared/wire';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const USAGE_KEY = Buffer.from('usage');
const MAX_USAGE_BYTES = 64 * 1024;

/**
 * Watches a JSON answer go by and keeps its top-level `usage` alone: vectors of many megabytes are neither kept nor parsed,
 * and each piece costs about a nanosecond a byte.
 */
export class BodyUsage {
  /** Containers that are open. */
  #depth = 0;
  #rootIsObject = false;
  #inString = false;
  #escaped = false;
  /** At depth 1: a string that begins now is a key. */
  #expectsKey = false;
  /** Bytes of `usage` that the key at hand has matched; -1 once it differs. */
  #matched = -1;
  #keyIsUsage = false;
  #captures = false;
  #captured: Buffer[] = [];
  #capturedBytes = 0;
  #value: Buffer | undefined;

  push(chunk: Buffer): void {
    let captureStart = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.#inString) {
        this.#readInString(byte);
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#inString = true;
          this.#matched = this.#expectsKey && this.#depth === 1 ? 0 : -1;
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.#open(byte);
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

  /** @returns the value of the last top-level `usage`, or undefined where there was none that could be read */
  result(): unknown {
    if (this.#value === undefined) return undefined;
    try {
      return parseJson(this.#value.toString());
    } catch {
      return undefined;
    }
  }

  #readInString(byte: number): void {
    if (this.#escaped) {
      this.#escaped = false;
      this.#matched = -1;
    } else if (byte === BACKSLASH) {
      this.#escaped = true;
    } else if (byte === QUOTE) {
      this.#inString = false;
      if (this.#depth === 1 && this.#expectsKey) this.#keyIsUsage = this.#matched === USAGE_KEY.length;
    } else if (this.#matched >= 0) {
      this.#matched = byte === USAGE_KEY[this.#matched] ? this.#matched + 1 : -1;
    }
  }

  #open(byte: number): void {
    if (this.#depth === 0) {
      this.#rootIsObject = byte === OPEN_BRACE;
      this.#expectsKey = this.#rootIsObject;
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
