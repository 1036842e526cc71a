import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Spool } from '../meter/spool.js';
import { createRequestId } from '../receive.js';
import type { Snapshot } from '../snapshot.js';
import type { BatchSubmission } from './batch-submission.js';
import type { BatchRecord, BatchStore } from './batch-store.js';
import { billBatch, readLines } from './bill-batch.js';
import type { Exchanger, ProviderAccount } from './exchange.js';
import { readPage, MAX_PAGES } from './list-things.js';
import { parseThing } from './show-things.js';

export interface BatchBillingOptions {
  readonly store: BatchStore;
  readonly spool: Pick<Spool, 'end'>;
  readonly snapshot: Snapshot;
  readonly exchanger: Exchanger;
  readonly logger: Logger;
  /** First wait before a batch is asked for; each later one is half as long again, up to five minutes. */
  readonly pollIntervalMs: number;
}

/**
 * Bills the batches that were submitted here. What is to be billed is on disk before the provider hears of it, and leaves
 * the disk when the last of its lines is in the spool. Killed in between, the whole of it is done again, and gives the same
 * events. A key that was revoked meanwhile changes nothing: what was ordered is paid.
 */
export interface BatchBilling {
  /** Takes up what earlier processes left. */
  start(): void;
  /**
   * On disk when it resolves; only then may the batch be submitted.
   * @throws the system's error
   */
  expect(record: BatchRecord): Promise<void>;
  /** @param rawBatchId the provider's id of it; undefined where the provider may have it, or not */
  submitted(record: BatchRecord, rawBatchId: string | undefined): Promise<void>;
  /** The provider has refused it. */
  refused(record: BatchRecord): Promise<void>;
  /**
   * Bills a batch now that is over, whoever submitted it.
   * @returns whether it is billed; false where its output cannot be had
   */
  bill(submission: BatchSubmission, batch: FinishedOutput): Promise<boolean>;
  close(): Promise<void>;
}

export interface FinishedOutput {
  readonly rawBatchId: string;
  readonly outputFileId: string;
  /** Milliseconds since 1970. */
  readonly endedAt: number;
}

const MAX_WAIT_MS = 300_000;
/** A batch that no list shows so long after its submission was never made. */
const LOST_AFTER_MS = 15 * 60_000;
/** Longer than providers keep what a batch made. */
const GIVEN_UP_AFTER_MS = 60 * 24 * 3_600_000;
/** The spool is safe from a power cut within 50 ms of a write. */
const DURABLE_AFTER_MS = 1_000;

const OVER: ReadonlySet<unknown> = new Set(['completed', 'failed', 'expired', 'cancelled']);

type Visit = 'done' | 'later';

export function createBatchBilling(options: BatchBillingOptions): BatchBilling {
  return new PollingBilling(options);
}

class PollingBilling implements BatchBilling {
  readonly #closing = new AbortController();
  readonly #watched = new Set<Promise<void>>();

  constructor(private readonly options: BatchBillingOptions) {}

  start(): void {
    const { store, logger } = this.options;
    store.list().then(
      (records) => {
        for (const record of records) this.#watch(record);
      },
      (error: unknown) => {
        logger.error({ reason: String(error) }, 'the records of batches cannot be read');
      },
    );
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
    this.#watch(known);
  }

  refused({ submission }: BatchRecord): Promise<void> {
    return this.options.store.remove(submission.submissionId);
  }

  async bill(submission: BatchSubmission, batch: FinishedOutput): Promise<boolean> {
    const account = this.#accountOf(submission);
    return account !== undefined && (await this.#billOutput(account, submission, batch)) === 'done';
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#watched);
  }

  #watch(record: BatchRecord): void {
    const watching = this.#poll(record).finally(() => this.#watched.delete(watching));
    this.#watched.add(watching);
  }

  async #poll(first: BatchRecord): Promise<void> {
    let record = first;
    let waitMs = this.options.pollIntervalMs;
    while (await this.#waits(waitMs)) {
      try {
        record = await this.#findSubmitted(record);
        if ((await this.#visit(record)) === 'done') {
          if (!(await this.#waits(DURABLE_AFTER_MS))) return;
          await this.options.store.remove(record.submission.submissionId);
          return;
        }
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#report(record, error);
      }
      waitMs = Math.min(waitMs * 1.5, MAX_WAIT_MS);
    }
  }

  /** @returns false when the process stops */
  async #waits(forMs: number): Promise<boolean> {
    const { signal } = this.#closing;
    await sleep(forMs, undefined, { signal, ref: false }).catch(() => undefined);
    return !signal.aborted;
  }

  async #visit(record: BatchRecord): Promise<Visit> {
    const { submission, rawBatchId } = record;
    const ageMs = Date.now() - submission.admittedAt;
    if (rawBatchId === null && ageMs > LOST_AFTER_MS) return 'done';
    if (ageMs > GIVEN_UP_AFTER_MS) {
      this.options.logger.error({ batch: submission.submissionId }, 'a batch was never over and is not billed');
      return 'done';
    }
    const account = this.#accountOf(submission);
    if (account === undefined || rawBatchId === null) return 'later';
    const batch = await this.#get(account, `/batches/${encodeURIComponent(rawBatchId)}`);
    if (!OVER.has(batch?.['status'])) return 'later';
    const { output_file_id: outputFileId } = batch ?? {};
    if (typeof outputFileId !== 'string') return 'done';
    return this.#billOutput(account, submission, { rawBatchId, outputFileId, endedAt: endOf(batch) });
  }

  async #billOutput(
    account: ProviderAccount,
    submission: BatchSubmission,
    { rawBatchId, outputFileId, endedAt }: FinishedOutput,
  ): Promise<Visit> {
    const { exchanger, spool, logger } = this.options;
    const batch = submission.submissionId;
    const path = `/files/${encodeURIComponent(outputFileId)}/content`;
    const request = { method: 'GET', path, requestId: createRequestId(), signal: this.#closing.signal } as const;
    const { status, body } = await exchanger.download(account, request);
    if (status >= 200 && status < 300) {
      const { billed, unreadable } = await billBatch({ submission, rawBatchId, endedAt }, readLines(body), spool);
      if (unreadable > 0) logger.error({ batch, unreadable }, 'lines of a batch cannot be read and are not billed');
      logger.info({ batch, billed }, 'a batch is billed');
      return 'done';
    }
    await readToEnd(body);
    if (status !== 404 && status !== 410) return 'later';
    // It was deleted by its owner, which is possible only after it was billed.
    logger.warn({ batch }, 'the output of a batch is gone');
    return 'done';
  }

  /** The answer to the submission was lost: the batch is in the provider's list, under our mark, or was never made. */
  async #findSubmitted(record: BatchRecord): Promise<BatchRecord> {
    if (record.rawBatchId !== null) return record;
    const account = this.#accountOf(record.submission);
    if (account === undefined) throw new Error('its account cannot be used');
    let after = '';
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const page = readPage(await this.#get(account, `/batches?limit=100${after}`));
      if (page === undefined) throw new Error('the list of batches cannot be read');
      const found = page.data.find(({ metadata }) => markOf(metadata) === record.mark)?.['id'];
      if (typeof found === 'string') {
        const known = { ...record, rawBatchId: found };
        await this.options.store.put(known);
        return known;
      }
      const last = page.data.at(-1)?.['id'];
      if (!page.hasMore || typeof last !== 'string') break;
      after = `&after=${encodeURIComponent(last)}`;
    }
    return record;
  }

  async #get(account: ProviderAccount, path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    const request = { method: 'GET', path, requestId: createRequestId(), signal: this.#closing.signal } as const;
    const { status, body } = await this.options.exchanger.ask(account, request);
    return status >= 200 && status < 300 ? parseThing(body) : undefined;
  }

  /** That of the submission; where it is no more, another of the same provider that the model's routes name. */
  #accountOf({ tenantId, providerId, credentialId, model }: BatchSubmission): ProviderAccount | undefined {
    const { catalogue } = this.options.snapshot;
    const provider = catalogue?.providers.get(providerId);
    if (catalogue === undefined || provider === undefined) return undefined;
    const routes = catalogue.routes(catalogue.models.get(model)?.id ?? '', tenantId);
    const others = routes.flatMap(({ targets }) => targets.filter((target) => target.providerId === providerId));
    for (const id of [credentialId, ...others.map((target) => target.credentialId)]) {
      const secret = catalogue.secretOf(id, tenantId, provider);
      if (secret !== undefined) return { provider, secret };
    }
    return undefined;
  }

  #report({ submission }: BatchRecord, error: unknown): void {
    this.options.logger.warn({ batch: submission.submissionId, reason: String(error) }, 'a batch waits to be billed');
  }
}

function markOf(metadata: unknown): unknown {
  return typeof metadata === 'object' && metadata !== null && 'pingtoken' in metadata ? metadata.pingtoken : undefined;
}

/** When it was over, as its provider says in seconds; now where it does not. */
export function endOf(batch: Readonly<Record<string, unknown>> | undefined): number {
  for (const member of ['completed_at', 'expired_at', 'cancelled_at', 'failed_at']) {
    const seconds = batch?.[member];
    if (typeof seconds === 'number' && Number.isSafeInteger(seconds * 1000) && seconds > 0) return seconds * 1000;
  }
  return Date.now();
}

/** So that its connection can be used again. */
async function readToEnd(body: AsyncIterable<Buffer>): Promise<void> {
  const pieces = body[Symbol.asyncIterator]();
  while ((await pieces.next()).done !== true);
}
