import type { Capability } from './capability.js';
import type { ConfigObjectOf, Dialect } from './config-snapshot.js';
import { createRandom, hashText } from './random.js';
import { versionInForce, type RateCardVersion } from './rate-card.js';
import type { RouteConditions } from './route-policy.js';
import type { UsageEvent } from './usage-event.js';

export type Target = ConfigObjectOf<'route'>['targets'][number];

/** A way that the tenant may use; whether it can be used now is for the plan to see. */
export interface Candidate {
  /** What is served there: the model that was asked for, or one that it falls back to. */
  readonly model: ConfigObjectOf<'model'>;
  readonly route: ConfigObjectOf<'route'>;
  readonly target: Target;
  readonly provider: ConfigObjectOf<'provider'>;
  /** Place of its route: a tenant's own go before the general ones, those of fallback models last. */
  readonly rank: number;
}

/** What a plan may know of a request. All of it is a function of the request alone; what costs a look into it is asked for. */
export interface RequestFacts {
  readonly operation: UsageEvent['operation'];
  readonly bodyBytes: number;
  /** Milliseconds since 1970, when it is admitted. */
  readonly at: number;
  /** Where the data plane stands. */
  readonly region: string | null;
  needs(): readonly Capability[];
  /** Tokens of the answer at most, where the caller says so. */
  answerCap(): number | undefined;
  /** Session, prompt cache key or user; undefined where the caller names none. */
  stickyKey(): string | undefined;
}

/** Tokens of a prompt, estimated: what is asked for before anything is counted need only be of the right size. */
export function estimatePromptTokens({ bodyBytes }: Pick<RequestFacts, 'bodyBytes'>): number {
  return Math.ceil(bodyBytes / 4);
}

/** Tokens of an answer whose length nobody says. */
export const USUAL_ANSWER_TOKENS = 512;

/** The part of a config that says which ways there are. */
export interface RouteTables {
  /** The tenant's own first, each by position; never another tenant's. */
  routes(modelId: string, tenantId: string): readonly ConfigObjectOf<'route'>[];
  modelById(modelId: string): ConfigObjectOf<'model'> | undefined;
  readonly providers: ReadonlyMap<string, ConfigObjectOf<'provider'>>;
  readonly rateCards: ReadonlyMap<string, ConfigObjectOf<'rate-card'>>;
}

export interface Caller {
  readonly tenant: Pick<ConfigObjectOf<'tenant'>, 'id' | 'grantedProviderIds'>;
  readonly keyTags: readonly string[];
  /** The price cards of its plan, by the card that each takes the place of. */
  readonly planPriceCards: Readonly<Record<string, string>>;
}

/** Chat is translated between all dialects, embeddings between the two that have them; all else is OpenAI's alone. */
export function isServed(operation: UsageEvent['operation'], dialect: Dialect): boolean {
  if (operation === 'chat-completions') return true;
  return dialect === 'openai' || (dialect === 'gemini' && operation === 'embeddings');
}

/** @returns the prices that the caller's calls of a model go by, those of its plan where it has some; undefined without any */
export function modelPriceInForce(
  cardId: string | null,
  { planPriceCards }: Pick<Caller, 'planPriceCards'>,
  { rateCards, at }: { readonly rateCards: RouteTables['rateCards']; readonly at: number },
): RateCardVersion | undefined {
  if (cardId === null) return undefined;
  const card = rateCards.get(planPriceCards[cardId] ?? cardId);
  return card === undefined ? undefined : versionInForce(card.versions, at);
}

/** Why a way, a route or a model was left out. */
export const EXCLUSIONS = [
  'condition-not-met',
  'model-disabled',
  'model-unpriced',
  'other-currency',
  'capability-missing',
  'context-too-short',
  'provider-disabled',
  'provider-not-granted',
  'dialect-not-spoken',
  'target-drained',
  'credential-unusable',
  'credential-parked',
  'cooling-down',
  'breaker-open',
  'outlier',
  'at-limit',
] as const;
export type Exclusion = (typeof EXCLUSIONS)[number];

export interface Excluded {
  readonly model: ConfigObjectOf<'model'>;
  /** Undefined where the whole model is left out. */
  readonly route: ConfigObjectOf<'route'> | undefined;
  /** Undefined where the whole route is left out. */
  readonly target: Target | undefined;
  readonly why: Exclusion;
  /** Which condition, or until when. */
  readonly detail: string | undefined;
}

/** Told of everything that is left out; whoever only wants the plan gives none, and pays for no explanation. */
export type OnExcluded = (excluded: Excluded) => void;

export interface CandidateQuestion {
  readonly model: ConfigObjectOf<'model'>;
  readonly caller: Caller;
  readonly tables: RouteTables;
  readonly facts: RequestFacts;
  /** 32 bits; decides what a canary gets. */
  readonly seed: number;
  readonly onExcluded?: OnExcluded | undefined;
}

/**
 * The ways to a model, and then to those that it falls back to, which this caller may use for this request: through providers
 * that are on and that the tenant has granted, to targets that are not drained. Models without a price in force have none,
 * nor has a fallback that is paid in another currency: a call draws on one wallet.
 * Pure. Health is not looked at: that is the plan's part.
 */
export function findCandidates(question: CandidateQuestion): Candidate[] {
  const found: Candidate[] = [];
  const { model, tables } = question;
  const fallbackIds = addModel(found, model, question);
  for (const id of fallbackIds ?? NONE) {
    const fallback = tables.modelById(id);
    if (fallback === undefined || fallback.id === model.id) continue;
    if (suits(fallback, question) && isPaidAlike(fallback, question)) addModel(found, fallback, question);
  }
  return found;
}

const NONE: readonly never[] = [];

/** @returns the models that the first route which holds for the call falls back to */
function addModel(
  found: Candidate[],
  model: ConfigObjectOf<'model'>,
  question: CandidateQuestion,
): readonly string[] | undefined {
  const { tables, caller, onExcluded } = question;
  const closed = whyClosed(model, question);
  if (closed !== undefined) {
    onExcluded?.({ model, route: undefined, target: undefined, why: closed, detail: undefined });
    return undefined;
  }
  let fallbackIds: readonly string[] | undefined;
  const firstRank = found.length === 0 ? 0 : (found[found.length - 1]?.rank ?? 0) + 1;
  for (const [index, route] of tables.routes(model.id, caller.tenant.id).entries()) {
    const unmet = unmetCondition(route, question);
    if (unmet !== undefined) {
      onExcluded?.({ model, route, target: undefined, why: 'condition-not-met', detail: unmet });
      continue;
    }
    fallbackIds ??= route.fallbackModelIds;
    addTargets(found, { model, route, rank: firstRank + index }, question);
  }
  return fallbackIds;
}

function addTargets(
  found: Candidate[],
  { model, route, rank }: Pick<Candidate, 'model' | 'route' | 'rank'>,
  question: CandidateQuestion,
): void {
  for (const target of route.targets) {
    const provider = question.tables.providers.get(target.providerId);
    const why = whyNot(target, provider, question);
    if (why === undefined && provider !== undefined) found.push({ model, route, target, provider, rank });
    else if (why !== undefined) question.onExcluded?.({ model, route, target, why, detail: undefined });
  }
}

function whyNot(
  target: Target,
  provider: ConfigObjectOf<'provider'> | undefined,
  { caller, facts }: CandidateQuestion,
): Exclusion | undefined {
  if (provider?.status !== 'active') return 'provider-disabled';
  if (!isServed(facts.operation, provider.dialect)) return 'dialect-not-spoken';
  if (!caller.tenant.grantedProviderIds.includes(provider.id)) return 'provider-not-granted';
  return target.status === 'drained' ? 'target-drained' : undefined;
}

function whyClosed(
  { status, priceCardId }: ConfigObjectOf<'model'>,
  { caller, tables: { rateCards }, facts: { at } }: CandidateQuestion,
): Exclusion | undefined {
  if (status !== 'active') return 'model-disabled';
  return modelPriceInForce(priceCardId, caller, { rateCards, at }) === undefined ? 'model-unpriced' : undefined;
}

/** Another model than the one asked for must be known to do what is asked; the one asked for is its provider's to judge. */
function suits(model: ConfigObjectOf<'model'>, { facts, onExcluded }: CandidateQuestion): boolean {
  const exclude = (why: Exclusion, detail: string): false => {
    onExcluded?.({ model, route: undefined, target: undefined, why, detail });
    return false;
  };
  if (!model.operations.some((operation) => operation === facts.operation)) {
    return exclude('capability-missing', facts.operation);
  }
  const missing = facts.needs().find((need) => !model.capabilities.includes(need));
  if (missing !== undefined) return exclude('capability-missing', missing);
  const tokens = contextTokens(facts);
  if (model.contextWindow !== null && tokens > model.contextWindow) return exclude('context-too-short', String(tokens));
  return true;
}

function isPaidAlike(
  fallback: ConfigObjectOf<'model'>,
  { model, caller, tables, facts, onExcluded }: CandidateQuestion,
): boolean {
  const prices = { rateCards: tables.rateCards, at: facts.at };
  const [own, other] = [model, fallback].map(
    ({ priceCardId }) => modelPriceInForce(priceCardId, caller, prices)?.currency,
  );
  // Without a price it is left out for that.
  if (other === undefined || other === own) return true;
  onExcluded?.({ model: fallback, route: undefined, target: undefined, why: 'other-currency', detail: other });
  return false;
}

function contextTokens(facts: RequestFacts): number {
  return estimatePromptTokens(facts) + (facts.answerCap() ?? 0);
}

/** @returns the name of the first condition that the call does not fulfil, the cheap ones first */
function unmetCondition(
  { id, conditions }: ConfigObjectOf<'route'>,
  question: CandidateQuestion,
): keyof RouteConditions | undefined {
  const { caller, facts } = question;
  const { tenantIds, keyTags, minRequestBytes, maxRequestBytes, minContextTokens, capabilities, percent } = conditions;
  if (tenantIds.length > 0 && !tenantIds.includes(caller.tenant.id)) return 'tenantIds';
  if (keyTags.length > 0 && !keyTags.some((tag) => caller.keyTags.includes(tag))) return 'keyTags';
  if (minRequestBytes !== null && facts.bodyBytes < minRequestBytes) return 'minRequestBytes';
  if (maxRequestBytes !== null && facts.bodyBytes > maxRequestBytes) return 'maxRequestBytes';
  if (minContextTokens !== null && contextTokens(facts) < minContextTokens) return 'minContextTokens';
  if (capabilities.length > 0 && !capabilities.every((one) => facts.needs().includes(one))) return 'capabilities';
  return percent < 100 && createRandom(hashText(id, question.seed))() * 100 >= percent ? 'percent' : undefined;
}
