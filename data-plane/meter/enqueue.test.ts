import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openUsageJob, type UsageBatch, type UsageJob } from '@pingtoken/shared/usage-batch';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Enqueuer } from './enqueue.js';
import { recoverSpools } from './recover-spools.js';
import type { SpoolStore } from './spool-store.js';
import { createSpool, SharedFacts, type EndRecord, type Spool } from './spool.js';
import type { UsageQueue } from './usage-queue.js';

const logger = pino({ level: 'silent' });
const endOf = (eventId: string = randomUUID()): EndRecord => ({
  eventId,
  facts: new SharedFacts({
    tenantId: randomUUID(),
    apiKeyId: randomUUID(),
    memberId: randomUUID(),
    config: { epoch: 1, seq: 1 },
    operation: 'chat-completions',
    model: 'm',
    priceCardVersionId: randomUUID(),
    leaseIds: [],
    client: null,
  }),
  streamed: false,
  admittedAt: 1,
  endedAt: 2,
  firstByteMs: 1,
  outcome: 'completed',
  status: 200,
  attempts: [],
  billedAttempt: null,
});

/** A queue as the worker sees it, with an outage to switch on. */
class TestQueue implements UsageQueue {
  down = false;
  connects = 0;
  readonly jobs: { readonly at: number; readonly batch: UsageBatch }[] = [];
  readonly connect = (): Promise<UsageQueue> => {
    this.connects += 1;
    return this.down ? Promise.reject(new Error('refused')) : Promise.resolve(this);
  };
  async put(job: UsageJob): Promise<void> {
    if (this.down) throw new Error('gone');
    const at = performance.now();
    this.jobs.push({ at, batch: await openUsageJob(job) });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The worker of the design: skips what it has, refuses gaps. */
function ledgerOf(jobs: readonly { readonly batch: UsageBatch }[]): UsageEvent[] {
  const events: UsageEvent[] = [];
  for (const { batch } of jobs) {
    expect(batch.firstSeq).toBeLessThanOrEqual(events.length + 1);
    events.push(...(batch.events as UsageEvent[]).slice(events.length + 1 - batch.firstSeq));
  }
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  return events;
}

/** A machine that is busy with other tests answers late. */
const PATIENCE = { timeout: 10_000 };

describe('the enqueuer', () => {
  let root: string;
  let spool: Spool;
  let store: SpoolStore;
  let queue: TestQueue;
  let enqueuer: Enqueuer;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'enqueue-'));
    ({ spool, store } = createSpool({ root, logger, limits: { tidyAfterMs: 5, segmentBytes: 64 * 1024 } }));
    queue = new TestQueue();
    enqueuer = new Enqueuer({
      dataPlaneId: randomUUID(),
      connect: queue.connect,
      logger,
      timing: { confirmWithinMs: 400, reconnect: { minMs: 20, maxMs: 100 } },
    });
    enqueuer.addSpool(store);
    enqueuer.start();
  });
  afterEach(async () => {
    await enqueuer.close();
    await spool.close();
    await rm(root, { recursive: true, force: true });
  });

  const record = async (count: number): Promise<void> => {
    await Promise.all(Array.from({ length: count }, () => spool.end(endOf())));
  };
  const confirm = (confirmedSeq: number, spoolId = spool.spoolId): void => {
    enqueuer.confirm({ spoolId, confirmedSeq });
  };

  it('puts records into the queue as they come, many to a job', async () => {
    for (let round = 1; round <= 5; round += 1) {
      await delay(100);
      await record(50);
      await vi.waitFor(
        () => {
          expect(queue.jobs).toHaveLength(round);
        },
        { interval: 3, timeout: 10_000 },
      );
      confirm(round * 50);
    }
    expect(ledgerOf(queue.jobs)).toHaveLength(250);
  });

  it('puts no more than 500 records into a job', async () => {
    await record(1201);
    await vi.waitFor(
      () => {
        expect(ledgerOf(queue.jobs)).toHaveLength(1201);
      },
      { timeout: 10_000 },
    );
    expect(Math.max(...queue.jobs.map(({ batch }) => batch.events.length))).toBe(500);
  });

  it('puts what is not confirmed in time into the queue again, with the same bounds', async () => {
    await record(10);
    await delay(200);
    await record(5);
    await delay(1000);
    expect(queue.jobs.length).toBeGreaterThanOrEqual(4);
    const bounds = new Set(queue.jobs.map(({ batch }) => `${batch.firstSeq}+${batch.events.length}`));
    expect([...bounds]).toEqual(['1+10', '11+5']);
    confirm(15);
    await delay(100);
    const { length } = queue.jobs;
    await delay(900);
    expect(queue.jobs).toHaveLength(length);
  });

  it('stops at a bound when no worker confirms, and goes on when one does', async () => {
    await record(12_000);
    await delay(300);
    const highest = (): number => Math.max(...queue.jobs.map(({ batch }) => batch.firstSeq + batch.events.length - 1));
    await vi.waitFor(() => {
      expect(highest()).toBe(8000);
    }, PATIENCE);
    confirm(8000);
    await vi.waitFor(() => {
      expect(highest()).toBe(12_000);
    }, PATIENCE);
    ledgerOf(queue.jobs);
  });

  it('keeps nothing in memory while the queue is down, and catches up without a gap', async () => {
    queue.down = true;
    await delay(50);
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    for (let round = 0; round < 40; round += 1) {
      await record(500);
      await delay(5);
    }
    globalThis.gc?.();
    const grown = process.memoryUsage().heapUsed - before;
    if (globalThis.gc !== undefined) expect(grown).toBeLessThan(5e6);
    expect(queue.connects).toBeLessThan(40);
    queue.down = false;
    for (let confirmed = 0; confirmed < 20_000;) {
      await delay(20);
      confirmed = queue.jobs.length === 0 ? 0 : ledgerOf(queue.jobs).length;
      confirm(confirmed);
    }
    expect(ledgerOf(queue.jobs)).toHaveLength(20_000);
    await vi.waitFor(async () => {
      expect((await readdir(store.folder)).filter((name) => name.endsWith('.log'))).toHaveLength(1);
    });
  });

  it('loses nothing when the queue goes away between two batches, or a confirmation meets a redelivery', async () => {
    for (let round = 0; round < 30; round += 1) {
      await record(97);
      queue.down = round % 3 === 1;
      await delay(25);
      if (round % 4 === 0 && queue.jobs.length > 0) confirm(Math.floor(ledgerOf(queue.jobs).length * Math.random()));
    }
    queue.down = false;
    await vi.waitFor(
      () => {
        expect(ledgerOf(queue.jobs)).toHaveLength(30 * 97);
      },
      { timeout: 5000 },
    );
  });

  it('enqueues what a dead process left, takes a confirmation that came early, and removes the folder at the end', async () => {
    const dead = createSpool({ root, logger });
    const ids = [randomUUID(), randomUUID(), randomUUID()];
    const { endedAt, firstByteMs, outcome, status, billedAttempt, ...start } = endOf();
    await Promise.all(ids.map((eventId) => dead.spool.start({ ...start, eventId })));
    await dead.spool.end({ ...start, eventId: ids[1] ?? '', endedAt, firstByteMs, outcome, status, billedAttempt });
    await dead.store.close();
    confirm(1, dead.spool.spoolId);
    await recoverSpools({
      root,
      ownSpoolId: spool.spoolId,
      logger,
      onRecovered: (found) => {
        enqueuer.addSpool(found, () => void found.remove());
      },
    });
    await vi.waitFor(() => {
      expect(queue.jobs).toHaveLength(1);
    }, PATIENCE);
    expect(queue.jobs[0]?.batch).toMatchObject({
      spoolId: dead.spool.spoolId,
      firstSeq: 2,
      events: [
        { seq: 2, kind: 'interrupted', eventId: ids[0] },
        { seq: 3, kind: 'interrupted', eventId: ids[2] },
      ],
    });
    confirm(3, dead.spool.spoolId);
    await vi.waitFor(async () => {
      expect(await readdir(root)).toEqual([spool.spoolId]);
    });
  });

  it('brings what was written last into the queue when it is closed', async () => {
    await delay(60);
    const recorded = record(3);
    await spool.close();
    await enqueuer.close();
    await recorded;
    expect(ledgerOf(queue.jobs)).toHaveLength(3);
  });
});
