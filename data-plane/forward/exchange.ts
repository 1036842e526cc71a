import type { IncomingHttpHeaders } from 'node:http';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import type { CallTiming } from '../call-timing.js';
import { SERVICE_TIER_HEADER, tierOf } from '../dialects/service-tier.js';
import type { AttemptMeter } from '../meter/attempt-meter.js';
import { classifyAnswer, classifyErrorEvent, type ErrorAnswer, type Failure } from '../route/failure.js';
import type { AttemptResult } from '../route/health.js';
import type { Answer, Recipient } from './answer.js';
import type { WalkedAttempt } from './attempt-walk.js';
import { HeldStart, type StartHead } from './held-start.js';
import { takeAnswer } from './take-answer.js';

/** Why a call ends without a whole answer. */
export interface Fault {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  /** For our log. */
  readonly reason: string;
}

/** The call that an attempt is made for, as its attempts see it. */
export interface AttemptedCall {
  /** Longest time that the beginning of a stream is held back, for another provider to take over. */
  readonly maxHoldMs: number;
  /** Whether another attempt may still be the one that the caller gets. */
  readonly mayTurn: boolean;
  /** The head has gone to the caller. */
  readonly isOpen: boolean;
  /** The answer of an attempt is there, and the caller gets it unless it breaks before a byte of it has gone out. */
  serves(exchange: Exchange): void;
  /** Sends the head. @param isFollowed something goes out at once behind it */
  open(head: StartHead, isFollowed: boolean): void;
  write(piece: Buffer | string): void;
  /** Settles the call as the present attempt has ended, and then gives the caller the rest. */
  finish(outcome: Outcome, status: number | null, send: () => void): void;
  /**
   * An attempt has failed: one beside it goes on, or another one takes its place, as long as the caller has been given
   * nothing.
   * @param tell ends the call as this attempt has ended
   */
  failed(exchange: Exchange, failure: Failure, tell: () => void): void;
  /** Ends the call as failed, and tells the caller. */
  stop(fault: Fault): void;
}

/** Where an answer comes from, whichever client brings it. */
export interface UpstreamSource {
  pause(): void;
  resume(): void;
  /** Ends the exchange with the provider at once. */
  abort(): void;
}

const EVENT_STREAM = /^text\/event-stream\s*(?:;|$)/i;

/**
 * One attempt of a call: what is sent to one provider, and its answer, the same for every client that fetches it. A source
 * reports `head`, `data` and `end`, or `fail`, and is told to pause, to go on, or to stop. How each kind of answer is taken,
 * `takeAnswer` knows; what becomes of the call, the {@link AttemptedCall}.
 */
export class Exchange implements Recipient {
  readonly meter: AttemptMeter;
  /** In the plan of the call. */
  readonly place: number;
  readonly #call: AttemptedCall;
  #walked: WalkedAttempt | undefined;
  #source: UpstreamSource | undefined;
  /** The provider has been sent the request, or a part of it. */
  #wasSent = false;
  #answer: Answer | undefined;
  #start: HeldStart | undefined;
  /** Whatever comes of it now, nobody waits for it any more. */
  #isOver = false;

  constructor(call: AttemptedCall, meter: AttemptMeter, place: number) {
    this.#call = call;
    this.meter = meter;
    this.place = place;
  }

  /** @param walked undefined for what has one way only, of which no health is kept */
  began(walked: WalkedAttempt | undefined): void {
    this.#walked = walked;
  }

  attach(source: UpstreamSource): void {
    this.#source = source;
    if (this.#isOver) source.abort();
  }

  /** A connection is there, and the request goes out on it. */
  sent(): void {
    this.#wasSent = true;
    if (!this.#isOver) this.#timing.waitFor('upstream');
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    if (this.#isOver) return;
    this.#timing.waitOver();
    const isStream = EVENT_STREAM.test(headers['content-type'] ?? '');
    this.meter.providerAnswered(status, isStream);
    this.meter.serviceTierReported(tierOf(headers[SERVICE_TIER_HEADER]));
    const answer = takeAnswer(this, { status, headers, isStream });
    if (typeof answer === 'string') {
      this.fail('upstream_failed', 'provider-failed', answer);
      return;
    }
    this.#answer = answer;
    // An answer of one body is done when its head comes, or nearly so.
    if (status < 400 && !isStream) this.#call.serves(this);
    // A head that has to wait for more of the answer waits for the provider.
    if (!this.#call.isOpen) this.#timing.waitFor('upstream');
  }

  data(chunk: Buffer): void {
    if (this.#isOver) return;
    this.meter.firstByteCame();
    this.#answer?.push(chunk);
  }

  end(): void {
    if (this.#isOver) return;
    this.#timing.waitOver();
    this.#answer?.end();
  }

  fail(code: ErrorCode, outcome: Outcome, reason: string): void {
    if (this.#isOver) return;
    const stop = (): void => {
      this.#call.stop({ code, outcome, reason });
    };
    if (outcome !== 'provider-failed' && outcome !== 'timed-out') {
      stop();
      return;
    }
    const status = this.meter.providerStatus;
    const kind = outcome === 'timed-out' ? 'timed-out' : status === null ? 'unreachable' : 'server-error';
    this.#call.failed(this, { kind, status, retryAfterMs: undefined }, stop);
  }

  refused(answer: ErrorAnswer, tell: () => void): void {
    this.#call.failed(this, classifyAnswer(answer, Date.now()), tell);
  }

  erred(data: string, tell: () => void): void {
    if (this.#start === undefined) tell();
    else this.#call.failed(this, classifyErrorEvent(data, this.meter.providerStatus), tell);
  }

  get isHeld(): boolean {
    return this.#start !== undefined;
  }

  begin(status: number, headers: readonly string[]): void {
    this.#hold(status, headers, false);
  }

  beginStream(status: number, headers: readonly string[]): void {
    this.#hold(status, headers, true);
  }

  write(piece: Buffer | string): void {
    if (this.#start !== undefined) {
      if (this.#start.push(piece)) this.#release();
      return;
    }
    this.#walked?.begun();
    this.#call.write(piece);
  }

  finish(outcome: Outcome, status: number | null, send: () => void): void {
    this.#release();
    this.#call.finish(outcome, status, send);
  }

  abortProvider(): void {
    this.#source?.abort();
  }

  pause(): void {
    this.#source?.pause();
  }

  resume(): void {
    this.#source?.resume();
  }

  get #timing(): CallTiming {
    return this.meter.routed.timing;
  }

  get beforeErrorEvent(): string | undefined {
    return this.#answer?.beforeErrorEvent;
  }

  /** Its answer serves: it is the one that the caller gets. */
  served(): void {
    this.#walked?.served();
  }

  /** Once; what comes later is ignored. */
  ended(result: AttemptResult): void {
    this.#walked?.ended(result);
  }

  /** The caller has left. */
  giveUp(): void {
    this.#answer?.giveUp();
  }

  /** Another attempt was quicker. */
  outpaced(): void {
    this.giveUp();
    const { providerStatus } = this.meter;
    this.meter.cancelled(this.#wasSent && (providerStatus === null || providerStatus < 400));
    this.ended({ kind: 'outpaced' });
    this.close();
  }

  /** Nobody waits for it any more. */
  close(): void {
    this.#isOver = true;
    this.#start?.release();
    this.abortProvider();
  }

  /**
   * The head does not go to the caller before something is worth sending behind it, where another attempt could still take
   * its place.
   */
  #hold(status: number, headers: readonly string[], isStream: boolean): void {
    const start = new HeldStart({ status, headers, isStream }, this.#call.maxHoldMs, () => {
      this.#release();
    });
    this.#start = start;
    if (isStream && !this.#call.mayTurn) this.#release();
  }

  #release(): void {
    const start = this.#start;
    if (start === undefined) return;
    this.#start = undefined;
    const pieces = start.release();
    if (pieces.length > 0) this.#walked?.begun();
    this.#call.serves(this);
    this.#call.open(start.head, pieces.length > 0);
    for (const piece of pieces) this.#call.write(piece);
  }
}
