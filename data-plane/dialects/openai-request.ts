import { refuse, type Refusal } from '../http-error.js';
import { decodeKey, invalidField, isFlag, isModelName, MeteredKeys, readJsonBody } from './json-request.js';
import { scanObject, spliceBytes, type Range, type Splice } from './json-scanner.js';

/**
 * A request in OpenAI's dialect: the raw bytes, what the stages need to know of them, and where that stands.
 * https://platform.openai.com/docs/api-reference/chat/create
 */
export interface OpenAiRequest {
  readonly dialect: 'openai';
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

const METERED = new MeteredKeys('model', 'stream', 'stream_options');
const USAGE_KEYS: ReadonlySet<string> = new Set(['include_usage']);

/** By hand, for this is on the way of every call, and all but these three fields is the provider's to judge. */
export function readOpenAiRequest(bytes: Buffer): OpenAiRequest | Refusal {
  const body = readJsonBody(bytes, METERED);
  if ('refused' in body) return body;
  const { fields, scan } = body;
  const { model, stream, stream_options: streamOptions } = fields;
  const modelRange = scan.values.get('model');
  if (!isModelName(model) || modelRange === undefined) return invalidField('model');
  if (!isFlag(stream)) return invalidField('stream');
  const place = locateStreamOptions(bytes, streamOptions, scan.values.get('stream_options'));
  if ('refused' in place) return place;
  return {
    dialect: 'openai',
    bytes,
    model,
    streamed: stream === true,
    asksForUsage: place.kind === 'object' && place.asksForUsage,
    places: { bodyStart: scan.bodyStart, model: modelRange, streamOptions: place },
  };
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
