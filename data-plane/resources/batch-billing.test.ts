import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseAddressRanges } from '@pingtoken/shared/address-ranges';
import { makeSubmission } from '../../test/kit/batch-submission.js';
import { eventually, MemoryConfig, MemorySpool } from '../../test/kit/gateway-fixture.js';
import { makeTemporaryFolder, type TemporaryFolder } from '../../test/kit/temporary-folder.js';
import { createUpstreamAddresses } from '../forward/upstream-address.js';
import { createBatchBilling, type BatchBilling } from './batch-billing.js';
import { openBatchStore, type BatchRecord, type BatchStore } from './batch-store.js';
import { createExchanger, type Exchanger } from './exchange.js';

const logger = pino({ level: 'silent' });
const LINE = `${JSON.stringify({
  custom_id: 'a',
  response: { status_code: 200, body: { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4 } } },
})}\n`;

let home: TemporaryFolder;
let server: Server;
let answers: Record<string, { status: number; body: string }>;
let asked: string[];
let config: MemoryConfig;
let spool: MemorySpool;
let store: BatchStore;
let exchanger: Exchanger;
let billing: BatchBilling;

const answer: RequestListener = (request, response) => {
  const [path = ''] = (request.url ?? '').split('?');
  asked.push(request.url ?? '');
  const { status, body } = answers[path] ?? { status: 404, body: '{}' };
  response.writeHead(status, { 'content-type': 'application/json' }).end(body);
};

beforeEach(async () => {
  home = await makeTemporaryFolder('billing');
  asked = [];
  answers = {};
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  config = new MemoryConfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`);
  spool = new MemorySpool();
  store = openBatchStore({ folder: home.path, logger });
  const addresses = createUpstreamAddresses({ privateUpstreams: parseAddressRanges('127.0.0.0/8') });
  const timeouts = { connectTimeoutMs: 1_000, headersTimeoutMs: 1_000, idleTimeoutMs: 1_000 };
  exchanger = createExchanger({ timeouts, addresses });
  billing = createBatchBilling({ store, spool, snapshot: config, exchanger, logger, pollIntervalMs: 5 });
});
afterEach(async () => {
  await billing.close();
  await exchanger.close();
  server.close();
  server.closeAllConnections();
  await home.remove();
});

function makeRecord(change: Partial<BatchRecord> = {}, admittedAt = Date.now()): BatchRecord {
  const providerId = config.provider.id;
  return {
    submission: makeSubmission({ submissionId: randomUUID(), providerId, admittedAt }),
    mark: 'tag.1',
    rawBatchId: 'batch_1',
    isReserving: false,
    ...change,
  };
}

const json = (value: object, status = 200) => ({ status, body: JSON.stringify(value) });
const completed = { id: 'batch_1', status: 'completed', output_file_id: 'file-1', completed_at: 1_800_000_000 };

const awaitRecords = (count: number): Promise<void> =>
  eventually(() => readdirSync(home.path).filter((name) => name.endsWith('.json')).length === count, 10_000);

describe('a batch that an earlier process left', () => {
  it('is asked for until it is over, billed, and then forgotten', async () => {
    answers = { '/v1/batches/batch_1': json({ id: 'batch_1', status: 'in_progress' }) };
    await store.put(makeRecord());
    billing.start();
    await eventually(() => asked.length >= 2);
    expect(spool.ends).toHaveLength(0);
    answers = { '/v1/batches/batch_1': json(completed), '/v1/files/file-1/content': { status: 200, body: LINE } };
    await awaitRecords(0);
    expect(spool.ends).toMatchObject([{ endedAt: 1_800_000_000_000, attempts: [{ usage: { input: 3, output: 4 } }] }]);
  });

  it('waits while its provider cannot be reached, refuses, or answers nonsense', async () => {
    await store.put(makeRecord());
    for (const broken of [json({}, 500), json({}, 401), { status: 200, body: 'x' }, json({}, 404)]) {
      answers = { '/v1/batches/batch_1': broken };
      if (asked.length === 0) billing.start();
      const { length } = asked;
      await eventually(() => asked.length > length);
    }
    answers = { '/v1/batches/batch_1': json(completed), '/v1/files/file-1/content': json({}, 503) };
    await eventually(() => asked.filter((url) => url.endsWith('/content')).length >= 2);
    expect(await store.list()).toHaveLength(1);
    expect(spool.ends).toHaveLength(0);
  });

  it('costs nothing where it made no output, or where what it made is gone', async () => {
    answers = {
      '/v1/batches/batch_1': json({ id: 'batch_1', status: 'failed' }),
      '/v1/batches/batch_2': json({ ...completed, id: 'batch_2' }),
    };
    await store.put(makeRecord());
    await store.put(makeRecord({ rawBatchId: 'batch_2' }));
    billing.start();
    await awaitRecords(0);
    expect(spool.ends).toHaveLength(0);
  });

  it('is billed for what was done before it was cancelled or expired', async () => {
    answers = {
      '/v1/batches/batch_1': json({ ...completed, status: 'cancelled' }),
      '/v1/files/file-1/content': { status: 200, body: LINE },
    };
    await store.put(makeRecord());
    billing.start();
    await eventually(() => spool.ends.length === 1);
  });
});

describe('a batch whose submission nobody heard the answer to', () => {
  const list = (data: readonly object[], more = false) => json({ object: 'list', data, has_more: more });

  it('is found by its mark, among others’', async () => {
    const foreign = { id: 'batch_0', metadata: { pingtoken: 'tag.0' } };
    answers = {
      '/v1/batches': list([
        foreign,
        { id: 'batch_2', metadata: null },
        { ...completed, metadata: { pingtoken: 'tag.1' } },
      ]),
      '/v1/batches/batch_1': json(completed),
      '/v1/files/file-1/content': { status: 200, body: LINE },
    };
    await store.put(makeRecord({ rawBatchId: null }));
    billing.start();
    await eventually(() => spool.ends.length === 1);
    await awaitRecords(0);
  });

  it('is looked for until it is certain that it was never made, and no sooner', async () => {
    const [fresh, old] = [makeRecord({ rawBatchId: null }), makeRecord({ rawBatchId: null }, Date.now() - 3_600_000)];
    answers = { '/v1/batches': json({}, 500) };
    await store.put(fresh);
    await store.put(old);
    billing.start();
    await eventually(() => asked.length >= 4);
    expect(await store.list()).toHaveLength(2);
    answers = { '/v1/batches': list([]) };
    await eventually(() => asked.length >= 12);
    await awaitRecords(1);
    expect(await store.list()).toEqual([fresh]);
  });
});

describe('the account of a batch', () => {
  it('is another of the same provider’s where its own is no more', async () => {
    const record = makeRecord();
    const { submission } = record;
    answers = { '/v1/batches/batch_1': json(completed), '/v1/files/file-1/content': { status: 200, body: LINE } };
    const other = config.routeList[0]?.targets[0]?.credentialId;
    const { secret } = config;
    const snapshot = {
      findAccount: () => undefined,
      get catalogue() {
        const { catalogue } = config;
        return catalogue && { ...catalogue, secretOf: (id: string) => (id === other ? secret : undefined) };
      },
    };
    const another = createBatchBilling({ store, spool, snapshot, exchanger, logger, pollIntervalMs: 5 });
    const output = { rawBatchId: 'batch_1', outputFileId: 'file-1', endedAt: Date.now() };
    expect(await another.bill({ ...submission, model: 'chat-alias' }, output)).toBe(true);
    expect(await another.bill({ ...submission, model: 'gone' }, output)).toBe(false);
    await another.close();
  });
});
