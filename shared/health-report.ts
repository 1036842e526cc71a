import { z } from 'zod';

/**
 * The upward contract beside usage: what a data plane knows of the providers' accounts and targets that it calls, `POST`
 * {@link CONFIG_LINK}.health. Each report is all of it and takes the place of the one before; it is sent when something changes
 * and every {@link HEALTH_REPORT_INTERVAL_MS} besides, so that silence tells that nobody is there. Ids, names of models,
 * numbers and durations only: durations, for the clocks of two machines differ.
 */
export const HEALTH_REPORT_INTERVAL_MS = 15_000;

/** Entries of each kind at most; what is blocked goes first. */
export const MAX_REPORTED = 1_000;

/** Models of longer names are not told of. */
export const MAX_MODEL_LENGTH = 256;

/** Longer is told as this. */
export const MAX_REPORTED_MS = 365 * 86_400_000;

const id = z.uuid();
const count = z.int().nonnegative();
const durationMs = z.int().min(0).max(MAX_REPORTED_MS);

/** A credential that its provider refuses. */
const parkedCredentialSchema = z.strictObject({
  credentialId: id,
  /** Of the config object that was refused: what is said of an older one is of no interest any more. */
  credentialSeq: z.int().positive(),
  /** The provider's. */
  status: z.int().min(100).max(599).nullable(),
  parkedForMs: durationMs,
  /** Until it is tried again with one call; 0 where it may be now. */
  blockedForMs: durationMs,
});

/** A model that is not to be called with a credential for a while. */
const coolDownSchema = z.strictObject({
  credentialId: id,
  credentialSeq: z.int().positive(),
  upstreamModel: z.string().max(MAX_MODEL_LENGTH),
  blockedForMs: durationMs,
  /** By the provider, and not guessed. */
  isStated: z.boolean(),
});

/** A target that was called lately, or whose breaker is open. */
const reportedTargetSchema = z.strictObject({
  targetId: id,
  credentialId: id,
  isBreakerOpen: z.boolean(),
  /** Until its breaker lets a probe through; 0 where it is closed or half-open. */
  blockedForMs: durationMs,
  outstanding: count,
  /** Peak-EWMA of the time to the head of an answer, and to the first byte of a stream; null where not known. */
  latencyMs: z.number().nonnegative().nullable(),
  streamLatencyMs: z.number().nonnegative().nullable(),
  /** Within the breaker's window. */
  attempts: count,
  failures: count,
  requestsPerMinute: count,
  tokensPerMinute: count,
});

export const healthReportSchema = z.strictObject({
  version: z.literal(1),
  /** Names one run of the data plane's process; `seq` grows within it, so that what was overtaken on the way is known. */
  runId: id,
  seq: z.int().positive(),
  parked: z.array(parkedCredentialSchema).max(MAX_REPORTED),
  coolDowns: z.array(coolDownSchema).max(MAX_REPORTED),
  targets: z.array(reportedTargetSchema).max(MAX_REPORTED),
});
export type HealthReport = z.infer<typeof healthReportSchema>;

/** What a report tells, without whose and which it is. */
export type ReportedHealth = Pick<HealthReport, 'parked' | 'coolDowns' | 'targets'>;
