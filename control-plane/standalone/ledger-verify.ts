import { parseArgs } from 'node:util';
import { verifyLedger } from '../billing/verify-ledger.js';
import { openPool } from '../database/sql.js';
import { findWorkerDatabase } from './worker-database.js';

/**
 * `npm run ledger:verify`: works the ledger out again, of the distribution that runs here or, with `WORKER_DATABASE_URL`, of any
 * installation. Ends with 0 where everything adds up, with 1 where it does not, and with 2 where that cannot be told.
 */
const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });

async function verify(url: string): Promise<number> {
  const pool = openPool({ url, size: 1, onError: () => undefined });
  try {
    const report = await verifyLedger({ pool });
    const { accounts, events, transfers, differences } = report;
    if (values.json) console.log(JSON.stringify(report));
    else {
      for (const { about, id, expected, found } of differences) {
        console.log(`${about} ${id}: must be ${expected}; is ${found}`);
      }
      const sum = `${accounts} accounts, ${events} events, ${transfers} transfers`;
      console.log(differences.length === 0 ? `${sum}: all add up` : `${sum}: ${differences.length} differences`);
    }
    return differences.length === 0 ? 0 : 1;
  } finally {
    await pool.end();
  }
}

try {
  const url = await findWorkerDatabase();
  if (url === null) console.error('Nothing runs here: start it with `npm start` first, or set WORKER_DATABASE_URL.');
  process.exitCode = url === null ? 2 : await verify(url);
} catch (error) {
  console.error(`The ledger cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
