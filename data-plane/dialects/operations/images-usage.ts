import type { Usage } from '@pingtoken/shared/rate-card';
import { countOf, isError, listOf, memberOf } from './report.js';

/** The events that end the making of a picture. */
const LAST_EVENTS: ReadonlySet<unknown> = new Set(['image_generation.completed', 'image_edit.completed']);

/**
 * What generations, edits and variations report: tokens where the model is priced by them; else the pictures are counted.
 * A picture's tokens, read or made, are among those of the text, for the rate card has no dimension of their own for them.
 * https://platform.openai.com/docs/api-reference/images/object
 * @returns undefined for an event that is not the last, and for an error
 */
export function readImagesUsage(value: unknown): Usage | undefined {
  if (isError(value)) return undefined;
  const isLastEvent = LAST_EVENTS.has(memberOf(value, 'type'));
  const pictures = isLastEvent ? 1 : listOf(value, 'data')?.length;
  if (pictures === undefined) return undefined;
  const report = memberOf(value, 'usage');
  const input = countOf(report, 'input_tokens');
  const output = countOf(report, 'output_tokens');
  if (input === undefined || output === undefined) return { image: pictures, request: 1 };
  return { input, output, request: 1 };
}
