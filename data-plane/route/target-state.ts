import { Breaker } from './breaker.js';
import { LatencyQuantile, PeakLatency } from './latency.js';
import { SlidingCount } from './sliding-count.js';

const WINDOW_MS = 30_000;
const MINUTE_MS = 60_000;

const TARGET_BREAKER = {
  failuresInRow: 5,
  failureShare: { share: 0.5, minAttempts: 20 },
  openMs: 5_000,
  maxOpenMs: 120_000,
};

/** What is remembered of one target with its credential. */
export class TargetState {
  readonly breaker = new Breaker(TARGET_BREAKER);
  /** Ended ones, and those of them that failed by the target's fault. */
  readonly attempts = new SlidingCount(WINDOW_MS);
  readonly failures = new SlidingCount(WINDOW_MS);
  readonly requests = new SlidingCount(MINUTE_MS);
  readonly tokens = new SlidingCount(MINUTE_MS);
  /** Streams answer at their first token, others when they are done: two different things. */
  readonly #streams = new Latencies();
  readonly #others = new Latencies();
  outstanding = 0;

  constructor(readonly credentialId: string) {}

  latencies(streamed: boolean): Latencies {
    return streamed ? this.#streams : this.#others;
  }

  began(tokens: number, nowMs: number): void {
    this.outstanding += 1;
    this.requests.add(1, nowMs);
    this.tokens.add(tokens, nowMs);
    this.breaker.began(nowMs);
  }

  failed(nowMs: number): void {
    this.failures.add(1, nowMs);
    this.breaker.failed(nowMs, { attempts: this.attempts.sum(nowMs), failures: this.failures.sum(nowMs) });
  }
}

class Latencies {
  readonly peak = new PeakLatency();
  readonly quantile = new LatencyQuantile();

  answered(latencyMs: number, nowMs: number): void {
    this.peak.record(latencyMs, nowMs);
    this.quantile.record(latencyMs);
  }
}
