import type { Usage } from '@pingtoken/shared/rate-card';
import { refuse, type Refusal } from '../http-error.js';
import { ANSWER_CAP_FIELDS } from './answer-cap.js';
import { END_USER_FIELDS, endUserPlaces, endUserSplices, type EndUserSetting } from './end-user.js';
import { decodeKey, invalidField, isFlag, isModelName, MeteredKeys, readJsonBody } from './json-request.js';
import { scanObject, spliceBytes, type Range, type Splice } from './json-scanner.js';
import { assumedUsage } from './operations/assumed-usage.js';
import type { ReportingOperation } from './operations/read-usage.js';

/**
 * A request in OpenAI's dialect: the raw bytes, what the stages need to know of them, and where that stands.
 * https://platform.openai.com/docs/api-reference
 */
export interface OpenAiRequest {
  readonly dialect: 'openai';
  readonly bodyKind: 'json';
  readonly bytes: Buffer;
  /** The alias that the caller named. */
  readonly model: string;
  readonly streamed: boolean;
  /** It is to be gone on with when its caller has left, and asked for later. */
  readonly inBackground: boolean;
  /** The usage at the end of a stream is for the caller to see: it asked for it, or this operation always has it. */
  readonly asksForUsage: boolean;
  /** What is charged where the answer reports nothing; see {@link assumedUsage}. */
  readonly assumedUsage: Usage | undefined;
  readonly places: Places;
}

interface Places {
  /** Just behind the opening brace. */
  readonly bodyStart: number;
  readonly model: Range;
  readonly streamOptions: StreamOptionsPlace;
  /** Of what is said of the end user. */
  readonly endUser: ReadonlyMap<string, Range> | undefined;
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

/** What else than the model and the stream decides what is metered. */
const METERED: Readonly<Record<ReportingOperation, MeteredKeys>> = {
  'chat-completions': meteredKeys('stream_options', ...ANSWER_CAP_FIELDS['chat-completions']),
  completions: meteredKeys('stream_options', ...ANSWER_CAP_FIELDS.completions),
  embeddings: meteredKeys(),
  responses: meteredKeys('background', ...ANSWER_CAP_FIELDS.responses),
  images: meteredKeys('n'),
  speech: meteredKeys('input', 'stream_format'),
  transcriptions: meteredKeys(),
  translations: meteredKeys(),
  moderations: meteredKeys(),
  rerank: meteredKeys(),
};
const USAGE_KEYS: ReadonlySet<string> = new Set(['include_usage']);

function meteredKeys(...names: readonly string[]): MeteredKeys {
  return new MeteredKeys('model', 'stream', ...names, ...END_USER_FIELDS.openai);
}

/** By hand, for this is on the way of every call, and all but these few fields is the provider's to judge. */
export function readOpenAiRequest(bytes: Buffer, operation: ReportingOperation): OpenAiRequest | Refusal {
  const body = readJsonBody(bytes, METERED[operation]);
  if ('refused' in body) return body;
  const { fields, scan } = body;
  const { model, stream } = fields;
  const modelRange = scan.values.get('model');
  if (!isModelName(model) || modelRange === undefined) return invalidField('model');
  if (!isFlag(stream)) return invalidField('stream');
  const { background } = fields;
  if (!isFlag(background)) return invalidField('background');
  const hasUsageOption = operation === 'chat-completions' || operation === 'completions';
  const range = hasUsageOption ? scan.values.get('stream_options') : undefined;
  const place = locateStreamOptions(bytes, fields['stream_options'], range);
  if ('refused' in place) return place;
  return {
    dialect: 'openai',
    bodyKind: 'json',
    bytes,
    model,
    streamed: stream === true || (operation === 'speech' && fields['stream_format'] === 'sse'),
    inBackground: background === true,
    asksForUsage: !hasUsageOption || (place.kind === 'object' && place.asksForUsage),
    assumedUsage: assumedUsage(operation, fields),
    places: {
      bodyStart: scan.bodyStart,
      model: modelRange,
      streamOptions: place,
      endUser: endUserPlaces('openai', scan.values),
    },
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
 * The bytes for the provider: the model's name there, a pseudonym of the end user or none, and for a stream the demand to
 * report its usage. Every other byte is the caller's own.
 */
export function editOpenAiRequest(request: OpenAiRequest, upstreamModel: string, setting: EndUserSetting): Buffer {
  const { bytes, places } = request;
  const splices: Splice[] = [];
  if (request.streamed && !request.asksForUsage) splices.push(usageSplice(places));
  if (upstreamModel !== request.model) {
    splices.push({ ...places.model, bytes: Buffer.from(JSON.stringify(upstreamModel)) });
  }
  if (places.endUser !== undefined) {
    splices.push(...endUserSplices({ dialect: 'openai', bytes, values: places.endUser, setting }));
  }
  // Stable: what is inserted at the beginning of the object stays before a member that is taken away there.
  splices.sort((one, other) => one.start - other.start);
  return spliceBytes(bytes, splices);
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
