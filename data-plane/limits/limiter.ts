import type { Limits } from '@pingtoken/shared/limits';
import { BOUND_LENGTHS_MS, type BoundName } from '@pingtoken/shared/rate-share';
import type { Lack, ShareBook, ShareUse, Sharing } from './share-book.js';
import { SlidingWindow } from './sliding-window.js';

export const RATES = ['requestsPerMinute', 'tokensPerMinute', 'requestsPerDay', 'tokensPerDay'] as const;
export type Rate = (typeof RATES)[number];

/** Who is bounded: a key, a member or a tenant, by its id, and by what. */
export interface Bounded {
  readonly id: string;
  readonly limits: Limits;
  /** As the control plane calls them; needed where limits are shared. */
  readonly of?: Sharing['of'];
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
  /** What there is too little of here, though not of the limit itself; empty where asking for more is no use. */
  readonly lacking: readonly Lack[];
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
  /** What is used here of one of somebody's limits. */
  useOf(id: string, bound: BoundName, nowMs: number): ShareUse;
  /** Forgets who has not called for a day. To be called now and then. */
  sweep(nowMs: number): void;
  readonly size: number;
}

const DAY_MS = BOUND_LENGTHS_MS.requestsPerDay;

const COUNTS = {
  requestsPerMinute: 'requests',
  tokensPerMinute: 'tokens',
  requestsPerDay: 'requests',
  tokensPerDay: 'tokens',
} as const satisfies Record<Rate, 'requests' | 'tokens'>;

interface Use {
  readonly windows: Partial<Record<Rate, SlidingWindow>>;
  running: number;
  lastUsedAt: number;
}

/** What a call is held against. */
interface Mine {
  readonly bounded: Bounded;
  readonly use: Use;
}

/** One window that a call draws on. */
interface Draw extends Mine {
  readonly rate: Rate;
  readonly limit: number;
  /** Of the limit, what may be used here. */
  readonly cap: number;
  readonly window: SlidingWindow;
  readonly amount: number;
}

/**
 * Counts what this process let through.
 * @param shares of the limits, where other processes let calls through too
 */
export function createLimiter(shares?: ShareBook): Limiter {
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
  const capOf = (bounded: Bounded, bound: BoundName, limit: number): number =>
    shares === undefined || bounded.of === undefined ? limit : shares.capOf(bounded, bound, limit);

  return {
    admit: (bounded, tokens, nowMs) => {
      const mine = bounded.map((each): Mine => ({ bounded: each, use: useOf(each.id, nowMs) }));
      const draws = mine.flatMap((each) => drawsOf(each, tokens, capOf));
      const reached = firstReached(mine, draws, { nowMs, capOf, shares });
      if (reached !== undefined) return { ...reached, states: statesOf(draws, nowMs, shares) };
      note(shares, mine, draws, nowMs);
      return take(mine, draws, nowMs, shares);
    },
    left: (bounded, nowMs) => {
      const { id, limits } = bounded;
      const use = uses.get(id);
      const left: Partial<Record<LimitReached['reached'], number>> = {};
      for (const bound of [...RATES, 'concurrentCalls'] as const) {
        const limit = limits[bound];
        if (limit === null) continue;
        const used = bound === 'concurrentCalls' ? (use?.running ?? 0) : (use?.windows[bound]?.sum(nowMs) ?? 0);
        left[bound] = leftOf({ used, limit, cap: capOf(bounded, bound, limit) }, shares?.freeOf(id, bound));
      }
      return left;
    },
    useOf: (id, bound, nowMs) => {
      const use = uses.get(id);
      if (bound === 'concurrentCalls') return { used: use?.running ?? 0, freeInMs: null };
      const window = use?.windows[bound];
      // What was assumed is corrected by what was used, which is an integer too.
      return { used: Math.max(0, Math.ceil(window?.sum(nowMs) ?? 0)), freeInMs: window?.freeInMs(nowMs) ?? null };
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

type CapOf = (bounded: Bounded, bound: BoundName, limit: number) => number;

function drawsOf({ bounded, use }: Mine, tokens: number, capOf: CapOf): Draw[] {
  const draws: Draw[] = [];
  for (const rate of RATES) {
    const limit = bounded.limits[rate];
    if (limit === null) continue;
    const window = (use.windows[rate] ??= new SlidingWindow(BOUND_LENGTHS_MS[rate]));
    const amount = COUNTS[rate] === 'requests' ? 1 : tokens;
    draws.push({ bounded, use, rate, limit, cap: capOf(bounded, rate, limit), window, amount });
  }
  return draws;
}

interface Looking {
  readonly nowMs: number;
  readonly capOf: CapOf;
  readonly shares: ShareBook | undefined;
}

/** A limit that the call does not fit into. */
interface Full extends Pick<LimitReached, 'reached' | 'limit' | 'retryAfterMs'> {
  /** Undefined where nobody can give more of it. */
  readonly lack: Lack | undefined;
}

function firstReached(
  mine: readonly Mine[],
  draws: readonly Draw[],
  looking: Looking,
): Omit<LimitReached, 'states'> | undefined {
  const full = [...mine.flatMap((each) => runningOf(each, looking)), ...draws.flatMap((draw) => rateOf(draw, looking))];
  if (full.length === 0) return undefined;
  // Of several that are full, the one that is so for longest: an earlier retry would meet it.
  const { reached, limit, retryAfterMs } = full.reduce((last, each) =>
    (each.retryAfterMs ?? Infinity) > (last.retryAfterMs ?? Infinity) ? each : last,
  );
  const lacking = full.flatMap(({ lack }) => lack ?? []);
  return { reached, limit, retryAfterMs, lacking: lacking.length === full.length ? lacking : [] };
}

function runningOf({ bounded, use }: Mine, { capOf }: Looking): Full[] {
  const limit = bounded.limits.concurrentCalls;
  if (limit === null || use.running < capOf(bounded, 'concurrentCalls', limit)) return [];
  const lack = use.running < limit ? lackOf(bounded, 'concurrentCalls', 1) : undefined;
  return [{ reached: 'concurrentCalls', limit, retryAfterMs: undefined, lack }];
}

function rateOf(draw: Draw, looking: Looking): Full[] {
  const { bounded, rate, limit, cap, window, amount } = draw;
  const wanted = window.sum(looking.nowMs) + amount;
  if (wanted <= cap) return [];
  if (amount > limit) return [{ reached: rate, limit, retryAfterMs: undefined, lack: undefined }];
  const lack = wanted <= limit ? lackOf(bounded, rate, amount) : undefined;
  return [{ reached: rate, limit, retryAfterMs: waitOf(draw, looking), lack }];
}

function lackOf({ id, of }: Bounded, bound: BoundName, amount: number): Lack | undefined {
  return of === undefined ? undefined : { id, of, bound, amount };
}

/** Until the call fits into what is held here, or until somebody else may have given some up. */
function waitOf({ bounded, rate, limit, cap, window, amount }: Draw, { nowMs, shares }: Looking): number {
  const own = amount <= cap ? window.waitFor(cap, amount, nowMs) : Infinity;
  if (shares === undefined || cap >= limit) return own;
  return Math.min(own, shares.retryInMs({ id: bounded.id, bound: rate }, nowMs));
}

function note(shares: ShareBook | undefined, mine: readonly Mine[], draws: readonly Draw[], nowMs: number): void {
  if (shares === undefined) return;
  for (const { bounded, rate, amount } of draws) {
    if (bounded.of !== undefined) shares.note({ id: bounded.id, of: bounded.of }, rate, amount, nowMs);
  }
  for (const { bounded } of mine) {
    const { id, of, limits } = bounded;
    if (of !== undefined && limits.concurrentCalls !== null) shares.note({ id, of }, 'concurrentCalls', 1, nowMs);
  }
}

function take(mine: readonly Mine[], draws: readonly Draw[], nowMs: number, shares: ShareBook | undefined): Admission {
  for (const { use } of mine) use.running += 1;
  const slots = draws.map(({ window, amount }) => window.add(nowMs, amount));
  const states = statesOf(draws, nowMs, shares);
  let isSettled = false;
  return {
    states,
    settle: (tokens, settledAt) => {
      if (isSettled) return;
      isSettled = true;
      for (const { use } of mine) use.running -= 1;
      for (const [index, { rate, window, amount }] of draws.entries()) {
        if (COUNTS[rate] === 'tokens') window.correct(slots[index] ?? 0, settledAt, (tokens ?? 0) - amount);
      }
    },
  };
}

/** What is held here and not used, and what nobody holds. */
function leftOf(
  { used, limit, cap }: { readonly used: number; readonly limit: number; readonly cap: number },
  free = 0,
): number {
  return Math.max(0, Math.min(limit - used, cap - used + (cap < limit ? free : 0)));
}

function statesOf(draws: readonly Draw[], nowMs: number, shares: ShareBook | undefined): RateStates {
  const states: RateStates = {};
  for (const { bounded, rate, limit, cap, window } of draws) {
    const left = leftOf({ used: window.sum(nowMs), limit, cap }, shares?.freeOf(bounded.id, rate));
    const before = states[rate];
    if (before !== undefined && before.left <= left) continue;
    states[rate] = { limit, left, resetMs: window.waitFor(limit, limit, nowMs) };
  }
  return states;
}
