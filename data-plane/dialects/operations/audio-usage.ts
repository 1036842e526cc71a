import type { Usage } from '@pingtoken/shared/rate-card';
import { convertOpenAiUsage } from '../openai-usage.js';
import { countOf, isError, memberOf } from './report.js';

/**
 * What the making of speech reports. Sound as it is says nothing, and is one request; only a stream of events
 * (`stream_format: sse`) ends with tokens: of the text that was read, and of the sound.
 * https://platform.openai.com/docs/api-reference/audio/speech-audio-done-event
 * @param value undefined where the answer is sound
 */
export function readSpeechUsage(value: unknown): Usage | undefined {
  if (value === undefined) return { request: 1 };
  if (memberOf(value, 'type') !== 'speech.audio.done') return undefined;
  const report = memberOf(value, 'usage');
  const input = countOf(report, 'input_tokens');
  const audioOutput = countOf(report, 'output_tokens');
  if (input === undefined || audioOutput === undefined) return { request: 1 };
  return { input, audioOutput, request: 1 };
}

/**
 * What a transcription or a translation reports: tokens, or seconds, for which the rate card has no dimension: that is one
 * request. So is an answer that is plain text or subtitles.
 * https://platform.openai.com/docs/api-reference/audio/json-object
 * @param value undefined where the answer is no JSON
 */
export function readTranscriptionUsage(value: unknown): Usage | undefined {
  if (value === undefined) return { request: 1 };
  if (isError(value)) return undefined;
  const type = memberOf(value, 'type');
  if (type !== undefined && type !== 'transcript.text.done') return undefined;
  const report = memberOf(value, 'usage');
  const tokens = convertOpenAiUsage({
    prompt_tokens: memberOf(report, 'input_tokens'),
    completion_tokens: memberOf(report, 'output_tokens'),
    prompt_tokens_details: memberOf(report, 'input_token_details'),
  });
  if (tokens !== undefined) return tokens;
  return typeof memberOf(value, 'text') === 'string' ? { request: 1 } : undefined;
}
