import { skipString } from './json-scanner.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const LOWER_CASE = 0x20;
/** First bytes of those letters beyond ASCII that fold into some of it: ſ, ı, the Kelvin sign, ligatures. */
const FOLDING = [0xc4, 0xc5, 0xe2, 0xef];

/** A name is longer in no spelling: each of its characters escaped. */
const ESCAPED_CHARACTER_BYTES = 6;

/**
 * Tells in one pass, and without making anything, whether a body may have one of some names as a key: on the way of every
 * call, so that what is costly is done only where it may find something.
 */
export class KeyMarks {
  readonly #byLength: readonly (readonly Buffer[] | undefined)[];
  readonly #maxBytes: number;
  /** By a byte, 1 where a name may begin with it in one spelling or another. */
  readonly #begins = new Uint8Array(256);

  /** @param names in ASCII */
  constructor(names: readonly string[]) {
    const byLength: (Buffer[] | undefined)[] = [];
    for (const name of names) (byLength[name.length] ??= []).push(Buffer.from(name));
    this.#byLength = byLength;
    this.#maxBytes = byLength.length * ESCAPED_CHARACTER_BYTES;
    const letters = [...names].flatMap((name) => [name.charCodeAt(0), name.toUpperCase().charCodeAt(0)]);
    for (const byte of [...letters, ...FOLDING, BACKSLASH]) this.#begins[byte] = 1;
  }

  /**
   * @param bytes valid JSON
   * @returns false only where none of the names is a key, in any case and in any spelling
   */
  mayBeIn(bytes: Buffer): boolean {
    for (let quote = nextQuote(bytes, 0); quote !== -1; quote = nextQuote(bytes, quote + 1)) {
      const start = quote + 1;
      if (this.#begins[bytes[start] ?? 0] === 1 && this.#mayBeAt(bytes, start)) return true;
      const end = skipString(bytes, quote);
      if (end === -1) return false;
      quote = end - 1;
    }
    return false;
  }

  #mayBeAt(bytes: Buffer, start: number): boolean {
    const limit = Math.min(start + this.#maxBytes, bytes.length);
    let isPlain = true;
    for (let at = start; at < limit; at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === QUOTE) return !isPlain || this.#isName(bytes, start, at);
      if (byte >= 0x80) isPlain &&= !FOLDING.includes(byte);
      else if (byte === BACKSLASH) {
        at += 1;
        if (bytes[at] === LETTER_U) isPlain = false;
      }
    }
    return false;
  }

  #isName(bytes: Buffer, start: number, end: number): boolean {
    const names = this.#byLength[end - start];
    if (names === undefined) return false;
    for (const name of names) {
      let at = 0;
      while (at < name.length && ((bytes[start + at] ?? 0) | LOWER_CASE) === ((name[at] ?? 0) | LOWER_CASE)) at += 1;
      if (at === name.length) return true;
    }
    return false;
  }
}

/** Gaps between strings are short, but for long lists of numbers. */
const WALKED_BYTES = 16;

function nextQuote(bytes: Buffer, from: number): number {
  const walkEnd = Math.min(from + WALKED_BYTES, bytes.length);
  for (let at = from; at < walkEnd; at += 1) if (bytes[at] === QUOTE) return at;
  return bytes.indexOf(QUOTE, walkEnd);
}
