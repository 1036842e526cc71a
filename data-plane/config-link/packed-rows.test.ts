import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PackedIndex, PackedRows, readUuid, writeUuid } from './packed-rows.js';

describe('packed rows', () => {
  it('writes and reads any UUID, of either case', () => {
    fc.assert(
      fc.property(fc.uuid(), (uuid) => {
        const bytes = Buffer.alloc(20);
        writeUuid(bytes, 2, uuid.toUpperCase());
        expect(readUuid(bytes, 2)).toBe(uuid);
      }),
    );
  });

  it('finds what a Map would find after any adds and removes, also where all values collide', () => {
    const operation = fc.record({ remove: fc.boolean(), value: fc.integer({ min: 0, max: 300 }) });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 600 }), fc.boolean(), (operations, colliding) => {
        const rows = new PackedRows(8, 2);
        const index = new PackedIndex(rows, 0, 8);
        const model = new Map<number, number>();
        const keyOf = (value: number): Buffer => {
          const key = Buffer.alloc(8);
          // Only the last four bytes choose the slot.
          key.writeUInt32BE(value, colliding ? 0 : 4);
          return key;
        };
        for (const { remove, value } of operations) {
          const row = model.get(value);
          if (row !== undefined && remove) {
            index.remove(row);
            rows.release(row);
            model.delete(value);
          } else if (row === undefined && !remove) {
            const created = rows.allocate();
            keyOf(value).copy(rows.bytes, created * 8);
            index.add(created);
            model.set(value, created);
          }
        }
        for (let value = 0; value <= 300; value += 1) expect(index.find(keyOf(value))).toBe(model.get(value) ?? -1);
      }),
      { numRuns: 60 },
    );
  });

  it('holds 20,000 rows of counted-up ids without slow searches', () => {
    const rows = new PackedRows(16);
    const index = new PackedIndex(rows, 0, 16);
    const prefix = randomUUID().slice(0, 24);
    const idOf = (n: number): string => prefix + n.toString(16).padStart(12, '0');
    const key = Buffer.alloc(16);
    const startedAt = performance.now();
    for (let n = 0; n < 20_000; n += 1) {
      const row = rows.allocate();
      writeUuid(rows.bytes, row * 16, idOf(n));
      index.add(row);
    }
    for (let n = 0; n < 20_000; n += 1) {
      writeUuid(key, 0, idOf(n));
      expect(index.find(key)).toBe(n);
    }
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});
