import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import { CHAT_DIALECTS } from '../dialects/chat/chat-dialects.js';
import { SERVICE_TIER_HEADER, tierOf } from '../dialects/service-tier.js';
import { refuse, sendRefusal } from '../http-error.js';
import type { MeteredCall } from '../meter/meter.js';
import { classifyAnswer, type ErrorAnswer, type Failure } from '../route/failure.js';
import type { AttemptResult } from '../route/health.js';
import type { AttemptWalk } from './attempt-walk.js';
import type { Answer, Recipient } from './answer.js';
import type { KeepAliveComments, StreamWatch } from './keep-alive-comments.js';
import type { Listed, OpenCalls } from './open-calls.js';
import { takeAnswer } from './take-answer.js';

/** Where an answer comes from, whichever client brings it. */
export interface UpstreamSource {
  pause(): void;
  resume(): void;
  /** Ends the exchange with the provider at once. */
  abort(): void;
}

/** What all calls share. */
export interface RelayOptions {
  /** Those on their way, this one among them until it is over. */
  readonly openCalls: OpenCalls<Relay>;
  /** How long the caller may leave us standing with what it does not take. */
  readonly idleTimeoutMs: number;
  readonly comments: KeepAliveComments;
  readonly logger: Logger;
  /** Sends what the call has to send to the provider of its present attempt. */
  readonly send: (relay: Relay) => void;
}

interface Fault {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  /** For our log. */
  readonly reason: string;
}

const EVENT_STREAM = /^text\/event-stream\s*(?:;|$)/i;

/**
 * Brings one answer from provider to caller: the same for every client that fetches it. A source reports `head`, `data` and
 * `end`, or `fail`, and is told to pause, to go on, or to stop. How each kind of answer is taken, `takeAnswer` knows.
 */
export class Relay implements Listed, Recipient {
  readonly call: MeteredCall;
  place = -1;
  readonly #options: RelayOptions;
  #source: UpstreamSource | undefined;
  #isOver = false;
  /** What the caller was given; null until its head is out. */
  #status: number | null = null;
  #answer: Answer | undefined;
  /** Undefined for what has one way only, of which no health is kept. */
  #walk: AttemptWalk | undefined;
  /** No other attempt is made any more. */
  #isLastAttempt = false;
  /** Before another attempt of the same target. */
  #pause: NodeJS.Timeout | undefined;
  #slowCaller: NodeJS.Timeout | undefined;
  /** Of a stream: fills its silences. */
  #watch: StreamWatch | undefined;
  readonly #onCallerClose = (): void => {
    this.#callerLeft();
  };

  constructor(call: MeteredCall, options: RelayOptions) {
    this.#options = options;
    this.call = call;
    options.openCalls.add(this);
    // The socket, not the response: a response that waits behind another one on its connection hears nothing of it.
    const { socket } = call.routed.request;
    socket.on('close', this.#onCallerClose);
    if (socket.destroyed) this.#callerLeft();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Sends the call on its way. */
  start(walk: AttemptWalk | undefined): void {
    this.#walk = walk;
    this.#attempt();
  }

  /** A connection is there, and the request goes out on it. */
  sent(): void {
    if (!this.#isOver) this.call.routed.timing.waitFor('upstream');
  }

  attach(source: UpstreamSource): void {
    this.#source = source;
    if (this.#isOver) source.abort();
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    if (this.#isOver) return;
    this.call.routed.timing.waitOver();
    const isStream = EVENT_STREAM.test(headers['content-type'] ?? '');
    this.call.providerAnswered(status, isStream);
    this.call.serviceTierReported(tierOf(headers[SERVICE_TIER_HEADER]));
    const answer = takeAnswer(this, { status, headers, isStream });
    if (typeof answer === 'string') {
      this.fail('upstream_failed', 'provider-failed', answer);
      return;
    }
    this.#answer = answer;
    // A head that has to wait for the whole answer waits for the provider.
    if (this.#status === null) this.call.routed.timing.waitFor('upstream');
  }

  data(chunk: Buffer): void {
    if (this.#isOver) return;
    this.call.firstByteCame();
    // What says that it is an error is no answer that others could wait for.
    if (this.#status !== null) this.#walk?.firstByte();
    this.#answer?.push(chunk);
  }

  end(): void {
    if (this.#isOver) return;
    this.call.routed.timing.waitOver();
    this.#answer?.end();
  }

  refused(answer: ErrorAnswer): boolean {
    return this.#isReplaced(classifyAnswer(answer, Date.now()));
  }

  /**
   * Ends the call as failed, by the provider or by us. Before the head is out the caller gets the error; inside a stream it
   * gets an error event; and in either case the connection is cut where an answer had begun, for a clean end would say that
   * it was whole.
   */
  fail(code: ErrorCode, outcome: Outcome, reason: string): void {
    if (this.#isOver) return;
    if (outcome === 'provider-failed' || outcome === 'timed-out') {
      const kind =
        outcome === 'timed-out' ? 'timed-out' : this.call.providerStatus === null ? 'unreachable' : 'server-error';
      if (this.#isReplaced({ kind, status: this.call.providerStatus, retryAfterMs: undefined })) return;
    }
    this.#stop({ code, outcome, reason }, false);
  }

  /**
   * Ends the call because of its caller, who took too long or whose key was revoked: it is told as of a failure, and pays for
   * what was delivered. Attack: a thousand streams whose key is revoked before their last word would be free.
   */
  cut(code: ErrorCode, outcome: Outcome, reason: string): void {
    this.#stop({ code, outcome, reason }, true);
  }

  begin(status: number, headers: readonly string[]): void {
    this.call.routed.response.writeHead(status, [...headers]);
    this.#status = status;
  }

  beginStream(status: number, headers: readonly string[]): void {
    this.begin(status, headers);
    const { response } = this.call.routed;
    response.flushHeaders();
    // A comment inside an event would break it, so would one behind half of an event.
    const isInsideEvent = (): boolean => this.#answer?.beforeErrorEvent !== '';
    this.#watch = this.#options.comments.watch({ response, isInsideEvent });
  }

  write(piece: Buffer | string): void {
    this.#watch?.noteWritten();
    if (!this.call.routed.response.write(piece)) this.#waitForCaller();
  }

  finish(outcome: Outcome, status: number | null, send: () => void): void {
    this.#walk?.ended(resultOf(outcome, this.call.providerStatus));
    this.#close();
    void this.call.settle(outcome, status).then(send);
  }

  abortProvider(): void {
    this.#source?.abort();
  }

  #attempt(): void {
    this.#walk?.begin((withinMs) => {
      this.fail('upstream_timeout', 'timed-out', `the answer did not begin within ${withinMs} ms`);
    });
    this.call.routed.timing.waitFor('connect');
    this.#options.send(this);
  }

  /** @returns whether another attempt takes the place of the one that failed: only while the caller has been given nothing */
  #isReplaced(failure: Failure): boolean {
    if (this.#isOver || this.#walk === undefined) return false;
    this.#walk.ended({ kind: 'failed', failure });
    if (this.#status !== null || this.#isLastAttempt) return false;
    const next = this.#walk.next(failure);
    if (next === undefined) {
      this.#isLastAttempt = true;
      return false;
    }
    const { requestId } = this.call.routed;
    const { kind, status } = failure;
    this.#options.logger.info({ requestId, provider: this.call.attempt.provider.slug, kind, status }, 'attempt-failed');
    const source = this.#source;
    this.#source = undefined;
    this.#answer = undefined;
    source?.abort();
    this.call.moveTo(next.attempt, next.outgoing);
    if (next.delayMs === 0) this.#attempt();
    else {
      this.call.routed.timing.waitFor('upstream');
      this.#pause = setTimeout(() => {
        this.#attempt();
      }, next.delayMs);
    }
    return true;
  }

  #stop({ code, outcome, reason }: Fault, isCharged: boolean): void {
    if (this.#isOver) return;
    this.#walk?.ended(resultOf(outcome, this.call.providerStatus));
    const { requestId, response } = this.call.routed;
    const provider = this.call.attempt.provider.slug;
    this.#options.logger.warn({ requestId, provider, code, outcome, reason }, 'call-failed');
    this.#close();
    const settled = this.call.settle(outcome, this.#status ?? ERROR_CODES[code].status, isCharged);
    void settled.then(() => {
      this.#tellFault(code, response);
    });
    this.abortProvider();
  }

  #tellFault(code: ErrorCode, response: ServerResponse): void {
    if (this.#status === null) {
      sendRefusal(this.call.routed, refuse(code));
      return;
    }
    const cut = (): void => {
      response.destroy();
    };
    const event = this.#errorEvent(code);
    if (event === undefined) cut();
    else response.write(event, cut);
  }

  #close(): void {
    this.#isOver = true;
    clearTimeout(this.#slowCaller);
    clearTimeout(this.#pause);
    this.#watch?.stop();
    this.#options.openCalls.delete(this);
    this.call.routed.request.socket.removeListener('close', this.#onCallerClose);
  }

  /** An error inside a stream, in the caller's dialect; undefined where there is no stream of ours to say it in. */
  #errorEvent(code: ErrorCode): string | undefined {
    const before = this.#answer?.beforeErrorEvent;
    if (before === undefined) return undefined;
    const { dialect, model } = this.call.routed;
    const writer = CHAT_DIALECTS[dialect].createStreamWriter({ model, wantsUsage: false });
    return before + writer.push({ kind: 'error', error: { code, message: ERROR_CODES[code].message } });
  }

  /** Backpressure: a caller that does not read makes the provider wait, not our memory grow. */
  #waitForCaller(): void {
    if (this.#slowCaller !== undefined) return;
    const { response, request } = this.call.routed;
    this.#source?.pause();
    this.#slowCaller = setTimeout(() => {
      request.socket.destroy();
    }, this.#options.idleTimeoutMs);
    response.once('drain', () => {
      clearTimeout(this.#slowCaller);
      this.#slowCaller = undefined;
      if (!this.#isOver) this.#source?.resume();
    });
  }

  #callerLeft(): void {
    if (this.#isOver) return;
    this.#answer?.giveUp();
    this.finish('caller-left', this.#status, () => undefined);
    this.abortProvider();
  }
}

/** What the end of a call says of its last target; a failure that was looked into has been told before. */
function resultOf(outcome: Outcome, status: number | null): AttemptResult {
  if (outcome === 'completed') return { kind: 'served' };
  if (outcome === 'provider-failed')
    return { kind: 'failed', failure: { kind: 'server-error', status, retryAfterMs: undefined } };
  return { kind: 'abandoned' };
}
