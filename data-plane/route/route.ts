import { modelPriceInForce } from '@pingtoken/shared/route-candidates';
import type { TargetHealth } from '@pingtoken/shared/route-health';
import { planAttempts, type Plan } from '@pingtoken/shared/route-plan';
import { isAtLimit } from '@pingtoken/shared/route-strategies';
import { versionInForce } from '@pingtoken/shared/rate-card';
import { planPriceCardsOf, type Admitted, type Candidate } from '../admit/admit.js';
import { refuse, type Refusal } from '../http-error.js';
import { retryHeaders } from '../limits/limit-headers.js';
import type { Health } from './health.js';

/** One way to make the call, ready to be tried. */
export interface PlannedAttempt extends Candidate {
  /** The provider's credential: goes into one header, and nowhere else. */
  readonly secret: string;
  /** What the provider charges us, in the version in force at admission. */
  readonly costCardVersionId: string | null;
  /** Where the call falls back to another model: what the tenant pays then. */
  readonly served?: { readonly model: string; readonly priceCardVersionId: string } | undefined;
}

/** A call with its attempts in the order in which they are to be tried; at least one. */
export type Routed = Admitted & {
  readonly attempts: readonly [PlannedAttempt, ...PlannedAttempt[]];
  /** Tokens that its answer is held to, because more is not covered and its caller has named no cap. */
  readonly answerCap?: number;
};

export interface RouteOptions {
  /** 32 bits: the same call with the same seed, in the same health, takes the same way. */
  readonly seed: number;
  readonly health?: Pick<Health, 'of'> | undefined;
  /** Where this data plane stands. */
  readonly region?: string | null;
}

const NO_PLAN: Plan = { placements: [], retryAt: undefined };

/** As many as a usage event has room for. */
const MAX_ATTEMPTS = 16;

/** Orders the ways that the tenant may use; see `planAttempts`. */
export function route(admitted: Admitted, options: RouteOptions): Routed | Refusal {
  const [only] = admitted.candidates;
  const attempts: PlannedAttempt[] = [];
  let plan: Plan | undefined;
  if (only !== undefined && admitted.candidates.length === 1 && isUsable(admitted, only, options)) {
    addAttempt(attempts, admitted, only);
  } else {
    plan = planOf(admitted, options);
    for (const { candidate } of plan.placements) {
      const flat = admitted.candidates.find(({ way }) => way === candidate);
      if (flat !== undefined && attempts.length < MAX_ATTEMPTS) addAttempt(attempts, admitted, flat);
    }
  }
  const [first, ...others] = attempts;
  if (first !== undefined) return { ...admitted, attempts: [first, ...others] };
  if (plan?.retryAt !== undefined) {
    const message = 'The providers of this model take no more calls at the moment.';
    return { ...refuse('rate_limited', null, message), headers: retryHeaders(plan.retryAt - Date.now()) };
  }
  return refuse('upstream_failed', null, 'No provider of this model can be used at the moment.');
}

/** The usual case, without a plan: one way, and nothing against it. What is passed through has no other. */
function isUsable(admitted: Admitted, { way, targetId }: Candidate, options: RouteOptions): boolean {
  const { facts } = admitted;
  if (way === undefined || targetId === null || facts === undefined) return true;
  const health = healthOf(options, admitted, way.target);
  return health === undefined || (health.blocked === undefined && !isAtLimit(way, health, facts));
}

function planOf(admitted: Admitted, options: RouteOptions): Plan {
  const { catalogue, account, facts, candidates } = admitted;
  if (facts === undefined) return NO_PLAN;
  facts.region = options.region ?? null;
  return planAttempts({
    candidates: candidates.flatMap(({ way }) => way ?? []),
    facts,
    rateCards: catalogue.rateCards,
    health: (targetId, credentialId, upstreamModel) =>
      healthOf(options, admitted, { id: targetId, credentialId, upstreamModel }),
    hasCredential: ({ target, provider }) =>
      catalogue.secretOf(target.credentialId, account.tenant.id, provider) !== undefined,
    seed: options.seed,
  });
}

function healthOf(
  { health }: RouteOptions,
  { streamed }: Admitted,
  target: { readonly id: string; readonly credentialId: string; readonly upstreamModel: string },
): TargetHealth | undefined {
  const { id: targetId, credentialId, upstreamModel } = target;
  return health?.of({ targetId, credentialId, upstreamModel, streamed });
}

function addAttempt(attempts: PlannedAttempt[], admitted: Admitted, candidate: Candidate): void {
  const { catalogue, account, admittedAt } = admitted;
  const secret = catalogue.secretOf(candidate.credentialId, account.tenant.id, candidate.provider);
  if (secret === undefined) return;
  const costCard = candidate.costCardId === null ? undefined : catalogue.rateCards.get(candidate.costCardId);
  const costCardVersionId = costCard === undefined ? null : (versionInForce(costCard.versions, admittedAt)?.id ?? null);
  attempts.push({ ...candidate, secret, costCardVersionId, served: servedModel(admitted, candidate) });
}

/** @returns undefined for the model that was asked for, whose price is known from admission */
function servedModel(admitted: Admitted, { way }: Candidate): PlannedAttempt['served'] {
  if (way === undefined || way.model.name === admitted.model) return undefined;
  const { account, catalogue, admittedAt } = admitted;
  const caller = { planPriceCards: planPriceCardsOf(account, catalogue) };
  const prices = { rateCards: catalogue.rateCards, at: admittedAt };
  const price = modelPriceInForce(way.model.priceCardId, caller, prices);
  return price === undefined ? undefined : { model: way.model.name, priceCardVersionId: price.id };
}
