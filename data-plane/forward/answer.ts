import type { IncomingHttpHeaders } from 'node:http';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import type { MeteredCall } from '../meter/meter.js';
import type { ErrorAnswer } from '../route/failure.js';

/** What the provider's answer begins with. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Server-sent events. */
  readonly isStream: boolean;
}

/** One kind of answer on its way to the caller: begun when its head has come, and fed by the relay until the call is over. */
export interface Answer {
  push(chunk: Buffer): void;
  /** The provider has said all of it. */
  end(): void;
  /** The caller has left. What came whole by then is reported, though nobody is there to take it. */
  giveUp(): void;
  /**
   * What has to stand before an error event of ours, so that it is an event of its own. Undefined where the caller is not
   * given events.
   */
  readonly beforeErrorEvent: string | undefined;
}

/** What an answer is given to. */
export interface Recipient {
  readonly call: MeteredCall;
  /** Sends the head. */
  begin(status: number, headers: readonly string[]): void;
  /** Sends the head of a stream, at once; from here on silence is filled with comments. */
  beginStream(status: number, headers: readonly string[]): void;
  /** Sends a piece. A caller that does not take it makes the provider wait. */
  write(piece: Buffer | string): void;
  /**
   * Settles the call and then gives the caller the rest: who has the whole answer finds it in the books.
   * @param status what the caller is given
   * @param send called when the end is written
   */
  finish(outcome: Outcome, status: number | null, send: () => void): void;
  /**
   * The provider has answered with an error.
   * @returns whether another attempt is made in its place, so that the caller hears nothing of it
   */
  refused(answer: ErrorAnswer): boolean;
  /** Ends the call as failed, see `Relay.fail`. */
  fail(code: ErrorCode, outcome: Outcome, reason: string): void;
  /** Ends the exchange with the provider at once. */
  abortProvider(): void;
}

/** The provider's answer is none that can be given to a caller. */
export function failUnusable(recipient: Recipient, reason: string): void {
  recipient.fail('upstream_failed', 'provider-failed', reason);
}
