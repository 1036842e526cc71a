import { isObject, plainNumber } from '../json.js';
import type { FieldFault } from '../chat.js';

/** What is wrong with a request, and what of a right one has no place elsewhere; reading goes on after either. */
export class Faults {
  /** The first thing that could not be read: what reading gives is then not used. */
  first: FieldFault | undefined;
  /** What was understood and left out. */
  readonly inexpressible: FieldFault[] = [];

  note(field: string, message: string): void {
    this.first ??= { field, message };
  }
}

/**
 * One JSON object of a request, read field by field. Whatever was not asked for when `finish` is called is a field that this
 * dialect does not know or cannot carry, and is named by its path: so that nothing is lost by being forgotten. A field
 * that is null says nothing.
 */
export class Fields {
  private readonly unread: Set<string>;

  constructor(
    private readonly object: Readonly<Record<string, unknown>>,
    private readonly path: string,
    private readonly faults: Faults,
  ) {
    this.unread = new Set(Object.keys(object));
  }

  pathOf(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  refuse(name: string, message: string): void {
    this.faults.note(this.pathOf(name), message);
  }

  /** Leaves a field out that was understood and has no place elsewhere. */
  leaveOut(name: string, message: string): void {
    this.faults.inexpressible.push({ field: this.pathOf(name), message });
  }

  any(name: string): unknown {
    this.unread.delete(name);
    const value = Object.hasOwn(this.object, name) ? this.object[name] : undefined;
    return value === null ? undefined : value;
  }

  string(name: string): string | undefined {
    const value = this.any(name);
    if (value === undefined || typeof value === 'string') return value;
    this.refuse(name, `"${this.pathOf(name)}" must be a string.`);
    return undefined;
  }

  requiredString(name: string): string {
    const value = this.any(name);
    if (typeof value === 'string' && value !== '') return value;
    this.refuse(name, `"${this.pathOf(name)}" must be a string that is not empty.`);
    return '';
  }

  boolean(name: string): boolean | undefined {
    const value = this.any(name);
    if (value === undefined || typeof value === 'boolean') return value;
    this.refuse(name, `"${this.pathOf(name)}" must be true or false.`);
    return undefined;
  }

  number(name: string): number | undefined {
    const value = plainNumber(this.any(name));
    if (value === undefined || (typeof value === 'number' && Number.isFinite(value))) return value;
    this.refuse(name, `"${this.pathOf(name)}" must be a number.`);
    return undefined;
  }

  integer(name: string, least: number): number | undefined {
    const value = plainNumber(this.any(name));
    if (value === undefined || (typeof value === 'number' && Number.isSafeInteger(value) && value >= least)) {
      return value;
    }
    const bound = least === Number.MIN_SAFE_INTEGER ? '' : ` of at least ${least}`;
    this.refuse(name, `"${this.pathOf(name)}" must be an integer${bound}.`);
    return undefined;
  }

  oneOf<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const value = this.any(name);
    const word = words.find((candidate) => candidate === value);
    if (word === undefined && value !== undefined) {
      this.refuse(name, `"${this.pathOf(name)}" must be one of: ${words.join(', ')}.`);
    }
    return word;
  }

  nested(name: string): Fields | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (isObject(value)) return new Fields(value, this.pathOf(name), this.faults);
    this.refuse(name, `"${this.pathOf(name)}" must be an object.`);
    return undefined;
  }

  /** @returns the objects of a list; anything else in it is refused */
  list(name: string): readonly Fields[] | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) {
      this.refuse(name, `"${this.pathOf(name)}" must be a list.`);
      return undefined;
    }
    return value.flatMap((item: unknown, index) => {
      const path = this.pathOf(`${name}[${index}]`);
      if (isObject(item)) return [new Fields(item, path, this.faults)];
      this.faults.note(path, `"${path}" must be an object.`);
      return [];
    });
  }

  /** Says of a field that it was seen, and that it may go without loss. */
  passOver(...names: readonly string[]): void {
    for (const name of names) this.unread.delete(name);
  }

  /** Leaves out a field that asks for what cannot be carried over; where its value asks for nothing, nothing is lost. */
  leaveOutUnless(name: string, isHarmless: (value: unknown) => boolean, message: string): void {
    const value = this.any(name);
    if (value !== undefined && !isHarmless(value)) this.leaveOut(name, message);
  }

  /** A field whose place another one has taken. */
  refuseUnless(name: string, isHarmless: (value: unknown) => boolean, message: string): void {
    const value = this.any(name);
    if (value !== undefined && !isHarmless(value)) this.refuse(name, message);
  }

  finish(): void {
    for (const name of this.unread) {
      if (this.any(name) !== undefined) {
        this.leaveOut(name, `"${this.pathOf(name)}" cannot be carried over to the provider that serves this model.`);
      }
    }
  }
}
