import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBillingFixture, makeEvent, TestSpool, type BillingFixture } from '../../test/kit/billing-fixture.js';
import { createTestDatabase, type TestDatabase } from '../../test/kit/platform-database.js';
import { openPool } from '../database/sql.js';
import { createUsageIngest } from '../workers/ingest-usage.js';

let database: TestDatabase;
let fixture: BillingFixture;

beforeAll(async () => {
  database = await createTestDatabase();
  fixture = createBillingFixture(database.urls.owner);
  const pool = openPool({ url: database.urls.worker, size: 1, onError: () => undefined });
  const [customer, price] = [await fixture.createCustomer(), await fixture.createVersion({ input: '3', output: '5' })];
  await createUsageIngest({ pool })(
    new TestSpool(await fixture.createDataPlane()).append(makeEvent(customer, price.id)),
  );
  await pool.end();
});
afterAll(async () => {
  await fixture.close();
  await database.drop();
});

const program = join(import.meta.dirname, '../dist/standalone/ledger-verify.js');

function run(url: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], WORKER_DATABASE_URL: url };
    execFile(process.execPath, [program], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

test('ends well where all adds up, names what does not, and says when it cannot tell', async () => {
  expect(await run(database.urls.worker)).toEqual({
    code: 0,
    output: '2 accounts, 1 events, 1 transfers: all add up\n',
  });
  await fixture.query('update account set credits = credits + 1');
  const { code, output } = await run(database.urls.worker);
  expect(code).toBe(1);
  expect(output).toContain('2 differences');
  expect((await run('postgres://nobody@127.0.0.1:1/none')).code).toBe(2);
});
