import type { UsageBatch } from '@pingtoken/shared/usage-batch';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import type { Charge } from './charge-events.js';
import { bookFreeTokens, lockFreeTokens } from './free-tokens.js';
import { createKeyOwners, type KeyOwners } from './key-owners.js';
import { placeBatch } from './place-batch.js';
import { hasStorableText, quarantine, type QuarantinedRecord } from './quarantine.js';
import { createRateCardVersions, type RateCardVersions } from './rate-card-versions.js';
import { readRecord, settleEvent, UnsettledRecord, versionIdsOf } from './settle-event.js';
import type { RecordPlace, SettledEvent } from './settle-event.js';
import { confirmSpool, lockSpool } from './spool-row.js';
import { inTransaction, isDataError, type Connection, type ConnectionPool } from '../database/sql.js';
import { writeApart, writeTogether, type WriteEvents } from './write-events.js';

/** Records before this batch are missing. Delivering the spool again from its last confirmed record heals it. */
export class SpoolGapError extends Error {
  constructor(readonly confirmedSeq: number) {
    super(`the spool is confirmed up to ${confirmedSeq}; records between that and the batch are missing`);
    this.name = 'SpoolGapError';
  }
}

export interface IngestResult {
  readonly confirmedSeq: number;
  /** Events that this batch brought into the ledger. */
  readonly settled: readonly SettledEvent[];
  /** Calls of it whose tenants could not be charged with all that they cost: the operator's losses. */
  readonly losses: readonly Charge[];
  /** Records that the ledger held already, under another sequence number. */
  readonly duplicates: number;
  readonly quarantined: readonly QuarantinedRecord[];
}

/**
 * Brings a batch of a spool into the ledger: events, transfers, quarantine and `confirmed` in one transaction, so that a
 * worker which dies at any moment has done all of it or nothing. Exactly once for two reasons that do not lean on each other:
 * what is at or below `confirmed` is skipped, and an event id is booked once, whichever spool brings it.
 * @throws SpoolGapError, BatchRefusedError; any other error says nothing about the batch, which may be tried again
 */
export type IngestUsage = (batch: UsageBatch) => Promise<IngestResult>;

export function createUsageIngest({ pool }: { pool: ConnectionPool }): IngestUsage {
  const versions = createRateCardVersions();
  const owners = createKeyOwners();
  return async (batch) => {
    const attempt = (write: WriteEvents) =>
      inTransaction(pool, (connection) => ingestBatch(connection, { batch, versions, owners, write }));
    try {
      return await attempt(writeTogether);
    } catch (error) {
      if (!isDataError(error)) throw error;
      // Some record was fit for our checks and not for the database; the second round finds out which.
      return await attempt(writeApart);
    }
  };
}

interface IngestParts {
  readonly batch: UsageBatch;
  readonly versions: RateCardVersions;
  readonly owners: KeyOwners;
  readonly write: WriteEvents;
}

async function ingestBatch(
  connection: Connection,
  { batch, versions, owners, write }: IngestParts,
): Promise<IngestResult> {
  const spoolId = batch.spoolId.toLowerCase();
  const dataPlaneId = batch.dataPlaneId.toLowerCase();
  const spool = await lockSpool(connection, spoolId, dataPlaneId);
  const place = placeBatch({ firstSeq: batch.firstSeq, count: batch.events.length }, spool.confirmedSeq);
  if (place === 'gap') throw new SpoolGapError(spool.confirmedSeq);
  if (place === 'known') {
    // The data plane sends again because it was not told; it is told again.
    await confirmSpool(connection, { spoolId, confirmedSeq: spool.confirmedSeq, dataPlaneId });
    return { confirmedSeq: spool.confirmedSeq, settled: [], losses: [], duplicates: 0, quarantined: [] };
  }
  const { knownCount, lastSeq } = place;
  const records = batch.events.map((record, index) => ({ record, seq: batch.firstSeq + index })).slice(knownCount);
  const { settled, refused } = spool.trusted
    ? await settleRecords(connection, { spoolId, records, versions, owners })
    : { settled: [], refused: records.map((entry) => ({ ...entry, reason: 'the data plane is revoked' })) };
  const written = await write(connection, settled);
  await bookFreeTokens(connection, written.settled);
  const quarantined = [...refused, ...written.refused];
  await quarantine(connection, spoolId, quarantined);
  await confirmSpool(connection, { spoolId, confirmedSeq: lastSeq, dataPlaneId });
  const { losses, duplicates } = written;
  return { confirmedSeq: lastSeq, settled: written.settled, losses, duplicates, quarantined };
}

interface SettleRecordsOptions {
  readonly spoolId: string;
  readonly records: readonly { readonly record: unknown; readonly seq: number }[];
  readonly versions: RateCardVersions;
  readonly owners: KeyOwners;
}

interface SettledRecords {
  readonly settled: readonly SettledEvent[];
  readonly refused: readonly QuarantinedRecord[];
}

/** Reads and prices each record on its own, so that a bad one takes no other with it. */
async function settleRecords(
  connection: Connection,
  { spoolId, records, versions, owners }: SettleRecordsOptions,
): Promise<SettledRecords> {
  const read = records.map((entry) => ({ ...entry, event: readStorable(entry.record, { spoolId, seq: entry.seq }) }));
  const events = read.flatMap(({ event }) => (event instanceof UnsettledRecord ? [] : [event]));
  await versions.load(connection, events.flatMap(versionIdsOf));
  await owners.load(
    connection,
    events.map(({ apiKeyId }) => apiKeyId),
  );
  const settled: SettledEvent[] = [];
  const refused: QuarantinedRecord[] = [];
  const freeTokens = await lockFreeTokens(connection, events.filter(drawsOnFreeTokens({ versions, owners })));
  const options = { findVersion: versions.find, findOwner: owners.find, freeTokensLeft: freeTokens.left };
  for (const { record, seq, event } of read) {
    const result = event instanceof UnsettledRecord ? event : settleEvent(event, options);
    if (result instanceof UnsettledRecord) refused.push({ seq, record, reason: result.reason });
    else {
      settled.push(result);
      freeTokens.took(result.event, result.freeTokens);
    }
  }
  return { settled, refused };
}

function readStorable(record: unknown, place: RecordPlace): UsageEvent | UnsettledRecord {
  const event = readRecord(record, place);
  if (event instanceof UnsettledRecord || hasStorableText(JSON.stringify(event))) return event;
  return new UnsettledRecord('a text holds characters that cannot be stored');
}

/** Only what will be billed to a tenant that exists may lock its allowance. */
function drawsOnFreeTokens({ versions, owners }: Pick<IngestParts, 'versions' | 'owners'>) {
  return ({ priceCardVersionId, billedAttempt, apiKeyId, tenantId }: UsageEvent): boolean =>
    billedAttempt !== null &&
    (versions.find(priceCardVersionId)?.freeTokensPerMonth ?? 0) > 0 &&
    owners.find(apiKeyId)?.tenantId === tenantId;
}
