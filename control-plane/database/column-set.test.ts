import { afterAll, beforeAll, expect, test } from 'vitest';
import type pg from 'pg';
import fc from 'fast-check';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { column, columnSet } from './column-set.js';
import { isDataError, openPool } from './sql.js';

let database: TestDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await createTestDatabase({ isEmpty: true });
  pool = openPool({ url: database.urls.owner, size: 1, onError: () => undefined });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

interface Row {
  readonly u: string | null;
  readonly t: string | null;
  readonly b: boolean | null;
  readonly i: number | null;
  readonly l: bigint | null;
  readonly n: bigint | null;
  readonly at: number | null;
  readonly j: object | null;
}

const SET = columnSet<Row>([
  column.uuid('u', ({ u }) => u),
  column.text('t', ({ t }) => t),
  column.boolean('b', ({ b }) => b),
  column.integer('i', ({ i }) => i),
  column.bigint('l', ({ l }) => l),
  column.numeric('n', ({ n }) => n),
  column.instant('at', ({ at }) => at),
  column.json('j', ({ j }) => j),
]);

const storable = fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', '').toWellFormed());
const row = fc.record({
  u: fc.option(fc.uuid()),
  t: fc.option(storable),
  b: fc.option(fc.boolean()),
  i: fc.option(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
  l: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  n: fc.option(fc.oneof(fc.bigInt({ min: -(10n ** 39n), max: 10n ** 39n }), fc.nat(20_000).map(BigInt))),
  at: fc.option(fc.integer({ min: -60_000_000_000_000, max: 253_402_300_799_999 })),
  j: fc.option(fc.dictionary(storable, fc.oneof(storable, fc.integer(), fc.constant(null)))),
});

test('what is sent column by column is what the database has, nulls and extremes included', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(row, { maxLength: 20 }), async (rows) => {
      const text = `select u, t, b, i, l::text, n::text, (extract(epoch from at) * 1000)::bigint::text as at, j from ${SET.record}`;
      const found = (await pool.query<Record<string, unknown>>({ text, values: SET.values(rows) })).rows;
      expect(found).toEqual(
        rows.map(({ u, t, b, i, l, n, at, j }) => ({
          ...{ u: u?.toLowerCase() ?? null, t, b, i, j },
          ...{ l: l?.toString() ?? null, n: n?.toString() ?? null, at: at?.toString() ?? null },
        })),
      );
    }),
    { numRuns: 60 },
  );
});

test('what the database cannot hold is refused by it as data, not stored changed', async () => {
  const none = { u: null, t: null, b: null, i: null, l: null, n: null, at: null, j: null };
  for (const bad of [{ t: 'a\0b' }, { j: { a: '\0' } }, { j: { a: '\ud800' } }]) {
    const values = SET.values([{ ...none, ...bad }]);
    const error: unknown = await pool.query({ text: `select * from ${SET.record}`, values }).catch((e: unknown) => e);
    expect(isDataError(error)).toBe(true);
  }
  for (const u of ['abc', '', '0'.repeat(33)]) expect(() => SET.values([{ ...none, u }])).toThrow('not a UUID');
});
