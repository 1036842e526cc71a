import { priceOf, UnpricedDimensionError, type PriceContext } from '@pingtoken/shared/price-of';
import {
  ANSWER_DIMENSIONS,
  type Dimension,
  type RateCardVersion,
  type ServiceTier,
  type Usage,
} from '@pingtoken/shared/rate-card';
import type { Attempt } from '@pingtoken/shared/usage-event';
import type { Prepared } from '../forward/prepared-call.js';
import type { PlannedAttempt } from '../route/route.js';
import { attemptRecord, NOT_COUNTED, type Counted } from './attempt-record.js';
import { openCounter } from './delivered-counter.js';
import type { DeliveredCounter, TokenEstimator } from './estimate/token-estimator.js';

/** What one attempt of a call has used, from its request to the end of its answer. */
export class AttemptMeter {
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
  #isClosed = false;
  #wasCancelled = false;

  constructor(
    /** With what is sent in this attempt. */
    readonly routed: Prepared,
    readonly attempt: PlannedAttempt,
    private readonly estimator: TokenEstimator,
  ) {}

  /** Null until the provider has answered. */
  get providerStatus(): number | null {
    return this.#providerStatus;
  }

  /** Milliseconds from admission to the first byte of the answer's body; null while none has come. */
  get firstByteMs(): number | null {
    return this.#firstByteMs;
  }

  get serviceTier(): ServiceTier | undefined {
    return this.#serviceTier;
  }

  get isStream(): boolean {
    return this.#isStream;
  }

  get wasInVain(): boolean {
    return this.#wasInVain;
  }

  /** Undefined where the provider has said all, or nothing was passed on. */
  get counter(): DeliveredCounter | undefined {
    return this.#counter;
  }

  /** The provider had its request and was stopped by us, before it could say what that took. */
  get wasCancelled(): boolean {
    return this.#wasCancelled && this.#usage === undefined;
  }

  providerAnswered(status: number, isStream: boolean): void {
    this.#providerStatus = status;
    this.#isStream = isStream;
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

  /** Bytes of the provider's answer, untranslated, that are for the caller. They are not copied. */
  passedOn(bytes: Buffer): void {
    if (this.#hasReported || this.#wasInVain || this.#isClosed) return;
    this.#counter ??= openCounter(this.routed, { attempt: this.attempt, isStream: this.#isStream }, this.estimator);
    this.#counter.push(bytes);
  }

  /** The provider's answer is an error, whatever came before: it costs nothing, also where the caller leaves because of it. */
  nothingDelivered(): void {
    this.#wasInVain = true;
    this.#counter?.discard();
    this.#counter = undefined;
  }

  /** Another attempt takes its place: the caller gets nothing of this one, and whatever it has cost is ours to pay. */
  gaveWay(): void {
    this.close();
    this.nothingDelivered();
  }

  /** It was stopped because another one was quicker. @param wasSent the provider had its request */
  cancelled(wasSent: boolean): void {
    this.#wasCancelled = wasSent;
    this.gaveWay();
  }

  /** The call is over: what is passed on from here on counts no more. */
  close(): void {
    this.#isClosed = true;
  }

  /** An error answer costs nothing, whatever it claims. */
  reported(): Counted {
    const isServed = this.#providerStatus !== null && this.#providerStatus >= 200 && this.#providerStatus < 300;
    return isServed && this.#usage !== undefined ? { usage: this.#usage, countedBy: 'provider' } : NOT_COUNTED;
  }

  record(counted: Counted): Attempt {
    return attemptRecord(this.attempt, this.#providerStatus, counted, this.#serviceTier);
  }

  /**
   * What an attempt that was cancelled is taken to have cost, by what the same request has used at another provider: all that
   * was sent, for vendors charge for the prompt of a request that is broken off, and nothing of an answer. What of it this
   * provider had in its cache, nobody knows: it counts as if nothing were.
   */
  recordCancelled(served: Usage | undefined): Attempt {
    if (served === undefined || Object.keys(served).length === 0) return this.record(NOT_COUNTED);
    const usage: Usage = {};
    for (const [dimension, count] of Object.entries(served) as [Dimension, number][]) {
      if (GIVEN.has(dimension)) continue;
      const sent = CACHED.has(dimension) ? 'input' : dimension;
      usage[sent] = (usage[sent] ?? 0) + count;
    }
    this.#dropUnpriced(usage);
    return this.record({ usage, countedBy: 'estimated' });
  }

  /** The card of another provider may have no rate for what the one that served counts, and its sale is not to wait for that. */
  #dropUnpriced(usage: Usage): void {
    const { costCardId, costCardVersionId } = this.attempt;
    const card = costCardId === null ? undefined : this.routed.catalogue.rateCards.get(costCardId);
    const version = card?.versions.find(({ id }) => id === costCardVersionId);
    const context: PriceContext = { at: this.routed.admittedAt, serviceTier: this.#serviceTier };
    let unpriced = version && unpricedDimension(usage, version, context);
    while (version !== undefined && unpriced !== undefined) {
      Reflect.deleteProperty(usage, unpriced);
      unpriced = unpricedDimension(usage, version, context);
    }
  }
}

function unpricedDimension(usage: Usage, card: RateCardVersion, context: PriceContext): Dimension | undefined {
  try {
    priceOf(usage, card, context);
    return undefined;
  } catch (error) {
    if (error instanceof UnpricedDimensionError) return error.dimension;
    throw error;
  }
}

/** What is charged for an answer. */
const GIVEN: ReadonlySet<Dimension> = new Set([...ANSWER_DIMENSIONS, 'image', 'webSearch']);
const CACHED: ReadonlySet<Dimension> = new Set(['cacheRead', 'cacheWrite5m', 'cacheWrite1h']);
