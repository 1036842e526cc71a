export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failuresInRow: number;
  /** Share of failures within the caller's window that opens it, of at least `minAttempts`; null for none. */
  readonly failureShare: { readonly share: number; readonly minAttempts: number } | null;
  /** Milliseconds that it stays open at first; each probe that fails doubles them, up to `maxOpenMs`. */
  readonly openMs: number;
  readonly maxOpenMs: number;
}

/** What is known of the attempts within the window. */
export interface WindowCounts {
  readonly attempts: number;
  readonly failures: number;
}

/** A probe that nobody reports the end of is given up after this; another may be made then. */
const PROBE_LOST_MS = 60_000;

/**
 * A circuit breaker: closed, open for a time, then half-open: one call at a time is let through, and its end decides.
 *
 * Its own, and not cockatiel's or opossum's: those wrap a function and time it by `Date.now()` and timers. Here the call is
 * decided about by a pure plan that only reads, ends long after in an event of the network, and the clock is given.
 */
export class Breaker {
  #failuresInRow = 0;
  #openUntil: number | undefined;
  #openForMs: number;
  /** When the probe that is on its way went out. */
  #probeSince: number | undefined;

  constructor(private readonly options: BreakerOptions) {
    this.#openForMs = options.openMs;
  }

  get isClosed(): boolean {
    return this.#openUntil === undefined;
  }

  /** @returns until when no call may be made, milliseconds since 1970; undefined where one may */
  blockedUntil(nowMs: number): number | undefined {
    if (this.#openUntil === undefined) return undefined;
    if (nowMs < this.#openUntil) return this.#openUntil;
    const probeEnds = (this.#probeSince ?? -Infinity) + PROBE_LOST_MS;
    return nowMs < probeEnds ? probeEnds : undefined;
  }

  /** A call goes out; half-open it is the probe. */
  began(nowMs: number): void {
    if (this.#openUntil !== undefined && nowMs >= this.#openUntil) this.#probeSince = nowMs;
  }

  /** Whatever was open: it serves again. @returns whether it had been open */
  succeeded(): boolean {
    const wasOpen = !this.isClosed;
    this.#failuresInRow = 0;
    this.#openUntil = undefined;
    this.#probeSince = undefined;
    this.#openForMs = this.options.openMs;
    return wasOpen;
  }

  /** Ended without telling anything, such as by a caller that left: the next call is the probe then. */
  ended(): void {
    this.#probeSince = undefined;
  }

  /** @returns whether this has opened it, from closed */
  failed(nowMs: number, counts: WindowCounts): boolean {
    this.#failuresInRow += 1;
    if (this.#openUntil !== undefined) {
      // Of the calls that were on their way when it opened, none prolongs it: only a probe does.
      if (nowMs >= this.#openUntil) this.#open(nowMs, Math.min(this.#openForMs * 2, this.options.maxOpenMs));
      return false;
    }
    if (!this.#isTooMuch(counts)) return false;
    this.#open(nowMs, this.options.openMs);
    return true;
  }

  #isTooMuch({ attempts, failures }: WindowCounts): boolean {
    const { failuresInRow, failureShare } = this.options;
    if (this.#failuresInRow >= failuresInRow) return true;
    return failureShare !== null && attempts >= failureShare.minAttempts && failures / attempts >= failureShare.share;
  }

  #open(nowMs: number, forMs: number): void {
    this.#openForMs = forMs;
    this.#openUntil = nowMs + forMs;
    this.#probeSince = undefined;
  }
}
