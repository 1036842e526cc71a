import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { inTransaction, isDataError, openPool } from './sql.js';

test('a connection that is cut within a transaction fails the transaction, and neither the process nor the next one', async () => {
  const idleFaults: Error[] = [];
  const pool = openPool({ url: inject('adminUrl'), size: 1, onError: (error) => idleFaults.push(error) });
  const other = new pg.Client({ connectionString: inject('adminUrl') });
  await other.connect();
  const cut = inTransaction(pool, async (connection) => {
    const { rows } = await connection.query<{ pid: number }>({ text: 'select pg_backend_pid() as pid' });
    await other.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await connection.query({ text: 'select 1' });
  });
  await expect(cut).rejects.toThrow();
  await inTransaction(pool, (connection) => connection.query({ text: 'select 1' }));
  await other.end();
  await pool.end();
});

test('what is thrown in a transaction undoes it', async () => {
  const pool = openPool({ url: inject('adminUrl'), size: 1, onError: () => undefined });
  const work = inTransaction(pool, async (connection) => {
    await connection.query({ text: 'create table undone (id int)' });
    throw new Error('no');
  });
  await expect(work).rejects.toThrow('no');
  const { rows } = await pool.query<{ found: string | null }>({ text: `select to_regclass('undone') as found` });
  expect(rows).toEqual([{ found: null }]);
  await pool.end();
});

test('faults of values are told from faults of the moment', async () => {
  const pool = openPool({ url: inject('adminUrl'), size: 1, onError: () => undefined });
  const faultOf = (text: string): Promise<unknown> => pool.query({ text }).catch((error: unknown) => error);
  expect(isDataError(await faultOf(`select 'x'::int`))).toBe(true);
  expect(isDataError(await faultOf(`select '"\\u0000"'::jsonb`))).toBe(true);
  expect(isDataError(await faultOf('select 1 / 0'))).toBe(true);
  expect(isDataError(await faultOf('select * from nowhere'))).toBe(false);
  expect(isDataError(new Error('connection lost'))).toBe(false);
  await pool.end();
});
