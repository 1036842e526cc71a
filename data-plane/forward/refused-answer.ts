import { sendJson } from '../http-error.js';
import { answerHeaders } from './answer-headers.js';
import type { Answer, AnswerHead, Recipient } from './answer.js';
import { convertProviderError, OUR_OWN_FAULTS } from './provider-error.js';

const MAX_ERROR_BYTES = 64 * 1024;

/** An error of the provider's: collected, and told in the caller's dialect. */
export class RefusedAnswer implements Answer {
  readonly beforeErrorEvent = undefined;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(
    private readonly recipient: Recipient,
    private readonly head: AnswerHead,
  ) {}

  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= MAX_ERROR_BYTES) {
      this.#chunks.push(chunk);
      return;
    }
    this.recipient.abortProvider();
    this.#tell(Buffer.alloc(0));
  }

  end(): void {
    this.#tell(Buffer.concat(this.#chunks));
  }

  giveUp(): void {
    // An error costs nothing, whatever it says.
  }

  #tell(body: Buffer): void {
    const { status, headers } = this.head;
    this.recipient.refused({ status, headers, body }, () => {
      this.#passOn(body);
    });
  }

  #passOn(body: Buffer): void {
    const { routed, attempt } = this.recipient.meter;
    const { status, headers } = this.head;
    const outcome = status >= 500 ? 'provider-failed' : 'provider-refused';
    if (OUR_OWN_FAULTS.has(status)) {
      this.recipient.fail('upstream_failed', outcome, `the provider answered with status ${status}`);
      return;
    }
    const { secret, provider } = attempt;
    const error = convertProviderError({ status, body, secret, dialect: provider.dialect }, routed.dialect);
    const { retryAfter } = error;
    const said = { ...(retryAfter !== undefined && { 'retry-after': retryAfter }), ...headers };
    this.recipient.finish(outcome, error.status, () => {
      sendJson(routed, error.status, error.json, answerHeaders({ ...said, 'content-type': undefined }, 'metered'));
    });
  }
}
