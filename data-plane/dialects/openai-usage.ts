import { z } from 'zod';
import type { Usage } from '@pingtoken/shared/rate-card';

const tokens = z.int().nonnegative();
/** A detail that is missing or malformed counts zero: its tokens then stay in the total that contains them. */
const detail = tokens.catch(0).default(0);

const usageSchema = z.object({
  prompt_tokens: tokens,
  completion_tokens: tokens.default(0),
  prompt_tokens_details: z.object({ cached_tokens: detail, audio_tokens: detail }).nullish().catch(undefined),
  completion_tokens_details: z.object({ reasoning_tokens: detail, audio_tokens: detail }).nullish().catch(undefined),
});

/**
 * A usage object of OpenAI's as disjoint counts: there, cached and audio tokens are part of `prompt_tokens`, reasoning and
 * audio tokens part of `completion_tokens`. The sums are kept whatever the details say.
 * https://platform.openai.com/docs/api-reference/chat/object
 * @returns undefined when the value is no usage object; an explicit zero is a report of zero
 */
export function convertOpenAiUsage(value: unknown): Usage | undefined {
  const parsed = usageSchema.safeParse(value);
  if (!parsed.success) return undefined;
  const { prompt_tokens: prompt, completion_tokens: completion } = parsed.data;
  const promptDetails = parsed.data.prompt_tokens_details;
  const completionDetails = parsed.data.completion_tokens_details;
  const cacheRead = Math.min(promptDetails?.cached_tokens ?? 0, prompt);
  const audioInput = Math.min(promptDetails?.audio_tokens ?? 0, prompt - cacheRead);
  const reasoning = Math.min(completionDetails?.reasoning_tokens ?? 0, completion);
  const audioOutput = Math.min(completionDetails?.audio_tokens ?? 0, completion - reasoning);
  return {
    input: prompt - cacheRead - audioInput,
    output: completion - reasoning - audioOutput,
    ...(cacheRead > 0 && { cacheRead }),
    ...(audioInput > 0 && { audioInput }),
    ...(reasoning > 0 && { reasoning }),
    ...(audioOutput > 0 && { audioOutput }),
    request: 1,
  };
}
