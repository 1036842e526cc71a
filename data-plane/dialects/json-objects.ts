import { skipSpace, skipString, skipValue, type Range } from './json-scanner.js';
import { decodeKey } from './json-request.js';

/** An object anywhere in a body, with where its members stand; those with equal keys each. */
export interface FoundObject {
  readonly members: readonly FoundMember[];
  /** The key of the member whose value it is, or is in the list of; empty for the body itself. */
  readonly parent: string;
  readonly isBody: boolean;
}

export interface FoundMember {
  readonly key: string;
  /** Of its value. */
  readonly range: Range;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Finds every object of a body. Bytes and not what was parsed: of equal keys a parser keeps one, and a provider may read the
 * other; and what is found may have to be replaced.
 * @param bytes valid JSON whose nesting was found bearable by a scan
 * @param skips tells of a key that its value is not to be looked into
 */
export function findObjects(bytes: Buffer, skips: (key: string) => boolean): readonly FoundObject[] {
  const found: FoundObject[] = [];
  visit(0, '', true);
  return found;

  /** @returns the offset behind the value */
  function visit(from: number, parent: string, isBody: boolean): number {
    const at = skipSpace(bytes, from);
    if (bytes[at] === OPEN_BRACE) return visitObject(at, parent, isBody);
    if (bytes[at] === OPEN_BRACKET) return visitList(at, parent);
    return skipValue(bytes, at, { values: Number.POSITIVE_INFINITY });
  }

  function visitObject(from: number, parent: string, isBody: boolean): number {
    const members: FoundMember[] = [];
    let at = skipSpace(bytes, from + 1);
    while (bytes[at] === QUOTE) {
      const keyEnd = skipString(bytes, at);
      const key = decodeKey(bytes.subarray(at, keyEnd));
      const start = skipSpace(bytes, skipSpace(bytes, keyEnd) + 1);
      const end = skips(key) ? skipValue(bytes, start, { values: Number.POSITIVE_INFINITY }) : visit(start, key, false);
      members.push({ key, range: { start, end } });
      at = skipSpace(bytes, end);
      if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
    }
    found.push({ members, parent, isBody });
    return bytes[at] === CLOSE_BRACE ? at + 1 : bytes.length;
  }

  function visitList(from: number, parent: string): number {
    let at = skipSpace(bytes, from + 1);
    while (at < bytes.length && bytes[at] !== CLOSE_BRACKET) {
      at = skipSpace(bytes, visit(at, parent, false));
      if (bytes[at] === COMMA) at += 1;
    }
    return at + 1;
  }
}

/** @returns the values that a value is or has as elements, of a list in a list too */
export function findValues(bytes: Buffer, { start, end }: Range): readonly Range[] {
  if (bytes[start] !== OPEN_BRACKET) return [{ start, end }];
  const values: Range[] = [];
  let at = skipSpace(bytes, start + 1);
  while (at < end && bytes[at] !== CLOSE_BRACKET) {
    const valueEnd = skipValue(bytes, at, { values: Number.POSITIVE_INFINITY });
    values.push(...findValues(bytes, { start: at, end: valueEnd }));
    at = skipSpace(bytes, valueEnd);
    if (bytes[at] === COMMA) at = skipSpace(bytes, at + 1);
  }
  return values;
}
