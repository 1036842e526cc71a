import { usualTokens } from '@pingtoken/shared/route-strategies';
import { isRefusal } from '../http-error.js';
import type { MeteredCall } from '../meter/meter.js';
import type { Failure } from '../route/failure.js';
import type { AttemptedTarget, AttemptResult, Health, OpenAttempt } from '../route/health.js';
import { nextAttempt, type FailedCall } from '../route/next-attempt.js';
import type { RetryBudgets } from '../route/retry-budget.js';
import type { PlannedAttempt } from '../route/route.js';
import { createPreparer } from './outgoing.js';
import type { Outgoing } from './prepared-call.js';

/** What the walks of all calls share. */
export interface WalkTools {
  readonly health: Health;
  readonly budgets: RetryBudgets;
  /** In [0, 1). */
  readonly random: () => number;
  /** Longest time of a call in all, in milliseconds. */
  readonly totalTimeoutMs: number;
}

/** What is tried in the place of an attempt that failed. */
export interface NextAttempt {
  readonly attempt: PlannedAttempt;
  readonly outgoing: Outgoing;
  readonly delayMs: number;
}

/**
 * A call's way along its attempts: tells the health of targets how each went, and finds the one that comes next. Whether
 * another may be made at all, because nothing has gone to the caller, its relay knows.
 */
export class AttemptWalk {
  readonly #tools: WalkTools;
  readonly #call: MeteredCall;
  readonly #attempts: readonly PlannedAttempt[];
  /** Places in the plan; the last one is on its way. */
  readonly #tried: number[] = [0];
  #open: OpenAttempt | undefined;
  #prepare: ReturnType<typeof createPreparer> | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(call: MeteredCall, tools: WalkTools) {
    this.#call = call;
    this.#tools = tools;
    this.#attempts = call.routed.attempts;
    const { route } = this;
    if (route !== undefined && this.#attempts.length > 1) tools.budgets.deposit(route.id, route.retry.budgetShare);
  }

  /** @param onLate called when the answer has not begun within the time that the route gives an attempt */
  begin(onLate: (withinMs: number) => void): void {
    const { attempt, routed } = this.#call;
    const target = attemptedTarget(attempt, routed.streamed);
    if (target === undefined) return;
    const tokens = routed.facts === undefined ? 0 : usualTokens(routed.facts);
    this.#open = this.#tools.health.begin(target, tokens);
    const withinMs = this.#limitMs(routed.streamed);
    if (withinMs === null) return;
    this.#deadline = setTimeout(() => {
      onLate(withinMs);
    }, withinMs);
  }

  /** The first byte of an answer that serves has come. */
  firstByte(): void {
    clearTimeout(this.#deadline);
    this.#open?.firstByte();
  }

  /** Once for each attempt; what comes later is ignored. */
  ended(result: AttemptResult): void {
    clearTimeout(this.#deadline);
    this.#open?.end(result);
  }

  /** @returns undefined where the call ends as it failed */
  next(failure: Failure): NextAttempt | undefined {
    const { route } = this;
    const { task, admittedAt } = this.#call.routed;
    // A form's client is given its request once.
    if (route === undefined || task.kind !== 'metered' || this.#call.routed.outgoing?.client !== 'undici') {
      return undefined;
    }
    const leftMs = admittedAt + this.#tools.totalTimeoutMs - Date.now();
    const ofCall = { failure, leftMs, retry: route.retry, attempts: this.#tried.length, random: this.#tools.random() };
    const unsayable = new Set<number>();
    for (;;) {
      const failed: FailedCall = { ...ofCall, tried: this.#tried, untried: this.#untried(unsayable) };
      const decision = nextAttempt(failed);
      if (decision.kind === 'give-up') return undefined;
      const attempt = this.#attempts[decision.place];
      const outgoing = attempt === undefined ? undefined : this.#outgoingOf(attempt);
      if (attempt === undefined || outgoing === undefined) {
        unsayable.add(decision.place);
        continue;
      }
      if (!this.#tools.budgets.withdraw(route.id)) return undefined;
      this.#tried.push(decision.place);
      return { attempt, outgoing, delayMs: decision.delayMs };
    }
  }

  get route() {
    return this.#attempts[0]?.way?.route;
  }

  #limitMs(streamed: boolean): number | null {
    const { perAttemptTimeoutMs = null, firstByteTimeoutMs = null } = this.route?.retry ?? {};
    if (!streamed || firstByteTimeoutMs === null) return perAttemptTimeoutMs;
    return Math.min(firstByteTimeoutMs, perAttemptTimeoutMs ?? Infinity);
  }

  /** As things stand now: what the plan held for well may have failed others meanwhile. */
  #untried(unsayable: ReadonlySet<number>): number[] {
    const { streamed } = this.#call.routed;
    return this.#attempts.flatMap((attempt, place) => {
      if (this.#tried.includes(place) || unsayable.has(place)) return [];
      const target = attemptedTarget(attempt, streamed);
      const isBlocked = target !== undefined && this.#tools.health.of(target)?.blocked !== undefined;
      return isBlocked ? [] : [place];
    });
  }

  /** @returns undefined where that provider cannot be told what the caller said */
  #outgoingOf(attempt: PlannedAttempt): Outgoing | undefined {
    const { routed } = this.#call;
    if (routed.task.kind !== 'metered') return undefined;
    this.#prepare ??= createPreparer(routed, routed.task.request);
    const outgoing = this.#prepare(attempt);
    return isRefusal(outgoing) || outgoing.client !== 'undici' ? undefined : outgoing;
  }
}

function attemptedTarget(attempt: PlannedAttempt, streamed: boolean): AttemptedTarget | undefined {
  const { targetId, credentialId, upstreamModel } = attempt;
  return targetId === null ? undefined : { targetId, credentialId, upstreamModel, streamed };
}
