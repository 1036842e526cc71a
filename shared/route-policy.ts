import { z } from 'zod';
import { CAPABILITIES } from './capability.js';
import { FULL_SHARE } from './price-of.js';

/**
 * What a route says of how its targets are used. Every part has a default that leaves routes of an earlier release as they
 * were: weighted, no conditions, at most three targets tried, no hedging.
 */

/**
 * Which target of one priority goes first.
 *
 * - `weighted`: at random, in proportion to the weights
 * - `least-outstanding`: the fewest open calls for its weight
 * - `latency`: of two drawn by weight the one that is quicker to its first token (peak-EWMA, times its open calls)
 * - `cheapest`: the lowest cost of a call of this size, by the cost card in force; those without a card go last
 * - `usage-aware`: the most left of its own limits
 * - `sticky`: the same one for the same session, prompt cache key or user (rendezvous hashing), so that prompt caches hit
 * - `region`: near ones first
 *
 * What a strategy does not tell apart is shared out by weight.
 */
export const ROUTING_STRATEGIES = [
  'weighted',
  'least-outstanding',
  'latency',
  'cheapest',
  'usage-aware',
  'sticky',
  'region',
] as const;
export type RoutingStrategy = (typeof ROUTING_STRATEGIES)[number];

/** A label that the owner of an API key gives it. */
export const keyTagSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/, 'letters, digits and . _ : -');
export const MAX_KEY_TAGS = 20;

const atMost = (most: number) => z.int().positive().max(most).nullable().default(null);

/** What a provider lets us do at a target, counted by each data plane for itself; null for no limit. */
export const targetLimitsSchema = z.object({
  requestsPerMinute: atMost(100_000_000),
  tokensPerMinute: atMost(1_000_000_000_000),
  concurrentCalls: atMost(1_000_000),
});
export type TargetLimits = z.infer<typeof targetLimitsSchema>;

/** A route is for the calls that fulfil all of these; what is empty or null asks for nothing. */
export const routeConditionsSchema = z.object({
  /** Calls of one of these tenants. */
  tenantIds: z.array(z.uuid()).max(10_000).default([]),
  /** Calls with a key that has one of these tags. */
  keyTags: z.array(keyTagSchema).max(100).default([]),
  minRequestBytes: z.int().nonnegative().nullable().default(null),
  maxRequestBytes: z.int().nonnegative().nullable().default(null),
  /** Calls whose prompt, estimated at four bytes a token, and answer cap come to so many tokens. */
  minContextTokens: z.int().nonnegative().nullable().default(null),
  /** Calls that need all of these. */
  capabilities: z.array(z.enum(CAPABILITIES)).max(CAPABILITIES.length).default([]),
  /** The share of the calls that are left, drawn by the call's id: a canary. */
  percent: z.number().gt(0).max(100).default(100),
});
export type RouteConditions = z.infer<typeof routeConditionsSchema>;

const timeoutMs = z.int().min(10).max(3_600_000).nullable().default(null);

/** How often, and how long, a call is tried before the first byte of an answer has gone to the caller. */
export const retryPolicySchema = z.object({
  /** All attempts together, hedges included. */
  maxAttempts: z.int().min(1).max(16).default(3),
  /** Tries of one target beyond its first, after a pause; the caller's own client retries too. */
  sameTargetRetries: z.int().min(0).max(5).default(0),
  /** Attempts beyond the first, as a share of the route's calls in the long run. */
  budgetShare: z.number().min(0).max(1).default(0.2),
  /** Longest time of one attempt until its answer's first byte, and of one without a stream until its end. */
  perAttemptTimeoutMs: timeoutMs,
  /** Longest wait of a streamed call for the first byte of its answer. */
  firstByteTimeoutMs: timeoutMs,
});
export type RetryPolicy = z.infer<typeof retryPolicySchema>;

/** `after-p95`: a second attempt when the first byte is later than it is for 95 of 100 calls of the target. */
export const HEDGING = ['off', 'after-p95'] as const;

/** A strategy for one priority instead of the route's. */
const tierStrategySchema = z.object({
  priority: z.int().nonnegative(),
  strategy: z.enum(ROUTING_STRATEGIES),
});

/**
 * How answers of a route are given again to calls that ask for the very same, of one tenant, with API keys that have opted in.
 * Which parts of a request do not matter for that, the data plane's README lists.
 */
export const routeCacheSchema = z.object({
  /** How long an answer is kept; 0: only calls that are under way at the same time share one. */
  ttlSeconds: z
    .int()
    .min(0)
    .max(30 * 86_400),
  /** A longer one is not kept. The data plane has a bound of its own. */
  maxAnswerBytes: z
    .int()
    .positive()
    .max(64 * 1024 * 1024)
    .default(1024 * 1024),
  /** What a call pays that is given such an answer: the share of the first one's price, in ten-thousandths; 0 is free. */
  priceShare: z.int().min(0).max(FULL_SHARE),
  /** Whether like calls that are under way at the same time share one call of the provider. */
  coalesces: z.boolean().default(false),
});
export type RouteCache = z.infer<typeof routeCacheSchema>;

export const routePolicyShape = {
  /** Among the routes of one owner, lower goes first; a later one is what is left when an earlier one fails. */
  position: z.int().nonnegative().default(0),
  strategy: z.enum(ROUTING_STRATEGIES).default('weighted'),
  tierStrategies: z.array(tierStrategySchema).max(50).default([]),
  conditions: routeConditionsSchema.prefault({}),
  /** Models whose routes are tried, in this order, after the model's own; the tenant pays for the one that served. */
  fallbackModelIds: z.array(z.uuid()).max(5).default([]),
  retry: retryPolicySchema.prefault({}),
  hedging: z.enum(HEDGING).default('off'),
  /** Null where no answer is given twice. */
  cache: routeCacheSchema.nullable().default(null),
};

export const routePolicySchema = z.object(routePolicyShape);
export type RoutePolicy = z.infer<typeof routePolicySchema>;

/** What a route is that states nothing. */
export const DEFAULT_ROUTE_POLICY: RoutePolicy = routePolicySchema.parse({});

export const targetPolicyShape = {
  /** Where it serves, such as `eu` or `eu-west`; null for its provider's region. */
  region: z.string().min(1).max(60).nullable().default(null),
  /** `drained`: gets no new calls. */
  status: z.enum(['active', 'drained']).default('active'),
  limits: targetLimitsSchema.prefault({}),
};

export const targetPolicySchema = z.object(targetPolicyShape);
export type TargetPolicy = z.infer<typeof targetPolicySchema>;

/** What a target is that states nothing. */
export const DEFAULT_TARGET_POLICY: TargetPolicy = targetPolicySchema.parse({});
