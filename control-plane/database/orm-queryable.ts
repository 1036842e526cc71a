import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { Queryable } from './sql.js';
import type { Transaction } from './transaction.js';

/**
 * Sends plain statements within an ORM transaction, so that what is written in SQL serves both logins. Values must be
 * strings, numbers, booleans or null, and be cast in the statement.
 */
export function asQueryable({ em }: Transaction): Queryable {
  return {
    async query<Row extends QueryResultRow>({ text, values = [] }: QueryConfig): Promise<QueryResult<Row>> {
      const given: unknown[] = [];
      const statement = text.replace(/\$(\d+)/g, (_, position: string) => {
        given.push(values[Number(position) - 1]);
        return '?';
      });
      const result: unknown = await em.execute(statement, given);
      const found = Array.isArray(result) ? (result as Row[]) : [];
      return { rows: found, rowCount: found.length, command: '', oid: 0, fields: [] };
    },
  };
}
