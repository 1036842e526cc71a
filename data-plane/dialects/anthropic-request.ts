import type { Refusal } from '../http-error.js';
import { ANSWER_CAP_FIELDS } from './answer-cap.js';
import { END_USER_FIELDS, endUserPlaces, endUserSplices, type EndUserSetting } from './end-user.js';
import { invalidField, isFlag, isModelName, MeteredKeys, readJsonBody } from './json-request.js';
import { spliceBytes, type Range, type Splice } from './json-scanner.js';

/** A request to the Messages API: the raw bytes and what the stages need to know of them. */
export interface AnthropicRequest {
  readonly dialect: 'anthropic';
  readonly bytes: Buffer;
  readonly model: string;
  readonly streamed: boolean;
  readonly modelPlace: Range;
  readonly endUserPlaces: ReadonlyMap<string, Range> | undefined;
}

const METERED = new MeteredKeys('model', 'stream', ...ANSWER_CAP_FIELDS.anthropic, ...END_USER_FIELDS.anthropic);

/** https://platform.claude.com/docs/en/api/messages */
export function readAnthropicBody(bytes: Buffer): AnthropicRequest | Refusal {
  const body = readJsonBody(bytes, METERED);
  if ('refused' in body) return body;
  const { model, stream } = body.fields;
  const modelPlace = body.scan.values.get('model');
  if (!isModelName(model) || modelPlace === undefined) return invalidField('model');
  if (!isFlag(stream)) return invalidField('stream');
  const places = endUserPlaces('anthropic', body.scan.values);
  return { dialect: 'anthropic', bytes, model, streamed: stream === true, modelPlace, endUserPlaces: places };
}

/** The bytes for a provider of the same dialect: all but the model's name and the end user are the caller's own. */
export function editAnthropicRequest(
  request: AnthropicRequest,
  upstreamModel: string,
  setting: EndUserSetting,
): Buffer {
  const { bytes, modelPlace, endUserPlaces: values } = request;
  const splices: Splice[] = [];
  if (upstreamModel !== request.model) {
    splices.push({ ...modelPlace, bytes: Buffer.from(JSON.stringify(upstreamModel)) });
  }
  if (values !== undefined) splices.push(...endUserSplices({ dialect: 'anthropic', bytes, values, setting }));
  splices.sort((one, other) => one.start - other.start);
  return spliceBytes(bytes, splices);
}
