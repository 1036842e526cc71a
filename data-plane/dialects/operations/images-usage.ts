import type { Usage } from '@pingtoken/shared/rate-card';
import { countOf, isError, listOf, memberOf } from './report.js';

/** The events that end the making of a picture. */
const LAST_EVENTS: ReadonlySet<unknown> = new Set(['image_generation.completed', 'image_edit.completed']);

/**
 * What generations, edits and variations report: tokens where the model is priced by them, those of pictures apart from
 * those of text; else the pictures of a whole answer are counted.
 * https://platform.openai.com/docs/api-reference/images/object
 * @returns undefined for an event that is not the last, and for an error
 */
export function readImagesUsage(value: unknown): Usage | undefined {
  if (isError(value)) return undefined;
  const pictures = listOf(value, 'data')?.length;
  if (pictures === undefined && !LAST_EVENTS.has(memberOf(value, 'type'))) return undefined;
  const tokens = tokensOf(memberOf(value, 'usage'));
  if (tokens !== undefined) return tokens;
  return pictures === undefined ? undefined : { image: pictures, request: 1 };
}

function tokensOf(report: unknown): Usage | undefined {
  const input = countOf(report, 'input_tokens');
  const output = countOf(report, 'output_tokens');
  if (input === undefined || output === undefined) return undefined;
  const imageInput = Math.min(countOf(memberOf(report, 'input_tokens_details'), 'image_tokens') ?? 0, input);
  // Where the answer's tokens are not told apart, all of them are pictures'.
  const made = countOf(memberOf(report, 'output_tokens_details'), 'image_tokens') ?? output;
  const imageOutput = Math.min(made, output);
  const usage: Usage = { input: input - imageInput, output: output - imageOutput, request: 1 };
  if (imageInput > 0) usage.imageInput = imageInput;
  if (imageOutput > 0) usage.imageOutput = imageOutput;
  return usage;
}
