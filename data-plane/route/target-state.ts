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
  /**
   * Ended ones, and those of them that failed by the target's fault, since the breaker has last closed. What has opened it
   * counts no more, nor what was still on its way then: held against the target once it may be called again, it would keep
   * the probe away that the breaker waits for.
   */
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

  /** An attempt has told something: `served`, or `failed` by the target's fault. */
  ended(how: 'served' | 'failed' | 'neither', nowMs: number): void {
    if (this.breaker.isClosed) {
      this.attempts.add(1, nowMs);
      if (how === 'failed') this.failures.add(1, nowMs);
    }
    if (how === 'neither') this.breaker.ended();
    else if (how === 'served') this.breaker.succeeded();
    else if (this.breaker.failed(nowMs, { attempts: this.attempts.sum(nowMs), failures: this.failures.sum(nowMs) })) {
      this.attempts.clear();
      this.failures.clear();
    }
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
