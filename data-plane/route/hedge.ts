/** A caller does not feel a shorter wait, and the jitter of a quick target is no sign of trouble. */
const MIN_HEDGE_MS = 100;

/**
 * When a second attempt is made: one call in twenty waits longer, so that hedges are a small share of calls as long as the
 * target is as it was, and the rest is the retry budget's to bound (Dean and Barroso, The Tail at Scale, 2013).
 * @param p95Ms of the target's times to the first byte; undefined where too little is known of it
 * @returns milliseconds from the attempt's beginning; undefined for no hedge
 */
export function hedgeDelayMs(p95Ms: number | undefined): number | undefined {
  return p95Ms === undefined ? undefined : Math.max(MIN_HEDGE_MS, p95Ms);
}
