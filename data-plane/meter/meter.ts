import type { ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import type { Attempt, Outcome } from '@pingtoken/shared/usage-event';
import { readCallerClient } from '../admit/caller-client.js';
import type { AddressRange } from '../environment.js';
import { refuse, type Refusal } from '../http-error.js';
import type { Observer } from '../observe.js';
import type { Prepared } from '../forward/prepared-call.js';
import type { PlannedAttempt, Routed } from '../route/route.js';
import { openCounter, promptPart } from './delivered-counter.js';
import type { DeliveredCounter, TokenEstimator } from './estimate/token-estimator.js';
import type { ClientSealers } from './seal-client.js';
import { SharedFacts, SpoolUnavailableError, type CallFacts, type Spool, type StartRecord } from './spool.js';

export interface MeterOptions {
  readonly spool: Spool;
  readonly clientSealers: ClientSealers;
  readonly observer: Observer;
  readonly trustedProxies: readonly AddressRange[];
  /** Counts what a provider did not report; closed with the meter. */
  readonly estimator: TokenEstimator;
}

export interface Meter {
  /**
   * Writes the start record: when this resolves to a call, a kill of the process cannot make us forget that it went out.
   * @returns a refusal where nothing can be recorded; the call must not be made then
   */
  begin(routed: Prepared): Promise<MeteredCall | Refusal>;
  /** Waits for the calls that are still being counted, five seconds at most. The spool is closed afterwards, not before. */
  close(): Promise<void>;
}

export function createMeter({ spool, clientSealers, observer, trustedProxies, estimator }: MeterOptions): Meter {
  const factsOf = createFactsMemo(clientSealers, trustedProxies);
  const books: Books = { spool, observer, estimator, unfinished: new Set() };
  return {
    begin: async (routed) => {
      const start: StartRecord = {
        facts: factsOf(routed),
        eventId: routed.requestId,
        streamed: routed.streamed,
        admittedAt: routed.admittedAt,
        attempts: [attemptRecord(routed.attempts[0], null, NOT_COUNTED, undefined)],
      };
      try {
        await spool.start(start);
      } catch (error) {
        if (error instanceof SpoolUnavailableError) return refuse('spool_unavailable');
        throw error;
      }
      return new MeteredCall(routed, start, books);
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

/** The calls over one connection are nearly always of one key and one model: what their records share is made once. */
function createFactsMemo(
  clientSealers: ClientSealers,
  trusted: readonly AddressRange[],
): (routed: Routed) => SharedFacts {
  const last = new WeakMap<object, SharedFacts>();
  return (routed) => {
    const { socket } = routed.request;
    const facts = callFacts(routed, clientSealers, trusted);
    const before = last.get(socket);
    if (before !== undefined && isSame(before.values, facts)) return before;
    const shared = new SharedFacts(facts);
    last.set(socket, shared);
    return shared;
  };
}

function callFacts(routed: Routed, clientSealers: ClientSealers, trusted: readonly AddressRange[]): CallFacts {
  const { account, catalogue, member, request } = routed;
  return {
    tenantId: account.tenant.id,
    apiKeyId: account.apiKey.id,
    memberId: member.id,
    config: catalogue.position,
    operation: routed.operation,
    model: routed.model,
    priceCardVersionId: routed.priceCardVersionId,
    leaseIds: NO_LEASES,
    client: clientSealers.seal(member.sealingKey, readCallerClient(request, trusted), request.socket),
  };
}

const NO_LEASES: string[] = [];

function isSame(one: CallFacts, other: CallFacts): boolean {
  return (
    one.apiKeyId === other.apiKeyId &&
    one.memberId === other.memberId &&
    one.tenantId === other.tenantId &&
    one.config === other.config &&
    one.operation === other.operation &&
    one.model === other.model &&
    one.priceCardVersionId === other.priceCardVersionId &&
    one.leaseIds === other.leaseIds &&
    one.client === other.client
  );
}

interface Counted {
  readonly usage: Usage;
  readonly countedBy: Attempt['countedBy'];
}

const NOT_COUNTED: Counted = { usage: {}, countedBy: 'none' };

function attemptRecord(
  attempt: PlannedAttempt,
  status: number | null,
  { usage, countedBy }: Counted,
  serviceTier: ServiceTier | undefined,
): Attempt {
  const record: Attempt = {
    targetId: attempt.targetId,
    providerId: attempt.provider.id,
    credentialId: attempt.credentialId,
    upstreamModel: attempt.upstreamModel,
    status,
    usage,
    countedBy,
    costCardVersionId: attempt.costCardVersionId,
  };
  // Nearly every call is of the standard tier, which is meant where none is named.
  if (serviceTier !== undefined && serviceTier !== 'standard') record.serviceTier = serviceTier;
  return record;
}

/** The tenant pays for what was delivered, unless the provider or we broke it off. */
const CHARGED: ReadonlySet<Outcome> = new Set(['completed', 'caller-left']);

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
  readonly routed: Prepared;
  readonly attempt: PlannedAttempt;
  readonly #start: StartRecord;
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

  constructor(routed: Prepared, start: StartRecord, books: Books) {
    this.routed = routed;
    this.attempt = routed.attempts[0];
    this.#start = start;
    this.#books = books;
    this.#streamed = routed.streamed;
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
   * not made to wait: it is in the books at most five seconds later, or as interrupted where the process dies before.
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
      durationMs: performance.now() - this.routed.receivedAt,
      firstByteMs: this.#firstByteMs,
    });
    const counter = this.#counter;
    if (counter === undefined) return this.#write(ending, this.#reported());
    if (isCharged) {
      this.#finishLater(counter, ending);
      return Promise.resolve();
    }
    counter.discard();
    return this.#write(ending, this.#reported());
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

  #write({ isCharged, ...ending }: Ending, counted: Counted): Promise<void> {
    return this.#books.spool.end({
      ...this.#start,
      ...ending,
      streamed: this.#streamed,
      firstByteMs: this.#firstByteMs,
      attempts: [attemptRecord(this.attempt, this.#providerStatus, counted, this.#serviceTier)],
      billedAttempt: isCharged && counted.countedBy !== 'none' ? 0 : null,
    });
  }
}
