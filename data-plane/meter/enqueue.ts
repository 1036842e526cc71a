import type { Logger } from 'pino';
import type { SpoolConfirmation } from '@pingtoken/shared/lease';
import { SpoolReader } from './spool-reader.js';
import type { SpoolStore } from './spool-store.js';
import type { UsageQueue } from './usage-queue.js';

/** Brings what lies in spools into the queue, again and again until the ledger has confirmed it. */
export interface Enqueuer {
  /**
   * @param onDone called once when all of it is confirmed; omitted for the spool of this process, which goes on
   */
  addSpool(store: SpoolStore, onDone?: () => void): void;
  confirm(confirmation: SpoolConfirmation): void;
  start(): void;
  close(): Promise<void>;
}

export interface EnqueuerOptions {
  readonly dataPlaneId: string;
  readonly connect: () => Promise<UsageQueue>;
  readonly logger: Logger;
  readonly timing?: Partial<EnqueuerTiming>;
}

export interface EnqueuerTiming {
  /** Durable records wait so long for others to share a job with. */
  readonly gatherMs: number;
  /** What is not confirmed by then is put into the queue again. */
  readonly confirmWithinMs: number;
  readonly reconnect: { readonly minMs: number; readonly maxMs: number };
}

const TIMING: EnqueuerTiming = { gatherMs: 40, confirmWithinMs: 15_000, reconnect: { minMs: 200, maxMs: 5_000 } };

const BATCH = { events: 500, bytes: 1024 * 1024 };
/** Enqueued and not confirmed: what lies beyond stays in the files, so that a dead worker fills the disk and not the queue. */
const MAX_UNCONFIRMED_BATCHES = 16;
const MAX_EARLY_CONFIRMATIONS = 1_000;

interface Source {
  readonly store: SpoolStore;
  readonly reader: SpoolReader;
  readonly onDone: (() => void) | undefined;
  /** Unconfirmed, in order and without gaps; the first may be confirmed in part. */
  batches: SentBatch[];
}

interface SentBatch {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly sentAt: number;
}

export function createEnqueuer({ dataPlaneId, connect, logger, timing: given }: EnqueuerOptions): Enqueuer {
  const timing = { ...TIMING, ...given };
  const sources = new Map<string, Source>();
  /** Of spools that are still being recovered: their records were enqueued by the process that died. */
  const early = new Map<string, number>();
  let queue: UsageQueue | undefined;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let timerAt = 0;
  let wokenWhileRunning = false;
  let running: Promise<void> | undefined;
  let started = false;
  let closed = false;

  function wakeIn(ms: number): void {
    if (closed || !started) return;
    if (running !== undefined) {
      wokenWhileRunning = true;
      return;
    }
    const at = Date.now() + ms;
    // After a failure the pause stands, however much is written meanwhile.
    if (timer !== undefined && (failures > 0 || timerAt <= at)) return;
    clearTimeout(timer);
    timerAt = at;
    timer = setTimeout(() => {
      timer = undefined;
      running = run().then((nextMs) => {
        running = undefined;
        wakeIn(nextMs);
      });
    }, ms);
  }

  /**
   * One round over all spools, one put at a time: the order of the queue is the order of the records.
   * @returns when the next is due, in milliseconds
   */
  async function run(): Promise<number> {
    let more = false;
    wokenWhileRunning = false;
    try {
      queue ??= await connect();
      for (const source of [...sources.values()]) more = (await pump(source, queue)) || more;
      if (failures > 0) logger.info('usage queue up');
      failures = 0;
    } catch (error) {
      failures += 1;
      const level = failures === 1 ? 'error' : 'warn';
      logger[level]({ reason: String(error), failures }, 'usage queue down; records stay in the spool');
      await queue?.close();
      queue = undefined;
    }
    if (failures > 0) return pauseMs(timing.reconnect, failures);
    if (more) return 0;
    return wokenWhileRunning ? timing.gatherMs : nextLookMs();
  }

  /** @returns whether there is more to put at once */
  async function pump(source: Source, into: UsageQueue): Promise<boolean> {
    forgetConfirmed(source);
    for (const batch of source.batches) {
      if (Date.now() - batch.sentAt < timing.confirmWithinMs) break;
      // The same bounds as before, for they make the job's id.
      await put(source, into, batch.firstSeq - 1, batch.lastSeq - batch.firstSeq + 1);
      source.batches = source.batches.map((sent) => (sent === batch ? { ...batch, sentAt: Date.now() } : sent));
    }
    if (source.batches.length >= MAX_UNCONFIRMED_BATCHES) return false;
    const afterSeq = source.batches.at(-1)?.lastSeq ?? source.store.confirmedSeq;
    if (afterSeq >= source.store.durableSeq) return false;
    const count = await put(source, into, afterSeq, BATCH.events);
    if (count > 0) source.batches.push({ firstSeq: afterSeq + 1, lastSeq: afterSeq + count, sentAt: Date.now() });
    return count > 0 && afterSeq + count < source.store.durableSeq;
  }

  async function put(source: Source, into: UsageQueue, afterSeq: number, limit: number): Promise<number> {
    const events = await readEvents(source, afterSeq, limit);
    if (events.length === 0) return 0;
    await into.put({ dataPlaneId, spoolId: source.store.spoolId, firstSeq: afterSeq + 1, events });
    return events.length;
  }

  /** A spool whose files cannot be read must not keep the others from the queue. */
  async function readEvents({ store, reader }: Source, afterSeq: number, limit: number): Promise<unknown[]> {
    try {
      return await reader.read({ afterSeq, limit, maxBytes: BATCH.bytes });
    } catch (error) {
      logger.error({ spoolId: store.spoolId, reason: String(error) }, 'a usage spool cannot be read');
      return [];
    }
  }

  function forgetConfirmed(source: Source): void {
    const { confirmedSeq } = source.store;
    source.batches = source.batches.filter(({ lastSeq }) => lastSeq > confirmedSeq);
  }

  function nextLookMs(): number {
    const oldest = Math.min(...[...sources.values()].map(({ batches }) => batches[0]?.sentAt ?? Infinity));
    return Number.isFinite(oldest) ? Math.max(timing.gatherMs, oldest + timing.confirmWithinMs - Date.now()) : IDLE_MS;
  }

  function noteEarly(spoolId: string, confirmedSeq: number): void {
    const known = early.get(spoolId) ?? 0;
    early.delete(spoolId);
    early.set(spoolId, Math.max(confirmedSeq, known));
    const [oldest] = early.keys();
    if (early.size > MAX_EARLY_CONFIRMATIONS && oldest !== undefined) early.delete(oldest);
  }

  function finish(source: Source): void {
    if (source.onDone === undefined || !source.store.isDone) return;
    sources.delete(source.store.spoolId);
    source.onDone();
  }

  return {
    addSpool: (store, onDone) => {
      const source: Source = { store, reader: new SpoolReader(store, logger), onDone, batches: [] };
      sources.set(store.spoolId, source);
      store.onDurable = () => {
        const afterSeq = source.batches.at(-1)?.lastSeq ?? store.confirmedSeq;
        if (store.durableSeq > afterSeq) wakeIn(timing.gatherMs);
      };
      const confirmedSeq = early.get(store.spoolId);
      if (confirmedSeq !== undefined) store.confirm(confirmedSeq);
      early.delete(store.spoolId);
      finish(source);
      wakeIn(0);
    },
    confirm: ({ spoolId, confirmedSeq }) => {
      const source = sources.get(spoolId);
      if (source === undefined) {
        noteEarly(spoolId, confirmedSeq);
        return;
      }
      const wasFull = source.batches.length >= MAX_UNCONFIRMED_BATCHES;
      source.store.confirm(confirmedSeq);
      finish(source);
      if (wasFull) wakeIn(0);
    },
    start: () => {
      started = true;
      wakeIn(0);
    },
    close: async () => {
      closed = true;
      clearTimeout(timer);
      await running;
      // This home may have no next process for a long time: what the queue takes now need not wait for one.
      for (let round = 0; queue !== undefined && round < MAX_CLOSING_ROUNDS; round += 1) if ((await run()) > 0) break;
      await queue?.close();
    },
  };
}

const IDLE_MS = 60_000;
const MAX_CLOSING_ROUNDS = 20;

function pauseMs({ minMs, maxMs }: EnqueuerTiming['reconnect'], failures: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
}
