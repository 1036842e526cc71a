import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Failure, FailureKind } from './failure.js';
import { createHealth, type AttemptedTarget, type AttemptResult, type CredentialFault, type Health } from './health.js';

const A: AttemptedTarget = { targetId: 'a', credentialId: 'key', upstreamModel: 'm', streamed: true };
const B: AttemptedTarget = { targetId: 'b', credentialId: 'other key', upstreamModel: 'm', streamed: true };
const SERVED: AttemptResult = { kind: 'served' };

const failed = (kind: FailureKind, change: Partial<Failure> = {}): AttemptResult => ({
  kind: 'failed',
  failure: { kind, status: null, retryAfterMs: undefined, ...change },
});

class Trial {
  now = 1_800_000_000_000;
  readonly faults: CredentialFault[] = [];
  readonly health: Health = createHealth({
    clock: () => this.now,
    onCredentialFault: (fault) => this.faults.push(fault),
  });

  /** Attempts one after another, each of them `tookMs` long. */
  run(target: AttemptedTarget, results: readonly AttemptResult[], tookMs = 10): void {
    for (const result of results) {
      const attempt = this.health.begin(target, 100);
      this.now += tookMs;
      attempt.end(result);
    }
  }

  blocked(target = A): string | undefined {
    return this.health.of(target)?.blocked;
  }
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

describe('a target’s breaker', () => {
  it('opens after failures in a row and lets one probe through after a while, whose end decides', () => {
    const trial = new Trial();
    trial.run(A, times(4, failed('server-error')));
    expect(trial.blocked()).toBeUndefined();
    trial.run(A, [failed('unreachable')]);
    expect(trial.health.of(A)).toMatchObject({ blocked: 'breaker-open', isLastResort: true });
    trial.now += 5_000;
    expect(trial.blocked()).toBeUndefined();
    const probe = trial.health.begin(A, 1);
    expect(trial.blocked()).toBe('breaker-open');
    probe.end(failed('server-error'));
    trial.now += 9_000;
    expect(trial.blocked()).toBe('breaker-open');
    trial.now += 1_000;
    trial.run(A, [SERVED]);
    expect(trial.blocked()).toBeUndefined();
    trial.run(A, times(4, failed('server-error')));
    expect(trial.blocked()).toBeUndefined();
  });

  it('opens when half of what is asked fails, though never twice in a row', () => {
    const trial = new Trial();
    for (let round = 0; round < 10; round += 1) trial.run(A, [SERVED, failed('server-error')]);
    expect(trial.blocked()).toBe('breaker-open');
  });

  it('is not moved by a probe that a caller gave up, and the next call is the probe', () => {
    const trial = new Trial();
    trial.run(A, times(5, failed('server-error')));
    trial.now += 5_000;
    trial.run(A, [{ kind: 'abandoned' }]);
    expect(trial.blocked()).toBeUndefined();
    trial.run(A, [SERVED]);
    expect(trial.health.of(A)).toMatchObject({ blocked: undefined, outstanding: 0 });
  });

  it('closes when the answer of its probe begins, which may last for long', () => {
    const trial = new Trial();
    trial.run(A, times(5, failed('server-error')));
    trial.now += 5_000;
    const probe = trial.health.begin(A, 1);
    expect(trial.blocked()).toBe('breaker-open');
    probe.firstByte();
    expect(trial.blocked()).toBeUndefined();
    probe.end(failed('server-error'));
    expect(trial.health.of(A)).toMatchObject({ blocked: undefined, attempts: 1, failures: 1 });
  });

  it('does not count what is the caller’s fault', () => {
    const trial = new Trial();
    trial.run(A, times(50, failed('refused', { status: 400 })));
    expect(trial.health.of(A)).toMatchObject({ blocked: undefined, failures: 0, attempts: 50 });
  });

  it('stays open no longer for the calls that were on their way when it opened', () => {
    const trial = new Trial();
    const slow = times(20, 0).map(() => trial.health.begin(A, 1));
    for (const attempt of slow) attempt.end(failed('unreachable'));
    trial.now += 5_000;
    expect(trial.blocked()).toBeUndefined();
  });
});

describe('a credential', () => {
  it('is parked for every target of it at one refusal, told of once, and taken back when a probe passes', () => {
    const trial = new Trial();
    const sibling = { ...A, targetId: 'never called', upstreamModel: 'other' };
    trial.run(A, times(3, failed('credential-refused', { status: 401 })));
    expect([trial.blocked(A), trial.blocked(sibling), trial.blocked(B)]).toEqual([
      'credential-parked',
      'credential-parked',
      undefined,
    ]);
    expect(trial.health.of(A)?.isLastResort).toBe(false);
    trial.now += 30_000;
    expect(trial.blocked(sibling)).toBeUndefined();
    trial.run(sibling, [failed('credential-refused', { status: 401 })]);
    trial.now += 59_000;
    expect(trial.blocked()).toBe('credential-parked');
    trial.now += 2_000;
    trial.run(A, [SERVED]);
    expect(trial.blocked(sibling)).toBeUndefined();
    expect(trial.faults).toEqual([
      { credentialId: 'key', status: 401, isParked: true },
      { credentialId: 'key', status: null, isParked: false },
    ]);
  });

  it('cools down for the time that its provider states, for that model only', () => {
    const trial = new Trial();
    trial.run(A, [failed('rate-limited', { status: 429, retryAfterMs: 7_000 })]);
    const until = trial.now + 7_000;
    expect(trial.health.of(A)).toMatchObject({ blocked: 'cooling-down', blockedUntil: until, isLastResort: false });
    expect(trial.blocked({ ...A, targetId: 'sibling' })).toBe('cooling-down');
    expect(trial.blocked({ ...A, targetId: 'another', upstreamModel: 'other' })).toBeUndefined();
    trial.run(A, [failed('rate-limited', { status: 429, retryAfterMs: 100 })]);
    expect(trial.health.of(A)?.blockedUntil).toBe(until);
    trial.now = until;
    expect(trial.blocked()).toBeUndefined();
  });

  it('that says no time cools down for a moment, and may be asked all the same', () => {
    const trial = new Trial();
    trial.run(A, [failed('rate-limited', { status: 429 })]);
    expect(trial.health.of(A)).toMatchObject({ blocked: 'cooling-down', isLastResort: true });
    trial.now += 1_000;
    expect(trial.blocked()).toBeUndefined();
  });

  it('that is another one begins anew', () => {
    const trial = new Trial();
    trial.run(A, times(5, failed('server-error')));
    expect(trial.blocked({ ...A, credentialId: 'new key' })).toBeUndefined();
  });
});

describe('latency', () => {
  it('rises at once, falls slowly, and fades while nobody asks', () => {
    const trial = new Trial();
    const latency = (): number => trial.health.of(A)?.latencyMs ?? Number.NaN;
    trial.run(A, [SERVED], 100);
    expect(latency()).toBeCloseTo(100);
    trial.run(A, [SERVED], 2_000);
    expect(latency()).toBeCloseTo(2_000);
    trial.run(A, [SERVED], 100);
    expect(latency()).toBeGreaterThan(1_500);
    trial.now += 60_000;
    expect(latency()).toBeLessThan(10);
  });

  it('is told apart for streams and other calls', () => {
    const trial = new Trial();
    trial.run({ ...A, streamed: false }, [SERVED], 9_000);
    trial.run(A, [SERVED], 50);
    expect(trial.health.of(A)?.latencyMs).toBeCloseTo(50);
  });

  it('knows of one that was waited for in vain that it takes longer', () => {
    const trial = new Trial();
    trial.run(A, [{ kind: 'outpaced' }], 3_000);
    expect(trial.health.of(A)).toMatchObject({ latencyMs: 3_000, attempts: 0 });
  });

  it('has a 95th percentile that is right to a fifth, once enough is known', () => {
    const trial = new Trial();
    trial.run(A, times(19, SERVED), 100);
    expect(trial.health.p95(A)).toBeUndefined();
    for (let round = 0; round < 20; round += 1) trial.run(A, [...times(19, SERVED)], 100);
    trial.run(A, times(10, SERVED), 5_000);
    expect(trial.health.p95(A)).toBeGreaterThanOrEqual(100);
    expect(trial.health.p95(A)).toBeLessThan(121);
    trial.run(A, times(100, SERVED), 5_000);
    expect(trial.health.p95(A)).toBeGreaterThanOrEqual(5_000);
    expect(trial.health.p95(A)).toBeLessThan(6_001);
  });
});

describe('whatever happens', () => {
  const step = fc.record({
    target: fc.constantFrom(A, B),
    action: fc.constantFrom('begin', 'begin', 'end', 'end', 'wait', 'twice'),
    result: fc.constantFrom<AttemptResult>(
      SERVED,
      failed('server-error'),
      failed('timed-out'),
      failed('rate-limited', { retryAfterMs: 500 }),
      failed('credential-refused'),
      failed('refused'),
      { kind: 'abandoned' },
      { kind: 'outpaced' },
    ),
    ms: fc.nat(20_000),
  });

  it('open calls are counted right, failures are never more than attempts, and nothing is blocked for ever', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const trial = new Trial();
        const open = new Map([A, B].map((target) => [target.targetId, [] as ReturnType<Health['begin']>[]]));
        for (const { target, action, result, ms } of steps) {
          const mine = open.get(target.targetId) ?? [];
          if (action === 'wait') trial.now += ms;
          else if (action === 'begin') mine.push(trial.health.begin(target, 1));
          else {
            const attempt = mine.pop();
            attempt?.end(result);
            if (action === 'twice') attempt?.end(failed('server-error'));
          }
          const health = trial.health.of(target);
          expect(health?.outstanding ?? 0).toBe(mine.length);
          expect(health?.failures ?? 0).toBeLessThanOrEqual(health?.attempts ?? 0);
          if (health?.blocked !== undefined) {
            expect(health.blockedUntil).toBeGreaterThan(trial.now);
            expect((health.blockedUntil ?? 0) - trial.now).toBeLessThanOrEqual(900_000);
          }
        }
        trial.now += 900_001;
        expect([trial.blocked(A), trial.blocked(B)]).toEqual([undefined, undefined]);
      }),
    );
  });

  it('a target that serves again is used again', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const trial = new Trial();
        for (const { target, result, ms } of steps) {
          trial.run(target, [result], 1);
          trial.now += ms;
        }
        trial.now += 900_001;
        trial.run(A, [SERVED, SERVED]);
        expect(trial.blocked(A)).toBeUndefined();
      }),
    );
  });

  it('the rates are those of the last minute', () => {
    const trial = new Trial();
    trial.run(A, times(30, SERVED), 1_000);
    expect(trial.health.of(A)).toMatchObject({ requestsPerMinute: 30, tokensPerMinute: 3_000 });
    trial.now += 61_000;
    expect(trial.health.of(A)).toMatchObject({ requestsPerMinute: 0, tokensPerMinute: 0, attempts: 0 });
  });
});
