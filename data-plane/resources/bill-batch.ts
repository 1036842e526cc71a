import { createHash } from 'node:crypto';
import { v7 as createUuidV7 } from 'uuid';
import { z } from 'zod';
import type { Usage } from '@pingtoken/shared/rate-card';
import { parseJson } from '@pingtoken/shared/wire';
import { readUsage, type ReportingOperation } from '../dialects/operations/read-usage.js';
import { SharedFacts, type EndRecord, type Spool } from '../meter/spool.js';
import type { BatchSubmission } from './batch-submission.js';

/** A batch that is over. */
export interface FinishedBatch {
  readonly submission: BatchSubmission;
  readonly rawBatchId: string;
  /** Milliseconds since 1970. */
  readonly endedAt: number;
}

export interface BilledLines {
  readonly billed: number;
  /** Lines that cannot be read: nothing is known of what they cost. */
  readonly unreadable: number;
}

/** https://platform.openai.com/docs/api-reference/batch/request-output */
const outputLineSchema = z.object({
  custom_id: z.string(),
  response: z.object({ status_code: z.int().min(100).max(599), body: z.unknown() }).nullish(),
});

/** So many records are written before the next ones are made. */
const GROUP = 256;

/**
 * Writes a usage event for each line of an output file that reports usage. The ids of the events follow from batch and line
 * alone, so that a second run, after a kill in the middle of the first, writes the same events, and the ledger books each
 * once.
 * @param lines without their newlines; undefined for one that is too long to be read
 */
export async function billBatch(
  finished: FinishedBatch,
  lines: AsyncIterable<string | undefined>,
  spool: Pick<Spool, 'end'>,
): Promise<BilledLines> {
  const facts = factsOf(finished.submission);
  let billed = 0;
  let unreadable = 0;
  let group: Promise<void>[] = [];
  for await (const text of lines) {
    if (text?.trim() === '') continue;
    const line = readOutputLine(text, finished.submission.operation as ReportingOperation);
    if (line === undefined) unreadable += 1;
    if (line?.usage === undefined) continue;
    billed += 1;
    group.push(spool.end(recordOf(finished, facts, line)));
    if (group.length < GROUP) continue;
    await Promise.all(group);
    group = [];
  }
  await Promise.all(group);
  return { billed, unreadable };
}

interface OutputLine {
  readonly customId: string;
  readonly status: number;
  readonly usage: Usage | undefined;
}

function readOutputLine(text: string | undefined, operation: ReportingOperation): OutputLine | undefined {
  const parsed = outputLineSchema.safeParse(parseOrUndefined(text));
  if (!parsed.success) return undefined;
  const { custom_id: customId, response } = parsed.data;
  const status = response?.status_code ?? 500;
  const isServed = status >= 200 && status < 300;
  return { customId, status, usage: isServed ? readUsage(operation, response?.body) : undefined };
}

function parseOrUndefined(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : parseJson(text);
  } catch {
    return undefined;
  }
}

export function factsOf(submission: BatchSubmission): SharedFacts {
  const { tenantId, apiKeyId, memberId, config, operation, model, priceCardVersionId, leaseIds } = submission;
  const client = null;
  return new SharedFacts({
    tenantId,
    apiKeyId,
    memberId,
    config,
    operation,
    model,
    priceCardVersionId,
    leaseIds,
    client,
  });
}

function recordOf(finished: FinishedBatch, facts: SharedFacts, { customId, status, usage }: OutputLine): EndRecord {
  const { submission, endedAt } = finished;
  const { targetId, providerId, credentialId, upstreamModel, costCardVersionId, admittedAt } = submission;
  return {
    facts,
    eventId: eventIdOf(finished, customId),
    streamed: false,
    admittedAt,
    endedAt: Math.max(endedAt, admittedAt),
    firstByteMs: null,
    outcome: 'completed',
    status,
    attempts: [
      {
        targetId,
        providerId,
        credentialId,
        upstreamModel,
        status,
        usage: usage ?? {},
        serviceTier: 'batch',
        countedBy: 'provider',
        costCardVersionId,
      },
    ],
    billedAttempt: 0,
  };
}

/** A UUIDv7 of the instant of submission whose other bits are a digest of batch and line. */
export function eventIdOf({ submission, rawBatchId }: FinishedBatch, customId: string): string {
  const named = JSON.stringify([submission.submissionId, submission.providerId, rawBatchId, customId]);
  const random = createHash('sha256').update(named).digest().subarray(0, 16);
  return createUuidV7({ msecs: submission.admittedAt, random });
}

/** A line of an output file holds one answer; pictures make it long. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 10;

/** Cuts a download into lines. One that is longer than a line may be is passed over, and `undefined` stands for it. */
export async function* readLines(
  pieces: AsyncIterable<Buffer>,
  maxLineBytes = MAX_LINE_BYTES,
): AsyncGenerator<string | undefined> {
  let parts: Buffer[] = [];
  let bytes = 0;
  const take = (): string | undefined => {
    const line = bytes > maxLineBytes ? undefined : Buffer.concat(parts).toString();
    parts = [];
    bytes = 0;
    return line;
  };
  for await (const piece of pieces) {
    let start = 0;
    for (let newline = piece.indexOf(NEWLINE); newline !== -1; newline = piece.indexOf(NEWLINE, start)) {
      parts.push(piece.subarray(start, newline));
      bytes += newline - start;
      yield take();
      start = newline + 1;
    }
    bytes += piece.length - start;
    if (bytes > maxLineBytes) parts = [];
    else if (start < piece.length) parts.push(piece.subarray(start));
  }
  if (bytes > 0) yield take();
}
