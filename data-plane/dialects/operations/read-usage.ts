import type { Usage } from '@pingtoken/shared/rate-card';
import { convertOpenAiUsage } from '../openai-usage.js';
import { readSpeechUsage, readTranscriptionUsage } from './audio-usage.js';
import { readImagesUsage } from './images-usage.js';
import { isError, memberOf } from './report.js';
import { readRerankUsage } from './rerank-usage.js';
import { readResponsesUsage } from './responses-usage.js';

/** Operations of OpenAI's dialect, each with its own way to report what it used. */
export type ReportingOperation =
  | 'chat-completions'
  | 'completions'
  | 'embeddings'
  | 'responses'
  | 'images'
  | 'speech'
  | 'transcriptions'
  | 'translations'
  | 'moderations'
  | 'rerank';

/**
 * @param value an answer's body or one event of its stream, as parsed
 * @returns what the answer reports as disjoint counts, undefined where it reports nothing. A later report of a stream
 *   replaces an earlier one, for they are running totals.
 */
export function readUsage(operation: ReportingOperation, value: unknown): Usage | undefined {
  switch (operation) {
    case 'chat-completions':
    case 'completions':
    case 'embeddings':
      return convertOpenAiUsage(memberOf(value, 'usage'));
    case 'responses':
      return readResponsesUsage(value);
    case 'images':
      return readImagesUsage(value);
    case 'speech':
      return readSpeechUsage(value);
    case 'transcriptions':
    case 'translations':
      return readTranscriptionUsage(value);
    case 'moderations':
      // OpenAI's are free and report nothing; others count tokens.
      return isError(value) ? undefined : convertOpenAiUsage(memberOf(value, 'usage'));
    case 'rerank':
      return readRerankUsage(value);
  }
}
