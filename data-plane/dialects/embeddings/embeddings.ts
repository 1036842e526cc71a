import type { Usage } from '@pingtoken/shared/rate-card';
import type { UnreadableRequest } from '../chat/chat.js';

/** A call for vectors in no vendor's terms, between the two dialects that have one. */
export interface EmbeddingsRequest {
  /** A vector is wanted for each; never empty. */
  readonly texts: readonly string[];
  readonly dimensions?: number;
  /** What the caller wants vectors to be written as; Gemini has numbers only. */
  readonly encoding: 'numbers' | 'base64';
  /** Gemini's `embedContent`: one text, and an answer in the singular. */
  readonly isSingle: boolean;
  /** Fields, in the caller's words, that the other dialect has no place for. */
  readonly unsupported: readonly string[];
}

export interface EmbeddingsAnswer {
  /** In the order of the texts. */
  readonly vectors: readonly (readonly number[])[];
  /** Undefined where the provider reported nothing. */
  readonly usage: Usage | undefined;
}

export interface EmbeddingsDialect {
  readRequest(
    body: unknown,
    path: { readonly model: string; readonly isSingle: boolean },
  ): EmbeddingsRequest | UnreadableRequest;
  /** @returns body for the provider */
  writeRequest(request: EmbeddingsRequest, upstreamModel: string): object;
  /** Behind the provider's base URL. */
  requestPath(upstreamModel: string): string;
  /** @returns undefined when the body is no answer of this vendor's, or has not a vector for each text */
  readAnswer(body: unknown, request: EmbeddingsRequest): EmbeddingsAnswer | undefined;
  /** @param model what the caller called it */
  writeAnswer(answer: EmbeddingsAnswer, request: EmbeddingsRequest, model: string): object;
}

/** A list of numbers, at least one. */
export function isVector(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'number');
}

/** The tokens of the prompt, of whichever kind, as one number. */
export function promptTokensOf({ input = 0, audioInput = 0, imageInput = 0, cacheRead = 0 }: Usage): number {
  return input + audioInput + imageInput + cacheRead;
}
