import { isBatchEndpoint, type BatchEndpoint } from './batch-submission.js';
import type { UsageBounds } from '@pingtoken/shared/dearest-price';

/** The most that the lines of a batch's input can use, as they were judged when the file came. */
export interface BatchReach {
  readonly lines: number;
  /** Prompt tokens of the longest of them. */
  readonly longestInputTokens: number;
  /** Of all lines together, as are the others. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly images: number;
  readonly webSearches: number;
  /** For which the provider may do something by itself as often as it likes. */
  readonly unboundedLines: number;
}

export const NO_REACH: BatchReach = {
  lines: 0,
  longestInputTokens: 0,
  inputTokens: 0,
  outputTokens: 0,
  images: 0,
  webSearches: 0,
  unboundedLines: 0,
};

export function addLine(reach: BatchReach, line: UsageBounds, isUnbounded = false): BatchReach {
  return {
    lines: reach.lines + 1,
    longestInputTokens: Math.max(reach.longestInputTokens, line.inputTokens),
    inputTokens: reach.inputTokens + line.inputTokens,
    outputTokens: reach.outputTokens + line.outputTokens,
    images: reach.images + (line.images ?? 0),
    webSearches: reach.webSearches + (line.webSearches ?? 0),
    unboundedLines: reach.unboundedLines + (isUnbounded ? 1 : 0),
  };
}

/** What an input file is for and how far it reaches, sealed in its id: so nothing is asked when a batch is made of it. */
export function writeInputNote(endpoint: BatchEndpoint, reach: BatchReach): string {
  return `${endpoint} ${COUNTS.map((name) => reach[name]).join('.')}`;
}

/** @returns undefined where it says of no such thing */
export function readInputNote(
  note: string | undefined,
): { readonly endpoint: BatchEndpoint; readonly reach: BatchReach } | undefined {
  const [endpoint, counts = ''] = note?.split(' ', 2) ?? [];
  const numbers = /^\d{1,15}(?:\.\d{1,15})*$/.test(counts) ? counts.split('.').map(Number) : [];
  if (!isBatchEndpoint(endpoint) || numbers.length !== COUNTS.length) return undefined;
  const reach = Object.fromEntries(COUNTS.map((name, place) => [name, numbers[place]])) as unknown as BatchReach;
  return { endpoint, reach };
}

/** In this order they are written. */
const COUNTS = [
  ...(['lines', 'longestInputTokens', 'inputTokens', 'outputTokens', 'images'] as const),
  ...(['webSearches', 'unboundedLines'] as const),
] satisfies readonly (keyof BatchReach)[];
