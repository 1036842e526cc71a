import type { FieldFault } from '../chat.js';
import { isObject, plainNumber } from '../json.js';

/** What of a caller's request cannot be read, and what of it was understood and has no place elsewhere. */
export interface Refusals {
  refuse(field: string, message: string): void;
  /** What was refused first: it is what the caller is told. */
  first(): FieldFault | undefined;
  leaveOut(field: string, message: string): void;
  readonly leftOut: readonly FieldFault[];
}

export function createRefusals(): Refusals {
  let first: FieldFault | undefined;
  const leftOut: FieldFault[] = [];
  return {
    refuse(field, message) {
      first ??= { field, message };
    },
    first: () => first,
    leaveOut(field, message) {
      leftOut.push({ field, message });
    },
    leftOut,
  };
}

/** One object of a caller's. A field that is null counts as absent; one of the wrong type is refused and reads as absent. */
export interface Fields {
  readonly path: string;
  readonly refusals: Refusals;
  /** The path of a field, as the vendor's own errors name it: `messages.0.content.1.source`. */
  at(name: string): string;
  any(name: string): unknown;
  string(name: string): string | undefined;
  /** A string that must be there; empty where it was refused. */
  required(name: string): string;
  number(name: string): number | undefined;
  boolean(name: string): boolean | undefined;
  list(name: string): readonly unknown[] | undefined;
  object<Result>(name: string, read: (fields: Fields) => Result): Result | undefined;
  /** Takes a field that may be ignored at a value without effect, and names it as left out at any other. */
  ignore(name: string, isHarmless: (value: unknown) => boolean, message: string): void;
  /** Takes a field that may have no other value than those, and refuses it at any other. */
  expect(name: string, isValid: (value: unknown) => boolean, message: string): void;
}

/**
 * Reads an object so that none of its fields is lost: whatever `read` did not ask for is named as left out.
 * @returns undefined when it is no object
 */
export function readFields<Result>(
  call: { readonly value: unknown; readonly path: string; readonly refusals: Refusals },
  read: (fields: Fields) => Result,
): Result | undefined {
  const { value, path, refusals } = call;
  if (!isObject(value)) {
    refusals.refuse(path, 'An object is needed here.');
    return undefined;
  }
  const unread = new Set(Object.keys(value));
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  const any = (name: string): unknown => {
    unread.delete(name);
    return value[name] ?? undefined;
  };
  const typed = <Type>(name: string, kind: string, isType: (found: unknown) => found is Type): Type | undefined => {
    const found = plainNumber(any(name));
    if (found === undefined || isType(found)) return found;
    refusals.refuse(at(name), `A ${kind} is needed here.`);
    return undefined;
  };
  const result = read({
    path,
    refusals,
    at,
    any,
    string: (name) => typed(name, 'string', isString),
    required(name) {
      const found = any(name);
      if (typeof found === 'string') return found;
      refusals.refuse(at(name), 'A string is needed here.');
      return '';
    },
    number: (name) => typed(name, 'number', isNumber),
    boolean: (name) => typed(name, 'boolean', isBoolean),
    list: (name) => typed(name, 'list', isList),
    object(name, readInner) {
      const found = any(name);
      return found === undefined ? undefined : readFields({ value: found, path: at(name), refusals }, readInner);
    },
    ignore(name, isHarmless, message) {
      const found = any(name);
      if (found !== undefined && !isHarmless(found)) refusals.leaveOut(at(name), message);
    },
    expect(name, isValid, message) {
      const found = any(name);
      if (found !== undefined && !isValid(found)) refusals.refuse(at(name), message);
    },
  });
  for (const name of unread) {
    if (value[name] === null || value[name] === undefined) continue;
    refusals.leaveOut(at(name), 'This field cannot be translated for the provider that serves this model.');
  }
  return result;
}

/** An object's fields but for those that are undefined, which an optional property may not hold. */
export function defined<Source extends object>(source: Source): Defined<Source> {
  return Object.fromEntries(Object.entries(source).filter(([, value]) => value !== undefined)) as Defined<Source>;
}

type Defined<Source> = {
  [Name in keyof Source as undefined extends Source[Name] ? never : Name]: Source[Name];
} & {
  [Name in keyof Source as undefined extends Source[Name] ? Name : never]?: Exclude<Source[Name], undefined>;
};

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}
