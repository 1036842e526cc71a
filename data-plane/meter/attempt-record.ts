import type { ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import type { Attempt } from '@pingtoken/shared/usage-event';
import type { PlannedAttempt } from '../route/route.js';

/** What an attempt has used, and who says so. */
export interface Counted {
  readonly usage: Usage;
  readonly countedBy: Attempt['countedBy'];
}

export const NOT_COUNTED: Counted = { usage: {}, countedBy: 'none' };

/** An attempt as a usage event tells it. @param status null where the provider did not answer */
export function attemptRecord(
  attempt: PlannedAttempt,
  status: number | null,
  { usage, countedBy }: Counted,
  serviceTier: ServiceTier | undefined,
): Attempt {
  const record: Attempt = {
    targetId: attempt.targetId,
    providerId: attempt.provider.id,
    credentialId: attempt.credentialId,
    upstreamModel: attempt.upstreamModel,
    status,
    usage,
    countedBy,
    costCardVersionId: attempt.costCardVersionId,
  };
  // Nearly every call is of the standard tier, which is meant where none is named.
  if (serviceTier !== undefined && serviceTier !== 'standard') record.serviceTier = serviceTier;
  return record;
}
