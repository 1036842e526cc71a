/**
 * Integer token counts of one call, of all its choices together. `cached` and `cacheWrite` are disjoint parts of `prompt`,
 * `reasoning` is part of `completion`.
 */
export interface TokenCount {
  readonly prompt: number;
  readonly completion: number;
  readonly cached: number;
  readonly cacheWrite: number;
  readonly reasoning: number;
}

export const NO_TOKENS: TokenCount = { prompt: 0, completion: 0, cached: 0, cacheWrite: 0, reasoning: 0 };

/** What a call is counted in beside tokens. Integers. */
export interface UnitCount {
  readonly images: number;
  readonly audioSeconds: number;
  readonly searches: number;
}

export const NO_UNITS: UnitCount = { images: 0, audioSeconds: 0, searches: 0 };

/**
 * The token rule for prompts: one token for every four UTF-8 bytes, rounded up, at least 1. The bytes are those of
 * all text in all messages, directives included; roles, tools, images and audio count nothing.
 */
export function promptTokens(texts: Iterable<string>): number {
  let bytes = 0;
  for (const text of texts) bytes += Buffer.byteLength(text);
  return Math.max(1, Math.ceil(bytes / 4));
}
