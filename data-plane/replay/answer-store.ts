import { randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { CLAIM_MS, OWNER_BYTES, StoreUnavailableError, type EntryClaim, type EntryStore } from './entry-store.js';
import { openAnswer, sealAnswer, type KeptAnswer } from './kept-answer.js';

/** Under which name an answer is looked for, and to what. */
export interface AnswerQuestion {
  readonly name: string;
  /** Stands for all that is asked: another one under the same name is another question. */
  readonly fingerprint: Buffer;
  readonly encryption: KeyObject;
}

/** The right to work on an answer; ends with one of its two methods. */
export interface AnswerClaim {
  keep(answer: KeptAnswer, ttlMs: number): void;
  /**
   * There is no answer to keep. Those who wait in this process get the one that is given here; without one, and elsewhere,
   * one of them works on it next.
   */
  giveUp(answer?: KeptAnswer): void;
  /** Whether anybody in this process waits for it. */
  isAwaited(): boolean;
}

export type FoundAnswer =
  | { readonly kind: 'claimed'; readonly claim: AnswerClaim }
  | { readonly kind: 'kept'; readonly answer: KeptAnswer }
  | PendingAnswer
  /** The name stands for another question. */
  | { readonly kind: 'mismatch' };

/** Somebody works on it. */
export interface PendingAnswer {
  readonly kind: 'pending';
  /** Resolves with nothing where no answer came of it; never rejects. */
  wait(): Promise<KeptAnswer | undefined>;
  /** Once: whoever has found it does not wait for it, or not any more. */
  leave(): void;
}

export interface AnswerStoreOptions {
  readonly entries: EntryStore;
  readonly logger: Pick<Logger, 'warn' | 'error'>;
  /** Called where the entries could not be reached. */
  readonly onUnavailable?: () => void;
  readonly pollMs?: number;
}

/** One question that is being looked into or worked on in this process; others with the same wait for it. */
interface Flight {
  readonly fingerprint: Buffer;
  readonly landed: PromiseWithResolvers<KeptAnswer | undefined>;
  waiting: number;
}

const POLL_MS = 200;
const RENEW_MS = CLAIM_MS / 3;

/**
 * Answers that can be given again. Within a process every question is looked into once at a time, however many ask it;
 * between processes the entries tell. Where the entries cannot be reached, calls of this process still find each other, and
 * nothing outlives them.
 */
export class AnswerStore {
  readonly #flights = new Map<string, Flight>();
  readonly #claims = new Set<EntryClaim>();
  readonly #options: AnswerStoreOptions;
  readonly #closed = new AbortController();
  readonly #renewal: NodeJS.Timeout;

  constructor(options: AnswerStoreOptions) {
    this.#options = options;
    this.#renewal = setInterval(() => {
      if (this.#claims.size > 0) void this.#try(() => options.entries.renew([...this.#claims]));
    }, RENEW_MS).unref();
  }

  async find(question: AnswerQuestion): Promise<FoundAnswer> {
    const { name, fingerprint } = question;
    const under = this.#flights.get(name);
    if (under !== undefined) {
      if (!under.fingerprint.equals(fingerprint)) return { kind: 'mismatch' };
      return pendingOn(under);
    }
    const flight: Flight = { fingerprint, landed: Promise.withResolvers(), waiting: 0 };
    this.#flights.set(name, flight);
    const claim = { name, fingerprint, owner: randomBytes(OWNER_BYTES) };
    const found = await this.#try(() => this.#options.entries.claim(claim));
    if (found === undefined) {
      this.#claims.add(claim);
      return { kind: 'claimed', claim: this.#createClaim(question, claim, flight) };
    }
    if (!found.fingerprint.equals(fingerprint)) {
      this.#land(name, flight, undefined);
      return { kind: 'mismatch' };
    }
    if (found.sealed === undefined) {
      void this.#follow(question, flight);
      return pendingOn(flight);
    }
    const answer = openAnswer(found.sealed, question.encryption, name);
    // What cannot be opened is nobody's answer.
    if (answer === undefined) await this.remove(question);
    this.#land(name, flight, answer);
    return answer === undefined ? this.find(question) : { kind: 'kept', answer };
  }

  /** Forgets what is kept. */
  async remove({ name, fingerprint }: AnswerQuestion): Promise<void> {
    await this.#try(() => this.#options.entries.remove(name, fingerprint));
  }

  close(): void {
    this.#closed.abort();
    clearInterval(this.#renewal);
    for (const [name, flight] of this.#flights) this.#land(name, flight, undefined);
    this.#options.entries.close();
  }

  #createClaim({ encryption }: AnswerQuestion, claim: EntryClaim, flight: Flight): AnswerClaim {
    const { name } = claim;
    const { entries } = this.#options;
    let isOver = false;
    const end = (work: () => Promise<void>, answer: KeptAnswer | undefined): void => {
      if (isOver) return;
      isOver = true;
      // Those who wait need not wait for the entry. Where there is no answer they do: they would find it claimed still.
      if (answer !== undefined) flight.landed.resolve(answer);
      void this.#try(work).finally(() => {
        this.#claims.delete(claim);
        this.#land(name, flight, answer);
      });
    };
    return {
      isAwaited: () => flight.waiting > 0,
      keep: (answer, ttlMs) => {
        end(() => entries.keep(claim, sealAnswer(answer, encryption, name), ttlMs), answer);
      },
      giveUp: (answer) => {
        end(() => entries.release(claim), answer);
      },
    };
  }

  /** Asks again and again what became of a question that another process works on. */
  async #follow({ name, fingerprint, encryption }: AnswerQuestion, flight: Flight): Promise<void> {
    const { entries, pollMs = POLL_MS } = this.#options;
    let answer: KeptAnswer | undefined;
    for (let isPending = true; isPending && !this.#closed.signal.aborted;) {
      await sleep(pollMs);
      const found = await this.#try(() => entries.find(name));
      // Free again, or out of reach: whoever waits begins anew, and one of them works on it.
      const isSame = found?.fingerprint.equals(fingerprint) === true;
      isPending = isSame && found.sealed === undefined;
      if (isSame && found.sealed !== undefined) answer = openAnswer(found.sealed, encryption, name);
    }
    this.#land(name, flight, answer);
  }

  #land(name: string, flight: Flight, answer: KeptAnswer | undefined): void {
    if (this.#flights.get(name) === flight) this.#flights.delete(name);
    flight.landed.resolve(answer);
  }

  /** @returns undefined where the entries could not be reached */
  async #try<Value>(work: () => Promise<Value>): Promise<Value | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) {
        this.#options.logger.error({ error }, 'a fault of the store of answers');
      }
      this.#options.onUnavailable?.();
      return undefined;
    }
  }
}

function pendingOn(flight: Flight): PendingAnswer {
  flight.waiting += 1;
  return {
    kind: 'pending',
    wait: () => flight.landed.promise,
    leave: () => {
      flight.waiting -= 1;
    },
  };
}
