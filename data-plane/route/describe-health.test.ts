import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { healthReportSchema, MAX_REPORTED, type HealthReport } from '@pingtoken/shared/health-report';
import type { FailureKind } from './failure.js';
import { createHealth, type AttemptedTarget, type AttemptResult, type Health } from './health.js';

const target = (credentialId: string = randomUUID()): AttemptedTarget => ({
  ...{ targetId: randomUUID(), credentialId, upstreamModel: 'a model', streamed: true },
});
const failed = (kind: FailureKind, status = 500, retryAfterMs?: number): AttemptResult => ({
  kind: 'failed',
  failure: { kind, status, retryAfterMs },
});
const REFUSED = failed('credential-refused', 401);

class Trial {
  now = 1_800_000_000_000;
  /** Of every credential. */
  credentialSeq: number | undefined = 7;
  changes = 0;
  readonly health: Health = createHealth({
    clock: () => this.now,
    onCredentialFault: () => undefined,
    credentialSeq: () => this.credentialSeq,
    onChange: () => {
      this.changes += 1;
    },
  });

  run(of: AttemptedTarget, ...results: readonly AttemptResult[]): void {
    for (const result of results) {
      const attempt = this.health.begin(of, 100);
      this.now += 10;
      attempt.end(result);
    }
  }

  /** As the contract has it. */
  report(): HealthReport {
    return healthReportSchema.parse({ version: 1, runId: randomUUID(), seq: 1, ...this.health.describe() });
  }
}

describe('what is told of health', () => {
  it('names what is parked, what cools down and what is open, for how long, and the targets in use', () => {
    const trial = new Trial();
    const [parked, cooling, open, well] = [target(), target(), target(), target()];
    trial.run(parked, REFUSED);
    trial.run(cooling, failed('rate-limited', 429, 20_000));
    trial.run(open, ...Array.from({ length: 5 }, () => failed('server-error')));
    trial.run(well, { kind: 'served' });
    expect(trial.changes).toBeGreaterThanOrEqual(3);
    const report = trial.report();
    const { credentialId } = parked;
    expect(report.parked).toEqual([
      { credentialId, credentialSeq: 7, status: 401, parkedForMs: 70, blockedForMs: 29_930 },
    ]);
    const { upstreamModel } = cooling;
    expect(report.coolDowns).toEqual([
      { credentialId: cooling.credentialId, credentialSeq: 7, upstreamModel, blockedForMs: 19_940, isStated: true },
    ]);
    expect(report.targets[0]).toMatchObject({ targetId: open.targetId, isBreakerOpen: true, requestsPerMinute: 5 });
    expect(report.targets.find(({ targetId }) => targetId === well.targetId)).toMatchObject({
      ...{ isBreakerOpen: false, blockedForMs: 0, attempts: 1, failures: 0, requestsPerMinute: 1, latencyMs: null },
    });
    trial.now += 3_600_000;
    const later = trial.report();
    expect(later.coolDowns).toEqual([]);
    expect(later.targets.map(({ targetId }) => targetId)).toEqual([open.targetId]);
    expect(later.parked).toMatchObject([{ credentialId, blockedForMs: 0 }]);
  });

  it('stays within the contract however much there is, and what is blocked goes first', () => {
    const trial = new Trial();
    for (let count = 0; count < MAX_REPORTED; count += 1) trial.run(target(), { kind: 'served' }, REFUSED);
    const open = target();
    trial.run(open, ...Array.from({ length: 5 }, () => failed('unreachable')));
    trial.run(target(), REFUSED, failed('rate-limited', 429));
    const report = trial.report();
    expect([report.parked.length, report.targets.length]).toEqual([MAX_REPORTED, MAX_REPORTED]);
    expect(report.targets[0]?.targetId).toBe(open.targetId);
  });
});

describe('a credential that is published anew', () => {
  it('is neither parked nor cools down any more, and the change is told', () => {
    const trial = new Trial();
    const first = target();
    const second = target(first.credentialId);
    trial.run(first, failed('rate-limited', 429, 60_000), REFUSED);
    expect(trial.health.of(second)?.blocked).toBe('credential-parked');
    const { changes } = trial;
    trial.credentialSeq = 8;
    expect(trial.health.of(second)?.blocked).toBeUndefined();
    expect(trial.health.of(first)?.blocked).toBeUndefined();
    expect(trial.changes).toBeGreaterThan(changes);
    expect(trial.report().parked).toEqual([]);
  });

  it('is not parked by an answer to the secret that it had before', () => {
    const trial = new Trial();
    const only = target();
    const late = trial.health.begin(only, 1);
    const later = trial.health.begin(only, 1);
    trial.credentialSeq = 8;
    late.end(REFUSED);
    expect(trial.health.of(only)).toMatchObject({ blocked: undefined, outstanding: 1 });
    trial.run(only, REFUSED);
    later.end({ kind: 'served' });
    expect(trial.health.of(only)).toMatchObject({ blocked: 'credential-parked', outstanding: 0 });
    expect(trial.report().parked).toMatchObject([{ credentialSeq: 8 }]);
  });

  it('is parked again where it is refused again', () => {
    const trial = new Trial();
    const only = target();
    trial.run(only, REFUSED);
    trial.credentialSeq = 8;
    trial.run(only, REFUSED);
    expect(trial.health.of(only)?.blocked).toBe('credential-parked');
  });
});
