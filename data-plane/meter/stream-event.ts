import { parseJson } from '@pingtoken/shared/wire';
import { isErrorReport } from '../dialects/error-report.js';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const LETTER_N = 0x6e;
const OPEN_BRACE = 0x7b;

const DATA_FIELD = Buffer.from('data');
const ERROR_MARK = Buffer.from('"error"');
const ERROR_NAME = /^event: ?error[\r\n]/;
const ERROR_NAME_BYTES = 13;

export const NOTHING = Buffer.alloc(0);

export function join(pieces: readonly Buffer[]): Buffer {
  const [first = NOTHING] = pieces;
  return pieces.length <= 1 ? first : Buffer.concat(pieces);
}

/**
 * @returns the data of an event that reports an error; undefined for every other. Few events have to be parsed for it: in the
 *   text of an answer the mark has backslashes.
 */
export function readErrorData(event: Buffer): string | undefined {
  const isNamed = ERROR_NAME.test(event.toString('latin1', 0, ERROR_NAME_BYTES));
  if (!isNamed && !event.includes(ERROR_MARK)) return undefined;
  // Google sends an error that comes too soon as plain JSON.
  const data = isPlainJson(event) ? event.toString().trim() : readData(event).toString();
  return isNamed || isErrorReport(parse(data)) ? data : undefined;
}

/** The same event with other data, on lines of its own; what is no field of an event becomes one that is nothing but data. */
export function replaceData(event: Buffer, data: string): Buffer {
  const fields = event
    .toString()
    .split(/\r\n|\r|\n/)
    .filter((line) => /^(?:event|id|retry):/.test(line));
  const lines = [...fields, ...data.split(/\r\n|\r|\n/).map((line) => `data: ${line}`)];
  return Buffer.from(`${lines.join('\n')}\n\n`);
}

/** Every chunk of a stream says `"usage":null`, so parsing starts only where something else follows. */
export function mayHoldUsage(event: Buffer, mark: Buffer): boolean {
  for (let at = event.indexOf(mark); at !== -1; at = event.indexOf(mark, at)) {
    at += mark.length;
    while (event[at] === SPACE) at += 1;
    if (event[at] !== COLON) continue;
    at += 1;
    while (event[at] === SPACE) at += 1;
    if (event[at] !== LETTER_N) return true;
  }
  return false;
}

/** OpenAI's last chunk before the end, which has usage and no choices. */
export function isUsageOnly(data: string): boolean {
  try {
    const value = parseJson(data);
    if (typeof value !== 'object' || value === null || !('usage' in value) || !('choices' in value)) return false;
    const { usage, choices } = value;
    return typeof usage === 'object' && usage !== null && Array.isArray(choices) && choices.length === 0;
  } catch {
    return false;
  }
}

/** The event's data: the values of its `data` lines, joined with LF; other fields and comments are left out. */
export function readData(event: Buffer): Buffer {
  const lines: Buffer[] = [];
  let start = 0;
  for (let at = 0; at <= event.length; at += 1) {
    const byte = event[at];
    if (byte !== LF && byte !== CR && at < event.length) continue;
    const line = event.subarray(start, at);
    start = at + 1;
    if (!line.subarray(0, DATA_FIELD.length).equals(DATA_FIELD) || line[DATA_FIELD.length] !== COLON) continue;
    const value = line.subarray(DATA_FIELD.length + 1);
    if (lines.length > 0) lines.push(NEWLINE);
    lines.push(value[0] === SPACE ? value.subarray(1) : value);
  }
  return join(lines);
}

const NEWLINE = Buffer.from('\n');

function isPlainJson(event: Buffer): boolean {
  return event.find((byte) => byte > SPACE) === OPEN_BRACE;
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
