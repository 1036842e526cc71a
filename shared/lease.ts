import { z } from 'zod';

/**
 * The contract of both ways: what a data plane may spend, and which of its records the ledger holds.
 *
 * A data plane asks for slices of a wallet or of a hard budget ahead of need (`POST` {@link LEASE_LINK}.requests) and draws them
 * down in memory. A lease is of one scope, one window and one spool; it grows by grants and admits calls until `admitUntil`.
 * What is left of it returns to where it came from when the data plane has fenced it (`POST` {@link LEASE_LINK}.fences: no call
 * draws on it any more, and those that did stand at or below `seq`) and the ledger has confirmed that far; never by time alone.
 * The same request is answered alike, however often it is sent.
 */
export const LEASE_LINK = { requests: '/leases/requests', fences: '/leases/fences' } as const;

/** Of one call: of its wallet, and of each hard budget that limits it. */
export const MAX_LEASES = 16;

/** Which records the ledger holds, so that a data plane may delete them. */
export const spoolConfirmationSchema = z.object({
  spoolId: z.uuid(),
  /** Every record up to and including this one is in the ledger, or set aside in quarantine. */
  confirmedSeq: z.int().nonnegative(),
});
export type SpoolConfirmation = z.infer<typeof spoolConfirmationSchema>;

/** Units of 10^-12 of the currency, as an integer in a string. */
const unitsSchema = z.string().regex(/^\d{1,30}$/);
const instantSchema = z.int().nonnegative();

/** What a lease is a slice of: the tenant's wallet of the request's currency, or one of its hard budgets. */
export const leaseScopeSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('wallet') }),
  z.object({ kind: z.literal('budget'), budgetId: z.uuid() }),
]);
export type LeaseScope = z.infer<typeof leaseScopeSchema>;

export const leaseAskSchema = z.object({
  scope: leaseScopeSchema,
  /** What is left of the lease that would grow, reservations taken off. */
  held: unitsSchema,
  /** The least that is of use: the smallest reservation that waits, or is usual. Above zero. */
  unit: unitsSchema.regex(/[1-9]/),
  /** What the calls that wait for it lack; zero where none does. */
  needed: unitsSchema,
  /** What is asked for with what is wanted in stock; given as far as others are not left short. */
  desired: unitsSchema,
});
export type LeaseAsk = z.infer<typeof leaseAskSchema>;

/** About one tenant in one currency. */
export const leaseRequestSchema = z.object({
  requestId: z.uuid(),
  spoolId: z.uuid(),
  tenantId: z.uuid(),
  currency: z.string().length(3),
  /** Milliseconds since 1970 by the data plane's clock: chooses the window of a budget. */
  at: instantSchema,
  /**
   * Who draws on it: the calls of a process, if left out, or a job (a batch, a response in the background), whose id the
   * `spoolId` is then. A job outlives its process: what it has cost is reported in whatever spool, and its leases are fenced
   * when all of that is confirmed.
   */
  holder: z.enum(['process', 'job']).optional(),
  asks: z.array(leaseAskSchema).min(1).max(MAX_LEASES),
});
export type LeaseRequest = z.infer<typeof leaseRequestSchema>;

export const leaseGrantSchema = z.object({
  leaseId: z.uuid(),
  /** All that was ever granted on it: a grant that is heard twice, or late, changes nothing. */
  granted: unitsSchema,
  /** No call may be admitted on it from then on; milliseconds since 1970. */
  admitUntil: instantSchema,
  /** A budget's day or month, `windowFrom` inclusive; null for a wallet, and for no end. */
  windowFrom: instantSchema.nullable(),
  windowTo: instantSchema.nullable(),
});
export type LeaseGrant = z.infer<typeof leaseGrantSchema>;

/**
 * Why nothing is granted. `reserved`: what is left is leased, and may come back. `exhausted`: there is not enough left of it,
 * leased or not. `unlimited`: there is no such hard budget (any more). `fenced`: the spool is given nothing any more.
 */
export const leaseRefusalSchema = z.enum(['reserved', 'exhausted', 'unlimited', 'fenced']);
export type LeaseRefusal = z.infer<typeof leaseRefusalSchema>;

export const leaseAnswerSchema = z.object({
  requestId: z.uuid(),
  /** One for each ask, in order. */
  results: z.array(z.union([leaseGrantSchema, z.object({ refused: leaseRefusalSchema })])),
});
export type LeaseAnswer = z.infer<typeof leaseAnswerSchema>;

/** Bodies of {@link LEASE_LINK}.requests and of its answer. */
export const leaseRequestsSchema = z.object({ requests: z.array(leaseRequestSchema).min(1).max(50) });
export const leaseAnswersSchema = z.object({ answers: z.array(leaseAnswerSchema) });

/** Body of {@link LEASE_LINK}.fences; answered with 204. */
export const leaseFencesSchema = z.object({
  spoolId: z.uuid(),
  leases: z.array(z.object({ leaseId: z.uuid(), seq: z.int().nonnegative() })).max(1000),
  /** The spool has ended: nothing is written to it after this seq, and all of its leases are fenced there. */
  lastSeq: z.int().nonnegative().nullable(),
});
export type LeaseFences = z.infer<typeof leaseFencesSchema>;
