import pg from 'pg';

/** What a statement is sent to: a pool, or one connection within a transaction. */
export interface Queryable {
  query<Row extends pg.QueryResultRow>(statement: pg.QueryConfig): Promise<pg.QueryResult<Row>>;
}

/** One connection out of a {@link ConnectionPool}; given back after use, with the error if it may be broken. */
export interface Connection extends Queryable {
  release(error?: Error | boolean): void;
}

/** The part of a pg pool that the worker uses, so that a test can put itself in between. */
export interface ConnectionPool {
  connect(): Promise<Connection>;
}

export interface OpenPoolOptions {
  readonly url: string;
  /** Connections at most. */
  readonly size: number;
  /** Told of an idle connection that broke; the pool replaces it. */
  readonly onError: (error: Error) => void;
}

/** Connections for plain SQL: for what is read or written in sets and must be fast. */
export function openPool({ url, size, onError }: OpenPoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max: size,
    statement_timeout: 30_000,
    connectionTimeoutMillis: 10_000,
    application_name: 'pingtoken',
  });
  pool.on('error', onError);
  // A connection that is cut between two statements of a transaction tells nobody but its own listeners, and without one the
  // process would end. The next statement fails, which is all that has to happen.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/**
 * Runs work in one transaction: committed when it returns, rolled back when it throws. A connection on which even the
 * rollback failed is closed, never given to the next one.
 */
export async function inTransaction<T>(pool: ConnectionPool, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await pool.connect();
  let broken: Error | undefined;
  try {
    await connection.query({ text: 'begin' });
    try {
      const result = await work(connection);
      await connection.query({ text: 'commit' });
      return result;
    } catch (error) {
      await connection.query({ text: 'rollback' }).catch((rollbackError: unknown) => {
        broken = rollbackError instanceof Error ? rollbackError : new Error('rollback failed');
      });
      throw error;
    }
  } finally {
    connection.release(broken);
  }
}

/** SQLSTATE of an error that PostgreSQL answered; undefined for any other. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/**
 * Whether the statement's own values are at fault, so that sending them again would fail again: data exceptions (22),
 * constraints (23), limits such as nesting (54), and what a function of the schema raised.
 */
export function isDataError(error: unknown): boolean {
  return /^(?:22|23|54|P0001)/.test(sqlState(error) ?? '');
}
