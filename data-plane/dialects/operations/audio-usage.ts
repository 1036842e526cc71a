import type { Usage } from '@pingtoken/shared/rate-card';
import { convertOpenAiUsage } from '../openai-usage.js';
import { countOf, isError, memberOf } from './report.js';

/**
 * What the making of speech reports. Sound as it is says nothing; only a stream of events (`stream_format: sse`) ends with
 * tokens: of the text that was read, and of the sound.
 * https://platform.openai.com/docs/api-reference/audio/speech-audio-done-event
 */
export function readSpeechUsage(value: unknown): Usage | undefined {
  if (memberOf(value, 'type') !== 'speech.audio.done') return undefined;
  const report = memberOf(value, 'usage');
  const input = countOf(report, 'input_tokens');
  const audioOutput = countOf(report, 'output_tokens');
  if (input === undefined || audioOutput === undefined) return undefined;
  return { input, audioOutput, request: 1 };
}

/**
 * What a transcription or a translation reports: tokens, or the length of the sound, as `usage` or beside the text of a
 * verbose answer. Plain text and subtitles say nothing.
 * https://platform.openai.com/docs/api-reference/audio/json-object,
 * https://platform.openai.com/docs/api-reference/audio/verbose-json-object
 */
export function readTranscriptionUsage(value: unknown): Usage | undefined {
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
  const audioSeconds = secondsOf(memberOf(report, 'seconds')) ?? secondsOf(memberOf(value, 'duration'));
  return audioSeconds === undefined ? undefined : { audioSeconds, request: 1 };
}

/** A second that was begun counts whole. Older answers give the duration as a text. */
function secondsOf(value: unknown): number | undefined {
  const seconds = typeof value === 'string' && value !== '' ? Number(value) : value;
  if (typeof seconds !== 'number' || !(seconds >= 0)) return undefined;
  const whole = Math.ceil(seconds);
  return Number.isSafeInteger(whole) ? whole : undefined;
}
