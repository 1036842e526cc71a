import { crc32 } from 'node:zlib';

/**
 * A record of the spool is one line: length and CRC-32 of the body as 8 hexadecimal digits each, then the body,
 *
 *     000001c4 5e1f00a7 S 0190…eventId 0 1760000000000 {"eventId":…}
 *
 * which is its type (S a call's start, E its end), the call's id, the sequence number (0 for a start), the instant, and
 * JSON. JSON holds no raw newline, so wherever bytes were damaged, the next line can be read again.
 */
export interface SpoolRecord extends RecordHead {
  readonly json: string;
}

/** A record that was read: its JSON is still bytes, for what passes through the spool need not be parsed on its way. */
export interface FoundRecord extends RecordHead {
  readonly json: Buffer;
}

interface RecordHead {
  readonly type: 'S' | 'E';
  readonly eventId: string;
  readonly seq: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

const PREFIX_BYTES = 18;
const NEWLINE = 10;
const SPACE = 32;

/** Records are written before the next ones are made: they need no buffer each. */
let scratch = Buffer.allocUnsafeSlow(256 * 1024);
const MAX_BYTES_PER_CHARACTER = 3;

/** @returns lines with their newlines, one behind the other, and how long each is; overwritten by the next call */
export function encodeRecords(records: readonly SpoolRecord[]): {
  readonly bytes: Buffer;
  readonly lengths: readonly number[];
} {
  let end = 0;
  const lengths = records.map((record) => {
    const start = end;
    end = encodeRecord(record, start);
    return end - start;
  });
  return { bytes: scratch.subarray(0, end), lengths };
}

/** @returns where the line ends in the scratch buffer */
function encodeRecord({ type, eventId, seq, atMs, json }: SpoolRecord, start: number): number {
  const body = `${type} ${eventId} ${seq} ${atMs} ${json}\n`;
  const bodyStart = start + PREFIX_BYTES;
  const mostBytes = bodyStart + body.length * MAX_BYTES_PER_CHARACTER;
  if (mostBytes > scratch.length) growScratch(start, mostBytes * 2);
  const end = bodyStart + scratch.write(body, bodyStart, 'utf8');
  const checked = scratch.subarray(bodyStart, end - 1);
  writePrefix(scratch, start, checked);
  return end;
}

function growScratch(keptBytes: number, bytes: number): void {
  const grown = Buffer.allocUnsafeSlow(bytes);
  scratch.copy(grown, 0, 0, keptBytes);
  scratch = grown;
}

/**
 * @param line without its newline
 * @returns undefined when it is not whole and unharmed
 */
export function decodeRecord(line: Buffer): FoundRecord | undefined {
  if (line.length < PREFIX_BYTES) return undefined;
  const body = line.subarray(PREFIX_BYTES);
  writePrefix(expected, 0, body);
  if (line.compare(expected, 0, PREFIX_BYTES, 0, PREFIX_BYTES) !== 0) return undefined;
  let headEnd = -1;
  for (let fields = 0; fields < HEAD_FIELDS; fields += 1) {
    headEnd = body.indexOf(SPACE, headEnd + 1);
    if (headEnd === -1) return undefined;
  }
  const [type, eventId = '', seq, atMs] = body.toString('utf8', 0, headEnd).split(' ');
  if (type !== 'S' && type !== 'E') return undefined;
  return { type, eventId, seq: Number(seq), atMs: Number(atMs), json: body.subarray(headEnd + 1) };
}

const HEAD_FIELDS = 4;

/** A line of a segment: `record` is undefined where it was damaged. */
export interface SpoolLine {
  readonly offset: number;
  /** With the newline. */
  readonly length: number;
  readonly bytes: Buffer;
  readonly record: FoundRecord | undefined;
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

/** Byte by byte: the texts of two numbers would cost as much as the check itself. */
function writePrefix(target: Buffer, at: number, body: Buffer): void {
  writeHex(target, at, body.length);
  target[at + LENGTH_BYTES] = SPACE;
  writeHex(target, at + LENGTH_BYTES + 1, crc32(body));
  target[at + PREFIX_BYTES - 1] = SPACE;
}

const LENGTH_BYTES = 8;
const expected = Buffer.alloc(PREFIX_BYTES);
const HEX_DIGITS = Buffer.from('0123456789abcdef');

function writeHex(target: Buffer, at: number, value: number): void {
  for (let digit = 0; digit < 8; digit += 1) target[at + digit] = HEX_DIGITS[(value >>> (28 - digit * 4)) & 0xf] ?? 0;
}
