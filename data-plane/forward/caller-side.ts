import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import { CHAT_DIALECTS } from '../dialects/chat/chat-dialects.js';
import { refuse, sendRefusal } from '../http-error.js';
import type { Prepared } from './prepared-call.js';
import type { StartHead } from './held-start.js';
import type { KeepAliveComments, StreamWatch } from './keep-alive-comments.js';

export interface CallerSideOptions {
  /** How long the caller may leave us standing with what it does not take. */
  readonly idleTimeoutMs: number;
  readonly comments: KeepAliveComments;
}

/** Where the answer comes from that is on its way to the caller. */
export interface AnswerSource {
  pause(): void;
  resume(): void;
  /** What has to stand before an error event of ours; undefined where the caller is not given events. */
  readonly beforeErrorEvent: string | undefined;
}

/** What a caller is given of its answer: head, pieces, comments where it would wait long, and what went wrong. */
export class CallerSide {
  readonly #routed: Prepared;
  readonly #options: CallerSideOptions;
  #status: number | null = null;
  #source: AnswerSource | undefined;
  #slow: NodeJS.Timeout | undefined;
  #isOver = false;
  /** Of a stream: fills its silences. */
  #watch: StreamWatch | undefined;

  constructor(routed: Prepared, options: CallerSideOptions) {
    this.#routed = routed;
    this.#options = options;
  }

  /** What the caller was given; null until its head is out. */
  get status(): number | null {
    return this.#status;
  }

  /** Sends the head. @param isFollowed something goes out at once behind it */
  open({ status, headers, isStream }: StartHead, source: AnswerSource, isFollowed: boolean): void {
    const { response, timing } = this.#routed;
    response.writeHead(status, [...headers, 'server-timing', timing.serverTiming()]);
    this.#status = status;
    this.#source = source;
    if (!isStream) return;
    if (!isFollowed) response.flushHeaders();
    // A comment inside an event would break it, so would one behind half of an event.
    const isInsideEvent = (): boolean => source.beforeErrorEvent !== '';
    this.#watch = this.#options.comments.watch({ response, isInsideEvent });
  }

  /** Sends a piece. A caller that does not take it makes the provider wait. */
  write(piece: Buffer | string): void {
    this.#watch?.noteWritten();
    if (!this.#routed.response.write(piece)) this.#waitForCaller();
  }

  /** The call is over: nothing is waited for any more. */
  close(): void {
    this.#isOver = true;
    clearTimeout(this.#slow);
    this.#watch?.stop();
  }

  /**
   * Before the head is out the caller gets the error; inside a stream it gets an error event; and in either case the connection
   * is cut where an answer had begun, for a clean end would say that it was whole.
   */
  tellFault(code: ErrorCode): void {
    const { response } = this.#routed;
    if (this.#status === null) {
      sendRefusal(this.#routed, refuse(code));
      return;
    }
    const cut = (): void => {
      response.destroy();
    };
    const event = this.#errorEvent(code);
    if (event === undefined) cut();
    else response.write(event, cut);
  }

  /** An error inside a stream, in the caller's dialect; undefined where there is no stream of ours to say it in. */
  #errorEvent(code: ErrorCode): string | undefined {
    const before = this.#source?.beforeErrorEvent;
    if (before === undefined) return undefined;
    const { dialect, model } = this.#routed;
    const writer = CHAT_DIALECTS[dialect].createStreamWriter({ model, wantsUsage: false });
    return before + writer.push({ kind: 'error', error: { code, message: ERROR_CODES[code].message } });
  }

  /** Backpressure: a caller that does not read makes the provider wait, not our memory grow. */
  #waitForCaller(): void {
    if (this.#slow !== undefined) return;
    const { response, request } = this.#routed;
    this.#source?.pause();
    this.#slow = setTimeout(() => {
      request.socket.destroy();
    }, this.#options.idleTimeoutMs);
    response.once('drain', () => {
      clearTimeout(this.#slow);
      this.#slow = undefined;
      if (!this.#isOver) this.#source?.resume();
    });
  }
}
