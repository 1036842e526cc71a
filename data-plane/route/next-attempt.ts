import type { RetryPolicy } from '@pingtoken/shared/route-policy';
import { isRetryable, type Failure } from './failure.js';

/** A call that has failed once or more, and of whose answer no byte has gone to the caller. */
export interface FailedCall {
  readonly retry: RetryPolicy;
  readonly failure: Failure;
  /** Attempts so far, hedges included. */
  readonly attempts: number;
  /** Places of the plan: those tried, in order, the one that failed now last. */
  readonly tried: readonly number[];
  /** Places that nobody has tried and that may be called now, in order. */
  readonly untried: readonly number[];
  /** In [0, 1). */
  readonly random: number;
  /** Milliseconds until the call's own deadline. */
  readonly leftMs: number;
}

export type Decision =
  | { readonly kind: 'give-up'; readonly why: 'not-retryable' | 'attempts-spent' | 'no-target-left' | 'too-long' }
  /** Subject to the route's budget, which is asked for last. */
  | { readonly kind: 'try'; readonly place: number; readonly delayMs: number };

const BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 8_000;
/** Who is told to wait longer than this is better told so than kept waiting. */
const MAX_WAIT_MS = 10_000;

/**
 * What comes after a failure. Another target at once, for it knows nothing of the first one's trouble; the same one only where
 * the route says so, after a pause: what the provider asked for, or else a random part of a bound that doubles (full jitter, so
 * that callers who failed together do not come back together).
 */
export function nextAttempt(call: FailedCall): Decision {
  const { retry, failure, attempts, tried, untried, leftMs } = call;
  if (!isRetryable(failure)) return { kind: 'give-up', why: 'not-retryable' };
  if (attempts >= retry.maxAttempts) return { kind: 'give-up', why: 'attempts-spent' };
  const [another] = untried;
  if (another !== undefined) return { kind: 'try', place: another, delayMs: 0 };
  const same = tried.at(-1);
  // A credential that is refused is refused again.
  if (same === undefined || failure.kind === 'credential-refused') return { kind: 'give-up', why: 'no-target-left' };
  const timesTried = tried.filter((place) => place === same).length;
  if (timesTried > retry.sameTargetRetries) return { kind: 'give-up', why: 'no-target-left' };
  const delayMs = pauseMs(call, timesTried);
  if (delayMs > MAX_WAIT_MS || delayMs >= leftMs) return { kind: 'give-up', why: 'too-long' };
  return { kind: 'try', place: same, delayMs };
}

function pauseMs({ failure, random }: FailedCall, timesTried: number): number {
  const bound = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** (timesTried - 1));
  // All who were told the same moment come a little after it, not all at it.
  return failure.retryAfterMs === undefined ? random * bound : failure.retryAfterMs + random * BACKOFF_MS;
}
