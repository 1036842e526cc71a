import type { Answer, AnswerHead, Recipient } from './answer.js';
import { RefusedAnswer } from './refused-answer.js';
import { RelayedBody, RelayedStream } from './relayed-answer.js';
import { TranslatedBody, TranslatedStream } from './translated-answer.js';

/**
 * Begins to take an answer whose head has come: as it is where caller and provider speak alike, else translated.
 * @returns a sentence for our log where the answer cannot be used
 */
export function takeAnswer(recipient: Recipient, head: AnswerHead): Answer | string {
  const { status, headers, isStream } = head;
  const { task, outgoing } = recipient.meter.routed;
  if (status >= 400) return new RefusedAnswer(recipient, head);
  // A redirect is never followed: it could lead our credential, and the tenant's text, to another host.
  if (status < 200 || status >= 300) return `the provider answered with status ${status}`;
  if (task.kind === 'metered' && (headers['content-encoding'] ?? 'identity') !== 'identity') {
    // Asked for plain bytes. Compressed ones cannot be metered, and what cannot be metered is not relayed.
    return 'the provider compressed its answer';
  }
  const translation = outgoing?.translation;
  if (translation === undefined) {
    return isStream ? new RelayedStream(recipient, head) : new RelayedBody(recipient, head);
  }
  if (!isStream) return new TranslatedBody(recipient, head, translation);
  if ('convertAnswer' in translation) return 'the provider streams what is never streamed';
  return new TranslatedStream(recipient, head, translation);
}
