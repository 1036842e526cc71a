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
/** That they are killed and found again takes its time on a busy machine. */
const TEST_TIMEOUT_MS = 240_000;
const CREDIT = '100';

let distribution: Distribution;
let customer: Customer;
let database: DatabaseReader;

beforeAll(async () => {
  distribution = await startDistribution({ env: { BATCH_POLL_INTERVAL_MS: '1000' } });
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

/** Read at once: lines go from the one to the other all the while. */
async function spentAndReserved(): Promise<bigint> {
  const { platform, tenant } = customer;
  const { wallet } = await platform.query<{ wallet: { balance: string; reserved: string } }>(
    '{ wallet { balance reserved } }',
    tenant.token,
  );
  return parseUnits(CREDIT) - parseUnits(wallet.balance) + parseUnits(wallet.reserved);
}

const recordFolder = (): string => join(distribution.home, 'data-plane-1', 'batches');

it(
  'a batch is billed once though its data plane is killed while it reads the output',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    const { client, books, platform, tenant } = customer;
    // Nobody could pay for this one.
    await expect(order(client, { n: 128, max_tokens: 1_000_000 })).rejects.toMatchObject({ status: 402 });
    await waitFor(async () => (await readdir(recordFolder())).length === 0, { timeoutMs: 20_000, what: 'its end' });
    expect(await reserved()).toBe(0n);
    // Answers, the output too, come a few bytes at a time.
    await setFaults([{ split: 4 }]);
    const batch = await order(client, { max_tokens: 200 });
    const held = await reserved();
    expect(held).toBeGreaterThan(0n);
    expect(await readdir(recordFolder())).toHaveLength(1);
    expect((await client.batches.retrieve(batch.id)).status).toBe('completed');
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

it(
  'a response in the background is billed once though its data plane is killed before it is over',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    const { client, books, platform, tenant } = customer;
    const before = await readBalance(platform, tenant.token);
    const responses = () =>
      database.rows<{ amount: string }>(`select amount from usage_event where operation = 'responses' and amount > 0`);
    const response = await client.responses.create({
      ...{ model: MODEL, input: 'Think long [[sim polls=1]]', max_output_tokens: 500, background: true },
    });
    expect(response.status).toBe('queued');
    const held = await reserved();
    expect(held).toBeGreaterThan(0n);
    const [pid = 0] = distribution.readRuntime()?.processes.dataPlanes ?? [];
    process.kill(pid, 'SIGKILL');
    await waitFor(async () => (await responses()).length > 0, {
      timeoutMs: 120_000,
      what: 'the response in the ledger',
    });
    await waitFor(async () => (await readdir(recordFolder())).length === 0, {
      timeoutMs: 60_000,
      what: 'the end of it',
    });
    await waitFor(async () => (await reserved()) === 0n, { timeoutMs: 60_000, what: 'what was held is back' });
    const { requests } = await books.served();
    const [served] = requests.filter(({ path }) => path === '/v1/responses');
    if (served === undefined) throw new Error('nothing was served');
    const owed = exactPrice(await readPriceList(platform, MODEL), served);
    expect((await responses()).map(({ amount }) => BigInt(amount))).toEqual([owed]);
    expect(await readBalance(platform, tenant.token)).toBe(before - owed);
  },
);
