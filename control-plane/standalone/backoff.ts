/**
 * How long to wait before the next process. One that had been ready is replaced within 2 s, however often it dies; one that
 * does not even get ready (a broken build, say) is tried ever less often, up to every 10 s.
 */
export function createBackoff(now: () => number = Date.now) {
  let failures = 0;
  let lastEndedAt = -Infinity;
  return {
    /** @returns milliseconds */
    next(wasReady: boolean): number {
      failures = now() - lastEndedAt > 10_000 && wasReady ? 0 : failures + 1;
      lastEndedAt = now();
      return Math.min(wasReady ? 1000 : 10_000, 50 * 2 ** failures);
    },
  };
}
