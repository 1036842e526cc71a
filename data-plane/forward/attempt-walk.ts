import { usualTokens } from '@pingtoken/shared/route-strategies';
import type { Failure } from '../route/failure.js';
import type { AttemptedTarget, AttemptResult, Health, OpenAttempt } from '../route/health.js';
import { hedgeDelayMs } from '../route/hedge.js';
import { nextAttempt, type FailedCall } from '../route/next-attempt.js';
import type { RetryBudgets } from '../route/retry-budget.js';
import type { PlannedAttempt, Routed } from '../route/route.js';

/** What the walks of all calls share. */
export interface WalkTools {
  readonly health: Health;
  readonly budgets: RetryBudgets;
  /** In [0, 1). */
  readonly random: () => number;
  /** Longest time of a call in all, in milliseconds. */
  readonly totalTimeoutMs: number;
  /** Longest wait of a streamed call for the first event of an attempt's answer, in milliseconds. */
  readonly firstTokenTimeoutMs: number;
}

/** One more attempt that may be made, already paid for from the route's budget. */
export interface Step<Sent> {
  /** In the plan. */
  readonly place: number;
  readonly attempt: PlannedAttempt;
  readonly sent: Sent;
  readonly delayMs: number;
}

/**
 * A call's way along its attempts: tells the health of targets how each goes, and finds those that come next. Whether
 * another may be made at all, because nothing has gone to the caller, who walks knows.
 */
export class AttemptWalk<Sent> {
  readonly #tools: WalkTools;
  readonly #routed: Routed;
  readonly #prepare: (attempt: PlannedAttempt) => Sent | undefined;
  /** Places in the plan, in the order in which they were tried last. */
  readonly #tried: number[] = [0];

  /** @param prepare what an attempt sends; undefined where its provider cannot be told what the caller said */
  constructor(routed: Routed, prepare: (attempt: PlannedAttempt) => Sent | undefined, tools: WalkTools) {
    this.#routed = routed;
    this.#prepare = prepare;
    this.#tools = tools;
    const { route } = this;
    if (route !== undefined && routed.attempts.length > 1) tools.budgets.deposit(route.id, route.retry.budgetShare);
  }

  /** An attempt goes out. @param onLate called when its answer has not begun within the time that the route gives it */
  begin(attempt: PlannedAttempt, onLate: (withinMs: number) => void): WalkedAttempt {
    const routed = this.#routed;
    const tokens = routed.facts === undefined ? 0 : usualTokens(routed.facts);
    const target = attemptedTarget(attempt, routed.streamed);
    const open = target === undefined ? undefined : this.#tools.health.begin(target, tokens);
    return new WalkedAttempt(open, this.#limitMs(routed.streamed), onLate);
  }

  /** @returns after how long without an answer a second attempt is worth its cost, in milliseconds; undefined for never */
  hedgeAfterMs(attempt: PlannedAttempt): number | undefined {
    const { route } = this;
    if (route?.hedging !== 'after-p95' || this.#tried.length >= route.retry.maxAttempts) return undefined;
    const target = attemptedTarget(attempt, this.#routed.streamed);
    return target === undefined ? undefined : hedgeDelayMs(this.#tools.health.p95(target));
  }

  /** @returns an attempt at another target, to be made beside the one that is late; undefined where there is none to make */
  hedge(): Step<Sent> | undefined {
    const { route } = this;
    if (route === undefined || this.#tried.length >= route.retry.maxAttempts) return undefined;
    for (const place of this.#untried(new Set())) {
      const step = this.#step(place, 0);
      if (step !== undefined) return this.#take(step);
    }
    return undefined;
  }

  /** @param place of the attempt that failed, the last one on its way @returns undefined where the call ends as it failed */
  next(failure: Failure, place: number): Step<Sent> | undefined {
    const { route } = this;
    if (route === undefined) return undefined;
    const leftMs = this.#routed.admittedAt + this.#tools.totalTimeoutMs - Date.now();
    const tried = this.#tried;
    // One that was tried beside it may have failed before.
    tried.push(...tried.splice(tried.lastIndexOf(place), 1));
    const ofCall = { failure, leftMs, retry: route.retry, attempts: tried.length, random: this.#tools.random() };
    const unsayable = new Set<number>();
    for (;;) {
      const failed: FailedCall = { ...ofCall, tried, untried: this.#untried(unsayable) };
      const decision = nextAttempt(failed);
      if (decision.kind === 'give-up') return undefined;
      const step = this.#step(decision.place, decision.delayMs);
      if (step !== undefined) return this.#take(step);
      unsayable.add(decision.place);
    }
  }

  /** Whether there may be another attempt after those that were made. */
  get mayGoOn(): boolean {
    const { route } = this;
    if (route === undefined || this.#tried.length >= route.retry.maxAttempts) return false;
    return this.#routed.attempts.length > 1 || route.retry.sameTargetRetries > 0;
  }

  get route() {
    return this.#routed.attempts[0].way?.route;
  }

  #step(place: number, delayMs: number): Step<Sent> | undefined {
    const attempt = this.#routed.attempts[place];
    const sent = attempt === undefined ? undefined : this.#prepare(attempt);
    return attempt === undefined || sent === undefined ? undefined : { place, attempt, sent, delayMs };
  }

  #take(step: Step<Sent>): Step<Sent> | undefined {
    const { route } = this;
    if (route === undefined || !this.#tools.budgets.withdraw(route.id)) return undefined;
    this.#tried.push(step.place);
    return step;
  }

  /** Of one without a stream it is the whole answer that is waited for. */
  #limitMs(streamed: boolean): number | null {
    const { perAttemptTimeoutMs = null, firstByteTimeoutMs = null } = this.route?.retry ?? {};
    if (!streamed) return perAttemptTimeoutMs;
    const { firstTokenTimeoutMs } = this.#tools;
    return Math.min(firstTokenTimeoutMs, firstByteTimeoutMs ?? Infinity, perAttemptTimeoutMs ?? Infinity);
  }

  /** As things stand now: what the plan held for well may have failed others meanwhile. */
  #untried(unsayable: ReadonlySet<number>): number[] {
    const { streamed, attempts } = this.#routed;
    return attempts.flatMap((attempt, place) => {
      if (this.#tried.includes(place) || unsayable.has(place)) return [];
      const target = attemptedTarget(attempt, streamed);
      const isBlocked = target !== undefined && this.#tools.health.of(target)?.blocked !== undefined;
      return isBlocked ? [] : [place];
    });
  }
}

/** An attempt on its way. */
export class WalkedAttempt {
  readonly #open: OpenAttempt | undefined;
  readonly #deadline: NodeJS.Timeout | undefined;

  constructor(open: OpenAttempt | undefined, withinMs: number | null, onLate: (withinMs: number) => void) {
    this.#open = open;
    if (withinMs === null) return;
    this.#deadline = setTimeout(() => {
      onLate(withinMs);
    }, withinMs);
  }

  /** An answer that serves is there. */
  served(): void {
    this.#open?.firstByte();
  }

  /** The answer goes to the caller, so that it may take its time. */
  begun(): void {
    clearTimeout(this.#deadline);
  }

  /** Once; what comes later is ignored. */
  ended(result: AttemptResult): void {
    clearTimeout(this.#deadline);
    this.#open?.end(result);
  }
}

function attemptedTarget(attempt: PlannedAttempt, streamed: boolean): AttemptedTarget | undefined {
  const { targetId, credentialId, upstreamModel } = attempt;
  return targetId === null ? undefined : { targetId, credentialId, upstreamModel, streamed };
}
