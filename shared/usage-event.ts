import { z } from 'zod';
import { FULL_SHARE } from './price-of.js';
import { serviceTierSchema, usageSchema } from './rate-card.js';
import { keyTagSchema, MAX_KEY_TAGS } from './route-policy.js';

/**
 * The upward contract: one record about one call that was admitted, written by a data plane, priced by a worker.
 * It names tenants, keys and members by pseudonymous ids only and holds no prompt and no completion.
 */

/** A caller's address, device and browser, readable only with the key owner's private key. See `sealClient`. */
export const sealedClientSchema = z.object({
  /** base64url: a 32-byte symmetric key sealed (X25519) to the member's public key. */
  key: z.string().max(200),
  /** base64url: AES-256-GCM of the JSON of {@link CallerClient}; nonce, ciphertext, tag. */
  data: z.string().max(4096),
});
export type SealedClient = z.infer<typeof sealedClientSchema>;

/** What is sealed; each at most 512 characters, empty where the caller did not say. */
export interface CallerClient {
  readonly ip: string;
  readonly device: string;
  readonly browser: string;
}

/** Who counted: the provider's own report, a local estimate, or nobody (nothing is billed then). */
export const countedBySchema = z.enum(['provider', 'estimated', 'none']);

export const attemptSchema = z.object({
  targetId: z.uuid().nullable(),
  providerId: z.uuid(),
  credentialId: z.uuid(),
  upstreamModel: z.string().max(256),
  /** HTTP status that the provider answered; null when it never did. */
  status: z.int().min(100).max(599).nullable(),
  usage: usageSchema,
  /** By which the provider served it, as its answer says; standard if absent. */
  serviceTier: serviceTierSchema.optional(),
  countedBy: countedBySchema,
  /** What the provider charges the operator; null where no cost card is kept for the target. */
  costCardVersionId: z.uuid().nullable(),
});
export type Attempt = z.infer<typeof attemptSchema>;

/** An answer that was made for another call: no provider was asked, and the operator pays nothing for it. */
export const repeatedAnswerSchema = z.object({
  /** What was billed for the call that the answer was made for. */
  usage: usageSchema,
  serviceTier: serviceTierSchema.optional(),
  countedBy: z.enum(['provider', 'estimated']),
  /** What its tenant pays of the price of that usage, in ten-thousandths. */
  priceShare: z.int().min(0).max(FULL_SHARE),
});
export type RepeatedAnswer = z.infer<typeof repeatedAnswerSchema>;

/**
 * How a call ended. `interrupted`: the process that carried it died; found when its spool was recovered. `blocked`: its
 * route's guardrail forbade it, and no provider was asked.
 */
export const outcomeSchema = z.enum([
  'completed',
  'caller-left',
  'provider-refused',
  'provider-failed',
  'timed-out',
  'interrupted',
  'blocked',
]);
export type Outcome = z.infer<typeof outcomeSchema>;

/** What a model can be asked for. `batches`: its other operations may also be asked for in a batch. */
export const OPERATIONS = [
  'chat-completions',
  'completions',
  'responses',
  'embeddings',
  'images',
  'speech',
  'transcriptions',
  'translations',
  'moderations',
  'rerank',
  'realtime',
  'batches',
] as const;
export type Operation = (typeof OPERATIONS)[number];

/**
 * What a recorded call can have been: an operation of a model, a call that was passed through, or a question how many tokens
 * a prompt has, which uses no model and costs nothing.
 */
export const RECORDED_OPERATIONS = [...OPERATIONS, 'passthrough', 'count-tokens'] as const;

export const usageEventSchema = z.object({
  version: z.literal(1),
  /** UUIDv7 minted at admission; the call's request id toward caller and provider, and the ledger's idempotency key. */
  eventId: z.uuid(),
  /** The spool that the record was written to, new at every process start. */
  spoolId: z.uuid(),
  /** Contiguous from 1 within the spool. */
  seq: z.int().positive(),
  kind: z.enum(['usage', 'interrupted']),
  tenantId: z.uuid(),
  apiKeyId: z.uuid(),
  memberId: z.uuid(),
  /** The key's when the call was admitted; absent where it had none. */
  tags: z.array(keyTagSchema).max(MAX_KEY_TAGS).optional(),
  /** The config in force when the call was admitted. */
  config: z.object({ epoch: z.int(), seq: z.int() }),
  operation: z.enum(RECORDED_OPERATIONS),
  /** The model as the caller named it, or the path of a pass-through call. */
  model: z.string().max(256),
  streamed: z.boolean(),
  /** Milliseconds since 1970. */
  admittedAt: z.int(),
  endedAt: z.int(),
  /** Milliseconds from admission to the provider's first body byte; null when none came. */
  firstByteMs: z.int().nonnegative().nullable(),
  outcome: outcomeSchema,
  /** HTTP status that the caller was given; null when the caller had left or the process died before one was. */
  status: z.int().min(100).max(599).nullable(),
  attempts: z.array(attemptSchema).max(16),
  /** Index into `attempts` of the one the tenant pays for; null when none is billed. */
  billedAttempt: z.int().nonnegative().nullable(),
  /** Set where the call was given an answer that was there already; then there are no attempts. */
  repeated: repeatedAnswerSchema.optional(),
  /** Price card version in force at admission. */
  priceCardVersionId: z.uuid(),
  leaseIds: z.array(z.uuid()).max(16),
  /** What was reserved for the call on each of its leases, in units of its currency: its tenant pays no more. */
  reserved: z
    .string()
    .regex(/^\d{1,30}$/)
    .optional(),
  client: sealedClientSchema.nullable(),
});
export type UsageEvent = z.infer<typeof usageEventSchema>;
