import type { Logger } from 'pino';
import type { Spool } from '../meter/spool.js';
import { createRequestId } from '../receive.js';
import { endOf, type BatchLookup } from './batch-lookup.js';
import type { BatchRecord } from './batch-store.js';
import type { BatchSubmission } from './batch-submission.js';
import { billBatch, readLines } from './bill-batch.js';
import { isResponseOver, responseRecordOf } from './bill-response.js';
import type { Exchanger, ProviderAccount } from './exchange.js';
import type { Json } from './show-things.js';

export interface JobVisitsOptions {
  readonly lookup: BatchLookup;
  readonly exchanger: Exchanger;
  readonly spool: Pick<Spool, 'end'>;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

export interface FinishedOutput {
  readonly rawBatchId: string;
  readonly outputFileId: string;
  /** Milliseconds since 1970. */
  readonly endedAt: number;
}

/** A batch that no list shows so long after its submission was never made. */
const LOST_AFTER_MS = 15 * 60_000;
/** Longer than providers keep what a batch made. */
const GIVEN_UP_AFTER_MS = 60 * 24 * 3_600_000;
/**
 * A batch is over after a day. Of one that is not, or that can be asked of nobody any more, the money goes back; should it be
 * billed after all, it is charged as a call without a lease is.
 */
export const HELD_AT_MOST_MS = 48 * 3_600_000;

const OVER: ReadonlySet<unknown> = new Set(['completed', 'failed', 'expired', 'cancelled']);

type Visit = 'done' | 'later';

/** What is asked of the provider of a batch, or of a response in the background, to bill it. */
export class JobVisits {
  /** Responses whose event is written, as long as somebody may ask again. */
  readonly #billed = new Set<string>();

  constructor(private readonly options: JobVisitsOptions) {}

  /** Asks once whether it is over, and bills what it has made. */
  async visit(record: BatchRecord): Promise<Visit> {
    const { submission, rawBatchId } = record;
    const ageMs = Date.now() - submission.admittedAt;
    const account = this.options.lookup.accountOf(submission);
    if (rawBatchId === null && ageMs > (account === undefined ? HELD_AT_MOST_MS : LOST_AFTER_MS)) return 'done';
    if (ageMs > GIVEN_UP_AFTER_MS) {
      this.options.logger.error({ batch: submission.submissionId }, 'a batch was never over and is not billed');
      return 'done';
    }
    if (account === undefined || rawBatchId === null) return 'later';
    if (record.kind === 'response') return this.#visitResponse(account, submission, rawBatchId);
    const batch = await this.options.lookup.get(account, `/batches/${encodeURIComponent(rawBatchId)}`);
    if (!OVER.has(batch?.['status'])) return 'later';
    const { output_file_id: outputFileId } = batch ?? {};
    if (typeof outputFileId !== 'string') return 'done';
    return this.billOutput(account, submission, { rawBatchId, outputFileId, endedAt: endOf(batch) });
  }

  /** @param response that is over */
  async billResponse(submission: BatchSubmission, rawId: string, response: Json): Promise<void> {
    if (this.#billed.has(rawId)) return;
    this.#billed.add(rawId);
    await this.options.spool.end(responseRecordOf(submission, rawId, response));
  }

  forget(rawId: string): void {
    this.#billed.delete(rawId);
  }

  async #visitResponse(account: ProviderAccount, submission: BatchSubmission, rawId: string): Promise<Visit> {
    const response = await this.options.lookup.get(account, `/responses/${encodeURIComponent(rawId)}`);
    if (response === undefined || !isResponseOver(response)) return 'later';
    await this.billResponse(submission, rawId, response);
    return 'done';
  }

  /** Reads the output of a batch once. */
  async billOutput(
    account: ProviderAccount,
    submission: BatchSubmission,
    { rawBatchId, outputFileId, endedAt }: FinishedOutput,
  ): Promise<Visit> {
    const { exchanger, spool, logger, signal } = this.options;
    const batch = submission.submissionId;
    const path = `/files/${encodeURIComponent(outputFileId)}/content`;
    const request = { method: 'GET', path, requestId: createRequestId(), signal } as const;
    const { status, body } = await exchanger.download(account, request);
    if (status >= 200 && status < 300) {
      const { billed, unreadable } = await billBatch({ submission, rawBatchId, endedAt }, readLines(body), spool);
      if (unreadable > 0) logger.error({ batch, unreadable }, 'lines of a batch cannot be read and are not billed');
      logger.info({ batch, billed }, 'a batch is billed');
      return 'done';
    }
    // So that its connection can be used again.
    await readToEnd(body);
    if (status !== 404 && status !== 410) return 'later';
    // It was deleted by its owner, which is possible only after it was billed.
    logger.warn({ batch }, 'the output of a batch is gone');
    return 'done';
  }
}

async function readToEnd(body: AsyncIterable<Buffer>): Promise<void> {
  const pieces = body[Symbol.asyncIterator]();
  while ((await pieces.next()).done !== true);
}
