import type { Usage } from '@pingtoken/shared/rate-card';
import type { Outcome } from '@pingtoken/shared/usage-event';
import type { Admitted } from '../admit/admit.js';
import type { AddressRange } from '../environment.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { CallMoney } from '../leases/call-money.js';
import type { HeldMoney } from '../leases/held-money.js';
import type { CallLimits, LimitShare } from '../limits/call-limits.js';
import type { Observer } from '../observe.js';
import type { Outgoing, Prepared } from '../forward/prepared-call.js';
import type { PlannedAttempt } from '../route/route.js';
import { AttemptMeter } from './attempt-meter.js';
import { attemptRecord, NOT_COUNTED, type Counted } from './attempt-record.js';
import { createFactsMemo, factsOfServed } from './call-facts.js';
import { knownCount, promptPart } from './delivered-counter.js';
import { isEstimatedOperation, type DeliveredCounter, type TokenEstimator } from './estimate/token-estimator.js';
import type { ClientSealers } from './seal-client.js';
import { takePart } from './take-part.js';
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
  /**
   * Writes that a call was forbidden before anything was sent: no attempt, no token, nothing reserved.
   * @returns a refusal where it cannot be recorded
   */
  recordBlocked(admitted: Admitted, status: number): Promise<Refusal | undefined>;
  /** Waits for the calls that are still being counted, five seconds at most. The spool is closed afterwards, not before. */
  close(): Promise<void>;
}

export function createMeter(options: MeterOptions): Meter {
  const { spool, clientSealers, observer, trustedProxies, limits, money, estimator } = options;
  const factsOf = createFactsMemo(clientSealers, trustedProxies);
  const books: Books = { spool, observer, estimator, unfinished: new Set() };
  return {
    begin: async (prepared) => {
      const taken = await takePart(prepared, { limits, money });
      if (isRefusal(taken)) return taken;
      const { routed, share, held } = taken;
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
    recordBlocked: (admitted, status) => recordBlocked(admitted, status, { factsOf, books }),
    close: async () => {
      while (books.unfinished.size > 0) await Promise.all(books.unfinished);
      await estimator.close();
    },
  };
}

async function recordBlocked(
  admitted: Admitted,
  status: number,
  {
    factsOf,
    books: { spool, observer },
  }: { readonly factsOf: ReturnType<typeof createFactsMemo>; readonly books: Books },
): Promise<Refusal | undefined> {
  const { requestId: eventId, streamed, admittedAt, operation, timing } = admitted;
  const start: StartRecord = { facts: factsOf(admitted), eventId, streamed, admittedAt, attempts: [] };
  try {
    await spool.start(start);
  } catch (error) {
    if (error instanceof SpoolUnavailableError) return refuse('spool_unavailable');
    throw error;
  }
  const ending = { outcome: 'blocked', status, firstByteMs: null } as const;
  observer.callEnded({ operation, ...ending, durationMs: performance.now() - timing.receivedAt });
  await spool.end({ ...start, ...ending, endedAt: Date.now(), billedAttempt: null });
  return undefined;
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
  #present: AttemptMeter;
  /** Attempts that the call is not about: given up before, or on their way beside the present one. */
  #others: AttemptMeter[] | undefined;
  readonly #start: StartRecord;
  /** Of the model that was asked for, whichever serves. */
  readonly #asked: SharedFacts;
  readonly #share: LimitShare | undefined;
  readonly #held: HeldMoney | undefined;
  readonly #books: Books;
  #isSettled = false;

  constructor(routed: Prepared, { asked, start, share, held }: Opening, books: Books) {
    this.#present = new AttemptMeter(routed, routed.attempts[0], books.estimator);
    this.#start = start;
    this.#asked = asked;
    this.#share = share;
    this.#held = held;
    this.#books = books;
  }

  /** The attempt that the call is about: it is billed where it serves. */
  get present(): AttemptMeter {
    return this.#present;
  }

  /** With what is sent in the present attempt. */
  get routed(): Prepared {
    return this.#present.routed;
  }

  get attempt(): PlannedAttempt {
    return this.#present.attempt;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** One more attempt goes out, beside the present one until {@link turnTo} says that it takes its place. */
  open(attempt: PlannedAttempt, outgoing: Outgoing | undefined): AttemptMeter {
    const meter = new AttemptMeter({ ...this.routed, outgoing }, attempt, this.#books.estimator);
    (this.#others ??= []).push(meter);
    return meter;
  }

  /** From here on the call is about another of its attempts: of the one until now nothing has gone to the caller. */
  turnTo(meter: AttemptMeter): void {
    if (meter === this.#present) return;
    this.#others = [...(this.#others ?? []).filter((other) => other !== meter), this.#present];
    this.#present = meter;
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
    const present = this.#present;
    const { counter, firstByteMs } = present;
    present.close();
    const ending: Ending = { outcome, status, endedAt: Date.now(), isCharged: isCharged && !present.wasInVain };
    this.#books.observer.callEnded({
      operation: this.routed.operation,
      outcome,
      status,
      durationMs: performance.now() - this.routed.timing.receivedAt,
      firstByteMs,
    });
    const reported = present.reported();
    const known = counter === undefined ? undefined : knownCount(counter);
    if (counter !== undefined && isCharged && known === undefined) {
      this.#finishLater(this.#estimate(counter), ending);
      return Promise.resolve();
    }
    counter?.discard();
    const isAssumed = isCharged && known !== undefined && reported.countedBy === 'none';
    const counted: Counted = isAssumed ? { usage: known, countedBy: 'estimated' } : reported;
    if (counted.countedBy !== 'none' || this.#cancelled() === undefined) return this.#write(ending, counted);
    this.#finishLater(Promise.resolve(counted), ending);
    return Promise.resolve();
  }

  async #estimate(counter: DeliveredCounter): Promise<Counted> {
    const reported = this.#present.reported();
    const isPromptKnown = reported.countedBy === 'provider';
    const usage = await counter.result(isPromptKnown ? promptPart(reported.usage) : undefined);
    this.#books.observer.tokensEstimated(usage !== undefined);
    return usage === undefined ? reported : { usage, countedBy: 'estimated' };
  }

  /** @param counting never rejects */
  #finishLater(counting: Promise<Counted>, ending: Ending): void {
    const { unfinished } = this.#books;
    const finish = async (): Promise<void> => {
      const counted = await counting;
      const cancelled = counted.countedBy === 'none' ? this.#cancelled() : undefined;
      const prompt = cancelled === undefined ? undefined : await this.#countPrompt(cancelled);
      await this.#write(ending, counted, prompt);
    };
    const finished = finish();
    unfinished.add(finished);
    void finished.finally(() => unfinished.delete(finished));
  }

  #cancelled(): AttemptMeter | undefined {
    return this.#others?.find(({ wasCancelled }) => wasCancelled);
  }

  /** What the provider of a cancelled attempt was sent, where no other one has said what it comes to. */
  async #countPrompt({ routed, attempt }: AttemptMeter): Promise<Usage | undefined> {
    const { operation, outgoing } = routed;
    if (outgoing === undefined || !isEstimatedOperation(operation)) return undefined;
    const { dialect } = attempt.provider;
    return this.#books.estimator.countPrompt({ dialect, requestBody: outgoing.body });
  }

  /** @param sent what the request comes to, where what is counted does not say so */
  async #write({ isCharged, ...ending }: Ending, counted: Counted, sent: Usage = counted.usage): Promise<void> {
    const { usage } = counted;
    this.#share?.settle(usage);
    const present = this.#present;
    const last = present.record(counted);
    const others = this.#others?.map((other) =>
      other.wasCancelled ? other.recordCancelled(sent) : other.record(other.reported()),
    );
    const facts = factsOfServed(this.#asked, present.attempt);
    const isBilled = isCharged && counted.countedBy !== 'none';
    await this.#books.spool.end({
      ...this.#start,
      ...ending,
      streamed: this.#start.streamed || present.isStream,
      firstByteMs: present.firstByteMs,
      facts,
      attempts: others === undefined ? [last] : [...others, last],
      billedAttempt: isBilled ? (others?.length ?? 0) : null,
    });
    const { priceCardVersionId } = facts.values;
    const { serviceTier, attempt } = present;
    this.#held?.settle(isBilled ? { priceCardVersionId, usage, serviceTier } : undefined);
    const routeId = attempt.served === undefined ? attempt.way?.route.id : undefined;
    this.routed.watch?.ended({ ...counted, outcome: ending.outcome, isCharged, serviceTier, routeId });
  }
}
