const BUCKETS = 10;

/** A sum over the last while, in ten buckets: exact to a tenth of the window, and constant in space. */
export class SlidingCount {
  readonly #sums = new Float64Array(BUCKETS);
  readonly #bucketMs: number;
  #bucket = 0;
  #total = 0;

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / BUCKETS;
  }

  add(count: number, nowMs: number): void {
    this.#moveTo(nowMs);
    const at = this.#bucket % BUCKETS;
    this.#sums[at] = (this.#sums[at] ?? 0) + count;
    this.#total += count;
  }

  clear(): void {
    this.#sums.fill(0);
    this.#total = 0;
  }

  sum(nowMs: number): number {
    this.#moveTo(nowMs);
    return this.#total;
  }

  /** A clock that goes back counts into the bucket that is current. */
  #moveTo(nowMs: number): void {
    const bucket = Math.floor(nowMs / this.#bucketMs);
    if (bucket <= this.#bucket) return;
    const passed = Math.min(bucket - this.#bucket, BUCKETS);
    for (let step = 1; step <= passed; step += 1) {
      const at = (this.#bucket + step) % BUCKETS;
      this.#total -= this.#sums[at] ?? 0;
      this.#sums[at] = 0;
    }
    if (passed === BUCKETS) this.clear();
    this.#bucket = bucket;
  }
}
