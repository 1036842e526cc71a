/**
 * Rows of a fixed width in one buffer, found through indexes over byte columns: 100,000 keys take 10 MB here where objects
 * and strings would take 40, and the garbage collector never walks them.
 */
export class PackedRows {
  #bytes: Buffer;
  #count = 0;
  readonly #released: number[] = [];

  constructor(
    readonly rowBytes: number,
    initialRows = 64,
  ) {
    this.#bytes = Buffer.alloc(rowBytes * initialRows);
  }

  /** Rows ever in use at once; some of them may have been released. */
  get count(): number {
    return this.#count;
  }

  /** The buffer that holds the rows: changes when the table grows, so it is read anew for each access. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  allocate(): number {
    const reused = this.#released.pop();
    if (reused !== undefined) return reused;
    if ((this.#count + 1) * this.rowBytes > this.#bytes.length) {
      const grown = Buffer.alloc(this.#bytes.length * 2);
      this.#bytes.copy(grown);
      this.#bytes = grown;
    }
    this.#count += 1;
    return this.#count - 1;
  }

  release(row: number): void {
    this.#bytes.fill(0, row * this.rowBytes, (row + 1) * this.rowBytes);
    this.#released.push(row);
  }
}

const EMPTY = 0;
const NO_ROW = -1;

/** Open addressing with linear probing over one column of {@link PackedRows}; between an eighth and half full. Slots hold row + 1. */
export class PackedIndex {
  #slots = new Uint32Array(128);
  #used = 0;

  constructor(
    private readonly rows: PackedRows,
    private readonly offset: number,
    private readonly length: number,
  ) {}

  /**
   * @param newer which of two rows with the same value is meant; without it, values are taken to be unique
   * @returns the row, or -1
   */
  find(key: Uint8Array, newer?: (row: number, than: number) => boolean): number {
    let found = NO_ROW;
    for (let slot = this.#slotOf(key, 0); ; slot = this.#after(slot)) {
      const entry = this.#slots[slot] ?? EMPTY;
      if (entry === EMPTY) return found;
      const row = entry - 1;
      if (!this.#equals(row, key)) continue;
      if (newer === undefined) return row;
      if (found === NO_ROW || newer(row, found)) found = row;
    }
  }

  /** The row's column must hold its value already, and keep it until {@link remove}. */
  add(row: number): void {
    if ((this.#used + 1) * 2 > this.#slots.length) this.#grow();
    this.#place(row);
    this.#used += 1;
  }

  remove(row: number): void {
    let slot = this.#slotOfRow(row);
    while (this.#slots[slot] !== row + 1) {
      if (this.#slots[slot] === EMPTY) return;
      slot = this.#after(slot);
    }
    this.#used -= 1;
    this.#closeGap(slot);
  }

  /** Whatever could not sit at its own slot because of the removed entry moves up: a gap would end the search for it. */
  #closeGap(removed: number): void {
    let gap = removed;
    const mask = this.#slots.length - 1;
    for (let slot = this.#after(gap); ; slot = this.#after(slot)) {
      const entry = this.#slots[slot] ?? EMPTY;
      if (entry === EMPTY) break;
      const home = this.#slotOfRow(entry - 1);
      const distanceFromHome = (slot - home) & mask;
      const distanceFromGap = (slot - gap) & mask;
      if (distanceFromHome < distanceFromGap) continue;
      this.#slots[gap] = entry;
      gap = slot;
    }
    this.#slots[gap] = EMPTY;
  }

  #place(row: number): void {
    let slot = this.#slotOfRow(row);
    while (this.#slots[slot] !== EMPTY) slot = this.#after(slot);
    this.#slots[slot] = row + 1;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 4);
    for (const entry of old) if (entry !== EMPTY) this.#place(entry - 1);
  }

  #equals(row: number, key: Uint8Array): boolean {
    const bytes = this.rows.bytes;
    const start = row * this.rows.rowBytes + this.offset;
    for (let at = 0; at < this.length; at += 1) if (bytes[start + at] !== key[at]) return false;
    return true;
  }

  #slotOfRow(row: number): number {
    return this.#slotOf(this.rows.bytes, row * this.rows.rowBytes + this.offset);
  }

  /** The last four bytes of a UUID or a SHA-256 are its random ones; the multiplication spreads counted-up ids as well. */
  #slotOf(bytes: Uint8Array, start: number): number {
    const at = start + this.length - 4;
    const tail =
      ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    const mixed = Math.imul(tail, 0x9e3779b1);
    return ((mixed >>> 15) ^ mixed) & (this.#slots.length - 1);
  }

  #after(slot: number): number {
    return (slot + 1) & (this.#slots.length - 1);
  }
}

export const UUID_BYTES = 16;

/** Writes a UUID's 16 bytes. `Buffer.write` would first need the text without its dashes, which costs five times as much. */
export function writeUuid(target: Uint8Array, at: number, uuid: string): void {
  let written = at;
  for (let index = 0; index < uuid.length; index += 2) {
    if (uuid.charCodeAt(index) === DASH) index += 1;
    target[written] = (hexValue(uuid.charCodeAt(index)) << 4) | hexValue(uuid.charCodeAt(index + 1));
    written += 1;
  }
}

export function readUuid(source: Buffer, at: number): string {
  const hex = source.toString('hex', at, at + UUID_BYTES);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const DASH = 45;

/** Digits end in their value; letters of either case end in 1 to 6 for 10 to 15. */
function hexValue(code: number): number {
  return (code & 0xf) + (code >= 65 ? 9 : 0);
}
