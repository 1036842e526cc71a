import type { Usage } from '@pingtoken/shared/rate-card';
import type { PlannedAttempt } from '../route/route.js';
import type { Prepared } from '../forward/prepared-call.js';
import {
  isEstimatedOperation,
  type DeliveredCounter,
  type PromptUsage,
  type TokenEstimator,
} from './estimate/token-estimator.js';

/** What is charged for an answer that says nothing, as far as the request alone tells it: pictures, sound, rankings. */
class AssumedCount implements DeliveredCounter {
  constructor(readonly usage: Usage) {}

  push(): void {
    // What was delivered is not what is charged.
  }

  discard(): void {
    // Nothing is held.
  }

  result(): Promise<Usage> {
    return Promise.resolve(this.usage);
  }
}

/** @returns what needs no counting, so that its call ends as one does whose provider reports */
export function knownCount(counter: DeliveredCounter): Usage | undefined {
  return counter instanceof AssumedCount ? counter.usage : undefined;
}

const ONE_REQUEST: Usage = { request: 1 };

/** Begins to count what is passed on to a caller, for the case that its provider does not say. */
export function openCounter(
  { operation, outgoing, assumedUsage }: Prepared,
  { attempt: { provider }, isStream }: { readonly attempt: PlannedAttempt; readonly isStream: boolean },
  estimator: TokenEstimator,
): DeliveredCounter {
  if (outgoing === undefined || !isEstimatedOperation(operation)) return new AssumedCount(assumedUsage ?? ONE_REQUEST);
  return estimator.open({ dialect: provider.dialect, operation, requestBody: outgoing.body, isStream });
}

/** What a report says of the prompt, zeros included; what it says of an answer that had hardly begun is no count. */
export function promptPart({ input = 0, cacheRead, cacheWrite5m, cacheWrite1h, audioInput }: Usage): PromptUsage {
  return {
    input,
    ...(cacheRead !== undefined && { cacheRead }),
    ...(cacheWrite5m !== undefined && { cacheWrite5m }),
    ...(cacheWrite1h !== undefined && { cacheWrite1h }),
    ...(audioInput !== undefined && { audioInput }),
  };
}
