import { describe, expect, it } from 'vitest';
import { findCandidates } from '@pingtoken/shared/route-candidates';
import { planAttempts } from '@pingtoken/shared/route-plan';
import { createHealth, type OpenAttempt } from '../../data-plane/route/health.js';
import { requestFacts, RouteWorld } from '../kit/route-values.js';
import { quantile } from '../kit/wait-for.js';

const HEALTHY_MS = 50;
const SLOWER = 10;
const CALLS = 1_200;

/** Streamed calls of one data plane to three regions, planned as it plans them, on a clock that is turned here. */
class Regions {
  readonly #world = new RouteWorld();
  readonly #targets = ['eu', 'us', 'ap'].map((region) => this.#world.target({ region }));
  #now = 1_800_000_000_000;
  readonly #health = createHealth({ clock: () => this.#now, onCredentialFault: () => undefined });
  #answers: { readonly at: number; readonly attempt: OpenAttempt }[] = [];
  #calls = 0;
  /** Of the first one. */
  slowedMs = HEALTHY_MS;

  constructor() {
    this.#world.addRoute(this.#targets, { strategy: 'latency' });
  }

  /** @returns how long each call waits for its first token */
  run(betweenMs: number): number[] {
    return Array.from({ length: CALLS }, () => {
      this.#turnTo(this.#now + betweenMs);
      return this.#call();
    });
  }

  #turnTo(then: number): void {
    const due = this.#answers.filter(({ at }) => at <= then).sort((one, other) => one.at - other.at);
    this.#answers = this.#answers.filter(({ at }) => at > then);
    for (const { at, attempt } of due) {
      this.#now = at;
      attempt.firstByte();
      attempt.end({ kind: 'served' });
    }
    this.#now = then;
  }

  #call(): number {
    const { model, caller, tables, rateCards } = this.#world;
    const facts = requestFacts({ at: this.#now, region: 'eu' });
    const streamed = true;
    this.#calls += 1;
    const seed = Math.imul(this.#calls, 2_654_435_761) >>> 0;
    const plan = planAttempts({
      candidates: findCandidates({ model, caller, tables, facts, seed }),
      ...{ facts, rateCards, seed, hasCredential: () => true },
      health: (targetId, credentialId, upstreamModel) =>
        this.#health.of({ targetId, credentialId, upstreamModel, streamed }),
    });
    const target = plan.placements[0]?.candidate.target;
    if (target === undefined) throw new Error('no way');
    const { id: targetId, credentialId, upstreamModel } = target;
    const attempt = this.#health.begin({ targetId, credentialId, upstreamModel, streamed }, 0);
    const waitMs = targetId === this.#targets[0]?.id ? this.slowedMs : HEALTHY_MS;
    this.#answers.push({ at: this.#now + waitMs, attempt });
    return waitMs;
  }
}

describe('the strategy latency, when one of three regions turns ten times slower', () => {
  it.each([
    ['5', 200],
    ['20', 50],
    ['200', 5],
  ])('keeps p99 of the first token within 1.3 of the healthy one, at %s calls a second', (_rate, betweenMs) => {
    const regions = new Regions();
    const healthy = quantile(regions.run(betweenMs), 0.99);
    regions.slowedMs = HEALTHY_MS * SLOWER;
    const slowed = regions.run(betweenMs);
    expect(quantile(slowed, 0.99) / healthy).toBeLessThanOrEqual(1.3);
    // It is asked again from time to time, or nobody would hear that it is well again.
    expect(slowed).toContain(regions.slowedMs);
  });
});
