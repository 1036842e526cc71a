import { randomUUID } from 'node:crypto';
import type { BatchSubmission } from '../../data-plane/resources/batch-submission.js';

/** A batch of chat completions that somebody submitted a minute ago. */
export function makeSubmission(change: Partial<BatchSubmission> = {}): BatchSubmission {
  return {
    submissionId: randomUUID(),
    tenantId: randomUUID(),
    apiKeyId: randomUUID(),
    memberId: randomUUID(),
    config: { epoch: 1, seq: 7 },
    operation: 'chat-completions',
    model: 'chat-alias',
    upstreamModel: 'vendor-model',
    targetId: randomUUID(),
    providerId: randomUUID(),
    credentialId: randomUUID(),
    admittedAt: Date.now() - 60_000,
    priceCardVersionId: randomUUID(),
    costCardVersionId: randomUUID(),
    leaseIds: [],
    ...change,
  };
}
