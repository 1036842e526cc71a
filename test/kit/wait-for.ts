import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs: number;
  /** Stands in the error. */
  readonly what: string;
  /** Default 20. */
  readonly intervalMs?: number;
}

/**
 * Asks again and again until the answer is neither undefined nor false.
 * @throws Error when it is not by then
 */
export async function waitFor<Value>(
  ask: () => Promise<Value | undefined | false> | Value | undefined | false,
  { timeoutMs, what, intervalMs = 20 }: WaitOptions,
): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await sleep(intervalMs);
  }
}

/** @returns milliseconds until it became true */
export async function measureUntil(
  isTrue: () => Promise<boolean> | boolean,
  options: WaitOptions & { readonly since?: number },
): Promise<number> {
  const since = options.since ?? performance.now();
  await waitFor(isTrue, options);
  return Math.round(performance.now() - since);
}

/** A quantile of measurements, by the nearest rank. */
export function quantile(values: readonly number[], share: number): number {
  const ascending = values.toSorted((one, other) => one - other);
  return ascending[Math.max(0, Math.ceil(share * ascending.length) - 1)] ?? Number.NaN;
}
