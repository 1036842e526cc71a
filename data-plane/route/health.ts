import type { TargetHealth } from '@pingtoken/shared/route-health';
import type { ReportedHealth } from '@pingtoken/shared/health-report';
import { describeHealth, type CoolDown } from './describe-health.js';
import type { Failure } from './failure.js';
import { Parking } from './parking.js';
import { TargetState } from './target-state.js';

/** Which target an attempt goes to. */
export interface AttemptedTarget {
  readonly targetId: string;
  readonly credentialId: string;
  readonly upstreamModel: string;
  readonly streamed: boolean;
}

/**
 * How an attempt ended. `outpaced`: another one was quicker, so that all we know is that this one takes longer. `abandoned`:
 * for a reason that says nothing of the target, such as a caller that left.
 */
export type AttemptResult =
  { readonly kind: 'served' | 'outpaced' | 'abandoned' } | { readonly kind: 'failed'; readonly failure: Failure };

/** An attempt on its way. */
export interface OpenAttempt {
  /** The first byte of an answer that serves has come; again, it changes nothing. */
  firstByte(): void;
  /** Once; what comes later is ignored. */
  end(result: AttemptResult): void;
}

/** A credential that its provider refuses, or takes again. */
export interface CredentialFault {
  readonly credentialId: string;
  /** The provider's status. */
  readonly status: number | null;
  readonly isParked: boolean;
}

export interface HealthOptions {
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  /** Told once when a credential is parked, and once when it is well again. */
  readonly onCredentialFault: (fault: CredentialFault) => void;
  /**
   * Which state of a credential is in force. What was said of another state holds no more: a credential whose secret was
   * replaced, or that the operator has published anew, is not parked and does not cool down.
   */
  readonly credentialSeq?: (credentialId: string) => number | undefined;
  /** Something is blocked that was not, or is no more. Called within a call: it must be quick. */
  readonly onChange?: () => void;
}

/** What this process knows of the targets that it calls: fed by each attempt, read by the next call's plan. */
export interface Health {
  /** @returns undefined for one that has never been called */
  of(target: AttemptedTarget): TargetHealth | undefined;
  /** @param tokens that the attempt usually comes to */
  begin(target: AttemptedTarget, tokens: number): OpenAttempt;
  /** Time to the first byte that 95 of 100 calls stay below, in milliseconds; undefined where too little is known. */
  p95(target: AttemptedTarget): number | undefined;
  /** All of it, for the control plane. */
  describe(): ReportedHealth;
}

/** After a 429 that states no wait. */
const COOL_DOWN_MS = 1_000;

/** More than any config has in use: what is not, and is not called, is forgotten. */
const MAX_TARGETS = 10_000;

export function createHealth(options: HealthOptions): Health {
  const book = new HealthBook(options);
  return {
    of: (target) => book.of(target),
    begin: (target, tokens) => book.begin(target, tokens),
    p95: (target) => book.p95(target),
    describe: () => book.describe(),
  };
}

class HealthBook implements Health {
  readonly #options: HealthOptions;
  readonly #targets = new Map<string, TargetState>();
  /** Those that are parked; the others need none. */
  readonly #parked = new Map<string, Parking>();
  readonly #coolDowns = new Map<string, CoolDown>();

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  of(target: AttemptedTarget): TargetHealth | undefined {
    const state = this.#targets.get(target.targetId);
    if (state?.credentialId === target.credentialId) return this.#view(state, target);
    // What was never called may have a credential that is parked, or a model of it that cools down.
    if (this.#parked.size === 0 && this.#coolDowns.size === 0) return undefined;
    return this.#view(NEVER_CALLED, target);
  }

  p95({ targetId, streamed }: AttemptedTarget): number | undefined {
    return this.#targets.get(targetId)?.latencies(streamed).quantile.quantile(0.95);
  }

  begin(target: AttemptedTarget, tokens: number): OpenAttempt {
    const state = this.#stateOf(target);
    const now = this.#options.clock();
    state.began(tokens, now);
    this.#parkingOf(target.credentialId)?.began(now);
    return new Attempt(target, state, now, this);
  }

  describe(): ReportedHealth {
    for (const credentialId of this.#parked.keys()) this.#parkingOf(credentialId);
    return describeHealth(
      { targets: this.#targets, parked: this.#parked, coolDowns: this.#coolDowns },
      this.#options.clock(),
    );
  }

  credentialSeqOf({ credentialId }: AttemptedTarget): number | undefined {
    return this.#options.credentialSeq?.(credentialId);
  }

  /** @param waitedMs since the attempt began */
  waited(target: AttemptedTarget, state: TargetState, waitedMs: number): void {
    state.latencies(target.streamed).answered(waitedMs, this.#options.clock());
  }

  /** An answer has begun that may last for minutes: what waits for a probe is not to wait for its end. */
  serves({ credentialId }: AttemptedTarget, state: TargetState): void {
    if (!state.breaker.isClosed) {
      state.breaker.succeeded();
      this.#options.onChange?.();
    }
    this.#unpark(credentialId);
  }

  /** @param credentialSeq which state of the credential the attempt went out with */
  endOf(target: AttemptedTarget, state: TargetState, result: AttemptResult, credentialSeq: number | undefined): void {
    state.outstanding -= 1;
    // Of a secret that was replaced meanwhile nothing is learnt about the one that is in force.
    const isOutdated = credentialSeq !== this.credentialSeqOf(target);
    if (result.kind === 'abandoned' || result.kind === 'outpaced' || isOutdated) {
      state.breaker.ended();
      this.#parked.get(target.credentialId)?.ended();
      return;
    }
    if (result.kind === 'failed' && result.failure.kind !== 'refused') this.#failed(target, state, result.failure);
    else this.#wentWell(target, state);
  }

  get now(): number {
    return this.#options.clock();
  }

  /** A target that was given another credential begins anew. */
  #stateOf({ targetId, credentialId }: AttemptedTarget): TargetState {
    const known = this.#targets.get(targetId);
    if (known?.credentialId === credentialId) return known;
    const state = new TargetState(credentialId);
    if (this.#targets.size >= MAX_TARGETS) forgetOneIdle(this.#targets);
    this.#targets.set(targetId, state);
    return state;
  }

  #view(state: TargetState, target: AttemptedTarget): TargetHealth {
    const now = this.#options.clock();
    const block = this.#blockOf(state, target, now);
    return {
      blocked: block?.why,
      blockedUntil: block?.until,
      isLastResort: block?.isGuess ?? false,
      outstanding: state.outstanding,
      latencyMs: state.latencies(target.streamed).peak.value(now),
      attempts: state.attempts.sum(now),
      failures: state.failures.sum(now),
      requestsPerMinute: state.requests.sum(now),
      tokensPerMinute: state.tokens.sum(now),
    };
  }

  #blockOf(state: TargetState, target: AttemptedTarget, now: number) {
    const parkedUntil = this.#parkingOf(target.credentialId)?.blockedUntil(now);
    if (parkedUntil !== undefined) return { why: 'credential-parked', until: parkedUntil, isGuess: false } as const;
    const cooling = this.#coolDownOf(target, now);
    if (cooling !== undefined) {
      return { why: 'cooling-down', until: cooling.until, isGuess: !cooling.isStated } as const;
    }
    const openUntil = state.breaker.blockedUntil(now);
    return openUntil === undefined ? undefined : ({ why: 'breaker-open', until: openUntil, isGuess: true } as const);
  }

  #coolDownOf(target: AttemptedTarget, now: number): CoolDown | undefined {
    if (this.#coolDowns.size === 0) return undefined;
    const key = coolDownKey(target);
    const coolDown = this.#coolDowns.get(key);
    if (coolDown === undefined) return undefined;
    if (now < coolDown.until && coolDown.credentialSeq === this.credentialSeqOf(target)) return coolDown;
    this.#coolDowns.delete(key);
    return undefined;
  }

  #failed(target: AttemptedTarget, state: TargetState, failure: Failure): void {
    const { kind, retryAfterMs } = failure;
    const now = this.#options.clock();
    if (kind === 'credential-refused') {
      state.ended('neither', now);
      this.#park(target, failure, now);
      return;
    }
    this.#parked.get(target.credentialId)?.ended();
    if (kind === 'rate-limited' || retryAfterMs !== undefined) this.#coolDown(target, retryAfterMs, now);
    state.ended(kind === 'rate-limited' ? 'neither' : 'failed', now);
    if (!state.breaker.isClosed) this.#options.onChange?.();
  }

  /** Undefined too for one that was parked in another state than it is in now. */
  #parkingOf(credentialId: string): Parking | undefined {
    const parking = this.#parked.get(credentialId);
    if (parking === undefined || parking.credentialSeq === this.#options.credentialSeq?.(credentialId)) return parking;
    this.#unpark(credentialId);
    return undefined;
  }

  #unpark(credentialId: string): void {
    if (!this.#parked.delete(credentialId)) return;
    this.#options.onCredentialFault({ credentialId, status: null, isParked: false });
    this.#options.onChange?.();
  }

  #park(target: AttemptedTarget, { status }: Failure, now: number): void {
    const { credentialId } = target;
    const parking = this.#parkingOf(credentialId) ?? new Parking(this.credentialSeqOf(target), now);
    parking.status = status;
    this.#parked.set(credentialId, parking);
    if (parking.failed(now, { attempts: 0, failures: 0 })) {
      this.#options.onCredentialFault({ credentialId, status, isParked: true });
    }
    this.#options.onChange?.();
  }

  #coolDown(target: AttemptedTarget, retryAfterMs: number | undefined, now: number): void {
    const all = this.#coolDowns;
    const key = coolDownKey(target);
    const until = now + (retryAfterMs ?? COOL_DOWN_MS);
    const credentialSeq = this.credentialSeqOf(target);
    // An answer that was on its way does not shorten what a later one has stated.
    if (until > (this.#coolDownOf(target, now)?.until ?? 0)) {
      all.set(key, { until, isStated: retryAfterMs !== undefined, credentialSeq });
      this.#options.onChange?.();
    }
    if (all.size > MAX_TARGETS) for (const [each, coolDown] of all) if (coolDown.until < now) all.delete(each);
  }

  #wentWell({ credentialId }: AttemptedTarget, state: TargetState): void {
    const wasClosed = state.breaker.isClosed;
    state.ended('served', this.#options.clock());
    if (!wasClosed) this.#options.onChange?.();
    this.#unpark(credentialId);
  }
}

class Attempt implements OpenAttempt {
  readonly #credentialSeq: number | undefined;
  #hasAnswered = false;
  #isOver = false;

  constructor(
    private readonly target: AttemptedTarget,
    private readonly state: TargetState,
    private readonly beganAt: number,
    private readonly book: HealthBook,
  ) {
    this.#credentialSeq = book.credentialSeqOf(target);
  }

  firstByte(): void {
    if (this.#isOver) return;
    const isOutdated = this.#credentialSeq !== this.book.credentialSeqOf(this.target);
    if (!this.#hasAnswered && !isOutdated) this.book.serves(this.target, this.state);
    this.#waited();
  }

  end(result: AttemptResult): void {
    if (this.#isOver) return;
    // How long we waited in vain is known, and not waiting for it again is what it is known for.
    const waited = result.kind === 'outpaced' || (result.kind === 'failed' && result.failure.kind === 'timed-out');
    if (result.kind === 'served' || waited) this.#waited();
    this.#isOver = true;
    this.book.endOf(this.target, this.state, result, this.#credentialSeq);
  }

  #waited(): void {
    if (this.#hasAnswered) return;
    this.#hasAnswered = true;
    this.book.waited(this.target, this.state, this.book.now - this.beganAt);
  }
}

const NEVER_CALLED = new TargetState('');

/** Vendors limit by account and model: another model of the same credential is not what was asked too often. */
function coolDownKey({ credentialId, upstreamModel }: AttemptedTarget): string {
  return `${credentialId} ${upstreamModel}`;
}

/** The first that has no open call; a Map remembers in which order they came. */
function forgetOneIdle(targets: Map<string, TargetState>): void {
  for (const [id, { outstanding }] of targets) {
    if (outstanding > 0) continue;
    targets.delete(id);
    return;
  }
}
