/** The time constant by which an average forgets. */
const FADE_MS = 10_000;

/**
 * Peak-EWMA: rises to a slow answer at once and forgets it slowly, so that a target that turns slow is left at its first slow
 * answer. Read later it has faded toward zero: one that nobody asks any more is tried again after a while. (Finagle's
 * `PeakEwma` has the same shape.)
 */
export class PeakLatency {
  #valueMs: number | undefined;
  #atMs = 0;

  record(latencyMs: number, nowMs: number): void {
    if (this.#valueMs === undefined || latencyMs > this.#valueMs) this.#valueMs = latencyMs;
    else {
      const kept = fade(nowMs - this.#atMs);
      this.#valueMs = this.#valueMs * kept + latencyMs * (1 - kept);
    }
    this.#atMs = nowMs;
  }

  value(nowMs: number): number | undefined {
    return this.#valueMs === undefined ? undefined : this.#valueMs * fade(nowMs - this.#atMs);
  }
}

function fade(elapsedMs: number): number {
  return Math.exp(-Math.max(0, elapsedMs) / FADE_MS);
}

/** Each bucket is a fifth wider than the one before: quantiles are right to that. */
const GROWTH = 1.2;
/** Up to 1.2^80 ms, half an hour. */
const BUCKETS = 80;
const HALVED_AT = 1024;
/** Fewer say nothing of one in twenty. */
const MIN_SAMPLES = 20;

/** The distribution of latencies, of which the older half counts half, again and again. */
export class LatencyQuantile {
  readonly #counts = new Uint16Array(BUCKETS);
  #total = 0;

  record(latencyMs: number): void {
    const at = Math.min(BUCKETS - 1, Math.max(0, Math.ceil(Math.log(Math.max(1, latencyMs)) / Math.log(GROWTH))));
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#total += 1;
    if (this.#total >= HALVED_AT) this.#halve();
  }

  /** @returns milliseconds, the upper bound of the quantile's bucket; undefined where too little is known */
  quantile(share: number): number | undefined {
    if (this.#total < MIN_SAMPLES) return undefined;
    let seen = 0;
    for (const [at, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= share * this.#total) return GROWTH ** at;
    }
    return GROWTH ** (BUCKETS - 1);
  }

  #halve(): void {
    this.#total = 0;
    for (const [at, count] of this.#counts.entries()) {
      this.#counts[at] = count >> 1;
      this.#total += count >> 1;
    }
  }
}
