/**
 * What a call waits for that is not us: its caller that sends the body, the route's guardrail, a connection that has to be made
 * first, the provider.
 */
const WAITS = ['receive', 'guardrail', 'connect', 'upstream'] as const;
export type Wait = (typeof WAITS)[number];

/** A wait that was shorter is left out. */
const MIN_WAIT_MS = 0.1;

/**
 * Where the time of one call goes. All of it that is not spent waiting for somebody else is the gateway's own share. One wait
 * at a time: what begins ends the one before, and the same one may come again, as when a second provider is tried.
 */
export class CallTiming {
  /** `performance.now()` */
  readonly receivedAt = performance.now();
  readonly #waitedMs = [0, 0, 0, 0];
  #waitsFor = -1;
  #since = 0;

  waitFor(wait: Wait): void {
    const now = performance.now();
    this.#close(now);
    this.#waitsFor = WAITS.indexOf(wait);
    this.#since = now;
  }

  /** It is our turn again. */
  waitOver(): void {
    this.#close(performance.now());
  }

  /**
   * What a head that goes out now says of the call so far, in milliseconds: `gateway;dur=0.42, upstream;dur=151.3`.
   * https://www.w3.org/TR/server-timing/
   */
  serverTiming(): string {
    const now = performance.now();
    this.#close(now);
    let ownMs = now - this.receivedAt;
    let text = '';
    for (let at = 0; at < WAITS.length; at += 1) {
      const waitedMs = this.#waitedMs[at] ?? 0;
      ownMs -= waitedMs;
      if (waitedMs >= MIN_WAIT_MS) text += `, ${WAITS[at] ?? ''};dur=${round(waitedMs)}`;
    }
    return `gateway;dur=${round(Math.max(0, ownMs))}${text}`;
  }

  #close(now: number): void {
    if (this.#waitsFor === -1) return;
    this.#waitedMs[this.#waitsFor] = (this.#waitedMs[this.#waitsFor] ?? 0) + now - this.#since;
    this.#waitsFor = -1;
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
