import type { Usage } from '@pingtoken/shared/rate-card';
import type { Outcome } from '@pingtoken/shared/usage-event';
import type { RealtimeCall } from '../admit/admit.js';
import { isRefusal, type Refusal } from '../http-error.js';
import type { MeteredCall } from '../meter/meter.js';
import type { ProviderMessage } from './provider-message.js';
import { ResponseTally } from './response-tally.js';

export interface ResponseBookOptions {
  /** The alias of the session. */
  readonly model: string;
  /** The alias that writes down what the caller says. */
  readonly transcriber: () => string | undefined;
  /**
   * Admits one more call of the session and writes its start record.
   * @param assumed what is charged where the provider does not report what it gave, as of when that is known
   */
  readonly begin: (call: RealtimeCall, assumed: () => Usage) => Promise<MeteredCall | Refusal>;
}

/** Nothing of what a message says has to be written down. */
export type Booked = Promise<Refusal | undefined> | undefined;

/** As HTTP would say it: each of these is a call that was answered. */
const ANSWERED = 200;
const ONE_REQUEST: Usage = { request: 1 };
const NOTHING = Buffer.alloc(0);

interface OpenResponse {
  readonly call: MeteredCall;
  readonly tally: ResponseTally;
}

/**
 * Keeps the books of a session, whose calls are its responses: each has a start record and an end record of its own, so that
 * a process that dies takes no response with it that was given to its end.
 */
export class ResponseBook {
  readonly #options: ResponseBookOptions;
  /** Responses on their way, by the provider's id. */
  readonly #open = new Map<string, OpenResponse>();
  /** What was reported last. */
  #lastUsage: Usage | undefined;
  #isClosed = false;

  constructor(options: ResponseBookOptions) {
    this.#options = options;
  }

  get openIds(): readonly string[] {
    return [...this.#open.keys()];
  }

  /** @returns what must be waited for before the message goes on; it resolves to why the session cannot go on, if so */
  book(message: ProviderMessage): Booked {
    if (this.#isClosed) return undefined;
    switch (message.kind) {
      case 'response-created':
        return this.#opened(message.responseId);
      case 'response-part': {
        const response = this.#open.get(message.responseId);
        response?.call.present.firstByteCame();
        response?.tally.add(message.piece);
        return undefined;
      }
      case 'response-done':
        return this.#done(message);
      case 'transcribed':
        return this.#transcribed(message);
      case 'error':
      case 'rate-limits':
      case 'other':
        return undefined;
    }
  }

  /** Closes the books. What is still open has not been reported, and what is reported from now on comes too late. */
  async close(outcome: Outcome): Promise<void> {
    this.#isClosed = true;
    const open = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(
      open.map((response) => {
        assumeIfUnreported(response, undefined);
        return response.call.settle(outcome, ANSWERED);
      }),
    );
  }

  async #opened(responseId: string): Promise<Refusal | undefined> {
    // Told twice, it is one response all the same.
    if (this.#open.has(responseId)) return undefined;
    const response = await this.#begin();
    if (isRefusal(response)) return response;
    this.#open.set(responseId, response);
    return undefined;
  }

  async #done(message: ProviderMessage & { readonly kind: 'response-done' }): Promise<Refusal | undefined> {
    const { responseId, hasFailed, usage } = message;
    const response = this.#open.get(responseId) ?? (await this.#begin());
    this.#open.delete(responseId);
    if (isRefusal(response)) return response;
    const { call } = response;
    this.#lastUsage = usage ?? this.#lastUsage;
    call.present.usageReported(usage);
    assumeIfUnreported(response, usage);
    await call.settle(hasFailed ? 'provider-failed' : 'completed', ANSWERED);
    return undefined;
  }

  async #transcribed({ usage }: ProviderMessage & { readonly kind: 'transcribed' }): Promise<Refusal | undefined> {
    const { begin, model: own, transcriber } = this.#options;
    const model = transcriber();
    // One that nobody named is the provider's own choice, and a part of the session.
    const asked: RealtimeCall =
      model === undefined ? { operation: 'realtime', model: own } : { operation: 'transcriptions', model };
    const call = await begin(asked, () => ONE_REQUEST);
    if (isRefusal(call)) return call;
    call.present.providerAnswered(ANSWERED, true);
    call.present.firstByteCame();
    call.present.usageReported(usage);
    if (usage === undefined) call.present.passedOn(NOTHING);
    await call.settle('completed', ANSWERED);
    return undefined;
  }

  async #begin(): Promise<OpenResponse | Refusal> {
    const tally = new ResponseTally(this.#lastUsage);
    const call = await this.#options.begin({ operation: 'realtime', model: this.#options.model }, () => tally.usage());
    if (isRefusal(call)) return call;
    call.present.providerAnswered(ANSWERED, true);
    return { call, tally };
  }
}

/** What was given and not reported is charged as it was counted here. */
function assumeIfUnreported({ call, tally }: OpenResponse, usage: Usage | undefined): void {
  if (usage === undefined && tally.hasPieces) call.present.passedOn(NOTHING);
}
