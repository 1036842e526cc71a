/**
 * Finds members of a JSON object in its raw bytes, so that a value can be replaced without touching any other byte:
 * parsing and writing again would lose 64-bit integers, the order and spelling of keys, and white space.
 */

/** Byte offsets; `end` is exclusive. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface ObjectScan {
  /** Offset just behind the opening brace. */
  readonly bodyStart: number;
  /** Members, those with equal keys counted each. */
  readonly count: number;
  /** Value ranges by decoded key, of wanted keys only; of equal keys the last. */
  readonly values: ReadonlyMap<string, Range>;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Attack: 32 MB of `[` or of `{},` cost a parser gigabytes. A request that nests deeper or holds more values than these is
 * refused before it is parsed.
 */
const MAX_DEPTH = 200;
const MAX_VALUES = 2_000_000;

/**
 * @param bytes UTF-8; the object may be surrounded by white space
 * @param wanted keys whose values are reported; escaped spellings of a key are the same key
 * @param decodeKey turns the raw bytes of a key, quotes included, into the key
 * @returns undefined when the bytes are no object, too deep or too many; where they are valid JSON, the ranges are right
 */
export function scanObject(
  bytes: Buffer,
  wanted: ReadonlySet<string>,
  decodeKey: (rawKey: Buffer) => string,
  from = 0,
): ObjectScan | undefined {
  const values = new Map<string, Range>();
  const budget = { values: MAX_VALUES };
  let count = 0;
  let at = skipSpace(bytes, from);
  if (bytes[at] !== OPEN_BRACE) return undefined;
  const bodyStart = at + 1;
  at = skipSpace(bytes, bodyStart);
  if (bytes[at] === CLOSE_BRACE) return { bodyStart, count, values };
  for (;;) {
    const keyStart = at;
    if (bytes[at] !== QUOTE) return undefined;
    const keyEnd = skipString(bytes, at);
    if (keyEnd === -1) return undefined;
    at = skipSpace(bytes, keyEnd);
    if (bytes[at] !== COLON) return undefined;
    const start = skipSpace(bytes, at + 1);
    const end = skipValue(bytes, start, budget);
    if (end === -1) return undefined;
    count += 1;
    const key = wantedKey(bytes, keyStart, keyEnd, wanted, decodeKey);
    if (key !== undefined) values.set(key, { start, end });
    at = skipSpace(bytes, end);
    if (bytes[at] === CLOSE_BRACE) return { bodyStart, count, values };
    if (bytes[at] !== COMMA) return undefined;
    at = skipSpace(bytes, at + 1);
  }
}

/**
 * @param from where a list begins, as a scan of its object reported it
 * @returns ranges of its items, in order; undefined when there is no list, or it is too deep or too long
 */
export function scanList(bytes: Buffer, from: number): readonly Range[] | undefined {
  const items: Range[] = [];
  const budget = { values: MAX_VALUES };
  if (bytes[from] !== OPEN_BRACKET) return undefined;
  let at = skipSpace(bytes, from + 1);
  if (bytes[at] === CLOSE_BRACKET) return items;
  for (;;) {
    const end = skipValue(bytes, at, budget);
    if (end === -1) return undefined;
    items.push({ start: at, end });
    at = skipSpace(bytes, end);
    if (bytes[at] === CLOSE_BRACKET) return items;
    if (bytes[at] !== COMMA) return undefined;
    at = skipSpace(bytes, at + 1);
  }
}

const MAX_RAW_KEY_BYTES = 200;

function wantedKey(
  bytes: Buffer,
  start: number,
  end: number,
  wanted: ReadonlySet<string>,
  decodeKey: (rawKey: Buffer) => string,
): string | undefined {
  // Even with each of its characters escaped, no wanted key is longer.
  if (end - start > MAX_RAW_KEY_BYTES) return undefined;
  for (const key of wanted) if (isPlainKey(bytes, start + 1, end - 1, key)) return key;
  if (!hasEscape(bytes, start, end)) return undefined;
  const key = decodeKey(bytes.subarray(start, end));
  return wanted.has(key) ? key : undefined;
}

/** Byte by byte: a string made for each key of each request would cost more than the rest of the scan. */
function isPlainKey(bytes: Buffer, start: number, end: number, key: string): boolean {
  if (end - start !== key.length) return false;
  for (let at = 0; at < key.length; at += 1) if (bytes[start + at] !== key.charCodeAt(at)) return false;
  return true;
}

function hasEscape(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if (bytes[at] === BACKSLASH) return true;
  return false;
}

export function skipSpace(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at += 1;
  }
}

/** Short strings are walked; for long ones, base64 images say, a native search for the quote is quicker. */
const WALKED_BYTES = 48;

/** @returns offset behind the closing quote, or -1 */
export function skipString(bytes: Buffer, from: number): number {
  const walkEnd = Math.min(from + WALKED_BYTES, bytes.length);
  let at = from + 1;
  while (at < walkEnd) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    at += byte === BACKSLASH ? 2 : 1;
  }
  for (let quote = bytes.indexOf(QUOTE, at); quote !== -1; quote = bytes.indexOf(QUOTE, quote + 1)) {
    let run = quote - 1;
    while (run >= at && bytes[run] === BACKSLASH) run -= 1;
    if ((quote - 1 - run) % 2 === 0) return quote + 1;
  }
  return -1;
}

/** @returns offset behind the value, or -1 */
export function skipValue(bytes: Buffer, from: number, budget: { values: number }): number {
  const first = bytes[from];
  if (first === QUOTE) return skipString(bytes, from);
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return skipNested(bytes, from, budget);
  let at = from;
  for (; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || (byte !== undefined && byte <= 0x20)) break;
  }
  return at === from ? -1 : at;
}

function skipNested(bytes: Buffer, from: number, budget: { values: number }): number {
  let depth = 0;
  let at = from;
  while (at < bytes.length) {
    switch (bytes[at] ?? 0) {
      case QUOTE:
        at = skipString(bytes, at);
        if (at === -1) return -1;
        continue;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        depth += 1;
        budget.values -= 1;
        if (depth > MAX_DEPTH) return -1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth -= 1;
        if (depth === 0) return at + 1;
        break;
      case COMMA:
        budget.values -= 1;
        if (budget.values < 0) return -1;
        break;
      default:
        break;
    }
    at += 1;
  }
  return -1;
}

/**
 * @param valueStart where the value of a member stands, as a scan reported it; its key holds no quote, in whatever spelling
 * @returns where the member begins: the first quote of its key
 */
export function memberStart(bytes: Buffer, valueStart: number): number {
  const keyEnd = bytes.lastIndexOf(QUOTE, valueStart - 1);
  return bytes.lastIndexOf(QUOTE, keyEnd - 1);
}

/** @returns the offset of the comma behind a value that ends there; undefined where the object ends */
export function nextComma(bytes: Buffer, valueEnd: number): number | undefined {
  const at = skipSpace(bytes, valueEnd);
  return bytes[at] === COMMA ? at : undefined;
}

/** @returns the offset of the comma before a member that begins there; undefined where the object begins */
export function previousComma(bytes: Buffer, start: number): number | undefined {
  let at = start - 1;
  while (at > 0 && skipSpace(bytes, at) !== at) at -= 1;
  return bytes[at] === COMMA ? at : undefined;
}

/** Bytes to put in place of a range; an empty range inserts. */
export interface Splice extends Range {
  readonly bytes: Buffer;
}

/** @param splices in ascending order, not overlapping */
export function spliceBytes(bytes: Buffer, splices: readonly Splice[]): Buffer {
  if (splices.length === 0) return bytes;
  const pieces: Buffer[] = [];
  let at = 0;
  for (const { start, end, bytes: inserted } of splices) {
    pieces.push(bytes.subarray(at, start), inserted);
    at = end;
  }
  pieces.push(bytes.subarray(at));
  return Buffer.concat(pieces);
}
