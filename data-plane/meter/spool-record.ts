import { crc32 } from 'node:zlib';

/**
 * A record of the spool is one line: length and CRC-32 of the body as 8 hexadecimal digits each, then the body,
 *
 *     000001c4 5e1f00a7 S 0190…eventId 0 1760000000000 {"eventId":…}
 *
 * which is its type (S a call's start, E its end), the call's id, the sequence number (0 for a start), the instant, and
 * JSON. JSON holds no raw newline, so wherever bytes were damaged, the next line can be read again.
 */
export interface SpoolRecord {
  readonly type: 'S' | 'E';
  readonly eventId: string;
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly json: string;
}

const PREFIX_BYTES = 18;
const NEWLINE = 10;
const BODY = /^([SE]) (\S+) (\d+) (\d+) (.*)$/s;

/** Records are made one at a time and written before the next one is: they need no buffer each. */
let scratch = Buffer.allocUnsafeSlow(64 * 1024);
const MAX_BYTES_PER_CHARACTER = 3;

/** @returns a line with its newline; overwritten by the next call */
export function encodeRecord({ type, eventId, seq, atMs, json }: SpoolRecord): Buffer {
  const body = `${type} ${eventId} ${seq} ${atMs} ${json}\n`;
  const mostBytes = PREFIX_BYTES + body.length * MAX_BYTES_PER_CHARACTER;
  if (mostBytes > scratch.length) scratch = Buffer.allocUnsafeSlow(mostBytes * 2);
  const end = PREFIX_BYTES + scratch.write(body, PREFIX_BYTES, 'utf8');
  const checked = scratch.subarray(PREFIX_BYTES, end - 1);
  scratch.write(`${hex(checked.length)} ${hex(crc32(checked))} `, 0, 'latin1');
  return scratch.subarray(0, end);
}

/**
 * @param line without its newline
 * @returns undefined when it is not whole and unharmed
 */
export function decodeRecord(line: Buffer): SpoolRecord | undefined {
  if (line.length < PREFIX_BYTES) return undefined;
  const prefix = line.toString('latin1', 0, PREFIX_BYTES);
  const body = line.subarray(PREFIX_BYTES);
  if (prefix !== `${hex(body.length)} ${hex(crc32(body))} `) return undefined;
  const [, type, eventId = '', seq, atMs, json = ''] = BODY.exec(body.toString('utf8')) ?? [];
  if (type !== 'S' && type !== 'E') return undefined;
  return { type, eventId, seq: Number(seq), atMs: Number(atMs), json };
}

/** A line of a segment: `record` is undefined where it was damaged. */
export interface SpoolLine {
  readonly offset: number;
  /** With the newline. */
  readonly length: number;
  readonly bytes: Buffer;
  readonly record: SpoolRecord | undefined;
}

/**
 * Reads the whole lines of a piece of a segment. What follows the last newline is not touched: the torn tail of a write
 * that never returned, or a line that continues in the next piece.
 */
export function* readLines(piece: Buffer): Generator<SpoolLine> {
  let offset = 0;
  for (let newline = piece.indexOf(NEWLINE); newline >= 0; newline = piece.indexOf(NEWLINE, offset)) {
    const bytes = piece.subarray(offset, newline);
    yield { offset, length: newline + 1 - offset, bytes, record: decodeRecord(bytes) };
    offset = newline + 1;
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
