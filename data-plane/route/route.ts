import { versionInForce } from '@pingtoken/shared/rate-card';
import type { Admitted, Candidate } from '../admit/admit.js';
import { refuse, type Refusal } from '../http-error.js';

/** One way to make the call, ready to be tried. */
export interface PlannedAttempt extends Candidate {
  /** The provider's credential: goes into one header, and nowhere else. */
  readonly secret: string;
  /** What the provider charges us, in the version in force at admission. */
  readonly costCardVersionId: string | null;
}

/** A call with its attempts in the order in which they are to be tried; at least one. */
export type Routed = Admitted & { readonly attempts: readonly [PlannedAttempt, ...PlannedAttempt[]] };

/** As many as a usage event has room for. */
const MAX_ATTEMPTS = 16;

/**
 * Orders the candidates: by route (a tenant's own first), by priority, and inside one priority at random by weight. Pure:
 * the same call with the same seed takes the same way.
 * @param seed 32 bits
 */
export function route(admitted: Admitted, seed: number): Routed | Refusal {
  const attempts: PlannedAttempt[] = [];
  for (const candidate of order(admitted.candidates, seed)) {
    const { catalogue, account, admittedAt } = admitted;
    const secret = catalogue.secretOf(candidate.credentialId, account.tenant.id, candidate.provider);
    if (secret === undefined) continue;
    const costCard = candidate.costCardId === null ? undefined : catalogue.rateCards.get(candidate.costCardId);
    const costCardVersionId =
      costCard === undefined ? null : (versionInForce(costCard.versions, admittedAt)?.id ?? null);
    attempts.push({ ...candidate, secret, costCardVersionId });
  }
  const [first, ...others] = attempts;
  if (first === undefined)
    return refuse('upstream_failed', null, 'No provider of this model can be used at the moment.');
  return { ...admitted, attempts: [first, ...others.slice(0, MAX_ATTEMPTS - 1)] };
}

/**
 * Weighted order without replacement: each draws `u^(1/weight)`, the largest goes first (Efraimidis and Spirakis, 2006);
 * the first place then falls to each in proportion to its weight.
 */
function order(candidates: readonly Candidate[], seed: number): readonly Candidate[] {
  if (candidates.length === 1) return candidates;
  const random = createRandom(seed);
  return candidates
    .map((candidate) => ({ candidate, draw: random() ** (1 / candidate.weight) }))
    .sort(
      (one, other) =>
        one.candidate.rank - other.candidate.rank ||
        one.candidate.priority - other.candidate.priority ||
        other.draw - one.draw,
    )
    .map(({ candidate }) => candidate);
}

/** Mulberry32: numbers in [0, 1), the same for the same seed. Nothing secret depends on them. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** The last 32 bits of a UUID, which are random in version 7. */
export function seedOf(requestId: string): number {
  return Number.parseInt(requestId.slice(-8), 16);
}
