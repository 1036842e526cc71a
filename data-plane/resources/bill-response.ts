import { readServiceTier } from '../dialects/service-tier.js';
import { readUsage } from '../dialects/operations/read-usage.js';
import type { EndRecord } from '../meter/spool.js';
import type { BatchSubmission } from './batch-submission.js';
import { eventIdOf, factsOf } from './bill-batch.js';
import type { Json } from './show-things.js';

/** https://platform.openai.com/docs/api-reference/responses/object#responses/object-status */
const OVER: ReadonlySet<unknown> = new Set(['completed', 'incomplete', 'failed', 'cancelled']);

export function isResponseOver({ status }: Json): boolean {
  return OVER.has(status);
}

/** In milliseconds since 1970, of what its provider says in seconds. */
function instantOf(seconds: unknown): number | undefined {
  return typeof seconds === 'number' && Number.isSafeInteger(seconds * 1000) && seconds > 0
    ? seconds * 1000
    : undefined;
}

/** One that does not say when it was over is taken to have lasted so long. */
const LONGEST_MS = 3_600_000;

export function hasBeenOverFor({ completed_at: end, created_at: start }: Json, forMs: number): boolean {
  const endedAt = instantOf(end) ?? (instantOf(start) ?? Date.now()) + LONGEST_MS;
  return Date.now() - endedAt > forMs;
}

/**
 * The usage event of a response that was made in the background and is over. Its id follows from the response, so that whoever
 * writes it, and however often, it is booked once. One that has failed costs nothing, as any answer that is an error.
 */
export function responseRecordOf(submission: BatchSubmission, rawResponseId: string, response: Json): EndRecord {
  const { targetId, providerId, credentialId, upstreamModel, costCardVersionId, admittedAt } = submission;
  const usage = response['status'] === 'failed' ? undefined : readUsage('responses', response);
  const serviceTier = readServiceTier(response);
  const attempt = { targetId, providerId, credentialId, upstreamModel, status: 200, costCardVersionId } as const;
  return {
    facts: factsOf(submission),
    eventId: eventIdOf({ submission, rawBatchId: rawResponseId, endedAt: 0 }, ''),
    streamed: false,
    admittedAt,
    endedAt: Math.max(instantOf(response['completed_at']) ?? Date.now(), admittedAt),
    firstByteMs: null,
    outcome: response['status'] === 'failed' ? 'provider-failed' : 'completed',
    status: 200,
    attempts: [
      {
        ...attempt,
        usage: usage ?? {},
        ...(serviceTier !== undefined && { serviceTier }),
        countedBy: usage === undefined ? 'none' : 'provider',
      },
    ],
    billedAttempt: usage === undefined ? null : 0,
  };
}
