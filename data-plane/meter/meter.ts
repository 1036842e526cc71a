import type { ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import type { Attempt, Outcome } from '@pingtoken/shared/usage-event';
import type { AddressRange } from '../environment.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { CallMoney, HeldMoney } from '../leases/call-money.js';
import type { CallLimits, LimitShare } from '../limits/call-limits.js';
import type { Observer } from '../observe.js';
import type { Outgoing, Prepared } from '../forward/prepared-call.js';
import type { PlannedAttempt } from '../route/route.js';
import { attemptRecord, NOT_COUNTED, type Counted } from './attempt-record.js';
import { createFactsMemo, factsOfServed } from './call-facts.js';
import { knownCount, openCounter, promptPart } from './delivered-counter.js';
import type { DeliveredCounter, TokenEstimator } from './estimate/token-estimator.js';
import type { ClientSealers } from './seal-client.js';
import { SpoolUnavailableError, type SharedFacts, type Spool, type StartRecord } from './spool.js';

export interface MeterOptions {
  readonly spool: Spool;
  readonly clientSealers: ClientSealers;
  readonly observer: Observer;
  readonly trustedProxies: readonly AddressRange[];
  readonly limits: CallLimits;
  /** Wallets and hard budgets; left out where nothing is to be refused for want of money. */
  readonly money?: CallMoney | undefined;
  /** Counts what a provider did not report; closed with the meter. */
  readonly estimator: TokenEstimator;
}

export interface Meter {
  /**
   * Takes the call's part of the limits that bound it, reserves the most that it can cost, and writes the start record: when
   * this resolves to a call, a kill of the process cannot make us forget that it went out.
   * @returns a refusal where a limit is reached, money lacks or nothing can be recorded; the call must not be made then
   */
  begin(routed: Prepared): Promise<MeteredCall | Refusal>;
  /** Waits for the calls that are still being counted, five seconds at most. The spool is closed afterwards, not before. */
  close(): Promise<void>;
}

export function createMeter(options: MeterOptions): Meter {
  const { spool, clientSealers, observer, trustedProxies, limits, money, estimator } = options;
  const factsOf = createFactsMemo(clientSealers, trustedProxies);
  const books: Books = { spool, observer, estimator, unfinished: new Set() };
  return {
    begin: async (routed) => {
      const share = limits.admit(routed);
      if (share !== undefined && isRefusal(share)) return share;
      // Last of all, so that nothing is held for what is refused anyway.
      const held = await money?.reserve(routed);
      if (held !== undefined && isRefusal(held)) {
        share?.settle({});
        return held;
      }
      const asked = factsOf(routed, held?.leaseIds);
      const start: StartRecord = {
        facts: factsOfServed(asked, routed.attempts[0]),
        eventId: routed.requestId,
        streamed: routed.streamed,
        admittedAt: routed.admittedAt,
        attempts: [attemptRecord(routed.attempts[0], null, NOT_COUNTED, undefined)],
        ...(held !== undefined && { reserved: held.reserved }),
      };
      try {
        await spool.start(start);
      } catch (error) {
        share?.settle({});
        held?.settle();
        if (error instanceof SpoolUnavailableError) return refuse('spool_unavailable');
        throw error;
      }
      return new MeteredCall(routed, { asked, start, share, held }, books);
    },
    close: async () => {
      while (books.unfinished.size > 0) await Promise.all(books.unfinished);
      await estimator.close();
    },
  };
}

/** What all calls share. */
interface Books {
  readonly spool: Spool;
  readonly observer: Observer;
  readonly estimator: TokenEstimator;
  /** Calls that are over and whose tokens are still being counted. */
  readonly unfinished: Set<Promise<void>>;
}

/** The tenant pays for what was delivered, unless the provider or we broke it off. */
const CHARGED: ReadonlySet<Outcome> = new Set(['completed', 'caller-left']);

/** What a call's record began with. */
interface Opening {
  readonly asked: SharedFacts;
  readonly start: StartRecord;
  /** Undefined where nothing bounds the call. */
  readonly share: LimitShare | undefined;
  readonly held: HeldMoney | undefined;
}

interface Ending {
  readonly outcome: Outcome;
  readonly status: number | null;
  readonly endedAt: number;
  readonly isCharged: boolean;
}

/**
 * One call that went out. Settles exactly once, whichever of success, error, time-out and hang-up comes first; what comes
 * later is ignored.
 */
export class MeteredCall {
  #routed: Prepared;
  #attempt: PlannedAttempt;
  /** Attempts that another one has taken the place of. */
  #failed: Attempt[] | undefined;
  readonly #start: StartRecord;
  /** Of the model that was asked for, whichever serves. */
  readonly #asked: SharedFacts;
  readonly #share: LimitShare | undefined;
  readonly #held: HeldMoney | undefined;
  readonly #books: Books;
  #providerStatus: number | null = null;
  #firstByteMs: number | null = null;
  #usage: Usage | undefined;
  /** The provider has said what its answer took so far. */
  #hasReported = false;
  /** The answer has turned out to be an error. */
  #wasInVain = false;
  #counter: DeliveredCounter | undefined;
  #isStream = false;
  #serviceTier: ServiceTier | undefined;
  #streamed: boolean;
  #isSettled = false;

  constructor(routed: Prepared, { asked, start, share, held }: Opening, books: Books) {
    this.#routed = routed;
    this.#attempt = routed.attempts[0];
    this.#start = start;
    this.#asked = asked;
    this.#share = share;
    this.#held = held;
    this.#books = books;
    this.#streamed = routed.streamed;
  }

  /** With what is sent in the present attempt. */
  get routed(): Prepared {
    return this.#routed;
  }

  /** The one that is on its way. */
  get attempt(): PlannedAttempt {
    return this.#attempt;
  }

  /** In the present attempt; null until the provider has answered. */
  get providerStatus(): number | null {
    return this.#providerStatus;
  }

  /**
   * Another attempt takes the place of the present one, of which nothing has gone to the caller: whatever that one has cost is
   * ours to pay.
   */
  moveTo(attempt: PlannedAttempt, outgoing: Outgoing): void {
    const failed = attemptRecord(this.#attempt, this.#providerStatus, this.#reported(), this.#serviceTier);
    (this.#failed ??= []).push(failed);
    this.nothingDelivered();
    this.#wasInVain = false;
    this.#providerStatus = null;
    this.#usage = undefined;
    this.#hasReported = false;
    this.#serviceTier = undefined;
    this.#attempt = attempt;
    this.#routed = { ...this.#routed, outgoing };
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  providerAnswered(status: number, isStream: boolean): void {
    this.#providerStatus = status;
    this.#isStream = isStream;
    this.#streamed ||= isStream;
  }

  firstByteCame(): void {
    this.#firstByteMs ??= Math.max(0, Date.now() - this.routed.admittedAt);
  }

  /**
   * What the provider says it counted; a later report replaces an earlier one, for they are running totals.
   * @param ofPromptOnly the report was made before the answer, of which it says nothing
   */
  usageReported(usage: Usage | undefined, ofPromptOnly = false): void {
    if (usage === undefined) return;
    this.#usage = usage;
    this.#hasReported = !ofPromptOnly;
    if (ofPromptOnly) return;
    this.#counter?.discard();
    this.#counter = undefined;
  }

  /** By which the provider says that it serves the call; a later word replaces an earlier one. */
  serviceTierReported(tier: ServiceTier | undefined): void {
    this.#serviceTier = tier ?? this.#serviceTier;
  }

  /** Bytes of the provider's answer, untranslated, that were passed on to the caller. They are not copied. */
  passedOn(bytes: Buffer): void {
    if (this.#hasReported || this.#wasInVain || this.#isSettled) return;
    this.#counter ??= openCounter(
      this.routed,
      { attempt: this.attempt, isStream: this.#isStream },
      this.#books.estimator,
    );
    this.#counter.push(bytes);
  }

  /** The provider's answer is an error, whatever came before: it costs nothing, also where the caller leaves because of it. */
  nothingDelivered(): void {
    this.#wasInVain = true;
    this.#counter?.discard();
    this.#counter = undefined;
  }

  /**
   * Resolves when it is in the books; never rejects. A call that has to be counted here resolves at once, for its caller is
   * not made to wait: it is in the books as soon as the estimator has counted or given up, or as interrupted where the process dies before.
   * @param status what the caller was given, null where it was given nothing
   * @param isCharged whether the tenant pays for what was delivered
   */
  settle(outcome: Outcome, status: number | null, isCharged = CHARGED.has(outcome)): Promise<void> {
    if (this.#isSettled) return Promise.resolve();
    this.#isSettled = true;
    const ending: Ending = { outcome, status, endedAt: Date.now(), isCharged: isCharged && !this.#wasInVain };
    this.#books.observer.callEnded({
      operation: this.routed.operation,
      outcome,
      status,
      durationMs: performance.now() - this.routed.timing.receivedAt,
      firstByteMs: this.#firstByteMs,
    });
    const counter = this.#counter;
    if (counter === undefined) return this.#write(ending, this.#reported());
    const known = knownCount(counter);
    if (isCharged && known === undefined) {
      this.#finishLater(counter, ending);
      return Promise.resolve();
    }
    counter.discard();
    const isAssumed = isCharged && known !== undefined && this.#usage === undefined;
    return this.#write(ending, isAssumed ? { usage: known, countedBy: 'estimated' } : this.#reported());
  }

  #finishLater(counter: DeliveredCounter, ending: Ending): void {
    const { unfinished, observer } = this.#books;
    const finished = counter.result(this.#usage === undefined ? undefined : promptPart(this.#usage)).then((usage) => {
      observer.tokensEstimated(usage !== undefined);
      return this.#write(ending, usage === undefined ? this.#reported() : { usage, countedBy: 'estimated' });
    });
    unfinished.add(finished);
    void finished.finally(() => unfinished.delete(finished));
  }

  /** An error answer costs nothing, whatever it claims. */
  #reported(): Counted {
    const isServed = this.#providerStatus !== null && this.#providerStatus >= 200 && this.#providerStatus < 300;
    return isServed && this.#usage !== undefined ? { usage: this.#usage, countedBy: 'provider' } : NOT_COUNTED;
  }

  async #write({ isCharged, ...ending }: Ending, counted: Counted): Promise<void> {
    const { usage } = counted;
    this.#share?.settle(usage);
    const last = attemptRecord(this.#attempt, this.#providerStatus, counted, this.#serviceTier);
    const facts = factsOfServed(this.#asked, this.#attempt);
    const isBilled = isCharged && counted.countedBy !== 'none';
    await this.#books.spool.end({
      ...this.#start,
      ...ending,
      streamed: this.#streamed,
      firstByteMs: this.#firstByteMs,
      facts,
      attempts: this.#failed === undefined ? [last] : [...this.#failed, last],
      billedAttempt: isBilled ? (this.#failed?.length ?? 0) : null,
    });
    const { priceCardVersionId } = facts.values;
    this.#held?.settle(isBilled ? { priceCardVersionId, usage, serviceTier: this.#serviceTier } : undefined);
  }
}
