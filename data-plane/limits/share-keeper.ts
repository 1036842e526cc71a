import type { Logger } from 'pino';
import type { ShareAnswer, ShareReport, ShareRequest } from '@pingtoken/shared/rate-share';
import { ShareBook, type Lack, type UseOf } from './share-book.js';

/** Who shares the limits out, as this process reaches it. Throws when it does not answer. */
export interface ShareClient {
  exchangeShares(request: ShareRequest, signal: AbortSignal): Promise<ShareAnswer>;
}

export interface ShareKeeperOptions {
  readonly client: ShareClient;
  readonly spoolId: string;
  readonly logger: Pick<Logger, 'warn' | 'info'>;
  /** Leases that others wait for. */
  readonly onRecalledLeases?: (leaseIds: readonly string[]) => void;
  /** What a call waits for a share at most. */
  readonly timeoutMs?: number;
  readonly tickMs?: number;
}

/** A call that waits; it is told once whether to look again. */
interface Waiter {
  readonly lacks: readonly Lack[];
  readonly done: (isFilled: boolean) => void;
}

const TIMEOUT_MS = 200;
const TICK_MS = 1_000;
const REQUEST_TIMEOUT_MS = 5_000;
/** A process that stops is waited for by somebody. */
const LAST_TIMEOUT_MS = 1_000;
const NO_USE: UseOf = () => ({ used: 0, freeInMs: null });

/**
 * Keeps the shares of limits: asks ahead of need, gives up what is not used, and asks at once for calls that find too little.
 * One turn at a time, so that what this process takes for its own and what it is taken for never cross.
 */
export class ShareKeeper {
  readonly book = new ShareBook();
  readonly #options: Required<ShareKeeperOptions>;
  #useOf = NO_USE;
  #waiting: Waiter[] = [];
  #turn = 0;
  #isSole = false;
  /** When the turn that is under way began. */
  #askedAt: number | undefined;
  #isAway = false;
  #isFenced = false;
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ShareKeeperOptions) {
    this.#options = { timeoutMs: TIMEOUT_MS, tickMs: TICK_MS, onRecalledLeases: () => undefined, ...options };
  }

  /** Whoever counts what is used says so here. */
  watch(useOf: UseOf): void {
    this.#useOf = useOf;
  }

  /** @returns whether there may be enough now; false at once where there is no use in asking */
  fill(lacks: readonly Lack[]): Promise<boolean> {
    const now = Date.now();
    if (this.#isFenced || lacks.some((lack) => this.book.isQuiet(lack, now))) return Promise.resolve(false);
    if (this.#isSilent(now)) {
      this.#noteSilence();
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const timeout = setTimeout(() => {
        this.#noteSilence();
        waiter.done(true);
      }, this.#options.timeoutMs);
      const waiter: Waiter = {
        lacks,
        done: (isFilled) => {
          clearTimeout(timeout);
          resolve(isFilled);
        },
      };
      this.#waiting.push(waiter);
      // With all that come in this turn of the event loop.
      if (this.#askedAt === undefined && this.#waiting.length === 1) setImmediate(() => void this.#serve());
    });
  }

  start(): void {
    this.#serve(true)
      .catch((error: unknown) => {
        this.#options.logger.warn({ reason: String(error) }, 'shares of limits cannot be looked after');
      })
      .finally(() => {
        if (this.#closed.signal.aborted) return;
        this.#timer = setTimeout(() => {
          this.start();
        }, this.#options.tickMs);
      });
  }

  /** Gives up all that is not used. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    const isSilent = this.#isSilent(Date.now());
    // A turn under way is given up; whatever it brings, the last one says what is kept.
    this.#closed.abort();
    if (isSilent || this.#isFenced || this.book.size === 0) return;
    const reports = this.book.giveUp(this.#useOf, Date.now());
    await this.#options.client
      .exchangeShares(this.#requestOf(reports), AbortSignal.timeout(LAST_TIMEOUT_MS))
      .catch(() => undefined);
  }

  /** One turn, and another one as long as calls wait. */
  async #serve(isDue = false): Promise<void> {
    if (this.#askedAt !== undefined || this.#closed.signal.aborted) return;
    do {
      const waiters = this.#waiting;
      this.#waiting = [];
      if (waiters.length === 0 && !isDue) return;
      isDue = false;
      await this.#exchange(waiters.flatMap(({ lacks }) => lacks));
      for (const { done } of waiters) done(true);
    } while (this.#waiting.length > 0);
  }

  async #exchange(lacks: readonly Lack[]): Promise<void> {
    const reports = this.book.report(lacks, this.#useOf, Date.now());
    this.#askedAt = Date.now();
    try {
      const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
      const answer = await this.#options.client.exchangeShares(this.#requestOf(reports), signal);
      if (!this.#closed.signal.aborted) this.#take(reports, answer);
    } catch (error) {
      if (!this.#isAway && !this.#closed.signal.aborted) {
        this.#options.logger.warn({ reason: String(error) }, 'limits cannot be shared out; what is held is used');
      }
      this.#isAway = true;
      this.book.setAlone(this.#isSole);
    } finally {
      this.#askedAt = undefined;
    }
  }

  #take(reports: readonly ShareReport[], answer: ShareAnswer): void {
    if (this.#isAway) this.#options.logger.info('limits are shared out again');
    this.#isAway = false;
    this.#isFenced = answer.isFenced;
    this.#isSole = answer.isSole;
    this.book.setAlone(false);
    if (answer.isFenced) this.book.clear();
    this.book.apply(reports, answer.shares, Date.now());
    this.book.recall(answer.recalls);
    if (answer.recalledLeaseIds.length > 0) this.#options.onRecalledLeases(answer.recalledLeaseIds);
  }

  /** Who has not answered for so long is waited for by nobody. */
  #isSilent(now: number): boolean {
    return this.#isAway || (this.#askedAt !== undefined && now - this.#askedAt >= this.#options.timeoutMs);
  }

  #noteSilence(): void {
    if (this.#isSilent(Date.now())) this.book.setAlone(this.#isSole);
  }

  #requestOf(shares: readonly ShareReport[]): ShareRequest {
    this.#turn += 1;
    const isSole = this.#isSole || this.book.hasUnsaid(this.#useOf, Date.now());
    return { spoolId: this.#options.spoolId, turn: this.#turn, isSole, shares: [...shares] };
  }
}
