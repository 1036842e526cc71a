import { isUtf8 } from 'node:buffer';
import { parseJson } from '@pingtoken/shared/wire';
import { refuse, type Refusal } from '../http-error.js';
import { scanObject, type ObjectScan } from './json-scanner.js';

/** The members of a request's body that decide what is called and what is metered. */
export class MeteredKeys {
  readonly names: ReadonlySet<string>;
  readonly lengths: ReadonlySet<number>;

  constructor(...names: readonly string[]) {
    this.names = new Set(names);
    this.lengths = new Set(names.map((name) => name.length));
  }
}

export interface JsonBody {
  readonly fields: Readonly<Record<string, unknown>>;
  /** Where the metered members stand. */
  readonly scan: ObjectScan;
}

/** Reads a body that is to be one JSON object: parsed once, and kept as it is. */
export function readJsonBody(bytes: Buffer, metered: MeteredKeys): JsonBody | Refusal {
  if (!isUtf8(bytes)) return refuse('malformed_json', null, 'The request body is not valid UTF-8.');
  const scan = scanObject(bytes, metered.names, decodeKey);
  if (scan === undefined) return refuse('malformed_json', null, 'The request body is not a JSON object we can read.');
  const fields = parseObject(bytes);
  if (fields === undefined) return refuse('malformed_json');
  return checkKeys(Object.keys(fields), scan.count, metered) ?? { fields, scan };
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    // The scan found an object, so whatever parses is one.
    return parseJson(bytes.toString()) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

export function decodeKey(rawKey: Buffer): string {
  try {
    return String(parseJson(rawKey.toString()));
  } catch {
    return '';
  }
}

/**
 * Attack: `{"model":"cheap","model":"dear"}`. One reader takes the first, another the last, and we would bill a model that
 * the provider did not run. The same with `{"model":"cheap","MODEL":"dear"}` at a provider that reads keys in any case, as
 * Go's decoder does.
 */
function checkKeys(keys: readonly string[], memberCount: number, metered: MeteredKeys): Refusal | undefined {
  if (keys.length !== memberCount) return refuse('duplicate_field');
  for (const key of keys) {
    if (metered.names.has(key) || !metered.lengths.has(key.length)) continue;
    const folded = key.toUpperCase().toLowerCase();
    if (metered.names.has(folded)) {
      return refuse('duplicate_field', folded, `Spell the field "${folded}" in lower case.`);
    }
  }
  return undefined;
}

const MAX_MODEL_CHARACTERS = 256;

export function isModelName(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_MODEL_CHARACTERS;
}

/** A value that only the provider would read as true, "true" or 1 say, must not give an unmetered stream. */
export function isFlag(value: unknown): value is boolean | null | undefined {
  return value === undefined || value === null || typeof value === 'boolean';
}

export function invalidField(field: string): Refusal {
  return refuse('invalid_request', field, `The field "${field}" is missing or not valid.`);
}
