import type { Range } from './json-scanner.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const SPACES: ReadonlySet<number | undefined> = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * The whole of a member, its key and one of the commas beside it included: what is cut out of an object so that it stays one.
 * @param bytes valid JSON
 * @param value where the member's value stands
 */
export function memberRange(bytes: Buffer, value: Range): Range {
  let start = before(bytes, value.start - 1);
  // The colon, then the closing quote of the key.
  start = before(bytes, start - 1);
  do start -= 1;
  while (start > 0 && (bytes[start] !== QUOTE || isEscaped(bytes, start)));
  let end = value.end;
  while (SPACES.has(bytes[end])) end += 1;
  if (bytes[end] === COMMA) return { start, end: end + 1 };
  const comma = before(bytes, start - 1);
  return bytes[comma] === COMMA ? { start: comma, end: value.end } : { start, end: value.end };
}

/** @returns the last place up to `at` that is no white space */
function before(bytes: Buffer, at: number): number {
  let found = at;
  while (SPACES.has(bytes[found])) found -= 1;
  return found;
}

function isEscaped(bytes: Buffer, at: number): boolean {
  let slashes = 0;
  while (bytes[at - 1 - slashes] === BACKSLASH) slashes += 1;
  return slashes % 2 === 1;
}
