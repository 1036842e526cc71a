import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { LeaseAnswer, LeaseFences, LeaseRequest, LeaseScope } from '@pingtoken/shared/lease';
import { LeaseBook, type CallCost, type Reservation, type Shortfall } from './lease-book.js';
import { planNeeds, planRefills, type PlannedAsks, type WaitingCall } from './plan-asks.js';
import { refusalOf, type AllocatorWord, type LeaseErrorCode } from './refusal-of.js';

/** The allocator, as this process reaches it. Both throw when it does not answer. */
export interface LeaseClient {
  requestLeases(requests: readonly LeaseRequest[], signal: AbortSignal): Promise<readonly LeaseAnswer[]>;
  sendFences(fences: LeaseFences, signal: AbortSignal): Promise<void>;
}

export interface LeaseKeeperOptions {
  readonly client: LeaseClient;
  readonly spoolId: string;
  /** The last seq of the spool; undefined while a call that has ended is not written yet. */
  readonly writtenSeq: () => number | undefined;
  readonly logger: Pick<Logger, 'warn'>;
  /** What a call waits for the allocator at most. */
  readonly timeoutMs?: number;
  readonly tickMs?: number;
}

/** A call that waits for leases; it is answered once. */
interface Waiter {
  readonly cost: CallCost;
  readonly answer: (result: Reservation | LeaseErrorCode) => void;
  isDone: boolean;
}

const TIMEOUT_MS = 200;
const TICK_MS = 250;
const REQUEST_TIMEOUT_MS = 5_000;
/** What was not answered is asked again for so long, by the same request: what was granted is not to be left lying. */
const ASKED_AGAIN_MS = 5 * 60_000;
const MAX_UNANSWERED = 1_000;
/** Who was refused stock does not ask for it again before. */
const QUIET_MS = 2_000;
/** For so long after it gave no answer the allocator is taken to be away: whoever calls meanwhile asks it again much sooner. */
const SILENT_MS = 30_000;
const REQUESTS_AT_ONCE = 50;
const FENCES_AT_ONCE = 1_000;

/** Keeps a book of leases filled, answers calls that find it empty, and gives back what is not needed. */
export class LeaseKeeper {
  readonly #book = new LeaseBook();
  readonly #options: Required<LeaseKeeperOptions>;
  /** By tenant and currency: one request at a time speaks for all calls that wait. */
  readonly #waiting = new Map<string, Waiter[]>();
  readonly #unanswered = new Map<string, LeaseRequest>();
  readonly #quietUntil = new Map<string, number>();
  readonly #closed = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  /** When the allocator did not answer last, if it has not answered since; milliseconds since 1970. */
  #silentAt = -Infinity;

  constructor(options: LeaseKeeperOptions) {
    this.#options = { timeoutMs: TIMEOUT_MS, tickMs: TICK_MS, ...options };
  }

  /** From what is leased, at once; else after one request, or the reason why not. */
  async reserve(cost: CallCost): Promise<Reservation | LeaseErrorCode> {
    const result = this.#book.reserve(cost);
    if (!('lacking' in result)) return result;
    return new Promise((resolve) => {
      const timeout = setTimeout(() => {
        this.#finish(waiter, new Map());
      }, this.#options.timeoutMs);
      const waiter: Waiter = {
        cost,
        isDone: false,
        answer: (answer) => {
          waiter.isDone = true;
          clearTimeout(timeout);
          resolve(answer);
        },
      };
      const key = ownerKey(cost);
      const others = this.#waiting.get(key);
      if (others !== undefined) others.push(waiter);
      else {
        this.#waiting.set(key, [waiter]);
        // With all that come in this turn of the event loop.
        setImmediate(() => void this.#serve(key));
      }
    });
  }

  /** See `LeaseBook`: once the call's end has its place in the spool, or with zero where it never went out. */
  settle(reservation: Reservation, actual: bigint): void {
    this.#book.settle(reservation, actual);
  }

  /** See `LeaseBook`. */
  recall(leaseIds: readonly string[]): void {
    this.#book.recall(leaseIds);
  }

  /** Refills and fences from now on. */
  start(): void {
    this.#tick()
      .catch((error: unknown) => {
        if (!this.#closed.signal.aborted) this.#warn('leases cannot be looked after', error);
      })
      .finally(() => {
        if (!this.#closed.signal.aborted) {
          this.#timer = setTimeout(() => {
            this.start();
          }, this.#options.tickMs);
        }
      });
  }

  close(): void {
    this.#closed.abort();
    clearTimeout(this.#timer);
  }

  /** Asks for those who wait until nobody does. */
  async #serve(key: string): Promise<void> {
    for (let waiters = this.#waiting.get(key); waiters !== undefined && waiters.length > 0;) {
      const asking = waiters.splice(0);
      const waiting: WaitingCall[] = [];
      for (const waiter of asking) {
        const shortfall = this.#tryReserve(waiter);
        if (shortfall !== undefined) waiting.push({ cost: waiter.cost, shortfall });
      }
      const words = await this.#ask(waiting);
      for (const waiter of asking) this.#finish(waiter, words);
      waiters = this.#waiting.get(key);
    }
    this.#waiting.delete(key);
  }

  async #ask(waiting: readonly WaitingCall[]): Promise<ReadonlyMap<string, AllocatorWord>> {
    const [first] = waiting;
    if (first === undefined) return new Map();
    const { tenantId, currency } = first.cost;
    const own = this.#book.stocks(Date.now()).filter((stock) => ownerKey(stock) === ownerKey(first.cost));
    try {
      return await this.#send([this.#makeRequest({ tenantId, currency, asks: planNeeds(waiting, own) })]);
    } catch (error) {
      this.#warn('the allocator does not answer', error);
      return new Map();
    }
  }

  /** @returns what is lacking; undefined where the call has its answer */
  #tryReserve(waiter: Waiter): Shortfall | undefined {
    if (waiter.isDone) return undefined;
    const result = this.#book.reserve({ ...waiter.cost, at: Date.now() });
    if ('lacking' in result) return result;
    waiter.answer(result);
    return undefined;
  }

  #finish(waiter: Waiter, words: ReadonlyMap<string, AllocatorWord>): void {
    const shortfall = this.#tryReserve(waiter);
    if (shortfall === undefined) return;
    const wordOn = (of: Shortfall['lacking'][number]): AllocatorWord =>
      words.get(wordKey(of, of.scope)) ?? 'unavailable';
    waiter.answer(this.#reserveLess(waiter.cost, shortfall, wordOn) ?? refusalOf(shortfall, wordOn));
  }

  /** Only where it has been said that there is no more: who is not answered shall try again, and have it all. */
  #reserveLess(
    cost: CallCost,
    { lacking }: Shortfall,
    wordOn: (of: Shortfall['lacking'][number]) => AllocatorWord,
  ): Reservation | undefined {
    if (cost.least === undefined || lacking.some((of) => wordOn(of) === 'unavailable')) return undefined;
    return this.#book.reserveWhatIsLeft({ ...cost, at: Date.now() });
  }

  async #tick(): Promise<void> {
    const now = Date.now();
    for (const [key, until] of this.#quietUntil) if (until <= now) this.#quietUntil.delete(key);
    for (const [id, { at }] of this.#unanswered) if (now - at > ASKED_AGAIN_MS) this.#unanswered.delete(id);
    const again = [...this.#unanswered.values()].filter(({ at }) => now - at > REQUEST_TIMEOUT_MS);
    const stocks = this.#book.stocks(now).filter((stock) => !this.#quietUntil.has(wordKey(stock, stock.scope)));
    const refills = planRefills(stocks).map((planned) => this.#makeRequest(planned));
    const requests = [...again, ...refills].slice(0, REQUESTS_AT_ONCE);
    if (requests.length > 0) {
      for (const [key, word] of await this.#send(requests)) {
        if (word !== 'granted') this.#quietUntil.set(key, now + QUIET_MS);
      }
    }
    await this.#fence();
  }

  async #fence(): Promise<void> {
    const leaseIds = this.#book.fenceable(Date.now(), Date.now() - this.#silentAt < SILENT_MS).slice(0, FENCES_AT_ONCE);
    const seq = this.#options.writtenSeq();
    if (leaseIds.length === 0 || seq === undefined) return;
    const leases = leaseIds.map((leaseId) => ({ leaseId, seq }));
    const fences = { spoolId: this.#options.spoolId, leases, lastSeq: null };
    await this.#reach(this.#options.client.sendFences(fences, this.#signal()));
    this.#book.forget(leaseIds);
  }

  /** @returns what was said about each scope that was asked for */
  async #send(requests: readonly LeaseRequest[]): Promise<ReadonlyMap<string, AllocatorWord>> {
    for (const each of requests) {
      if (this.#unanswered.size < MAX_UNANSWERED) this.#unanswered.set(each.requestId, each);
    }
    const words = new Map<string, AllocatorWord>();
    for (const answer of await this.#reach(this.#options.client.requestLeases(requests, this.#signal()))) {
      const request = requests.find(({ requestId }) => requestId === answer.requestId);
      if (request === undefined) continue;
      this.#unanswered.delete(answer.requestId);
      for (const [index, { scope }] of request.asks.entries()) {
        const result = answer.results[index];
        if (result === undefined) continue;
        words.set(wordKey(request, scope), 'refused' in result ? result.refused : 'granted');
        if (!('refused' in result))
          this.#book.apply({ tenantId: request.tenantId, currency: request.currency, scope }, result, Date.now());
        else if (result.refused === 'unlimited' && scope.kind === 'budget') {
          this.#book.setUnlimited(scope.budgetId, Date.now());
        }
      }
    }
    return words;
  }

  #makeRequest({ tenantId, currency, asks }: PlannedAsks): LeaseRequest {
    const { spoolId } = this.#options;
    return { requestId: uuidv7(), spoolId, tenantId, currency, at: Date.now(), asks: [...asks] };
  }

  async #reach<Answer>(exchange: Promise<Answer>): Promise<Answer> {
    try {
      const answer = await exchange;
      this.#silentAt = -Infinity;
      return answer;
    } catch (error) {
      this.#silentAt = Date.now();
      throw error;
    }
  }

  #signal(): AbortSignal {
    return AbortSignal.any([this.#closed.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
  }

  #warn(what: string, error: unknown): void {
    this.#options.logger.warn({ reason: String(error) }, what);
  }
}

const ownerKey = ({ tenantId, currency }: Pick<CallCost, 'tenantId' | 'currency'>): string => `${tenantId} ${currency}`;

function wordKey(owner: Pick<CallCost, 'tenantId' | 'currency'>, scope: LeaseScope): string {
  return `${ownerKey(owner)} ${scope.kind === 'wallet' ? 'wallet' : scope.budgetId}`;
}
