import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createCustomer, type Customer } from '../kit/customer.js';
import { openDatabaseReader, type DatabaseReader } from '../kit/database-reader.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { exactPrice, parseUnits, readPriceList } from '../kit/exact-price.js';
import { batchFile, chatLine } from '../kit/kept-things-fixture.js';
import { readBalance } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';

const MODEL = 'pingtoken-sim-small';
const LINES = 600;
const CREDIT = '100';

let distribution: Distribution;
let customer: Customer;
let database: DatabaseReader;

beforeAll(async () => {
  distribution = await startDistribution();
  customer = await createCustomer(distribution);
  database = openDatabaseReader(distribution.runtime.databaseUrl);
});
afterAll(async () => {
  await database.close();
  await distribution.dispose();
});

async function setFaults(rules: readonly object[]): Promise<void> {
  const { url } = distribution.runtime.provider;
  const response = await fetch(`${url}/faults`, { method: 'PUT', body: JSON.stringify(rules) });
  expect(response.status).toBe(200);
}

/** Lines of the batch that the ledger knows. */
async function billedLines(): Promise<number> {
  const [row] = await database.rows<{ count: string }>(
    `select count(*) from usage_event where operation = 'chat-completions'`,
  );
  return Number(row?.count);
}

const recordFolder = (): string => join(distribution.home, 'data-plane-1', 'batches');

it(
  'a batch is billed once though its data plane is killed while it reads the output',
  { timeout: 180_000 },
  async () => {
    const { client, books, platform, tenant } = customer;
    const lines = Array.from({ length: LINES }, (_, index) => chatLine(`line-${index}`, `Question ${index}`, MODEL));
    const input = await client.files.create({ file: batchFile(lines), purpose: 'batch' });
    const batch = await client.batches.create({
      input_file_id: input.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
    });
    expect(await readdir(recordFolder())).toHaveLength(1);
    expect((await client.batches.retrieve(batch.id)).status).toBe('completed');
    // The output comes a few bytes at a time.
    await setFaults([{ split: 4 }]);
    await waitFor(async () => (await billedLines()) > 0, { timeoutMs: 60_000, what: 'the first billed lines' });
    const [pid = 0] = distribution.readRuntime()?.processes.dataPlanes ?? [];
    process.kill(pid, 'SIGKILL');
    await setFaults([]);
    await waitFor(async () => (await readdir(recordFolder())).length === 0, {
      timeoutMs: 90_000,
      what: 'the end of it',
    });
    await waitFor(async () => (await billedLines()) >= LINES, { timeoutMs: 30_000, what: 'all lines in the ledger' });
    await sleep(1_000);
    expect(await billedLines()).toBe(LINES);

    const { requests } = await books.served();
    const downloads = requests.filter(({ path }) => path === '/v1/files/:id/content').map(({ outcome }) => outcome);
    expect(downloads).toEqual(['aborted', 'completed']);
    const served = requests.filter(({ model }) => model === MODEL);
    expect(served).toHaveLength(LINES);
    const prices = await readPriceList(platform, MODEL);
    const owed = served.reduce((sum, call) => sum + exactPrice(prices, call), 0n);
    expect(owed).toBeGreaterThan(0n);
    expect(await readBalance(platform, tenant.token)).toBe(parseUnits(CREDIT) - owed);
  },
);
