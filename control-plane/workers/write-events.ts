import type { QuarantinedRecord } from './quarantine.js';
import type { SettledEvent } from './settle-event.js';
import { isDataError, sqlState, type Queryable } from '../database/sql.js';
import type { Charge } from './charge-events.js';
import { chargeCalls } from './charge-calls.js';
import { insertEvents } from './usage-statements.js';

export interface Written {
  readonly settled: readonly SettledEvent[];
  /** What could not be charged to their tenants. */
  readonly losses: readonly Charge[];
  readonly duplicates: number;
  readonly refused: readonly QuarantinedRecord[];
}

/** Writes a set of events and their transfers within a transaction. */
export type WriteEvents = (connection: Queryable, settled: readonly SettledEvent[]) => Promise<Written>;

/** All in two statements; what the database refuses in one record fails the whole. */
export const writeTogether: WriteEvents = async (connection, settled) => {
  if (settled.length === 0) return { settled: [], losses: [], duplicates: 0, refused: [] };
  const { first, repeated } = splitRepeated(settled);
  const insertedIds = await insertEvents(connection, first);
  const inserted = first.filter(({ event }) => insertedIds.has(event.eventId));
  const charges = await chargeCalls(connection, inserted);
  const losses = charges.filter(({ excess }) => excess > 0n);
  const known = [...repeated, ...first.filter(({ event }) => !insertedIds.has(event.eventId))];
  const refused = await findContradictions(connection, known);
  return { settled: inserted, losses, duplicates: known.length - refused.length, refused };
};

/** Halves a set until the records that the database refuses are alone; everything else is written. */
export const writeApart: WriteEvents = async (connection, settled) => {
  await connection.query({ text: 'savepoint apart' });
  try {
    const written = await writeTogether(connection, settled);
    await connection.query({ text: 'release savepoint apart' });
    return written;
  } catch (error) {
    if (!isDataError(error)) throw error;
    await connection.query({ text: 'rollback to savepoint apart' });
    const [only] = settled;
    if (only !== undefined && settled.length === 1) {
      const reason = `the database refuses it: ${sqlState(error) ?? 'unknown'}`;
      return { settled: [], losses: [], duplicates: 0, refused: [{ seq: only.event.seq, record: only.event, reason }] };
    }
    const middle = Math.floor(settled.length / 2);
    const left = await writeApart(connection, settled.slice(0, middle));
    const right = await writeApart(connection, settled.slice(middle));
    return {
      settled: [...left.settled, ...right.settled],
      losses: [...left.losses, ...right.losses],
      duplicates: left.duplicates + right.duplicates,
      refused: [...left.refused, ...right.refused],
    };
  }
};

/** Of several records with one event id within a batch, the first counts. */
function splitRepeated(settled: readonly SettledEvent[]): { first: SettledEvent[]; repeated: SettledEvent[] } {
  const seen = new Set<string>();
  const first: SettledEvent[] = [];
  const repeated: SettledEvent[] = [];
  for (const entry of settled) {
    (seen.has(entry.event.eventId) ? repeated : first).push(entry);
    seen.add(entry.event.eventId);
  }
  return { first, repeated };
}

/**
 * A record whose event is in the ledger already is a repetition and is dropped, unless it tells another story: then two calls
 * share an id, and the one that came second is set aside rather than lost.
 */
async function findContradictions(connection: Queryable, known: readonly SettledEvent[]): Promise<QuarantinedRecord[]> {
  if (known.length === 0) return [];
  const { rows } = await connection.query<{ id: string; tenant_id: string; kind: string; amount: string }>({
    name: 'known-events',
    text: 'select id, tenant_id, kind, amount from usage_event where id = any($1::uuid[])',
    values: [known.map(({ event }) => event.eventId)],
  });
  const stories = new Map(rows.map((row) => [row.id, `${row.tenant_id} ${row.kind} ${row.amount}`]));
  return known
    .filter(({ event, amount }) => stories.get(event.eventId) !== `${event.tenantId} ${event.kind} ${amount}`)
    .map(({ event }) => ({
      seq: event.seq,
      record: event,
      reason: 'another event of this id is in the ledger, with another tenant, kind or amount',
    }));
}
