import type { Refusal } from '../http-error.js';
import { invalidField, isFlag, isModelName, MeteredKeys, readJsonBody } from './json-request.js';
import { spliceBytes, type Range } from './json-scanner.js';

/** A request to the Messages API: the raw bytes and what the stages need to know of them. */
export interface AnthropicRequest {
  readonly dialect: 'anthropic';
  readonly bytes: Buffer;
  readonly model: string;
  readonly streamed: boolean;
  readonly modelPlace: Range;
}

const METERED = new MeteredKeys('model', 'stream');

/** https://platform.claude.com/docs/en/api/messages */
export function readAnthropicBody(bytes: Buffer): AnthropicRequest | Refusal {
  const body = readJsonBody(bytes, METERED);
  if ('refused' in body) return body;
  const { model, stream } = body.fields;
  const modelPlace = body.scan.values.get('model');
  if (!isModelName(model) || modelPlace === undefined) return invalidField('model');
  if (!isFlag(stream)) return invalidField('stream');
  return { dialect: 'anthropic', bytes, model, streamed: stream === true, modelPlace };
}

/** The bytes for a provider of the same dialect: every one but the model's name is the caller's own. */
export function editAnthropicRequest(request: AnthropicRequest, upstreamModel: string): Buffer {
  if (upstreamModel === request.model) return request.bytes;
  return spliceBytes(request.bytes, [{ ...request.modelPlace, bytes: Buffer.from(JSON.stringify(upstreamModel)) }]);
}
