import { z } from 'zod';
import { OPERATIONS } from '@pingtoken/shared/usage-event';

/**
 * Who submitted a batch and at which prices: all that its lines are billed by when it is over, whatever has become of key,
 * model and prices by then. Holds no secret and no word of the batch.
 */
export const batchSubmissionSchema = z.object({
  /** Request id of the call that submitted it, UUIDv7. */
  submissionId: z.uuid(),
  tenantId: z.uuid(),
  apiKeyId: z.uuid(),
  memberId: z.uuid(),
  config: z.object({ epoch: z.int(), seq: z.int() }),
  /** Of each of its lines. */
  operation: z.enum(OPERATIONS),
  /** The alias that its lines name. */
  model: z.string().max(256),
  upstreamModel: z.string().max(256),
  targetId: z.uuid().nullable(),
  providerId: z.uuid(),
  credentialId: z.uuid(),
  /** Milliseconds since 1970; chooses the price versions. */
  admittedAt: z.int(),
  priceCardVersionId: z.uuid(),
  costCardVersionId: z.uuid().nullable(),
  /** Leases that its lines draw on; none where it was submitted without, or what was held has gone back. */
  leaseIds: z.array(z.uuid()).max(16).default([]),
});
export type BatchSubmission = z.infer<typeof batchSubmissionSchema>;

/**
 * What a batch may ask for, by the path that its lines and its `endpoint` name.
 * https://platform.openai.com/docs/api-reference/batch/create
 */
export const BATCH_OPERATIONS = {
  '/v1/chat/completions': 'chat-completions',
  '/v1/completions': 'completions',
  '/v1/embeddings': 'embeddings',
  '/v1/responses': 'responses',
  '/v1/moderations': 'moderations',
  '/v1/images/generations': 'images',
} as const;
export type BatchEndpoint = keyof typeof BATCH_OPERATIONS;

export function isBatchEndpoint(value: unknown): value is BatchEndpoint {
  return typeof value === 'string' && Object.hasOwn(BATCH_OPERATIONS, value);
}
