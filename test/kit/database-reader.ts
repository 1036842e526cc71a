import type pg from 'pg';
import { openPool } from '../../control-plane/database/sql.js';

/** Reads the platform's tables past every rule, with the `databaseUrl` of runtime.json. */
export interface DatabaseReader {
  rows<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
  /** How many rows each table of the platform has, by name. */
  countRows(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

export function openDatabaseReader(databaseUrl: string): DatabaseReader {
  // A test kills the server: a connection that is lost while nobody uses it is no fault.
  const pool = openPool({ url: databaseUrl, size: 2, onError: () => undefined });
  const rows = async <Row extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<Row[]> =>
    (await pool.query<Row>(text, values)).rows;
  return {
    rows,
    async countRows() {
      const tables = await rows<{ name: string }>(
        `select quote_ident(tablename) as name from pg_tables where schemaname = 'public' order by 1`,
      );
      const counts: Record<string, number> = {};
      for (const { name } of tables) {
        const [row] = await rows<{ count: string }>(`select count(*) from ${name}`);
        counts[name] = Number(row?.count);
      }
      return counts;
    },
    close: () => pool.end(),
  };
}
