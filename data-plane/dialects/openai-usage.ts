import type { Usage } from '@pingtoken/shared/rate-card';

/**
 * A usage object of OpenAI's as disjoint counts: there, cached and audio tokens are part of `prompt_tokens`, reasoning and
 * audio tokens part of `completion_tokens`. The sums are kept whatever the details say.
 * https://platform.openai.com/docs/api-reference/chat/object
 *
 * What was written to a cache is dearer from GPT-5.6 on, and has one price there; where a card has none for it, it costs what
 * other input does. https://platform.openai.com/docs/guides/prompt-caching
 * @returns undefined when the value is no usage object; an explicit zero is a report of zero
 */
export function convertOpenAiUsage(value: unknown): Usage | undefined {
  const prompt = countOf(value, 'prompt_tokens');
  // Embeddings have no completion; one that is not a count says that this is no report.
  const completion = has(value, 'completion_tokens') ? countOf(value, 'completion_tokens') : 0;
  if (prompt === undefined || completion === undefined) return undefined;
  const promptDetails = member(value, 'prompt_tokens_details');
  const completionDetails = member(value, 'completion_tokens_details');
  const cacheRead = Math.min(countOf(promptDetails, 'cached_tokens') ?? 0, prompt);
  const audioInput = Math.min(countOf(promptDetails, 'audio_tokens') ?? 0, prompt - cacheRead);
  const cacheWrite = Math.min(countOf(promptDetails, 'cache_write_tokens') ?? 0, prompt - cacheRead - audioInput);
  const besides = reasoningBesides(value, prompt + completion, completionDetails);
  const reasoning = besides ?? Math.min(countOf(completionDetails, 'reasoning_tokens') ?? 0, completion);
  const answer = besides === undefined ? completion - reasoning : completion;
  const audioOutput = Math.min(countOf(completionDetails, 'audio_tokens') ?? 0, answer);
  const usage: Usage = {
    input: prompt - cacheRead - audioInput - cacheWrite,
    output: answer - audioOutput,
    request: 1,
  };
  if (cacheRead > 0) usage.cacheRead = cacheRead;
  if (cacheWrite > 0) usage.cacheWrite5m = cacheWrite;
  if (audioInput > 0) usage.audioInput = audioInput;
  if (reasoning > 0) usage.reasoning = reasoning;
  if (audioOutput > 0) usage.audioOutput = audioOutput;
  return usage;
}

/**
 * xAI counts reasoning beside `completion_tokens` and not in it, which only the total shows: it is the sum of all three.
 */
function reasoningBesides(value: unknown, sum: number, completionDetails: unknown): number | undefined {
  const reasoning = countOf(completionDetails, 'reasoning_tokens') ?? 0;
  return reasoning > 0 && countOf(value, 'total_tokens') === sum + reasoning ? reasoning : undefined;
}

/** By hand, for every call has one: a detail that is missing or malformed stays in the total that contains it. */
function countOf(value: unknown, name: string): number | undefined {
  const count = member(value, name);
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : undefined;
}

function member(value: unknown, name: string): unknown {
  return has(value, name) ? value[name] : undefined;
}

function has(value: unknown, name: string): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && name in value;
}
