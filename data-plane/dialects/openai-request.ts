import { isUtf8 } from 'node:buffer';
import { parseJson } from '@pingtoken/shared/wire';
import { refuse, type Refusal } from '../http-error.js';
import { scanObject, spliceBytes, type ObjectScan, type Range, type Splice } from './json-scanner.js';

/**
 * A request in OpenAI's dialect: the raw bytes, what the stages need to know of them, and where that stands.
 * https://platform.openai.com/docs/api-reference/chat/create
 */
export interface OpenAiRequest {
  readonly bytes: Buffer;
  /** The alias that the caller named. */
  readonly model: string;
  readonly streamed: boolean;
  /** The caller wants to see the usage at the end of its stream. */
  readonly asksForUsage: boolean;
  readonly places: Places;
}

interface Places {
  /** Just behind the opening brace. */
  readonly bodyStart: number;
  readonly model: Range;
  readonly streamOptions: StreamOptionsPlace;
}

type StreamOptionsPlace =
  | { readonly kind: 'absent' }
  | { readonly kind: 'null'; readonly range: Range }
  | {
      readonly kind: 'object';
      readonly asksForUsage: boolean;
      readonly bodyStart: number;
      readonly isEmpty: boolean;
      readonly includeUsage: Range | undefined;
    };

/** Fields that decide what is called and what is metered. */
const METERED_KEYS: ReadonlySet<string> = new Set(['model', 'stream', 'stream_options']);
const METERED_LENGTHS: ReadonlySet<number> = new Set([...METERED_KEYS].map((key) => key.length));
const USAGE_KEYS: ReadonlySet<string> = new Set(['include_usage']);
const MAX_MODEL_CHARACTERS = 256;

/** Reads a request body: parsed once, and kept as it is. */
export function readOpenAiRequest(bytes: Buffer): OpenAiRequest | Refusal {
  if (!isUtf8(bytes)) return refuse('malformed_json', null, 'The request body is not valid UTF-8.');
  const scan = scanObject(bytes, METERED_KEYS, decodeKey);
  if (scan === undefined) return refuse('malformed_json', null, 'The request body is not a JSON object we can read.');
  const fields = parseObject(bytes);
  if (fields === undefined) return refuse('malformed_json');
  const fault = checkKeys(Object.keys(fields), scan.count);
  return fault ?? readFields(bytes, fields, scan);
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    // The scan found an object, so whatever parses is one.
    return parseJson(bytes.toString()) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
}

function decodeKey(rawKey: Buffer): string {
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
function checkKeys(keys: readonly string[], memberCount: number): Refusal | undefined {
  if (keys.length !== memberCount) return refuse('duplicate_field');
  for (const key of keys) {
    if (METERED_KEYS.has(key) || !METERED_LENGTHS.has(key.length)) continue;
    const folded = key.toUpperCase().toLowerCase();
    if (METERED_KEYS.has(folded))
      return refuse('duplicate_field', folded, `Spell the field "${folded}" in lower case.`);
  }
  return undefined;
}

/** By hand, for this is on the way of every call, and all but these three fields is the provider's to judge. */
function readFields(
  bytes: Buffer,
  fields: Readonly<Record<string, unknown>>,
  scan: ObjectScan,
): OpenAiRequest | Refusal {
  const { model, stream, stream_options: streamOptions } = fields;
  const modelRange = scan.values.get('model');
  if (typeof model !== 'string' || model === '' || model.length > MAX_MODEL_CHARACTERS || modelRange === undefined) {
    return invalidField('model');
  }
  // A value that only the provider would read as true, "true" or 1 say, must not give an unmetered stream.
  if (!isFlag(stream)) return invalidField('stream');
  const place = locateStreamOptions(bytes, streamOptions, scan.values.get('stream_options'));
  if ('refused' in place) return place;
  return {
    bytes,
    model,
    streamed: stream === true,
    asksForUsage: place.kind === 'object' && place.asksForUsage,
    places: { bodyStart: scan.bodyStart, model: modelRange, streamOptions: place },
  };
}

function isFlag(value: unknown): value is boolean | null | undefined {
  return value === undefined || value === null || typeof value === 'boolean';
}

function invalidField(field: string): Refusal {
  return refuse('invalid_request', field, `The field "${field}" is missing or not valid.`);
}

function locateStreamOptions(bytes: Buffer, value: unknown, range: Range | undefined): StreamOptionsPlace | Refusal {
  if (range === undefined) return { kind: 'absent' };
  if (value === null || value === undefined) return { kind: 'null', range };
  const scan = scanObject(bytes, USAGE_KEYS, decodeKey, range.start);
  if (scan === undefined || typeof value !== 'object') return invalidField('stream_options');
  const asked = 'include_usage' in value ? value.include_usage : undefined;
  if (!isFlag(asked)) return invalidField('stream_options');
  if (scan.count !== Object.keys(value).length) return refuse('duplicate_field', 'stream_options');
  return {
    kind: 'object',
    asksForUsage: asked === true,
    bodyStart: scan.bodyStart,
    isEmpty: scan.count === 0,
    includeUsage: scan.values.get('include_usage'),
  };
}

/**
 * The bytes for the provider: the model's name there, and for a stream the demand to report its usage. Every other byte is
 * the caller's own.
 */
export function editOpenAiRequest(request: OpenAiRequest, upstreamModel: string): Buffer {
  const splices: Splice[] = [];
  if (upstreamModel !== request.model) {
    splices.push({ ...request.places.model, bytes: Buffer.from(JSON.stringify(upstreamModel)) });
  }
  if (request.streamed && !request.asksForUsage) splices.push(usageSplice(request.places));
  splices.sort((one, other) => one.start - other.start);
  return spliceBytes(request.bytes, splices);
}

const INCLUDE_USAGE = Buffer.from('"include_usage":true');
const INCLUDE_USAGE_FIRST = Buffer.from('"include_usage":true,');
const STREAM_OPTIONS_FIRST = Buffer.from('"stream_options":{"include_usage":true},');
const STREAM_OPTIONS_VALUE = Buffer.from('{"include_usage":true}');
const TRUE = Buffer.from('true');

function usageSplice({ bodyStart, streamOptions }: Places): Splice {
  switch (streamOptions.kind) {
    case 'absent':
      return { start: bodyStart, end: bodyStart, bytes: STREAM_OPTIONS_FIRST };
    case 'null':
      return { ...streamOptions.range, bytes: STREAM_OPTIONS_VALUE };
    case 'object': {
      if (streamOptions.includeUsage !== undefined) return { ...streamOptions.includeUsage, bytes: TRUE };
      const start = streamOptions.bodyStart;
      return { start, end: start, bytes: streamOptions.isEmpty ? INCLUDE_USAGE : INCLUDE_USAGE_FIRST };
    }
  }
}
