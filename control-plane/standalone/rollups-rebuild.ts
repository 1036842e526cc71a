import { parseArgs } from 'node:util';
import { rebuildRollups } from '../billing/rebuild-rollups.js';
import { openPool } from '../database/sql.js';
import { findWorkerDatabase } from './worker-database.js';

/**
 * `npm run rollups:rebuild -- --from 2026-11-01 --to 2026-12-01`: works usage by hour and day out again, of the distribution
 * that runs here or, with `WORKER_DATABASE_URL`, of any installation; calls go on. Ends with 0 when it is done, else with 2.
 */
const { values } = parseArgs({ options: { from: { type: 'string' }, to: { type: 'string' } } });

function readDay(name: 'from' | 'to'): Date | undefined {
  const text = values[name];
  if (text === undefined) return undefined;
  const day = new Date(text);
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || Number.isNaN(day.getTime())) {
    throw new Error(`--${name} must be a day such as 2026-11-01 (UTC)`);
  }
  return day;
}

async function rebuild(url: string, from: Date | undefined, to: Date | undefined): Promise<void> {
  const pool = openPool({ url, size: 1, onError: () => undefined });
  const onDay = (day: Date, rows: number): void => {
    console.log(`${day.toISOString().slice(0, 10)}: ${rows} rows`);
  };
  try {
    console.log(`${await rebuildRollups({ pool, from, to, onDay })} days rebuilt`);
  } finally {
    await pool.end();
  }
}

try {
  const [from, to] = [readDay('from'), readDay('to')];
  const url = await findWorkerDatabase();
  if (url === null) {
    console.error('Nothing runs here: start it with `npm start` first, or set WORKER_DATABASE_URL.');
    process.exitCode = 2;
  } else await rebuild(url, from, to);
} catch (error) {
  console.error(`The rollups cannot be rebuilt: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
