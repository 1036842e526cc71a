import type { ConfigObjectOf } from './config-snapshot.js';
import { createRandom } from './random.js';
import type { Candidate, Exclusion, OnExcluded, RequestFacts } from './route-candidates.js';
import type { HealthOf, TargetHealth } from './route-health.js';
import { isAtLimit, orderTier, strategyOf, type Contender, type Scored } from './route-strategies.js';

export interface PlanQuestion {
  readonly candidates: readonly Candidate[];
  readonly facts: RequestFacts;
  readonly health: HealthOf;
  readonly rateCards: ReadonlyMap<string, ConfigObjectOf<'rate-card'>>;
  /** Whether there is a secret that may be sent to the candidate's provider for this caller. */
  hasCredential(candidate: Candidate): boolean;
  /** 32 bits: the same question with the same seed has the same answer. */
  readonly seed: number;
  readonly onExcluded?: OnExcluded | undefined;
}

/** A candidate in its place. */
export interface Placement extends Scored {
  /** `last-resort`: nothing that is known to be well is left. */
  readonly why: 'in-turn' | 'last-resort';
}

export interface Plan {
  /** In the order in which they are to be tried; empty where nothing can be called now. */
  readonly placements: readonly Placement[];
  /** Milliseconds since 1970 when the first of those that cool down, or are full, may be called; undefined where none is. */
  readonly retryAt: number | undefined;
}

/**
 * Orders candidates by route, by priority, and within one priority by its strategy; leaves out what is blocked, at its limit,
 * or fails far more often than its peers. Pure, and deterministic given health and seed.
 *
 * What is left out for our own inference alone (an open breaker, a cool-down that the provider did not state, a peer
 * comparison) never leaves a call without a way: where nothing else is left, those are the plan. What the provider said (its
 * refusal of the credential, a stated cool-down) and a target's own limits hold even then.
 */
export function planAttempts(question: PlanQuestion): Plan {
  const { candidates, seed } = question;
  const random = createRandom(seed);
  const usable: Contender[] = [];
  const spare: Contender[] = [];
  let retryAt: number | undefined;
  for (const candidate of candidates) {
    const health = healthOf(candidate, question.health);
    // Drawn for every one of them, so that whether one is well does not change what the others draw.
    const draw = random() ** (1 / candidate.target.weight);
    const contender = { candidate, health, draw };
    const why = whyNot(contender, question);
    if (why === undefined) {
      usable.push(contender);
      continue;
    }
    if (health?.isLastResort === true && why === health.blocked) spare.push(contender);
    retryAt = earliest(retryAt, whenAgain(why, health, question.facts.at));
    tellOf(contender, why, question);
  }
  const kept = withoutOutliers(usable, question);
  if (kept.length > 0) return { placements: place(kept, question, 'in-turn'), retryAt };
  return { placements: place(spare, question, 'last-resort'), retryAt };
}

function healthOf({ target }: Candidate, health: HealthOf): TargetHealth | undefined {
  return health(target.id, target.credentialId, target.upstreamModel);
}

function whyNot({ candidate, health }: Contender, question: PlanQuestion): Exclusion | undefined {
  if (!question.hasCredential(candidate)) return 'credential-unusable';
  if (health?.blocked !== undefined) return health.blocked;
  return isAtLimit(candidate, health, question.facts) ? 'at-limit' : undefined;
}

/** A minute's window slides on: a moment later there may be room again. */
const AT_LIMIT_RETRY_MS = 1_000;

function whenAgain(why: Exclusion, health: TargetHealth | undefined, at: number): number | undefined {
  if (why === 'at-limit') return at + AT_LIMIT_RETRY_MS;
  return why === 'cooling-down' ? health?.blockedUntil : undefined;
}

function earliest(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

function tellOf({ candidate, health }: Contender, why: Exclusion, { onExcluded }: PlanQuestion): void {
  if (onExcluded === undefined) return;
  const { model, route, target } = candidate;
  const until = why === health?.blocked ? health.blockedUntil : undefined;
  onExcluded({ model, route, target, why, detail: until === undefined ? undefined : new Date(until).toISOString() });
}

function place(contenders: readonly Contender[], question: PlanQuestion, why: Placement['why']): Placement[] {
  if (contenders.length === 0) return [];
  const tiers = Map.groupBy(contenders, ({ candidate }) => candidate.rank * 2 ** 32 + candidate.target.priority);
  const inOrder = [...tiers].sort(([one], [other]) => one - other);
  const placements: Placement[] = [];
  for (const [, tier] of inOrder) {
    const [first] = tier;
    if (first === undefined) continue;
    for (const scored of orderTier(tier, strategyOf(first.candidate), question)) placements.push({ ...scored, why });
  }
  return placements;
}

/** Below this many attempts within the window a share of failures says nothing. */
const MIN_ATTEMPTS = 20;
/** A smaller share of failures is no reason to leave a target out, whatever its peers do. */
const MIN_SHARE = 0.2;
const TIMES_PEERS = 3;

/**
 * Leaves out those whose share of failures is far above their peers', the worst first, and never more than half of them: the
 * last one stays whatever it does. Nothing is remembered: who gets no calls has no failures within the window soon, and is back.
 */
function withoutOutliers(contenders: readonly Contender[], question: PlanQuestion): readonly Contender[] {
  if (contenders.length < 2 || contenders.every(({ health }) => failureShare(health) < MIN_SHARE)) return contenders;
  const byShare = contenders.toSorted((one, other) => failureShare(other.health) - failureShare(one.health));
  const left = new Set(contenders);
  for (const contender of byShare.slice(0, Math.floor(contenders.length / 2))) {
    const share = failureShare(contender.health);
    const peers = [...left].filter((other) => other !== contender).map(({ health }) => failureShare(health));
    if (share < MIN_SHARE || share < TIMES_PEERS * median(peers)) break;
    left.delete(contender);
    tellOf(contender, 'outlier', question);
  }
  return contenders.filter((contender) => left.has(contender));
}

function failureShare(health: TargetHealth | undefined): number {
  return health === undefined || health.attempts < MIN_ATTEMPTS ? 0 : health.failures / health.attempts;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
}
