import type { Queryable } from '../database/sql.js';

/** A record that is set aside for a person to look at: nothing was booked for it, and it holds up no other. */
export interface QuarantinedRecord {
  readonly seq: number;
  readonly record: unknown;
  readonly reason: string;
}

/** Sets records aside, once each, in the caller's transaction. Never fails for what a record holds. */
export async function quarantine(
  database: Queryable,
  spoolId: string,
  records: readonly QuarantinedRecord[],
): Promise<void> {
  if (records.length === 0) return;
  const rows = records.map(({ seq, record, reason }) => ({
    seq,
    record: storableText(record),
    reason: printable(reason),
  }));
  await database.query({
    name: 'quarantine-records',
    text: `
      insert into usage_quarantine (spool_id, seq, record, reason)
      select $1::uuid, seq, record::jsonb, reason
      from json_to_recordset($2::json) as entry (seq bigint, record text, reason text)
      on conflict (spool_id, seq) do nothing`,
    values: [spoolId, JSON.stringify(rows)],
  });
}

/** A reason may quote a field's name, and that may be anything. */
function printable(reason: string): string {
  return reason
    .slice(0, 500)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\uFFFD');
}

/** PostgreSQL nests JSON some thousand levels deep before it refuses. */
const MAX_DEPTH = 100;
/** `\u0000` and halves of a surrogate pair, which PostgreSQL's jsonb does not hold; an escaped backslash before is none. */
const UNSTORABLE_ESCAPE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

/** JSON text that jsonb takes: the record itself, or, where jsonb could not hold it, its text as one JSON string. */
function storableText(record: unknown): string {
  const text = jsonText(record);
  return hasStorableText(text) && depthOf(text) <= MAX_DEPTH ? text : JSON.stringify(text);
}

/** Whether PostgreSQL can hold every string within this JSON text. */
function hasStorableText(json: string): boolean {
  return !UNSTORABLE_ESCAPE.test(json);
}

/** Whether PostgreSQL can hold this text, as a text and within JSON. */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** An upper bound: brackets within strings are counted too. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const character of text) {
    if (character === '{' || character === '[') deepest = Math.max(deepest, (depth += 1));
    else if (character === '}' || character === ']') depth -= 1;
  }
  return deepest;
}

function jsonText(record: unknown): string {
  try {
    return JSON.stringify(record ?? null);
  } catch {
    return '"nested too deeply to be kept"';
  }
}
