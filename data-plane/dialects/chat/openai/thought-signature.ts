import { isObject } from '../json.js';

/**
 * Gemini signs tool calls, and wants the signature back with them. Its own OpenAI-compatible endpoint carries it like this.
 * https://ai.google.dev/gemini-api/docs/thought-signatures
 */
export function readThoughtSignature(extraContent: unknown): string | undefined {
  if (!isObject(extraContent) || !isObject(extraContent['google'])) return undefined;
  const signature = extraContent['google']['thought_signature'];
  return typeof signature === 'string' && signature !== '' ? signature : undefined;
}

export function writeThoughtSignature(signature: string | undefined): Readonly<Record<string, unknown>> {
  return signature === undefined ? {} : { extra_content: { google: { thought_signature: signature } } };
}
