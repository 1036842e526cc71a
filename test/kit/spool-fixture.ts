import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { pino } from 'pino';
import { recoverSpools } from '../../data-plane/meter/recover-spools.js';
import type { SpoolIo } from '../../data-plane/meter/segment-file.js';
import { SpoolReader } from '../../data-plane/meter/spool-reader.js';
import type { SpoolLimits, SpoolStore } from '../../data-plane/meter/spool-store.js';
import {
  createSpool,
  SharedFacts,
  type EndRecord,
  type Spool,
  type StartRecord,
} from '../../data-plane/meter/spool.js';

export const attempt = {
  targetId: null,
  providerId: randomUUID(),
  credentialId: randomUUID(),
  upstreamModel: 'm',
  status: 200,
  usage: { input: 3 },
  countedBy: 'provider' as const,
  costCardVersionId: null,
};
export const startOf = (eventId: string = randomUUID()): StartRecord => ({
  eventId,
  streamed: true,
  admittedAt: 1_700_000_000_000,
  attempts: [attempt],
  facts: new SharedFacts({
    tenantId: randomUUID(),
    apiKeyId: randomUUID(),
    memberId: randomUUID(),
    config: { epoch: 1, seq: 7 },
    operation: 'chat-completions',
    model: 'gross-ü\n模型',
    priceCardVersionId: randomUUID(),
    leaseIds: [],
    client: null,
  }),
});
export const endOf = (start: StartRecord): EndRecord => ({
  ...start,
  endedAt: start.admittedAt + 1000,
  firstByteMs: 12,
  outcome: 'completed',
  status: 200,
  billedAttempt: 0,
});

/** A call from its start to its end, each of them written. */
export async function recordCall(spool: Spool, start: StartRecord = startOf()): Promise<void> {
  await spool.start(start);
  await spool.end(endOf(start));
}

const logger = pino({ level: 'silent' });

/** A folder of spools, and the processes that write, die and recover there. */
export class SpoolFixture {
  readonly #open: { close(): Promise<void> }[] = [];

  private constructor(readonly root: string) {}

  static async open(): Promise<SpoolFixture> {
    // In memory where the system has such a folder: hundreds of recoveries would wait for the disk otherwise.
    return new SpoolFixture(await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'spool-')));
  }

  create(options: { io?: SpoolIo; limits?: Partial<SpoolLimits> } = {}): { spool: Spool; store: SpoolStore } {
    const limits = { tidyAfterMs: 5, reserveBytes: 0, ...options.limits };
    const created = createSpool({ ...options, root: this.root, logger, limits });
    this.#open.push(created.spool);
    return created;
  }

  async recover(): Promise<SpoolStore[]> {
    const stores: SpoolStore[] = [];
    const onRecovered = (store: SpoolStore): void => {
      stores.push(store);
    };
    await recoverSpools({ root: this.root, ownSpoolId: '', logger, limits: { tidyAfterMs: 5 }, onRecovered });
    this.#open.push(...stores);
    return stores;
  }

  async recoverOne(): Promise<SpoolStore> {
    const [store] = await this.recover();
    if (store === undefined) throw new Error('nothing recovered');
    return store;
  }

  async remove(): Promise<void> {
    for (const one of this.#open) await one.close();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Everything that a spool would still enqueue. */
export async function readEvents(store: SpoolStore): Promise<UsageEvent[]> {
  const reader = new SpoolReader(store, logger);
  const texts = await reader.read({ afterSeq: store.confirmedSeq, limit: 100_000, maxBytes: 1e9 });
  await reader.close();
  return texts.map((text) => JSON.parse(text.toString()) as UsageEvent);
}

export function segmentPath(store: SpoolStore, index = 0): string {
  return store.segments[index]?.path ?? '';
}
