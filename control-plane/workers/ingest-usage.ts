import type { UsageBatch } from '@pingtoken/shared/usage-batch';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import type { Charge } from './charge-events.js';
import { bookFreeTokens, lockFreeTokens } from './free-tokens.js';
import { createKeyOwners, type KeyOwners } from './key-owners.js';
import { placeBatch } from './place-batch.js';
import { isStorable, quarantine, type QuarantinedRecord } from './quarantine.js';
import { createRateCardVersions, type RateCardVersions } from './rate-card-versions.js';
import { readRecord, settleEvent, UnsettledRecord, versionIdsOf } from './settle-event.js';
import type { RecordPlace, SettledEvent } from './settle-event.js';
import { confirmSpool, lockSpool, type LockedSpool } from './spool-row.js';
import { bookRollups } from './book-rollups.js';
import { holdPeriods } from './ledger-periods.js';
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
export type IngestUsage = (batch: UsageBatch, turn?: Promise<void>) => Promise<IngestResult>;

/** @returns one that reads a batch at once, and goes to the database when its turn has come */
export function createUsageIngest({ pool }: { pool: ConnectionPool }): IngestUsage {
  const versions = createRateCardVersions();
  const owners = createKeyOwners();
  return async (batch, turn = NO_TURN) => {
    const read = readBatch(batch);
    await turn;
    const attempt = (write: WriteEvents) =>
      inTransaction(pool, (connection) => ingestBatch(connection, { batch: read, versions, owners, write }));
    try {
      return await attempt(writeTogether);
    } catch (error) {
      if (!isDataError(error)) throw error;
      // Some record was fit for our checks and not for the database; the second round finds out which.
      return await attempt(writeApart);
    }
  };
}

const NO_TURN = Promise.resolve();

/** A record with its event, or with the reason why it is none. */
interface ReadRecord {
  readonly seq: number;
  readonly record: unknown;
  readonly event: UsageEvent | UnsettledRecord;
}

interface ReadBatch {
  readonly spoolId: string;
  readonly dataPlaneId: string;
  readonly firstSeq: number;
  readonly records: readonly ReadRecord[];
}

function readBatch({ spoolId, dataPlaneId, firstSeq, events }: UsageBatch): ReadBatch {
  const place = { spoolId: spoolId.toLowerCase(), dataPlaneId: dataPlaneId.toLowerCase(), firstSeq };
  const records = events.map((record, index) => {
    const seq = firstSeq + index;
    return { seq, record, event: readStorable(record, { spoolId: place.spoolId, seq }) };
  });
  return { ...place, records };
}

interface IngestParts {
  readonly batch: ReadBatch;
  readonly versions: RateCardVersions;
  readonly owners: KeyOwners;
  readonly write: WriteEvents;
}

async function ingestBatch(connection: Connection, { batch, write, ...memory }: IngestParts): Promise<IngestResult> {
  const { spoolId, dataPlaneId } = batch;
  const spool = await lockSpool(connection, spoolId, dataPlaneId);
  const place = placeBatch({ firstSeq: batch.firstSeq, count: batch.records.length }, spool.confirmedSeq);
  if (place === 'gap') throw new SpoolGapError(spool.confirmedSeq);
  if (place === 'known') {
    // The data plane sends again because it was not told; it is told again.
    await confirmSpool(connection, { spoolId, confirmedSeq: spool.confirmedSeq, dataPlaneId });
    return { confirmedSeq: spool.confirmedSeq, settled: [], losses: [], duplicates: 0, quarantined: [] };
  }
  const { knownCount, lastSeq } = place;
  const records = batch.records.slice(knownCount);
  const { settled, refused } = spool.trusted
    ? await settleRecords(connection, { spool, records, ...memory })
    : {
        settled: [],
        refused: records.map(({ seq, record }) => ({ seq, record, reason: 'the data plane is revoked' })),
      };
  const written = await write(connection, settled);
  await bookFreeTokens(connection, written.settled);
  const quarantined = [...refused, ...written.refused];
  await quarantine(connection, spoolId, quarantined);
  await bookRollups(connection, written.settled, written.losses);
  await confirmSpool(connection, { spoolId, confirmedSeq: lastSeq, dataPlaneId });
  const { losses, duplicates } = written;
  return { confirmedSeq: lastSeq, settled: written.settled, losses, duplicates, quarantined };
}

interface SettleRecordsOptions {
  readonly spool: LockedSpool;
  readonly records: readonly ReadRecord[];
  readonly versions: RateCardVersions;
  readonly owners: KeyOwners;
}

interface SettledRecords {
  readonly settled: readonly SettledEvent[];
  readonly refused: readonly QuarantinedRecord[];
}

/** Prices each record on its own, so that a bad one takes no other with it. */
async function settleRecords(
  connection: Connection,
  { spool, records, versions, owners }: SettleRecordsOptions,
): Promise<SettledRecords> {
  const events = records.flatMap(({ event }) => (event instanceof UnsettledRecord ? [] : [event]));
  await versions.load(connection, events.flatMap(versionIdsOf));
  await owners.load(
    connection,
    events.map(({ apiKeyId }) => apiKeyId),
  );
  const admissions = events.map(({ admittedAt }) => admittedAt);
  const periodOf = await holdPeriods(connection, spool.months, admissions);
  const settled: SettledEvent[] = [];
  const refused: QuarantinedRecord[] = [];
  const freeTokens = await lockFreeTokens(connection, events.filter(drawsOnFreeTokens({ versions, owners })));
  const { region } = spool;
  const find = { findVersion: versions.find, findOwner: owners.find };
  const options = { ...find, freeTokensLeft: freeTokens.left, region, periodOf };
  for (const { record, seq, event } of records) {
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
  if (event instanceof UnsettledRecord || freeTextsOf(event).every(isStorable)) return event;
  return new UnsettledRecord('a text holds characters that cannot be stored');
}

/** What the contract lets be any text; the others have a form that holds nothing but plain characters. */
function freeTextsOf({ model, attempts, client }: UsageEvent): string[] {
  const texts = client === null ? [model] : [model, client.key, client.data];
  for (const { upstreamModel } of attempts) texts.push(upstreamModel);
  return texts;
}

/** Only what will be billed to a tenant that exists may lock its allowance. */
function drawsOnFreeTokens({ versions, owners }: Pick<IngestParts, 'versions' | 'owners'>) {
  return ({ priceCardVersionId, billedAttempt, repeated, apiKeyId, tenantId }: UsageEvent): boolean =>
    (billedAttempt !== null || repeated !== undefined) &&
    (versions.find(priceCardVersionId)?.freeTokensPerMonth ?? 0) > 0 &&
    owners.find(apiKeyId)?.tenantId === tenantId;
}
