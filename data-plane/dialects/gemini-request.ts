import type { Refusal } from '../http-error.js';
import { MeteredKeys, readJsonBody } from './json-request.js';

/** A request for content: what is called stands in the path, so that no byte of the body is ever changed. */
export interface GeminiRequest {
  readonly dialect: 'gemini';
  readonly bytes: Buffer;
  readonly model: string;
  readonly streamed: boolean;
}

/** Google reads a field in both spellings, so neither may stand beside the other. */
const METERED = new MeteredKeys('model');

/** https://ai.google.dev/api/generate-content */
export function readGeminiBody(
  bytes: Buffer,
  { model, streamed }: { readonly model: string; readonly streamed: boolean },
): GeminiRequest | Refusal {
  const body = readJsonBody(bytes, METERED);
  return 'refused' in body ? body : { dialect: 'gemini', bytes, model, streamed };
}
