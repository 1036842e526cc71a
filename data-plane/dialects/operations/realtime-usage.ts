import type { Usage } from '@pingtoken/shared/rate-card';
import { countOf, memberOf } from './report.js';

/**
 * What a response of a session reports: text, sound and pictures, heard and made. Tokens that were read from the cache are
 * one dimension, of whatever kind they are; which kind is told for most models, and is taken as text where it is not.
 * https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
 * @param response of the event
 * @returns undefined where it reports nothing
 */
export function readRealtimeUsage(response: unknown): Usage | undefined {
  const report = memberOf(response, 'usage');
  const prompt = countOf(report, 'input_tokens');
  const answer = countOf(report, 'output_tokens');
  if (prompt === undefined || answer === undefined) return undefined;
  const heard = memberOf(report, 'input_token_details');
  const cached = memberOf(heard, 'cached_tokens_details');
  const cacheRead = Math.min(countOf(heard, 'cached_tokens') ?? 0, prompt);
  const uncached = (kind: string, left: number): number =>
    Math.min(Math.max((countOf(heard, kind) ?? 0) - (countOf(cached, kind) ?? 0), 0), left);
  const audioInput = uncached('audio_tokens', prompt - cacheRead);
  const imageInput = uncached('image_tokens', prompt - cacheRead - audioInput);
  const audioOutput = Math.min(countOf(memberOf(report, 'output_token_details'), 'audio_tokens') ?? 0, answer);
  const usage: Usage = {
    input: prompt - cacheRead - audioInput - imageInput,
    output: answer - audioOutput,
    request: 1,
  };
  if (cacheRead > 0) usage.cacheRead = cacheRead;
  if (audioInput > 0) usage.audioInput = audioInput;
  if (imageInput > 0) usage.imageInput = imageInput;
  if (audioOutput > 0) usage.audioOutput = audioOutput;
  return usage;
}
