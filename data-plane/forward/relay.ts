import type { Logger } from 'pino';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import type { MeteredCall } from '../meter/meter.js';
import { isRetryable, type Failure } from '../route/failure.js';
import type { AttemptResult } from '../route/health.js';
import type { AttemptWalk, Step } from './attempt-walk.js';
import { CallerSide, type CallerSideOptions } from './caller-side.js';
import { Exchange, type AttemptedCall, type Fault } from './exchange.js';
import type { StartHead } from './held-start.js';
import type { Listed, OpenCalls } from './open-calls.js';
import type { Outgoing } from './prepared-call.js';

/** What all calls share. */
export interface RelayOptions extends CallerSideOptions {
  /** Those on their way, this one among them until it is over. */
  readonly openCalls: OpenCalls<Relay>;
  /** Longest time that the beginning of a stream is held back, for another provider to take over. */
  readonly maxHoldMs: number;
  readonly logger: Logger;
  /** Sends what an attempt has to send to its provider. */
  readonly send: (exchange: Exchange) => void;
}

/** What an attempt was refused for, which would be refused everywhere. */
interface Refused {
  readonly exchange: Exchange;
  readonly tell: () => void;
}

/**
 * Brings the answer of one of a call's attempts to its caller, and settles the call. Attempts follow each other, each when
 * the one before has failed; beside one that is late a second one may run, the hedge. The first of the two whose answer
 * begins to serve is the one that the caller gets. As soon as anything has gone to the caller no other attempt is made.
 */
export class Relay implements AttemptedCall, Listed {
  readonly call: MeteredCall;
  place = -1;
  readonly #options: RelayOptions;
  #isOver = false;
  readonly #caller: CallerSide;
  /** The attempt that the call is about. */
  #present: Exchange;
  /** The hedge of the present one, while neither serves. */
  #rival: Exchange | undefined;
  #refused: Refused | undefined;
  /** Undefined for what has one way only, of which no health is kept. */
  #walk: AttemptWalk<Outgoing> | undefined;
  /** No other attempt is made any more. */
  #isLastAttempt = false;
  /** Before another attempt of the same target, or before the hedge. */
  #pause: NodeJS.Timeout | undefined;
  readonly #onCallerClose = (): void => {
    this.#callerLeft();
  };

  constructor(call: MeteredCall, options: RelayOptions) {
    this.#options = options;
    this.call = call;
    this.#caller = new CallerSide(call.routed, options);
    this.#present = new Exchange(this, call.present, 0);
    options.openCalls.add(this);
    // The socket, not the response: a response that waits behind another one on its connection hears nothing of it.
    const { socket } = call.routed.request;
    socket.on('close', this.#onCallerClose);
    if (socket.destroyed) this.#callerLeft();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get maxHoldMs(): number {
    return this.#options.maxHoldMs;
  }

  /** Whether another attempt than the present one may still be the one that the caller gets. */
  get mayTurn(): boolean {
    return this.#rival !== undefined || (this.#walk?.mayGoOn === true && !this.#isLastAttempt);
  }

  /** Sends the call on its way. */
  start(walk: AttemptWalk<Outgoing> | undefined): void {
    this.#walk = walk;
    this.#attempt();
  }

  /** The answer of an attempt is there, and the caller gets it unless it breaks before a byte of it has gone out. */
  serves(exchange: Exchange): void {
    clearTimeout(this.#pause);
    exchange.served();
    const loser = exchange === this.#present ? this.#rival : this.#present;
    this.#turnTo(exchange);
    this.#refused = undefined;
    if (loser === undefined || loser === exchange) return;
    const { requestId } = this.call.routed;
    this.#options.logger.debug({ requestId, provider: loser.meter.attempt.provider.slug }, 'attempt-outpaced');
    loser.outpaced();
  }

  get isOpen(): boolean {
    return this.#caller.status !== null;
  }

  /** Sends the head. @param isFollowed something goes out at once behind it */
  open(head: StartHead, isFollowed: boolean): void {
    this.#caller.open(head, this.#present, isFollowed);
  }

  write(piece: Buffer | string): void {
    this.#caller.write(piece);
  }

  /** Settles the call as the present attempt has ended, and then gives the caller the rest. */
  finish(outcome: Outcome, status: number | null, send: () => void): void {
    if (this.#isOver) return;
    this.#present.ended(resultOf(outcome, this.call.present.providerStatus));
    this.#close();
    void this.call.settle(outcome, status).then(send);
  }

  /**
   * An attempt has failed: one beside it goes on, or another one takes its place, as long as the caller has been given
   * nothing.
   * @param tell ends the call as this attempt has ended
   */
  failed(exchange: Exchange, failure: Failure, tell: () => void): void {
    if (this.#isOver) return;
    exchange.ended({ kind: 'failed', failure });
    if (this.#caller.status !== null) {
      tell();
      return;
    }
    const other = exchange === this.#present ? this.#rival : this.#present;
    if (other !== undefined) {
      // What is wrong with the call itself may be told later, and is still not worth losing an answer for.
      if (isRetryable(failure)) this.#drop(exchange, failure);
      else this.#refused = { exchange, tell };
      this.#turnTo(other);
      return;
    }
    const refused = this.#refused;
    if (refused !== undefined) {
      this.#drop(exchange, failure);
      this.#turnTo(refused.exchange);
      refused.tell();
      return;
    }
    const next = this.#isLastAttempt ? undefined : this.#walk?.next(failure, exchange.place);
    this.#isLastAttempt = next === undefined;
    if (next === undefined) tell();
    else {
      this.#drop(exchange, failure);
      this.#goOn(next);
    }
  }

  /** Ends the call as failed by us: as {@link stop}, from outside. */
  fail(code: ErrorCode, outcome: Outcome, reason: string): void {
    this.stop({ code, outcome, reason });
  }

  /**
   * Ends the call because of its caller, who took too long or whose key was revoked: it is told as of a failure, and pays for
   * what was delivered. Attack: a thousand streams whose key is revoked before their last word would be free.
   */
  cut(code: ErrorCode, outcome: Outcome, reason: string): void {
    this.stop({ code, outcome, reason }, true);
  }

  /**
   * Ends the call as failed, and tells the caller.
   */
  stop({ code, outcome, reason }: Fault, isCharged = false): void {
    if (this.#isOver) return;
    const { requestId } = this.call.routed;
    this.#present.ended(resultOf(outcome, this.call.present.providerStatus));
    const provider = this.call.attempt.provider.slug;
    this.#options.logger.warn({ requestId, provider, code, outcome, reason }, 'call-failed');
    this.#close();
    const settled = this.call.settle(outcome, this.#caller.status ?? ERROR_CODES[code].status, isCharged);
    void settled.then(() => {
      this.#caller.tellFault(code);
    });
    this.#present.close();
  }

  /** The present attempt goes out. */
  #attempt(): void {
    const exchange = this.#present;
    const hedgeAfterMs = this.#walk?.hedgeAfterMs(exchange.meter.attempt);
    if (hedgeAfterMs !== undefined) {
      this.#pause = setTimeout(() => {
        this.#hedge();
      }, hedgeAfterMs);
    }
    this.call.routed.timing.waitFor('connect');
    this.#send(exchange);
  }

  #send(exchange: Exchange): void {
    const walked = this.#walk?.begin(exchange.meter.attempt, (withinMs) => {
      exchange.fail('upstream_timeout', 'timed-out', `the answer did not begin within ${withinMs} ms`);
    });
    exchange.began(walked);
    this.#options.send(exchange);
  }

  /** The present attempt is late: a second one runs beside it. */
  #hedge(): void {
    const step = this.#walk?.hedge();
    if (step === undefined) return;
    const rival = new Exchange(this, this.call.open(step.attempt, step.sent), step.place);
    this.#rival = rival;
    this.#send(rival);
  }

  #goOn({ attempt, sent, place, delayMs }: Step<Outgoing>): void {
    this.#turnTo(new Exchange(this, this.call.open(attempt, sent), place));
    if (delayMs === 0) this.#attempt();
    else {
      this.call.routed.timing.waitFor('upstream');
      this.#pause = setTimeout(() => {
        this.#attempt();
      }, delayMs);
    }
  }

  /** The call is about this attempt alone. */
  #turnTo(exchange: Exchange): void {
    this.call.turnTo(exchange.meter);
    this.#present = exchange;
    this.#rival = undefined;
  }

  #drop(exchange: Exchange, { kind, status }: Failure): void {
    const { requestId } = this.call.routed;
    const provider = exchange.meter.attempt.provider.slug;
    this.#options.logger.info({ requestId, provider, kind, status }, 'attempt-failed');
    clearTimeout(this.#pause);
    exchange.meter.gaveWay();
    exchange.close();
  }

  #close(): void {
    this.#isOver = true;
    clearTimeout(this.#pause);
    this.#caller.close();
    this.#rival?.ended({ kind: 'abandoned' });
    this.#rival?.close();
    this.#options.openCalls.delete(this);
    this.call.routed.request.socket.removeListener('close', this.#onCallerClose);
  }

  #callerLeft(): void {
    if (this.#isOver || this.call.routed.watch?.goesOnAlone() === true) return;
    this.#present.giveUp();
    this.finish('caller-left', this.#caller.status, () => undefined);
    this.#present.close();
  }
}

/** What the end of a call says of its last target; a failure that was looked into has been told before. */
function resultOf(outcome: Outcome, status: number | null): AttemptResult {
  if (outcome === 'completed') return { kind: 'served' };
  if (outcome === 'provider-failed')
    return { kind: 'failed', failure: { kind: 'server-error', status, retryAfterMs: undefined } };
  return { kind: 'abandoned' };
}
