import type { Logger } from 'pino';
import type { SpoolConfirmation } from '@pingtoken/shared/lease';
import { packRecords } from '@pingtoken/shared/usage-batch';
import { SentBatches } from './sent-batches.js';
import { SpoolReader } from './spool-reader.js';
import type { SpoolStore } from './spool-store.js';
import type { UsageQueue } from './usage-queue.js';

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

const TIMING: EnqueuerTiming = { gatherMs: 40, confirmWithinMs: 5_000, reconnect: { minMs: 200, maxMs: 5_000 } };

const BATCH = { events: 500, bytes: 1024 * 1024 };
const MAX_EARLY_CONFIRMATIONS = 1_000;
const IDLE_MS = 60_000;
const MAX_CLOSING_ROUNDS = 20;

interface Source {
  readonly store: SpoolStore;
  readonly reader: SpoolReader;
  readonly onDone: (() => void) | undefined;
  readonly batches: SentBatches;
}

/** Brings what lies in spools into the queue, again and again until the ledger has confirmed it. */
export class Enqueuer {
  readonly #options: EnqueuerOptions;
  readonly #timing: EnqueuerTiming;
  readonly #sources = new Map<string, Source>();
  /** Of spools that are still being recovered: their records were enqueued by the process that died. */
  readonly #early = new Map<string, number>();
  #queue: UsageQueue | undefined;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = 0;
  #running: Promise<void> | undefined;
  #wokenWhileRunning = false;
  #started = false;
  #closed = false;

  constructor(options: EnqueuerOptions) {
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
  }

  /** @param onDone called once when all of it is confirmed; omitted for the spool of this process, which goes on */
  addSpool(store: SpoolStore, onDone?: () => void): void {
    const reader = new SpoolReader(store, this.#options.logger);
    const batches = new SentBatches(this.#timing.confirmWithinMs);
    const source: Source = { store, reader, onDone, batches };
    this.#sources.set(store.spoolId, source);
    store.onDurable = () => {
      if (store.durableSeq > sentSeq(source)) this.#wakeIn(this.#timing.gatherMs);
    };
    const confirmedSeq = this.#early.get(store.spoolId);
    this.#early.delete(store.spoolId);
    if (confirmedSeq !== undefined) store.confirm(confirmedSeq);
    this.#finishIfDone(source);
    this.#wakeIn(0);
  }

  confirm({ spoolId, confirmedSeq }: SpoolConfirmation): void {
    const source = this.#sources.get(spoolId);
    if (source === undefined) {
      this.#noteEarly(spoolId, confirmedSeq);
      return;
    }
    const wasFull = source.batches.isFull;
    source.store.confirm(confirmedSeq);
    this.#finishIfDone(source);
    if (wasFull) this.#wakeIn(0);
  }

  start(): void {
    this.#started = true;
    this.#wakeIn(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
    // This home may have no next process for a long time: what the queue takes now need not wait for one.
    for (let round = 0; this.#queue !== undefined && round < MAX_CLOSING_ROUNDS; round += 1) {
      if ((await this.#round()) > 0) break;
    }
    await this.#queue?.close();
    for (const { reader } of this.#sources.values()) await reader.close();
  }

  #wakeIn(ms: number): void {
    if (this.#closed || !this.#started) return;
    if (this.#running !== undefined) {
      this.#wokenWhileRunning = true;
      return;
    }
    const at = Date.now() + ms;
    // After a failure the pause stands, however much is written meanwhile.
    if (this.#timer !== undefined && (this.#failures > 0 || this.#timerAt <= at)) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#round().then((nextMs) => {
        this.#running = undefined;
        this.#wakeIn(nextMs);
      });
    }, ms);
  }

  /**
   * Over all spools, one put at a time: the order of the queue is the order of the records.
   * @returns when the next is due, in milliseconds
   */
  async #round(): Promise<number> {
    const { connect, logger } = this.#options;
    let more = false;
    this.#wokenWhileRunning = false;
    try {
      this.#queue ??= await connect();
      for (const source of [...this.#sources.values()]) more = (await this.#pump(source, this.#queue)) || more;
      if (this.#failures > 0) logger.info('usage queue up');
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      const level = this.#failures === 1 ? 'error' : 'warn';
      logger[level]({ reason: String(error) }, 'usage queue down; records stay in the spool');
      await this.#queue?.close();
      this.#queue = undefined;
      return pauseMs(this.#timing.reconnect, this.#failures);
    }
    return more ? 0 : this.#nextLookMs();
  }

  /** @returns whether there is more to put at once */
  async #pump(source: Source, queue: UsageQueue): Promise<boolean> {
    const { store, batches } = source;
    batches.confirm(store.confirmedSeq);
    for (const { firstSeq, lastSeq } of batches.due(Date.now())) {
      await this.#put(source, queue, { afterSeq: firstSeq - 1, limit: lastSeq - firstSeq + 1 });
      batches.sent({ firstSeq, lastSeq, sentAt: Date.now() });
    }
    const afterSeq = sentSeq(source);
    if (batches.isFull || afterSeq >= store.durableSeq) return false;
    const count = await this.#put(source, queue, { afterSeq, limit: BATCH.events });
    if (count === 0) return false;
    batches.sent({ firstSeq: afterSeq + 1, lastSeq: afterSeq + count, sentAt: Date.now() });
    return afterSeq + count < store.durableSeq;
  }

  /** @returns how many events were put */
  async #put(
    { store, reader }: Source,
    queue: UsageQueue,
    bounds: { readonly afterSeq: number; readonly limit: number },
  ): Promise<number> {
    const events = await this.#read(store, reader, bounds);
    if (events.length === 0) return 0;
    const { dataPlaneId } = this.#options;
    await queue.put({
      dataPlaneId,
      spoolId: store.spoolId,
      firstSeq: bounds.afterSeq + 1,
      count: events.length,
      records: await packRecords(events),
    });
    return events.length;
  }

  /** A spool whose files cannot be read must not keep the others from the queue. */
  async #read(
    store: SpoolStore,
    reader: SpoolReader,
    bounds: { readonly afterSeq: number; readonly limit: number },
  ): Promise<Buffer[]> {
    try {
      return await reader.read({ ...bounds, maxBytes: BATCH.bytes });
    } catch (error) {
      this.#options.logger.error({ spoolId: store.spoolId, reason: String(error) }, 'a usage spool cannot be read');
      return [];
    }
  }

  #nextLookMs(): number {
    if (this.#wokenWhileRunning) return this.#timing.gatherMs;
    const dueAt = Math.min(...[...this.#sources.values()].map(({ batches }) => batches.dueAt ?? Infinity));
    return Number.isFinite(dueAt) ? Math.max(this.#timing.gatherMs, dueAt - Date.now()) : IDLE_MS;
  }

  #noteEarly(spoolId: string, confirmedSeq: number): void {
    const known = this.#early.get(spoolId) ?? 0;
    this.#early.delete(spoolId);
    this.#early.set(spoolId, Math.max(confirmedSeq, known));
    const [oldest] = this.#early.keys();
    if (this.#early.size > MAX_EARLY_CONFIRMATIONS && oldest !== undefined) this.#early.delete(oldest);
  }

  #finishIfDone(source: Source): void {
    if (source.onDone === undefined || !source.store.isDone) return;
    this.#sources.delete(source.store.spoolId);
    void source.reader.close();
    source.onDone();
  }
}

const sentSeq = ({ batches, store }: Source): number => batches.lastSeq(store.confirmedSeq);

function pauseMs({ minMs, maxMs }: EnqueuerTiming['reconnect'], failures: number): number {
  return Math.min(maxMs, minMs * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
}
