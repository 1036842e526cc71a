import type { Limits } from '@pingtoken/shared/limits';
import { SlidingWindow } from './sliding-window.js';

export const RATES = ['requestsPerMinute', 'tokensPerMinute', 'requestsPerDay', 'tokensPerDay'] as const;
export type Rate = (typeof RATES)[number];

/** Who is bounded: a key, a member or a tenant, by its id, and by what. */
export interface Bounded {
  readonly id: string;
  readonly limits: Limits;
}

/** How full a rate is; of several that bound the same, the one with the least left. */
export interface RateState {
  readonly limit: number;
  readonly left: number;
  /** Milliseconds until all of it is free again. */
  readonly resetMs: number;
}
export type RateStates = Partial<Record<Rate, RateState>>;

export interface LimitReached {
  readonly reached: Rate | 'concurrentCalls';
  readonly limit: number;
  /** When the same call would fit, if no other came before it. Undefined for a call that never fits, or while others run. */
  readonly retryAfterMs: number | undefined;
  readonly states: RateStates;
}

/** One call's part of the limits. */
export interface Admission {
  readonly states: RateStates;
  /**
   * The call is over.
   * @param tokens it used, which take the place of those that were assumed; undefined where it used none
   */
  settle(tokens: number | undefined, nowMs: number): void;
}

export interface Limiter {
  /**
   * Takes a call's part of every limit, or of none. Counted when the call begins and not when it ends: calls that began
   * together would otherwise all find room.
   * @param tokens that it may use
   */
  admit(bounded: readonly Bounded[], tokens: number, nowMs: number): Admission | LimitReached;
  /** What is left of one's limits; those that bound nothing are not in it. */
  left(bounded: Bounded, nowMs: number): Partial<Record<LimitReached['reached'], number>>;
  /** Forgets who has not called for a day. To be called now and then. */
  sweep(nowMs: number): void;
  readonly size: number;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 3600 * 1000;

const KINDS = {
  requestsPerMinute: { lengthMs: MINUTE_MS, counts: 'requests' },
  tokensPerMinute: { lengthMs: MINUTE_MS, counts: 'tokens' },
  requestsPerDay: { lengthMs: DAY_MS, counts: 'requests' },
  tokensPerDay: { lengthMs: DAY_MS, counts: 'tokens' },
} as const satisfies Record<Rate, { lengthMs: number; counts: 'requests' | 'tokens' }>;

interface Use {
  readonly windows: Partial<Record<Rate, SlidingWindow>>;
  running: number;
  lastUsedAt: number;
}

/** One window that a call draws on. */
interface Draw {
  readonly rate: Rate;
  readonly limit: number;
  readonly window: SlidingWindow;
  readonly amount: number;
}

/** Counts what this process let through. */
export function createLimiter(): Limiter {
  const uses = new Map<string, Use>();

  function useOf(id: string, nowMs: number): Use {
    let use = uses.get(id);
    if (use === undefined) {
      use = { windows: {}, running: 0, lastUsedAt: nowMs };
      uses.set(id, use);
    }
    use.lastUsedAt = nowMs;
    return use;
  }

  return {
    admit: (bounded, tokens, nowMs) => {
      const mine = bounded.map(({ id, limits }) => ({ use: useOf(id, nowMs), limits }));
      const draws = mine.flatMap(({ use, limits }) => drawsOf(use, limits, tokens));
      const reached = firstReached(mine, draws, nowMs);
      if (reached !== undefined) return { ...reached, states: statesOf(draws, nowMs) };
      return take(
        mine.map(({ use }) => use),
        draws,
        nowMs,
      );
    },
    left: ({ id, limits }, nowMs) => {
      const use = uses.get(id);
      const left: Partial<Record<LimitReached['reached'], number>> = {};
      for (const rate of RATES) {
        const limit = limits[rate];
        if (limit !== null) left[rate] = Math.max(0, limit - (use?.windows[rate]?.sum(nowMs) ?? 0));
      }
      const { concurrentCalls } = limits;
      if (concurrentCalls !== null) left.concurrentCalls = Math.max(0, concurrentCalls - (use?.running ?? 0));
      return left;
    },
    sweep: (nowMs) => {
      for (const [id, use] of uses) {
        if (use.running === 0 && nowMs - use.lastUsedAt > DAY_MS) uses.delete(id);
      }
    },
    get size() {
      return uses.size;
    },
  };
}

function drawsOf(use: Use, limits: Limits, tokens: number): Draw[] {
  const draws: Draw[] = [];
  for (const rate of RATES) {
    const limit = limits[rate];
    if (limit === null) continue;
    const { lengthMs, counts } = KINDS[rate];
    const window = (use.windows[rate] ??= new SlidingWindow(lengthMs));
    draws.push({ rate, limit, window, amount: counts === 'requests' ? 1 : tokens });
  }
  return draws;
}

function firstReached(
  mine: readonly { readonly use: Use; readonly limits: Limits }[],
  draws: readonly Draw[],
  nowMs: number,
): Omit<LimitReached, 'states'> | undefined {
  for (const { use, limits } of mine) {
    const limit = limits.concurrentCalls;
    if (limit !== null && use.running >= limit) return { reached: 'concurrentCalls', limit, retryAfterMs: undefined };
  }
  let found: Omit<LimitReached, 'states'> | undefined;
  for (const { rate, limit, window, amount } of draws) {
    if (amount > limit) return { reached: rate, limit, retryAfterMs: undefined };
    const retryAfterMs = window.waitFor(limit, amount, nowMs);
    // Of several that are full, the one that is so for longest: an earlier retry would meet it.
    if (retryAfterMs > (found?.retryAfterMs ?? 0)) found = { reached: rate, limit, retryAfterMs };
  }
  return found;
}

function take(uses: readonly Use[], draws: readonly Draw[], nowMs: number): Admission {
  for (const use of uses) use.running += 1;
  const slots = draws.map(({ window, amount }) => window.add(nowMs, amount));
  const states = statesOf(draws, nowMs);
  let isSettled = false;
  return {
    states,
    settle: (tokens, settledAt) => {
      if (isSettled) return;
      isSettled = true;
      for (const use of uses) use.running -= 1;
      for (const [index, { rate, window, amount }] of draws.entries()) {
        if (KINDS[rate].counts === 'tokens') window.correct(slots[index] ?? 0, settledAt, (tokens ?? 0) - amount);
      }
    },
  };
}

function statesOf(draws: readonly Draw[], nowMs: number): RateStates {
  const states: RateStates = {};
  for (const { rate, limit, window } of draws) {
    const left = Math.max(0, limit - window.sum(nowMs));
    const before = states[rate];
    if (before !== undefined && before.left <= left) continue;
    states[rate] = { limit, left, resetMs: window.waitFor(limit, limit, nowMs) };
  }
  return states;
}
