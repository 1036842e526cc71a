import type { Logger } from 'pino';
import type { ErrorCode } from '@pingtoken/shared/error-code';
import { ERROR_CODES } from '@pingtoken/shared/error-code';
import type { Outcome } from '@pingtoken/shared/usage-event';
import { convertProviderError, OUR_OWN_FAULTS } from '../forward/provider-error.js';
import { isRefusal, refuse, sendJson, sendRefusal, type Refusal } from '../http-error.js';
import type { MeteredCall, Meter } from '../meter/meter.js';
import type { PlannedCall } from './accounts.js';
import { ExchangeFailedError, type Exchanger, type ProviderAccount, type ProviderRequest } from './exchange.js';

export interface ConversationTools {
  readonly meter: Meter;
  readonly exchanger: Exchanger;
  readonly logger: Logger;
}

/** What is asked of a provider; the rest of the request follows from the call. */
export type Question = Pick<ProviderRequest, 'method' | 'path' | 'body'> & {
  /** Other than that of the call. */
  readonly account?: ProviderAccount;
};

export interface ConversationNature {
  /** Goes on without its caller: what was ordered must be known to us. Default false. */
  readonly outlivesCaller?: boolean;
  /** Words of the provider's errors that the caller knows by another name. */
  readonly names?: ReadonlyMap<string, string>;
}

/** Writes the start of the call into the spool. @returns a refusal where it cannot be recorded */
export async function openConversation(
  plan: PlannedCall,
  tools: ConversationTools,
  nature: ConversationNature = {},
): Promise<Conversation | Refusal> {
  const call = await tools.meter.begin(plan);
  return isRefusal(call) ? call : new Conversation(call, tools, nature);
}

/**
 * A caller's call that takes one or more questions to a provider: recorded like any other call, before the first of them and
 * after the last, and counted as no tokens.
 */
export class Conversation {
  readonly #leaving = new AbortController();
  #providerStatus: number | undefined;
  readonly #onLeave = (): void => {
    if (this.nature.outlivesCaller !== true) this.#leaving.abort();
  };

  constructor(
    readonly call: MeteredCall,
    private readonly tools: ConversationTools,
    private readonly nature: ConversationNature,
  ) {
    const { socket } = call.routed.request;
    socket.once('close', this.#onLeave);
    if (socket.destroyed) this.#onLeave();
  }

  /** Of the provider's last answer; undefined where none came. */
  get providerStatus(): number | undefined {
    return this.#providerStatus;
  }

  /**
   * @returns the body of an answer of status 2xx; undefined where the call has ended otherwise, and its caller been told
   */
  async ask({ account = this.call.attempt, ...question }: Question): Promise<Buffer | undefined> {
    this.#providerStatus = undefined;
    try {
      const request = { ...question, requestId: this.call.routed.requestId, signal: this.#leaving.signal };
      this.call.routed.timing.waitFor('upstream');
      const { status, body } = await this.tools.exchanger.ask(account, request);
      this.call.routed.timing.waitOver();
      this.#providerStatus = status;
      this.call.present.providerAnswered(status, false);
      if (status >= 200 && status < 300) {
        this.call.present.usageReported(this.call.routed.assumedUsage);
        return body;
      }
      await this.#passOn(status, body, account.secret);
    } catch (error) {
      if (!(error instanceof ExchangeFailedError)) throw error;
      await this.fail(error.code, error.code === 'upstream_timeout' ? 'timed-out' : 'provider-failed', error.message);
    }
    return undefined;
  }

  /** Ends the call with an answer. */
  answer(json: string): Promise<void> {
    return this.#end('completed', 200, () => {
      sendJson(this.call.routed, 200, json);
    });
  }

  /** @param reason for our log */
  fail(code: ErrorCode, outcome: Outcome, reason: string): Promise<void> {
    const { requestId } = this.call.routed;
    const provider = this.call.attempt.provider.slug;
    this.tools.logger.warn({ requestId, provider, code, outcome, reason }, 'call-failed');
    return this.#end(outcome, ERROR_CODES[code].status, () => {
      sendRefusal(this.call.routed, refuse(code));
    });
  }

  /** Ends the call with a refusal of ours, which the provider's answers were the reason of. */
  refuse(refusal: Refusal): Promise<void> {
    return this.#end('provider-refused', ERROR_CODES[refusal.refused].status, () => {
      sendRefusal(this.call.routed, refusal);
    });
  }

  #passOn(status: number, body: Buffer, secret: string): Promise<void> {
    const outcome = status >= 500 || status < 400 ? 'provider-failed' : 'provider-refused';
    if (OUR_OWN_FAULTS.has(status) || status < 400) {
      return this.fail('upstream_failed', outcome, `the provider answered with status ${status}`);
    }
    const { routed } = this.call;
    let { json } = convertProviderError({ status, body, secret, dialect: 'openai' }, routed.dialect);
    for (const [raw, name] of this.nature.names ?? []) json = json.replaceAll(raw, name);
    return this.#end(outcome, status, () => {
      sendJson(routed, status, json);
    });
  }

  async #end(outcome: Outcome, status: number, send: () => void): Promise<void> {
    const hasLeft = this.#leaving.signal.aborted;
    this.call.routed.request.socket.removeListener('close', this.#onLeave);
    await this.call.settle(hasLeft ? 'caller-left' : outcome, hasLeft ? null : status);
    send();
  }
}
