import { parseJson } from '@pingtoken/shared/wire';
import { decodeKey } from '../dialects/json-request.js';
import { scanObject, spliceBytes, type Range } from '../dialects/json-scanner.js';

/** Values that are remembered; the oldest give way. The vendor takes 16 of 512 characters for each response. */
const MAX_VALUES = 1024;

/**
 * Gives the caller its own words back. Programs know their responses by the metadata that they gave them, which come back
 * with the response, and the provider has seen pseudonyms only.
 * https://platform.openai.com/docs/guides/realtime-conversations#create-responses-outside-the-default-conversation
 */
export class ResponseMetadata {
  /** A Map keeps insertion order. */
  readonly #values = new Map<string, string>();

  remember(pseudonym: string, value: string): void {
    this.#values.delete(pseudonym);
    this.#values.set(pseudonym, value);
    if (this.#values.size <= MAX_VALUES) return;
    for (const oldest of this.#values.keys()) {
      this.#values.delete(oldest);
      return;
    }
  }

  /** @param bytes an event of the provider with a `response` */
  restore(bytes: Buffer): Buffer {
    if (this.#values.size === 0) return bytes;
    const response = find(bytes, RESPONSE, 0);
    const metadata = response === undefined ? undefined : find(bytes, METADATA, response.start);
    if (metadata === undefined) return bytes;
    const restored = this.#restoreValues(bytes.subarray(metadata.start, metadata.end));
    return restored === undefined ? bytes : spliceBytes(bytes, [{ ...metadata, bytes: restored }]);
  }

  #restoreValues(raw: Buffer): Buffer | undefined {
    const value = parse(raw.toString());
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const entries = Object.entries(value).map(([name, each]: [string, unknown]) => [
      name,
      typeof each === 'string' ? (this.#values.get(each) ?? each) : each,
    ]);
    return Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  }
}

const RESPONSE = 'response';
const METADATA = 'metadata';

function find(bytes: Buffer, key: string, from: number): Range | undefined {
  return scanObject(bytes, new Set([key]), decodeKey, from)?.values.get(key);
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
