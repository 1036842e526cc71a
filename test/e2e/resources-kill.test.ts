import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type OpenAI from 'openai';
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

/** A batch of lines that each have these bounds. */
async function order(client: OpenAI, bounds: object): Promise<OpenAI.Batch> {
  const lines = Array.from({ length: LINES }, (_, index) => {
    const line = JSON.parse(chatLine(`line-${index}`, `Question ${index}`, MODEL)) as { body: object };
    return JSON.stringify({ ...line, body: { ...line.body, ...bounds } });
  });
  const input = await client.files.create({ file: batchFile(lines), purpose: 'batch' });
  const endpoint = '/v1/chat/completions';
  return client.batches.create({ input_file_id: input.id, endpoint, completion_window: '24h' });
}

async function reserved(): Promise<bigint> {
  const { platform, tenant } = customer;
  const { wallet } = await platform.query<{ wallet: { reserved: string } }>('{ wallet { reserved } }', tenant.token);
  return parseUnits(wallet.reserved);
}

async function spentAndReserved(): Promise<bigint> {
  return parseUnits(CREDIT) - (await readBalance(customer.platform, customer.tenant.token)) + (await reserved());
}

const recordFolder = (): string => join(distribution.home, 'data-plane-1', 'batches');

it(
  'a batch is billed once though its data plane is killed while it reads the output',
  { timeout: 180_000 },
  async () => {
    const { client, books, platform, tenant } = customer;
    // Nobody could pay for this one.
    await expect(order(client, { n: 128, max_tokens: 1_000_000 })).rejects.toMatchObject({ status: 402 });
    await waitFor(async () => (await reserved()) === 0n, { timeoutMs: 20_000, what: 'nothing held for it' });
    const batch = await order(client, { max_tokens: 200 });
    const held = await reserved();
    expect(held).toBeGreaterThan(0n);
    expect(await readdir(recordFolder())).toHaveLength(1);
    expect((await client.batches.retrieve(batch.id)).status).toBe('completed');
    // The output comes a few bytes at a time.
    await setFaults([{ split: 4 }]);
    await waitFor(async () => (await billedLines()) > 0, { timeoutMs: 60_000, what: 'the first billed lines' });
    const [pid = 0] = distribution.readRuntime()?.processes.dataPlanes ?? [];
    process.kill(pid, 'SIGKILL');
    expect(await spentAndReserved()).toBeGreaterThanOrEqual(held);
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
    expect(owed).toBeLessThanOrEqual(held);
    expect(await readBalance(platform, tenant.token)).toBe(parseUnits(CREDIT) - owed);
    expect(await reserved()).toBe(0n);
  },
);
