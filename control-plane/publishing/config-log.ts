import type pg from 'pg';
import { CHAIN_START, type ConfigPosition } from '@pingtoken/shared/config-snapshot';

/** A state of the config and the head of the chain that leads to it. */
export interface ConfigHead extends ConfigPosition {
  /** base64url */
  readonly chain: string;
}

export interface ConfigChanges {
  readonly target: ConfigHead;
  /** Object lines from just after the base up to the target, in order. */
  readonly lines: readonly string[];
}

/** Reads what `publish_config` wrote, through the worker login. */
export interface ConfigLog {
  head(): Promise<ConfigHead>;
  /** @returns null when that state is none of this history's, or so far back that a snapshot is shorter */
  changesSince(base: ConfigHead): Promise<ConfigChanges | null>;
  /** Every object of one state, in batches, all of one moment however long the reader takes. */
  snapshot<T>(read: (head: ConfigHead, batches: AsyncIterable<readonly string[]>) => Promise<T>): Promise<T>;
}

const MAX_DELTA_LINES = 5000;
const SNAPSHOT_BATCH = 2000;

interface HeadRow {
  readonly epoch: string;
  readonly seq: string;
  readonly chain: Buffer;
}

export function createConfigLog({ pool }: { pool: pg.Pool }): ConfigLog {
  return {
    head: async () => readHead(pool),

    async changesSince(base) {
      const target = await readHead(pool);
      if (target.epoch !== base.epoch || base.seq > target.seq || target.seq - base.seq > MAX_DELTA_LINES) return null;
      if ((await chainAt(pool, base.seq)) !== base.chain) return null;
      const { rows } = await pool.query<{ line: string }>(
        'select line from config_change where seq > $1 and seq <= $2 order by seq',
        [base.seq, target.seq],
      );
      // Changes that were pruned from the log cannot be told any more.
      if (rows.length !== target.seq - base.seq) return null;
      return { target, lines: rows.map(({ line }) => line) };
    },

    async snapshot(read) {
      const client = await pool.connect();
      try {
        await client.query('begin isolation level repeatable read read only');
        const result = await read(await readHead(client), readBatches(client));
        await client.query('commit');
        return result;
      } catch (error) {
        await client.query('rollback');
        throw error;
      } finally {
        client.release();
      }
    },
  };
}

async function* readBatches(client: pg.PoolClient): AsyncGenerator<readonly string[]> {
  let after = 0;
  for (;;) {
    const { rows } = await client.query<{ seq: string; line: string }>(
      'select seq, line from config_object where seq > $1 order by seq limit $2',
      [after, SNAPSHOT_BATCH],
    );
    if (rows.length === 0) return;
    after = Number(rows.at(-1)?.seq);
    yield rows.map(({ line }) => line);
  }
}

async function readHead(client: pg.Pool | pg.PoolClient): Promise<ConfigHead> {
  const { rows } = await client.query<HeadRow>('select epoch, seq, chain from config_head');
  const [row] = rows;
  if (row === undefined) throw new Error('config_head is empty: the migrations have not run');
  return { epoch: Number(row.epoch), seq: Number(row.seq), chain: row.chain.toString('base64url') };
}

async function chainAt(pool: pg.Pool, seq: number): Promise<string | undefined> {
  if (seq === 0) return CHAIN_START;
  const { rows } = await pool.query<{ chain: Buffer }>('select chain from config_change where seq = $1', [seq]);
  return rows[0]?.chain.toString('base64url');
}
