/**
 * Rows for one statement, column by column, in PostgreSQL's binary form. What is sent so is neither quoted here nor parsed
 * there: as one JSON text, a batch of usage takes the server more time to read than to store.
 *
 * https://www.postgresql.org/docs/18/protocol-overview.html#PROTOCOL-FORMAT-CODES; the forms are those of each type's
 * `_recv` function.
 */

interface ColumnType<Value> {
  readonly name: string;
  /** In `pg_type`; those of built-in types never change. */
  readonly oid: number;
  /** Appends the value's bytes, without their length. */
  readonly write: (out: ByteWriter, value: Value) => void;
}

export interface Column<Row> {
  readonly name: string;
  readonly type: string;
  /** The column of all rows: an array of `type`. */
  readonly encode: (rows: readonly Row[]) => Buffer;
}

/** Columns that are sent together. */
export interface ColumnSet<Row> {
  /** `id, tenant_id`, in the order of the values. */
  readonly names: string;
  /** A relation `record` of the rows, for a `from`; its parameters begin at $1. */
  readonly record: string;
  /** One parameter for each column. pg sends a Buffer in binary form. */
  readonly values: (rows: readonly Row[]) => Buffer[];
}

export function columnSet<Row>(columns: readonly Column<Row>[]): ColumnSet<Row> {
  const names = columns.map(({ name }) => name).join(', ');
  const arrays = columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(', ');
  return {
    names,
    record: `unnest(${arrays}) as record (${names})`,
    values: (rows) => columns.map(({ encode }) => encode(rows)),
  };
}

type MakeColumn<Value> = <Row>(name: string, valueOf: (row: Row) => Value | null) => Column<Row>;

function columnOf<Value>(type: ColumnType<Value>): MakeColumn<Value> {
  return (name, valueOf) => ({ name, type: type.name, encode: (rows) => encodeArray(type, rows, valueOf) });
}

function encodeArray<Row, Value>(
  { oid, write }: ColumnType<Value>,
  rows: readonly Row[],
  valueOf: (row: Row) => Value | null,
): Buffer {
  const out = new ByteWriter(HEAD_BYTES + rows.length * 20);
  const dimensions = rows.length === 0 ? 0 : 1;
  // The flag says that there may be nulls, which is true of none as well.
  for (const word of [dimensions, 1, oid]) out.int32(word);
  if (dimensions === 1) for (const word of [rows.length, 1]) out.int32(word);
  for (const row of rows) {
    const value = valueOf(row);
    if (value === null) out.int32(-1);
    else {
      const start = out.openSized();
      write(out, value);
      out.closeSized(start);
    }
  }
  return out.bytes();
}

const HEAD_BYTES = 20;
/** Longer texts are encoded by the engine; for shorter ones the call alone costs more. */
const SHORT_TEXT = 48;
const TWO_32 = 2 ** 32;

/** On the way of every value of every event: no closures and no objects. */
class ByteWriter {
  #bytes: Buffer;
  #view: DataView;
  #end = 0;

  constructor(expectedBytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(expectedBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  int16(value: number): void {
    this.#makeRoom(2);
    this.#view.setInt16(this.#end, value);
    this.#end += 2;
  }

  int32(value: number): void {
    this.#makeRoom(4);
    this.#view.setInt32(this.#end, value);
    this.#end += 4;
  }

  int64(value: bigint | number): void {
    if (typeof value === 'number') {
      this.int32(Math.floor(value / TWO_32));
      this.int32(value);
    } else {
      this.#makeRoom(8);
      this.#view.setBigInt64(this.#end, value);
      this.#end += 8;
    }
  }

  byte(value: number): void {
    this.#makeRoom(1);
    this.#bytes[this.#end] = value;
    this.#end += 1;
  }

  text(value: string): void {
    // No character of UTF-16 takes more than three bytes in UTF-8.
    this.#makeRoom(value.length * 3);
    if (value.length > SHORT_TEXT || !this.#writeAscii(value)) {
      this.#end += this.#bytes.write(value, this.#end, 'utf8');
    }
  }

  uuid(value: string): void {
    this.#makeRoom(value.length);
    const end = this.#end + 16;
    let high = -1;
    for (let index = 0; index < value.length; index += 1) {
      const digit = HEX_VALUES[value.charCodeAt(index)] ?? -1;
      if (digit < 0) continue;
      if (high < 0) high = digit;
      else {
        this.#bytes[this.#end] = high * 16 + digit;
        this.#end += 1;
        high = -1;
      }
    }
    if (this.#end !== end || high >= 0) throw new RangeError('not a UUID');
  }

  /** @returns where the length is to stand of what is written next */
  openSized(): number {
    this.int32(0);
    return this.#end;
  }

  closeSized(start: number): void {
    this.#view.setInt32(start - 4, this.#end - start);
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }

  #writeAscii(value: string): boolean {
    for (let index = 0; index < value.length; index += 1) {
      const code = value.charCodeAt(index);
      if (code > 127) return false;
      this.#bytes[this.#end + index] = code;
    }
    this.#end += value.length;
    return true;
  }

  #makeRoom(count: number): void {
    if (this.#end + count <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * this.#bytes.length + count);
    this.#bytes.copy(grown, 0, 0, this.#end);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** By character code; -1 for what is no hexadecimal digit. */
const HEX_VALUES = Int8Array.from({ length: 128 }, (_, code) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase()),
);

/** Integers of any size, four decimal digits to a word. */
function writeNumeric(out: ByteWriter, value: bigint | number): void {
  const isSmall = value >= -Number.MAX_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
  const words = isSmall ? wordsOf(Math.abs(Number(value))) : wordsOfText(String(value).replace('-', ''));
  out.int16(words.length);
  out.int16(Math.max(words.length - 1, 0));
  out.int16(value < 0 ? NEGATIVE : 0);
  out.int16(0);
  for (let index = words.length - 1; index >= 0; index -= 1) out.int16(words[index] ?? 0);
}

/** The lowest first; none of zero. */
function wordsOf(value: number): readonly number[] {
  if (value === 0) return NO_WORDS;
  const words: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 10_000)) words.push(rest % 10_000);
  return words;
}

function wordsOfText(digits: string): readonly number[] {
  const words: number[] = [];
  for (let end = digits.length; end > 0; end -= 4) words.push(Number(digits.slice(Math.max(end - 4, 0), end)));
  return words;
}

const NO_WORDS: readonly number[] = [];
const NEGATIVE = 0x4000;
/** PostgreSQL counts microseconds from the year 2000. */
const EPOCH_MS = Date.UTC(2000, 0, 1);
/** Up to which its microseconds are a safe integer. */
const MAX_EXACT_MS = Math.floor(Number.MAX_SAFE_INTEGER / 1000);
const JSONB_VERSION = 1;

/** Constructors of columns, each of a name and of what gives a row's value. */
export const column = {
  uuid: columnOf<string>({
    name: 'uuid',
    oid: 2950,
    write: (out, value) => {
      out.uuid(value);
    },
  }),
  text: columnOf<string>({
    name: 'text',
    oid: 25,
    write: (out, value) => {
      out.text(value);
    },
  }),
  boolean: columnOf<boolean>({
    name: 'boolean',
    oid: 16,
    write: (out, value) => {
      out.byte(value ? 1 : 0);
    },
  }),
  integer: columnOf<number>({
    name: 'integer',
    oid: 23,
    write: (out, value) => {
      out.int32(value);
    },
  }),
  /** Numbers must be safe integers. */
  bigint: columnOf<number | bigint>({
    name: 'bigint',
    oid: 20,
    write: (out, value) => {
      out.int64(value);
    },
  }),
  numeric: columnOf<bigint | number>({ name: 'numeric', oid: 1700, write: writeNumeric }),
  /** Of milliseconds since 1970. */
  instant: columnOf<number>({
    name: 'timestamptz',
    oid: 1184,
    write: (out, value) => {
      const sinceEpoch = value - EPOCH_MS;
      out.int64(Math.abs(sinceEpoch) <= MAX_EXACT_MS ? sinceEpoch * 1000 : BigInt(sinceEpoch) * 1000n);
    },
  }),
  /** Of what `JSON.stringify` takes. */
  json: columnOf<object>({
    name: 'jsonb',
    oid: 3802,
    write: (out, value) => {
      out.byte(JSONB_VERSION);
      out.text(JSON.stringify(value));
    },
  }),
};
