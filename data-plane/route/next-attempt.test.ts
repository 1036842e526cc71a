import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_ROUTE_POLICY } from '@pingtoken/shared/route-policy';
import type { FailureKind } from './failure.js';
import { nextAttempt, type FailedCall } from './next-attempt.js';
import { RetryBudgets } from './retry-budget.js';

const failure = (kind: FailureKind, retryAfterMs?: number) => ({ kind, status: null, retryAfterMs });

function call(change: Partial<FailedCall> = {}): FailedCall {
  return {
    ...{ retry: DEFAULT_ROUTE_POLICY.retry, failure: failure('server-error'), attempts: 1 },
    ...{ tried: [0], untried: [1, 2], random: 0.5, leftMs: 60_000 },
    ...change,
  };
}

const patient = { ...DEFAULT_ROUTE_POLICY.retry, maxAttempts: 6, sameTargetRetries: 3 };

describe('after a failure', () => {
  it('another target is tried at once', () => {
    expect(nextAttempt(call())).toEqual({ kind: 'try', place: 1, delayMs: 0 });
  });

  it('what the caller did wrong is tried nowhere', () => {
    expect(nextAttempt(call({ failure: failure('refused') }))).toMatchObject({ why: 'not-retryable' });
  });

  it('the same target is left alone unless the route says otherwise', () => {
    expect(nextAttempt(call({ untried: [] }))).toMatchObject({ why: 'no-target-left' });
    expect(nextAttempt(call({ untried: [], retry: patient }))).toEqual({ kind: 'try', place: 0, delayMs: 125 });
  });

  it('the wait that a provider states is kept, or else the call ends', () => {
    const told = (ms: number, leftMs = 60_000) =>
      nextAttempt(call({ untried: [], retry: patient, leftMs, random: 0, failure: failure('rate-limited', ms) }));
    expect(told(4_000)).toEqual({ kind: 'try', place: 0, delayMs: 4_000 });
    expect(told(11_000)).toMatchObject({ why: 'too-long' });
    expect(told(4_000, 3_000)).toMatchObject({ why: 'too-long' });
  });

  it('a refused credential is not presented again', () => {
    const refused = { untried: [], retry: patient, failure: failure('credential-refused') };
    expect(nextAttempt(call(refused))).toMatchObject({ why: 'no-target-left' });
  });

  it('attempts and pauses stay within their bounds, whatever fails', () => {
    const kinds = fc.constantFrom<FailureKind>('unreachable', 'timed-out', 'server-error', 'rate-limited');
    const drawn = fc.record({
      kind: kinds,
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
      maxAttempts: fc.integer({ min: 1, max: 16 }),
      sameTargetRetries: fc.nat(5),
      targets: fc.integer({ min: 1, max: 6 }),
    });
    fc.assert(
      fc.property(drawn, ({ kind, random, maxAttempts, sameTargetRetries, targets }) => {
        const retry = { ...DEFAULT_ROUTE_POLICY.retry, maxAttempts, sameTargetRetries };
        const tried = [0];
        for (;;) {
          const untried = Array.from({ length: targets }, (_, at) => at).filter((at) => !tried.includes(at));
          const next = nextAttempt({
            ...call(),
            retry,
            failure: failure(kind),
            attempts: tried.length,
            tried,
            untried,
            random,
          });
          if (next.kind === 'give-up') break;
          expect(next.delayMs).toBeLessThanOrEqual(8_000);
          if (!untried.includes(next.place)) expect(untried).toEqual([]);
          tried.push(next.place);
        }
        expect(tried.length).toBe(Math.min(maxAttempts, targets + sameTargetRetries));
      }),
    );
  });
});

describe('a route’s budget', () => {
  it('in the long run lets no more than its share be tried again', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 100, max: 5_000 }), (share, calls) => {
        let now = 0;
        const budgets = new RetryBudgets(() => now);
        let spent = 0;
        for (let each = 0; each < calls; each += 1) {
          now += 1;
          budgets.deposit('route', share);
          for (let attempt = 0; attempt < 3; attempt += 1) if (budgets.withdraw('route')) spent += 1;
        }
        expect(spent).toBeLessThanOrEqual(share * calls + now / 1000 + 51);
      }),
      { numRuns: 50 },
    );
  });

  it('holds enough for the calls that are on their way when a target dies, and none of another route’s', () => {
    const budgets = new RetryBudgets(() => 0);
    for (let each = 0; each < 10_000; each += 1) budgets.deposit('busy', 0.2);
    let spent = 0;
    while (budgets.withdraw('busy')) spent += 1;
    expect(spent).toBe(1_000);
    expect(budgets.withdraw('quiet')).toBe(true);
  });

  it('is filled up by time, so that a quiet route can always try again', () => {
    let now = 0;
    const budgets = new RetryBudgets(() => now);
    while (budgets.withdraw('quiet'));
    now += 3_000;
    expect([1, 2, 3, 4].map(() => budgets.withdraw('quiet'))).toEqual([true, true, true, false]);
  });
});
