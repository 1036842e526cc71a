import type { ConfigObjectOf } from './config-snapshot.js';
import { priceOf, UnpricedDimensionError } from './price-of.js';
import { hashText } from './random.js';
import { versionInForce, type Usage } from './rate-card.js';
import { estimatePromptTokens, USUAL_ANSWER_TOKENS, type Candidate, type RequestFacts } from './route-candidates.js';
import type { TargetHealth } from './route-health.js';
import type { RoutingStrategy } from './route-policy.js';

/** A candidate on its way to a place. */
export interface Contender {
  readonly candidate: Candidate;
  readonly health: TargetHealth | undefined;
  /** `u^(1/weight)`: the largest of a tier falls to each in proportion to its weight (Efraimidis and Spirakis, 2006). */
  readonly draw: number;
}

/** A contender with what its strategy makes of it: lower goes first. */
export interface Scored extends Contender {
  readonly strategy: RoutingStrategy;
  readonly score: number;
}

export interface StrategyContext {
  readonly facts: RequestFacts;
  readonly rateCards: ReadonlyMap<string, ConfigObjectOf<'rate-card'>>;
}

export function strategyOf({ route, target }: Candidate): RoutingStrategy {
  return route.tierStrategies.find(({ priority }) => priority === target.priority)?.strategy ?? route.strategy;
}

/** Orders the contenders of one route and one priority; those that the strategy holds for equal, by weight. */
export function orderTier(
  tier: readonly Contender[],
  strategy: RoutingStrategy,
  context: StrategyContext,
): readonly Scored[] {
  const scored = tier.map((contender) => ({ ...contender, strategy, score: scoreOf(contender, strategy, context) }));
  const byDraw = scored.sort((one, other) => other.draw - one.draw);
  return strategy === 'latency' ? betterOfTwo(byDraw) : byDraw.sort((one, other) => one.score - other.score);
}

function scoreOf(contender: Contender, strategy: RoutingStrategy, context: StrategyContext): number {
  const { candidate, health } = contender;
  switch (strategy) {
    case 'weighted':
      return 0;
    case 'least-outstanding':
      return ((health?.outstanding ?? 0) + 1) / candidate.target.weight;
    case 'latency':
      return loadOf(health);
    case 'cheapest':
      return costOf(candidate, context);
    case 'usage-aware':
      return limitUse(candidate, health, context.facts);
    case 'sticky':
      return rendezvous(candidate, context.facts);
    case 'region':
      return distance(candidate.target.region ?? candidate.provider.region, context.facts.region);
  }
}

/**
 * The quicker of the next two by draw goes first, again and again: two choices suffice to keep off the slow ones, and unlike
 * the best of all they do not send every data plane to the same target at once (Mitzenmacher, 2001).
 */
function betterOfTwo(byDraw: readonly Scored[]): readonly Scored[] {
  const left = [...byDraw];
  const ordered: Scored[] = [];
  for (let first = left[0]; first !== undefined; first = left[0]) {
    const second = left[1];
    const at = second !== undefined && second.score < first.score ? 1 : 0;
    ordered.push(...left.splice(at, 1));
  }
  return ordered;
}

/** As good as out of reach: open calls at a target of which nothing is known yet. */
const UNKNOWN_LOAD_MS = 1_000_000;

/** Milliseconds that a call would wait, were the open ones served one by one; what is not known is tried, one call at a time. */
function loadOf(health: TargetHealth | undefined): number {
  if (health === undefined) return 0;
  if (health.latencyMs === undefined) return health.outstanding * UNKNOWN_LOAD_MS;
  return health.latencyMs * (health.outstanding + 1);
}

/** In units of the model's own currency; what is unknown, or of another currency, costs more than anything known. */
function costOf({ target, model }: Candidate, { facts, rateCards }: StrategyContext): number {
  const version = cardInForce(target.costCardId, facts.at, rateCards);
  if (version?.currency !== cardInForce(model.priceCardId, facts.at, rateCards)?.currency) return Infinity;
  if (version === undefined) return Infinity;
  try {
    return Number(priceOf(usualUsage(facts), version, { at: facts.at }));
  } catch (error) {
    if (error instanceof UnpricedDimensionError) return Infinity;
    throw error;
  }
}

function cardInForce(
  cardId: string | null,
  at: number,
  rateCards: StrategyContext['rateCards'],
): ReturnType<typeof versionInForce> {
  const card = cardId === null ? undefined : rateCards.get(cardId);
  return card === undefined ? undefined : versionInForce(card.versions, at);
}

/** What a request of this size usually comes to. */
function usualUsage(facts: RequestFacts): Usage {
  const input = estimatePromptTokens(facts);
  return ANSWERLESS.has(facts.operation) ? { input, request: 1 } : { input, output: answerTokens(facts), request: 1 };
}

const ANSWERLESS: ReadonlySet<RequestFacts['operation']> = new Set(['embeddings', 'moderations', 'rerank']);

function answerTokens(facts: RequestFacts): number {
  return Math.min(facts.answerCap() ?? USUAL_ANSWER_TOKENS, USUAL_ANSWER_TOKENS);
}

/** @returns the fullest of the target's own limits with this call, 1 for full; 0 where there is none */
function limitUse({ target }: Candidate, health: TargetHealth | undefined, facts: RequestFacts): number {
  const { requestsPerMinute, tokensPerMinute, concurrentCalls } = target.limits;
  let use = 0;
  if (requestsPerMinute !== null) use = Math.max(use, ((health?.requestsPerMinute ?? 0) + 1) / requestsPerMinute);
  if (concurrentCalls !== null) use = Math.max(use, ((health?.outstanding ?? 0) + 1) / concurrentCalls);
  if (tokensPerMinute !== null) {
    use = Math.max(use, ((health?.tokensPerMinute ?? 0) + usualTokens(facts)) / tokensPerMinute);
  }
  return use;
}

export function usualTokens(facts: RequestFacts): number {
  const { input = 0, output = 0 } = usualUsage(facts);
  return input + output;
}

/** Whether this call would be one too many for a limit of the target; a call that no limit can hold goes when nothing else does. */
export function isAtLimit(candidate: Candidate, health: TargetHealth | undefined, facts: RequestFacts): boolean {
  if (health === undefined) return false;
  const { requestsPerMinute, tokensPerMinute, concurrentCalls } = candidate.target.limits;
  if (requestsPerMinute !== null && health.requestsPerMinute >= requestsPerMinute) return true;
  if (concurrentCalls !== null && health.outstanding >= concurrentCalls) return true;
  if (tokensPerMinute === null || health.tokensPerMinute === 0) return false;
  return health.tokensPerMinute + usualTokens(facts) > tokensPerMinute;
}

/**
 * Weighted rendezvous hashing: each key has an order of all targets of its own, so that a target which comes or goes moves
 * only the keys that it had or takes (Schindelhauer and Schomaker, 2005). Without a key all are equal.
 */
function rendezvous({ target }: Candidate, facts: RequestFacts): number {
  const key = facts.stickyKey();
  if (key === undefined) return 0;
  const uniform = (hashText(`${target.id} ${key}`) + 0.5) / 0x1_0000_0000;
  return target.weight / Math.log(uniform);
}

/** 0 for the same region, 1 for one within the other (`eu`, `eu-west`), 2 where one is not known, 3 for elsewhere. */
function distance(target: string | null, ours: string | null): number {
  if (target === null || ours === null) return 2;
  if (target === ours) return 0;
  return target.startsWith(`${ours}-`) || ours.startsWith(`${target}-`) ? 1 : 3;
}
