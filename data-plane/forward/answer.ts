import type { IncomingHttpHeaders } from 'node:http';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import type { AttemptMeter } from '../meter/attempt-meter.js';
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
  readonly meter: AttemptMeter;
  /** Sends the head, at the latest with the first piece. */
  begin(status: number, headers: readonly string[]): void;
  /**
   * Sends the head of a stream: at once, or, where another attempt could still take over, with the first event that is worth
   * sending. From there on silence is filled with comments.
   */
  beginStream(status: number, headers: readonly string[]): void;
  /** Sends a piece. A caller that does not take it makes the provider wait. */
  write(piece: Buffer | string): void;
  /**
   * Settles the call and then gives the caller the rest: who has the whole answer finds it in the books.
   * @param status what the caller is given
   * @param send called when the end is written
   */
  finish(outcome: Outcome, status: number | null, send: () => void): void;
  /** What was sent so far is held back, and another attempt may take over. */
  readonly isHeld: boolean;
  /**
   * The provider has answered with an error.
   * @param tell gives it to the caller and ends the call: not called where another attempt takes its place
   */
  refused(answer: ErrorAnswer, tell: () => void): void;
  /**
   * The provider reports an error inside its stream.
   * @param data of the event that does
   * @param tell gives it to the caller: not called where another attempt takes its place
   */
  erred(data: string, tell: () => void): void;
  /** Ends the call as failed, see `Exchange.fail`. */
  fail(code: ErrorCode, outcome: Outcome, reason: string): void;
  /** Ends the exchange with the provider at once. */
  abortProvider(): void;
}

/** The provider's answer is none that can be given to a caller. */
export function failUnusable(recipient: Recipient, reason: string): void {
  recipient.fail('upstream_failed', 'provider-failed', reason);
}
