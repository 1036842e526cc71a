import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import fc from 'fast-check';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dearestSumOf } from '@pingtoken/shared/dearest-price';
import type { LeaseAnswer, LeaseFences, LeaseRequest } from '@pingtoken/shared/lease';
import { priceOf } from '@pingtoken/shared/price-of';
import type { RateCardVersion } from '@pingtoken/shared/rate-card';
import { makeSubmission } from '../../test/kit/batch-submission.js';
import { eventually, MemoryConfig, MemorySpool } from '../../test/kit/gateway-fixture.js';
import { makeTemporaryFolder, type TemporaryFolder } from '../../test/kit/temporary-folder.js';
import { waitFor } from '../../test/kit/wait-for.js';
import { createUpstreamAddresses } from '../forward/upstream-address.js';
import type { LeaseClient } from '../leases/lease-keeper.js';
import { createBatchBilling, type BatchBilling } from './batch-billing.js';
import { createJobMoney, type JobCost } from './job-money.js';
import { addLine, NO_REACH, readInputNote, writeInputNote } from './batch-reach.js';
import { openBatchStore, type BatchRecord } from './batch-store.js';
import { createExchanger, type Exchanger } from './exchange.js';

const logger = pino({ level: 'silent' });
const CARD: RateCardVersion = {
  id: randomUUID(),
  effectiveFrom: 0,
  currency: 'USD',
  rates: { input: '10', output: '30', cacheRead: '1', reasoning: '35', request: '100' },
  contextTiers: [{ aboveInputTokens: 1_000, rates: { input: '20', output: '25' } }],
  serviceTiers: { batch: { rates: { input: '5', output: '15' }, contextTiers: [] } },
  windows: [],
  freeTokensPerMonth: 0,
};

describe('what a batch can cost at most', () => {
  const tokens = fc.integer({ min: 0, max: 3_000 });
  const lines = fc.array(fc.record({ input: tokens, cacheRead: tokens, output: tokens, reasoning: tokens }), {
    minLength: 1,
    maxLength: 8,
  });

  it('is never below what its lines cost, whatever each of them is', () => {
    fc.assert(
      fc.property(lines, fc.constantFrom('batch' as const, 'standard' as const), (used, serviceTier) => {
        let reach = NO_REACH;
        for (const { input, cacheRead, output, reasoning } of used) {
          reach = addLine(reach, { inputTokens: input + cacheRead, outputTokens: output + reasoning });
        }
        const { lines: requests, longestInputTokens, unboundedLines, ...sum } = reach;
        expect(unboundedLines).toBe(0);
        const most = dearestSumOf({ sum: { ...sum, requests }, longestInputTokens, serviceTier, at: 0 }, CARD);
        const costs = used.map((usage) => priceOf({ ...usage, request: 1 }, CARD, { at: 0, serviceTier }));
        expect(costs.reduce((total, cost) => total + cost, 0n)).toBeLessThanOrEqual(most);
      }),
      { numRuns: 200 },
    );
  });

  it('is by the batch tier, and by the rates of long prompts only where a line is long', () => {
    const sum = { inputTokens: 4_000, outputTokens: 10, requests: 4 };
    const price = (longestInputTokens: number, serviceTier: 'batch' | 'standard') =>
      dearestSumOf({ sum, longestInputTokens, serviceTier, at: 0 }, CARD);
    // Reasoning is dearer than any other part of an answer, and has no price of its own in the batch tier.
    expect(price(1_000, 'batch')).toBe(4_000n * 5n + 10n * 35n + 400n);
    expect(price(1_000, 'standard')).toBe(4_000n * 10n + 10n * 35n + 400n);
    expect(price(1_001, 'standard')).toBe(4_000n * 20n + 10n * 35n + 400n);
  });

  it('is read again from what its input was sealed with', () => {
    const reach = {
      ...NO_REACH,
      lines: 50_000,
      unboundedLines: 2,
      longestInputTokens: 7,
      inputTokens: 6_500_000_000,
      outputTokens: 1,
    };
    expect(readInputNote(writeInputNote('/v1/embeddings', reach))).toEqual({ endpoint: '/v1/embeddings', reach });
    for (const other of [undefined, '', '/v1/embeddings', '/v1/embeddings 1.2', '/v1/files 1.2.3.4.5.6.7']) {
      expect(readInputNote(other)).toBeUndefined();
    }
  });
});

const HOUR_MS = 3_600_000;
const granted = (): LeaseAnswer['results'][number] => ({
  ...{ leaseId: randomUUID(), granted: '5', admitUntil: 1, windowFrom: null, windowTo: null },
});

describe('the money of a batch', () => {
  let home: TemporaryFolder;
  let exchanger: Exchanger;
  let billing: BatchBilling;
  let asked: LeaseRequest[];
  let fences: LeaseFences[];
  let results: () => LeaseAnswer['results'];
  let isDown: boolean;
  let inLedger: Promise<undefined>;
  const config = new MemoryConfig('http://127.0.0.1:1/v1');
  const client: LeaseClient = {
    requestLeases: (requests) => {
      asked.push(...requests);
      if (isDown) return Promise.reject(new Error('down'));
      return Promise.resolve(requests.map(({ requestId }) => ({ requestId, results: results() })));
    },
    sendFences: (sent) => {
      if (isDown) return Promise.reject(new Error('down'));
      fences.push(sent);
      return Promise.resolve();
    },
  };
  const openBilling = (): BatchBilling =>
    createBatchBilling({
      ...{ spool: new MemorySpool(), snapshot: config, exchanger, logger, pollIntervalMs: 5 },
      store: openBatchStore({ folder: home.path, logger }),
      money: createJobMoney({ client, logger }),
      inLedger: async () => {
        await inLedger;
      },
    });

  beforeEach(async () => {
    home = await makeTemporaryFolder('batch-money');
    [asked, fences, isDown, inLedger] = [[], [], false, Promise.resolve(undefined)];
    results = () => [granted()];
    const addresses = createUpstreamAddresses({ privateUpstreams: [] });
    exchanger = createExchanger({
      timeouts: { connectTimeoutMs: 500, headersTimeoutMs: 500, idleTimeoutMs: 500 },
      addresses,
    });
    billing = openBilling();
  });
  afterEach(async () => {
    await billing.close();
    await exchanger.close();
    await home.remove();
  });

  const makeRecord = (change: Partial<BatchRecord['submission']> = {}): BatchRecord => ({
    submission: makeSubmission({ leaseIds: [randomUUID()], ...change }),
    ...{ mark: 'tag.1', rawBatchId: 'batch_1', isReserving: false },
  });
  const costOf = ({ submission }: BatchRecord): JobCost => ({
    ...{ jobId: submission.submissionId, tenantId: submission.tenantId, currency: 'USD', budgetIds: [randomUUID()] },
    ...{ amount: 5n, at: submission.admittedAt },
  });
  const records = (): number => readdirSync(home.path).filter((name) => name.endsWith('.json')).length;
  const released = (): readonly string[] => fences.map(({ spoolId }) => spoolId);

  it('is asked for under its own id, from wallet and budgets alike, with its record on disk before', async () => {
    const record = makeRecord();
    let onDisk = 0;
    results = () => {
      onDisk = records();
      return [granted(), { refused: 'unlimited' }];
    };
    expect(await billing.reserve(record, costOf(record))).toHaveLength(1);
    expect(onDisk).toBe(1);
    const units = { held: '0', unit: '5', needed: '5', desired: '5' };
    expect(asked).toMatchObject([
      {
        spoolId: record.submission.submissionId,
        holder: 'job',
        asks: [units, { ...units, scope: { kind: 'budget' } }],
      },
    ]);
  });

  it.each(['exhausted', 'reserved', 'fenced'] as const)(
    'that is %s refuses it, and gives back the rest',
    async (refused) => {
      const record = makeRecord();
      results = () => [granted(), { refused }];
      const codes = { exhausted: 'insufficient_funds', reserved: 'budget_reserved', fenced: 'budget_unavailable' };
      expect(await billing.reserve(record, costOf(record))).toMatchObject({ refused: codes[refused] });
      await eventually(() => records() === 0);
      expect(released()).toEqual([record.submission.submissionId]);
    },
  );

  it('that nobody answered about refuses it, and is let go as soon as somebody hears it', async () => {
    const record = makeRecord();
    isDown = true;
    expect(await billing.reserve(record, costOf(record))).toMatchObject({ refused: 'budget_unavailable' });
    expect(records()).toBe(1);
    isDown = false;
    await eventually(() => records() === 0);
    expect(released()).toEqual([record.submission.submissionId]);
  });

  it('that a killed process was asking for goes back at the next start', async () => {
    const record = makeRecord();
    await billing.reserve(record, costOf(record));
    const next = openBilling();
    next.start();
    await eventually(() => records() === 0);
    expect(released()).toEqual([record.submission.submissionId]);
    await next.close();
  });

  it('goes back when two days are over though its account is gone; the batch is still waited for', async () => {
    const providerId = randomUUID();
    const [young, old] = [47, 49].map((hours) => makeRecord({ providerId, admittedAt: Date.now() - hours * HOUR_MS }));
    if (young === undefined || old === undefined) throw new Error('two are needed');
    const store = openBatchStore({ folder: home.path, logger });
    await store.put(young);
    await store.put(old);
    billing.start();
    await eventually(() => released().length === 1);
    expect(released()).toEqual([old.submission.submissionId]);
    await waitFor(
      async () => (await store.list()).filter(({ submission }) => submission.leaseIds.length === 0).length === 1,
      { timeoutMs: 10_000, what: 'the record without its leases' },
    );
    expect(await store.list()).toHaveLength(2);
  });

  it('stays until the ledger has the lines', async () => {
    const ledger = Promise.withResolvers<undefined>();
    inLedger = ledger.promise;
    // Nobody's batch for so long that it is given up.
    const record = makeRecord({ admittedAt: Date.now() - 61 * 24 * HOUR_MS, leaseIds: [] });
    await openBatchStore({ folder: home.path, logger }).put(record);
    billing.start();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([records(), released().length]).toEqual([1, 0]);
    ledger.resolve(undefined);
    await eventually(() => records() === 0);
    expect(released()).toEqual([record.submission.submissionId]);
  });
});
