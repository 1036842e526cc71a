import type { Logger } from 'pino';
import { WebSocket } from 'ws';
import type { Outcome } from '@pingtoken/shared/usage-event';
import type { Listed } from '../forward/open-calls.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { MeteredCall } from '../meter/meter.js';
import { checkCallerMessage, type MessageRules } from './caller-message.js';
import { CLOSE_CODES, closeSocket, cutSoon, sendableCode } from './close-session.js';
import { cleanErrorEvent, errorEvent, withoutSecret } from './error-event.js';
import { Lane } from './lane.js';
import { Liveness } from './liveness.js';
import { readProviderMessage, type ProviderMessage } from './provider-message.js';
import { ResponseMetadata } from './response-metadata.js';
import { ResponseBook, type ResponseBookOptions } from './response-book.js';

/** Why a session ends that could have gone on. */
export interface SessionFault {
  /** What the caller is told, in an event before the close. */
  readonly refusal: Refusal;
  readonly outcome: Outcome;
  readonly closeCode: number;
  /** For our log. */
  readonly reason: string;
}

export function noLongerAdmitted(refusal: Refusal): SessionFault {
  const reason = `no longer admitted: ${refusal.refused}`;
  return { refusal, outcome: 'interrupted', closeCode: CLOSE_CODES.policy, reason };
}

/** A session, or a call that is about to become one. */
export interface OpenSession extends Listed {
  fail(fault: SessionFault): void;
  /** Once a second. */
  check(nowMs: number): void;
  /** Whether the config in force still lets the caller go on. */
  recheck(): void;
  /** Resolves when its books are closed. */
  readonly settled: Promise<void>;
}

export interface SessionTimes {
  /** Longest silence of a side, pings and all; longest time that a side may take nothing. */
  readonly idleTimeoutMs: number;
  readonly totalTimeoutMs: number;
  readonly pingIntervalMs: number;
}

export interface SessionOptions extends Pick<ResponseBookOptions, 'begin'> {
  readonly caller: WebSocket;
  /** Open, and paused until now. */
  readonly provider: WebSocket;
  /** The session itself, which costs nothing. */
  readonly call: MeteredCall;
  readonly findTranscriber: MessageRules['findTranscriber'];
  /** @returns why the caller may not go on, if so */
  readonly recheck: () => Refusal | undefined;
  readonly times: SessionTimes;
  readonly logger: Logger;
  readonly onSettled: (session: OpenSession, outcome: Outcome) => void;
}

/** A response that is cancelled because its session ends may still report what it has cost, for so long. */
const LAST_REPORT_MS = 100;
/** What the caller may leave untaken of the errors that its own messages cause. */
const MAX_UNTAKEN_BYTES = 4 * 1024 * 1024;
const UPGRADED = 101;
const CANCEL = '{"type":"response.cancel"}';

interface Waiting {
  readonly data: Buffer;
  readonly isBinary: boolean;
  readonly message: ProviderMessage;
}

/**
 * One conversation between caller and provider, from the moment that both connections stand. Messages go both ways as they
 * come; what is charged is in the books before the caller sees that it is done.
 */
export class Session implements OpenSession {
  place = -1;
  readonly settled: Promise<void>;
  readonly #options: SessionOptions;
  readonly #book: ResponseBook;
  readonly #toProvider: Lane;
  readonly #toCaller: Lane;
  readonly #callerLives: Liveness;
  readonly #providerLives: Liveness;
  readonly #settling: PromiseWithResolvers<void> = Promise.withResolvers();
  #rules: MessageRules;
  readonly #metadata = new ResponseMetadata();
  /** What the provider has said and the caller has not been given, in order. */
  readonly #waiting: Waiting[] = [];
  /** What is being written down at the moment. */
  #booking: Promise<void> | undefined;
  #providerCode: number | undefined;
  #isOver = false;
  #onIdle: (() => void) | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    const { caller, provider, call, findTranscriber, times, begin } = options;
    const { model, account } = call.routed;
    this.settled = this.#settling.promise;
    this.#rules = {
      model,
      upstreamModel: call.attempt.upstreamModel,
      endUsers: account.tenant,
      transcriber: undefined,
      findTranscriber,
    };
    this.#book = new ResponseBook({ model, begin, transcriber: () => this.#rules.transcriber });
    const stuckAfterMs = times.idleTimeoutMs;
    const onProviderStuck = (): void => {
      this.#providerIsLost();
    };
    const onCallerStuck = (): void => {
      this.#callerIsLost();
    };
    this.#toProvider = new Lane({ from: caller, to: provider, stuckAfterMs, onStuck: onProviderStuck });
    this.#toCaller = new Lane({ from: provider, to: caller, stuckAfterMs, onStuck: onCallerStuck });
    this.#callerLives = new Liveness(caller, () => this.#toProvider.isPaused);
    this.#providerLives = new Liveness(provider, () => this.#toCaller.isPaused);
    this.#listen();
    provider.resume();
    caller.resume();
  }

  fail({ refusal, outcome, closeCode, reason }: SessionFault): void {
    if (this.#isOver) return;
    const { attempt, routed } = this.#options.call;
    const { requestId } = routed;
    const provider = attempt.provider.slug;
    this.#options.logger.warn({ requestId, provider, code: refusal.refused, outcome, reason }, 'session-failed');
    this.#end(outcome, outcome, () => {
      this.#tellCaller(errorEvent(refusal, null));
      closeSocket(this.#options.caller, closeCode);
    });
  }

  check(nowMs: number): void {
    const { times, call } = this.#options;
    const { idleTimeoutMs, pingIntervalMs, totalTimeoutMs } = times;
    if (this.#isOver) return;
    if (nowMs - call.routed.admittedAt > totalTimeoutMs) {
      const refusal = refuse('upstream_timeout', null, 'The session has lasted as long as it may.');
      const reason = `longer than ${totalTimeoutMs} ms`;
      this.fail({ refusal, outcome: 'timed-out', closeCode: CLOSE_CODES.goingAway, reason });
    } else if (nowMs >= (call.routed.account.apiKey.expiresAt ?? Infinity)) this.recheck();
    else if (!this.#callerLives.check(nowMs, idleTimeoutMs, pingIntervalMs)) this.#callerIsLost();
    else if (!this.#providerLives.check(nowMs, idleTimeoutMs, pingIntervalMs)) this.#providerIsLost();
  }

  recheck(): void {
    const refusal = this.#isOver ? undefined : this.#options.recheck();
    if (refusal !== undefined) this.#stop(refusal);
  }

  #listen(): void {
    const { caller, provider } = this.#options;
    caller.on('message', (data, isBinary) => {
      this.#fromCaller(data as Buffer, isBinary);
    });
    caller.on('close', (code) => {
      this.#callerLeft(code === CLOSE_CODES.lost ? 'caller-left' : 'completed');
    });
    // Too long, not UTF-8, no frame at all: the library has told the caller so and closes.
    caller.on('error', () => {
      cutSoon(caller);
      this.#callerLeft('caller-left');
    });
    provider.on('message', (data, isBinary) => {
      this.#waiting.push({ data: data as Buffer, isBinary, message: readProviderMessage(data as Buffer) });
      this.#goOn();
    });
    provider.on('close', (code) => {
      this.#providerCode = code;
      this.#goOn();
    });
  }

  #fromCaller(data: Buffer, isBinary: boolean): void {
    if (this.#isOver) return;
    const checked = checkCallerMessage(data, this.#rules);
    if (isRefusal(checked)) {
      this.#tellCaller(errorEvent(checked, checked.eventId));
      // Attack: a caller that sends what is refused and takes no answer.
      if (this.#options.caller.bufferedAmount > MAX_UNTAKEN_BYTES) this.#callerIsLost();
      return;
    }
    for (const [pseudonym, value] of checked.pseudonyms) this.#metadata.remember(pseudonym, value);
    if (checked.transcriber !== undefined) this.#rules = { ...this.#rules, transcriber: checked.transcriber };
    this.#toProvider.send(checked.bytes, isBinary);
  }

  /** Works off what the provider has said: one after the other, for its order is what it means. */
  #goOn(): void {
    while (this.#booking === undefined) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      const booked = this.#book.book(next.message);
      if (booked === undefined) this.#pass(next);
      else this.#passWhen(booked, next);
    }
    if (this.#booking !== undefined) return;
    if (this.#providerCode !== undefined) this.#providerLeft(this.#providerCode);
    if (this.#book.openIds.length === 0 || this.#providerCode !== undefined) this.#onIdle?.();
  }

  #passWhen(booked: Promise<Refusal | undefined>, next: Waiting): void {
    this.#toCaller.hold();
    this.#booking = booked
      .then(
        (refusal) => {
          if (refusal === undefined) this.#pass(next);
          else this.#stop(refusal);
        },
        (error: unknown) => {
          this.#broke(error);
        },
      )
      .finally(() => {
        this.#booking = undefined;
        this.#toCaller.release();
        this.#goOn();
      });
  }

  #pass({ data, isBinary, message }: Waiting): void {
    if (this.#isOver || message.kind === 'rate-limits') return;
    this.#toCaller.send(this.#forCaller(data, message), isBinary);
  }

  #forCaller(data: Buffer, { kind }: ProviderMessage): Buffer {
    const { secret } = this.#options.call.attempt;
    if (kind === 'error') return cleanErrorEvent(data, secret);
    const clean = withoutSecret(data, secret);
    return kind === 'response-created' || kind === 'response-done' ? this.#metadata.restore(clean) : clean;
  }

  #tellCaller(event: string): void {
    const { caller } = this.#options;
    if (caller.readyState === WebSocket.OPEN) caller.send(event);
  }

  /** The caller may no longer do what it did. */
  #stop(refusal: Refusal): void {
    this.fail(noLongerAdmitted(refusal));
  }

  #broke(error: unknown): void {
    const { logger, call } = this.#options;
    logger.error({ requestId: call.routed.requestId, error }, 'call-broke');
    const closeCode = CLOSE_CODES.failure;
    this.fail({ refusal: refuse('internal_error'), outcome: 'interrupted', closeCode, reason: 'a fault of ours' });
  }

  #callerIsLost(): void {
    this.#callerLeft('caller-left');
    this.#options.caller.terminate();
  }

  #callerLeft(outcome: 'completed' | 'caller-left'): void {
    this.#end(outcome, 'caller-left', () => undefined);
  }

  #providerIsLost(): void {
    const { idleTimeoutMs } = this.#options.times;
    const reason = `nothing came for ${idleTimeoutMs} ms`;
    const closeCode = CLOSE_CODES.failure;
    // First: of one that does not answer no last report is to be waited for.
    this.#options.provider.terminate();
    this.fail({ refusal: refuse('upstream_timeout'), outcome: 'timed-out', closeCode, reason });
  }

  #providerLeft(code: number): void {
    if (this.#isOver) return;
    const isOrderly = ORDERLY_CODES.has(code);
    if (isOrderly && this.#book.openIds.length === 0) {
      this.#end('completed', 'provider-failed', () => {
        closeSocket(this.#options.caller, sendableCode(code));
      });
      return;
    }
    const refusal = refuse('upstream_failed', null, 'The provider has closed the session.');
    const closeCode = CLOSE_CODES.failure;
    this.fail({ refusal, outcome: 'provider-failed', closeCode, reason: `closed with code ${code}` });
  }

  /** @param close what the caller is told when the end is in the books */
  #end(outcome: Outcome, openOutcome: Outcome, close: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#toCaller.close();
    this.#toProvider.close();
    this.#settle(outcome, openOutcome)
      .catch((error: unknown) => {
        this.#options.logger.error({ error }, 'call-broke');
      })
      .finally(() => {
        close();
        this.#options.onSettled(this, outcome);
        this.#settling.resolve();
      });
  }

  async #settle(outcome: Outcome, openOutcome: Outcome): Promise<void> {
    const { provider, call } = this.#options;
    await this.#lastReports();
    // Without waiting for its answer: who has left is not to be answered at our cost.
    if (provider.readyState === WebSocket.OPEN) closeSocket(provider, CLOSE_CODES.normal);
    else provider.terminate();
    await this.#booking;
    await this.#book.close(openOutcome);
    await call.settle(outcome, UPGRADED);
  }

  /** The provider's own count is worth a moment: a response that is cancelled is done at once, and says what it has cost. */
  #lastReports(): Promise<void> {
    const { provider } = this.#options;
    const isPossible =
      provider.readyState === WebSocket.OPEN && (this.#booking !== undefined || this.#book.openIds.length > 0);
    if (!isPossible) return Promise.resolve();
    for (const responseId of this.#book.openIds) {
      provider.send(responseId === '' ? CANCEL : JSON.stringify({ type: 'response.cancel', response_id: responseId }));
    }
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LAST_REPORT_MS);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** Closes that say that all is well. */
const ORDERLY_CODES: ReadonlySet<number> = new Set([CLOSE_CODES.normal, CLOSE_CODES.goingAway, CLOSE_CODES.none]);
