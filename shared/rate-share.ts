import { z } from 'zod';

/**
 * The contract about limits that several data planes keep together (`POST` {@link SHARE_LINK}): each holds a share of a limit
 * and lets through no more than that, in any stretch of the limit's length. What a data plane has not used within that length
 * it may give up, and what is given up may be given to another one at once: the shares of a limit never sum to more than it.
 *
 * A request lowers the sender's shares to what it keeps, which it does before it asks, and asks for more. An answer raises
 * them. Turns of a spool rise, and a request of an earlier turn changes nothing: an answer that was not heard leaves what it
 * gave with nobody, until the next turn says what is kept.
 */
export const SHARE_LINK = '/leases/shares';

/** What limits bound by number, with how long it counts; what is on its way counts while it is. */
export const BOUND_LENGTHS_MS = {
  requestsPerMinute: 60_000,
  tokensPerMinute: 60_000,
  requestsPerDay: 24 * 3600 * 1000,
  tokensPerDay: 24 * 3600 * 1000,
  concurrentCalls: 0,
} as const;
export type BoundName = keyof typeof BOUND_LENGTHS_MS;
const BOUND_NAMES = Object.keys(BOUND_LENGTHS_MS) as [BoundName, ...BoundName[]];

/** Whose limit it is; each tenant of a plan has the plan's for itself. */
export const BOUND_SCOPES = ['key', 'member', 'tenant', 'plan'] as const;
export type BoundScope = (typeof BOUND_SCOPES)[number];

const countSchema = z.int().nonnegative().max(Number.MAX_SAFE_INTEGER);

export const boundIdSchema = z.object({
  scope: z.enum(BOUND_SCOPES),
  tenantId: z.uuid(),
  /** Of the key, the member, the tenant or the plan. */
  id: z.uuid(),
  bound: z.enum(BOUND_NAMES),
});
export type BoundId = z.infer<typeof boundIdSchema>;

export const shareReportSchema = boundIdSchema.extend({
  /** The sender's share from now on, before it is given more; what was never given is not kept. */
  keep: countSchema,
  /** What of it is used, and how soon some of that is free again; null where that is not known. */
  used: countSchema,
  freeInMs: countSchema.nullable(),
  /** What the calls that wait for it lack, and what is wanted beyond. */
  needed: countSchema,
  stock: countSchema,
});
export type ShareReport = z.infer<typeof shareReportSchema>;

/** As many as are reported at once. */
export const MAX_SHARES = 500;

export const shareRequestSchema = z.object({
  spoolId: z.uuid(),
  turn: z.int().positive(),
  /** What the sender was told last, as long as it has not told what it has used by that; see {@link shareAnswerSchema}. */
  isSole: z.boolean(),
  shares: z.array(shareReportSchema).max(MAX_SHARES),
});
export type ShareRequest = z.infer<typeof shareRequestSchema>;

export const shareGrantSchema = z.object({
  /** The sender's share; null where nothing is bounded (any more). */
  granted: countSchema.nullable(),
  /** What it is a share of: the limit, or, where that was lowered, all shares that are out. */
  limit: countSchema,
  /** Of the limit that nobody holds. */
  free: countSchema,
  /** When more of it may be had, where less was given than is needed. */
  retryInMs: countSchema.nullable(),
});
export type ShareGrant = z.infer<typeof shareGrantSchema>;

export const shareAnswerSchema = z.object({
  /** The spool is given nothing any more, and what it held is not its own. */
  isFenced: z.boolean(),
  /** No other data plane is enrolled: while this one cannot ask, all limits are its own. */
  isSole: z.boolean(),
  /** One for each report, in order. */
  shares: z.array(shareGrantSchema),
  /** Others lack what the sender may hold and not use. */
  recalls: z.array(boundIdSchema),
  /** Leases that others wait for; see `lease.ts`. */
  recalledLeaseIds: z.array(z.uuid()),
});
export type ShareAnswer = z.infer<typeof shareAnswerSchema>;
