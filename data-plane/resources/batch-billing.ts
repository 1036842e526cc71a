import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { isRefusal, type Refusal } from '../http-error.js';
import type { Spool } from '../meter/spool.js';
import type { Snapshot } from '../snapshot.js';
import type { BatchSubmission } from './batch-submission.js';
import type { BatchRecord, BatchStore } from './batch-store.js';
import type { JobCost, JobMoney } from './job-money.js';
import { hasBeenOverFor, isResponseOver } from './bill-response.js';
import { BatchLookup } from './batch-lookup.js';
import { HELD_AT_MOST_MS, JobVisits, type FinishedOutput } from './job-visits.js';
import type { Exchanger } from './exchange.js';
import type { Json } from './show-things.js';

export interface BatchBillingOptions {
  readonly store: BatchStore;
  readonly spool: Pick<Spool, 'end'>;
  readonly snapshot: Snapshot;
  readonly exchanger: Exchanger;
  readonly logger: Logger;
  /** Left out where nothing is to be refused for want of money. */
  readonly money?: JobMoney | undefined;
  /** Resolves when the ledger has all that was written to the spool so far; when it is on disk, where it is left out. */
  readonly inLedger?: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** First wait before a batch is asked for; each later one is half as long again, up to five minutes. */
  readonly pollIntervalMs: number;
}

/**
 * Bills the batches that were submitted here. What is to be billed is on disk before money is asked for it, and leaves the disk
 * when its lines are in the ledger and what is left of the money has gone back. Killed in between, the whole of it is done
 * again, and gives the same events. A key that was revoked meanwhile changes nothing: what was ordered is paid.
 */
export interface BatchBilling {
  /** Takes up what earlier processes left. */
  start(): void;
  /**
   * Asks for money, its record on disk before.
   * @returns the leases that its lines draw on
   * @throws the system's error
   */
  reserve(record: BatchRecord, cost: JobCost): Promise<readonly string[] | Refusal>;
  /** It was not submitted, or its provider has refused it: what was reserved goes back. */
  drop(record: BatchRecord): void;
  /**
   * On disk when it resolves; only then may the batch be submitted.
   * @throws the system's error
   */
  expect(record: BatchRecord): Promise<void>;
  /** @param rawBatchId the provider's id of it; undefined where the provider may have it, or not */
  submitted(record: BatchRecord, rawBatchId: string | undefined): Promise<void>;
  /**
   * The same in the middle of a stream: on disk when it returns, before its caller can know the response.
   */
  submittedNow(record: BatchRecord, rawResponseId: string): void;
  /**
   * Whether what is to be billed of a response is on its way to the ledger, so that it may be deleted. One that another data
   * plane made is taken for billed when it has been over for long.
   */
  isBilled(rawResponseId: string, response: Json): Promise<boolean>;
  /**
   * Bills a batch now that is over, whoever submitted it.
   * @returns whether the ledger has it; false where its output cannot be had, or the ledger does not confirm it in time
   */
  bill(submission: BatchSubmission, batch: FinishedOutput): Promise<boolean>;
  close(): Promise<void>;
}

const MAX_WAIT_MS = 300_000;
/** Responses are over sooner, and so is what is known of them at some providers. */
const MAX_RESPONSE_WAIT_MS = 60_000;
/** What the data plane that made it has billed by then, if it is alive. */
const BILLED_ELSEWHERE_AFTER_MS = 5 * 60_000;
/** The spool is safe from a power cut within 50 ms of a write. */
const DURABLE_AFTER_MS = 1_000;
/** A caller that deletes an output waits so long for the ledger. */
const LEDGER_WAIT_MS = 10_000;
export function createBatchBilling(options: BatchBillingOptions): BatchBilling {
  return new PollingBilling(options);
}

class PollingBilling implements BatchBilling {
  readonly #closing = new AbortController();
  readonly #watched = new Set<Promise<void>>();
  readonly #lookup: BatchLookup;
  readonly #visits: JobVisits;
  /** Made in the background here and not billed yet, by the provider's id. */
  readonly #responses = new Map<string, BatchRecord>();

  constructor(private readonly options: BatchBillingOptions) {
    const { signal } = this.#closing;
    this.#lookup = new BatchLookup({ ...options, signal });
    this.#visits = new JobVisits({ ...options, lookup: this.#lookup, signal });
  }

  start(): void {
    const { store, logger } = this.options;
    store.list().then(
      (records) => {
        for (const record of records) {
          // A response that nobody knows the id of was given to nobody, and no list has it.
          const isLost = record.kind === 'response' && record.rawBatchId === null;
          if (record.isReserving || isLost) this.drop(record);
          else this.#watch(record, this.#poll(record));
        }
      },
      (error: unknown) => {
        logger.error({ reason: String(error) }, 'the records of batches cannot be read');
      },
    );
  }

  async reserve(record: BatchRecord, cost: JobCost): Promise<readonly string[] | Refusal> {
    const { money, store } = this.options;
    if (money === undefined) return [];
    await store.put({ ...record, isReserving: true });
    const leaseIds = await money.reserve(cost);
    if (isRefusal(leaseIds)) this.drop(record);
    return leaseIds;
  }

  drop(record: BatchRecord): void {
    this.#watch(record, this.#release(record));
  }

  expect(record: BatchRecord): Promise<void> {
    return this.options.store.put(record);
  }

  async submitted(record: BatchRecord, rawBatchId: string | undefined): Promise<void> {
    const known = rawBatchId === undefined ? record : { ...record, rawBatchId };
    try {
      await this.options.store.put(known);
    } catch (error) {
      // What is on disk already finds it again by its mark.
      this.#report(record, error);
    }
    this.#watch(known, this.#poll(known));
  }

  submittedNow(record: BatchRecord, rawResponseId: string): void {
    const known = { ...record, rawBatchId: rawResponseId };
    try {
      this.options.store.putNow(known);
    } catch (error) {
      // As long as this process lives it is known all the same.
      this.#report(record, error);
    }
    this.#watch(known, this.#poll(known));
  }

  async isBilled(rawResponseId: string, response: Json): Promise<boolean> {
    const record = this.#responses.get(rawResponseId);
    if (!isResponseOver(response)) return false;
    if (record === undefined) return hasBeenOverFor(response, BILLED_ELSEWHERE_AFTER_MS);
    await this.#visits.billResponse(record.submission, rawResponseId, response);
    return true;
  }

  async bill(submission: BatchSubmission, batch: FinishedOutput): Promise<boolean> {
    const account = this.#lookup.accountOf(submission);
    if (account === undefined || (await this.#visits.billOutput(account, submission, batch)) !== 'done') return false;
    const { inLedger } = this.options;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(LEDGER_WAIT_MS)]);
    return (
      inLedger === undefined ||
      inLedger(signal).then(
        () => true,
        () => false,
      )
    );
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#watched);
  }

  #watch(record: BatchRecord, work: Promise<void>): void {
    const watching = work
      .catch((error: unknown) => {
        this.#report(record, error);
      })
      .finally(() => this.#watched.delete(watching));
    this.#watched.add(watching);
  }

  async #poll(first: BatchRecord): Promise<void> {
    let record = first;
    let waitMs = this.options.pollIntervalMs;
    const isResponse = first.kind === 'response';
    if (isResponse && first.rawBatchId !== null) this.#responses.set(first.rawBatchId, first);
    while (await this.#waits(waitMs)) {
      try {
        record = await this.#holdNoLonger(record);
        record = await this.#findSubmitted(record);
        if ((await this.#visits.visit(record)) === 'done') {
          if (await this.#isBooked()) await this.#release(record);
          this.#responses.delete(record.rawBatchId ?? '');
          this.#visits.forget(record.rawBatchId ?? '');
          return;
        }
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#report(record, error);
      }
      waitMs = Math.min(waitMs * 1.5, isResponse ? MAX_RESPONSE_WAIT_MS : MAX_WAIT_MS);
    }
  }

  /** @returns false when the process stops before */
  async #isBooked(): Promise<boolean> {
    const { inLedger } = this.options;
    if (inLedger === undefined) return this.#waits(DURABLE_AFTER_MS);
    return inLedger(this.#closing.signal).then(
      () => true,
      () => false,
    );
  }

  /** Until the control plane has taken it; only then is it forgotten here. */
  async #release(record: BatchRecord): Promise<void> {
    const { money, store, pollIntervalMs } = this.options;
    const { submissionId } = record.submission;
    for (let waitMs = pollIntervalMs; ; waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)) {
      try {
        await money?.release(submissionId, this.#closing.signal);
        await store.remove(submissionId);
        return;
      } catch (error) {
        this.#report(record, error);
      }
      if (!(await this.#waits(waitMs))) return;
    }
  }

  async #holdNoLonger(record: BatchRecord): Promise<BatchRecord> {
    const { submission } = record;
    const { money, store, logger } = this.options;
    const isDue = Date.now() - submission.admittedAt > HELD_AT_MOST_MS && submission.leaseIds.length > 0;
    if (money === undefined || !isDue) return record;
    await money.release(submission.submissionId, this.#closing.signal);
    // What has gone back pays for nothing any more.
    const free = { ...record, submission: { ...submission, leaseIds: [] } };
    await store.put(free);
    logger.warn({ batch: submission.submissionId }, 'a batch is not over in time, and what was held for it goes back');
    return free;
  }

  /** @returns false when the process stops */
  async #waits(forMs: number): Promise<boolean> {
    const { signal } = this.#closing;
    await sleep(forMs, undefined, { signal, ref: false }).catch(() => undefined);
    return !signal.aborted;
  }

  /** The answer to the submission was lost: the batch is in the provider's list, under our mark, or was never made. */
  async #findSubmitted(record: BatchRecord): Promise<BatchRecord> {
    if (record.rawBatchId !== null || record.kind === 'response') return record;
    const rawBatchId = await this.#lookup.find(record);
    if (rawBatchId === undefined) return record;
    const known = { ...record, rawBatchId };
    await this.options.store.put(known);
    return known;
  }

  #report({ submission }: BatchRecord, error: unknown): void {
    this.options.logger.warn({ batch: submission.submissionId, reason: String(error) }, 'a batch waits to be billed');
  }
}
