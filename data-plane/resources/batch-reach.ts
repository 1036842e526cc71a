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
}

export const NO_REACH: BatchReach = {
  lines: 0,
  longestInputTokens: 0,
  inputTokens: 0,
  outputTokens: 0,
  images: 0,
  webSearches: 0,
};

export function addLine(reach: BatchReach, line: UsageBounds): BatchReach {
  return {
    lines: reach.lines + 1,
    longestInputTokens: Math.max(reach.longestInputTokens, line.inputTokens),
    inputTokens: reach.inputTokens + line.inputTokens,
    outputTokens: reach.outputTokens + line.outputTokens,
    images: reach.images + (line.images ?? 0),
    webSearches: reach.webSearches + (line.webSearches ?? 0),
  };
}

/** What an input file is for and how far it reaches, sealed in its id: so nothing is asked when a batch is made of it. */
export function writeInputNote(endpoint: BatchEndpoint, reach: BatchReach): string {
  const { lines, longestInputTokens, inputTokens, outputTokens, images, webSearches } = reach;
  return `${endpoint} ${[lines, longestInputTokens, inputTokens, outputTokens, images, webSearches].join('.')}`;
}

/** @returns undefined where it says of no such thing */
export function readInputNote(
  note: string | undefined,
): { readonly endpoint: BatchEndpoint; readonly reach: BatchReach } | undefined {
  const [endpoint, counts = ''] = note?.split(' ', 2) ?? [];
  if (!isBatchEndpoint(endpoint) || !/^\d{1,15}(?:\.\d{1,15}){5}$/.test(counts)) return undefined;
  const [lines = 0, longestInputTokens = 0, inputTokens = 0, outputTokens = 0, images = 0, webSearches = 0] = counts
    .split('.')
    .map(Number);
  return { endpoint, reach: { lines, longestInputTokens, inputTokens, outputTokens, images, webSearches } };
}
