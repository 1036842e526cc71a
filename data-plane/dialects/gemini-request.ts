import type { Refusal } from '../http-error.js';
import { END_USER_FIELDS, endUserPlaces, endUserSplices, type EndUserSetting } from './end-user.js';
import { MeteredKeys, readJsonBody } from './json-request.js';
import { spliceBytes, type Range } from './json-scanner.js';

/** A request for content: what is called stands in the path. */
export interface GeminiRequest {
  readonly dialect: 'gemini';
  readonly bytes: Buffer;
  readonly model: string;
  readonly streamed: boolean;
  readonly endUserPlaces: ReadonlyMap<string, Range> | undefined;
}

/** Google reads a field in both spellings, so neither may stand beside the other. */
const METERED = new MeteredKeys('model', ...END_USER_FIELDS.gemini);

/** https://ai.google.dev/api/generate-content */
export function readGeminiBody(
  bytes: Buffer,
  { model, streamed }: { readonly model: string; readonly streamed: boolean },
): GeminiRequest | Refusal {
  const body = readJsonBody(bytes, METERED);
  if ('refused' in body) return body;
  return { dialect: 'gemini', bytes, model, streamed, endUserPlaces: endUserPlaces('gemini', body.scan.values) };
}

/** The bytes for a provider of the same dialect: all but the labels are the caller's own. */
export function editGeminiRequest({ bytes, endUserPlaces: values }: GeminiRequest, setting: EndUserSetting): Buffer {
  return values === undefined
    ? bytes
    : spliceBytes(bytes, endUserSplices({ dialect: 'gemini', bytes, values, setting }));
}
