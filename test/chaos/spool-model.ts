import { SentBatches } from '../../data-plane/meter/sent-batches.js';
import type { SettledEvent } from '../../control-plane/workers/settle-event.js';

/** How a call has ended. */
export interface SpoolEnd {
  readonly type: 'end';
  readonly eventId: string;
  readonly seq: number;
  readonly settled: SettledEvent;
}

/** A record of a spool: that a call has begun, or its end. */
type SpoolEntry = { readonly type: 'start'; readonly eventId: string } | SpoolEnd;

/**
 * The files of one spool. What was written outlives its process, what was synced a power cut too. Whose process has died is
 * recovered by the next one of its home, which writes an end for each call that has none.
 */
export class SpoolModel {
  isAlive = true;
  /** On disk, and perhaps older than what its process was told. */
  notedSeq = 0;
  readonly #entries: SpoolEntry[] = [];
  #ends: SpoolEnd[] = [];
  /** Calls without an end. */
  readonly #open = new Set<string>();
  #syncedCount = 0;

  constructor(
    readonly id: string,
    readonly home: number,
  ) {}

  get lastSeq(): number {
    return Math.max(this.notedSeq, this.#ends.at(-1)?.seq ?? 0);
  }

  /** Up to which all records outlive a power cut. */
  durableSeq = 0;

  get ends(): readonly SpoolEnd[] {
    return this.#ends;
  }

  get open(): readonly string[] {
    return [...this.#open];
  }

  start(eventId: string): void {
    this.#entries.push({ type: 'start', eventId });
    this.#open.add(eventId);
  }

  end(settled: SettledEvent): void {
    const { eventId, seq } = settled.event;
    const end: SpoolEnd = { type: 'end', eventId, seq, settled };
    this.#entries.push(end);
    this.#ends.push(end);
    this.#open.delete(eventId);
  }

  sync(): void {
    this.#syncedCount = this.#entries.length;
    this.durableSeq = this.#ends.at(-1)?.seq ?? 0;
  }

  /** Takes what was not synced. */
  powerCut(): void {
    const starts = new Set<string>();
    for (const { type, eventId } of this.#entries.splice(this.#syncedCount)) {
      if (type === 'start') starts.add(eventId);
      else this.#open.add(eventId);
    }
    // A call whose start is gone too was never here.
    for (const eventId of starts) this.#open.delete(eventId);
    this.#ends = this.#ends.filter(({ seq }) => seq <= this.durableSeq);
  }
}

/** What a process brings to the ledger: its own spool, or one that it has recovered. */
export interface SpoolSource {
  readonly spool: SpoolModel;
  readonly batches: SentBatches;
  confirmedSeq: number;
}

export interface QueueJob {
  /** As the data planes make it: of two jobs with one id the queue takes the first, while it has it. */
  readonly id: string;
  readonly spool: SpoolModel;
  readonly firstSeq: number;
  readonly events: readonly SettledEvent[];
}

/** What was sent and not confirmed for so long is sent again, by the model's clock. */
const CONFIRM_WITHIN_MS = 50;

export function createSource(spool: SpoolModel): SpoolSource {
  return { spool, batches: new SentBatches(CONFIRM_WITHIN_MS), confirmedSeq: spool.notedSeq };
}

/** As the enqueuer does in one round. @param readableSeq up to which records may be read */
export function pumpSource(
  { spool, batches, confirmedSeq }: SpoolSource,
  queue: QueueJob[],
  { now, limit, readableSeq }: { readonly now: number; readonly limit: number; readonly readableSeq: number },
): void {
  const put = (firstSeq: number, lastSeq: number): void => {
    const events = spool.ends.flatMap(({ seq, settled }) => (seq >= firstSeq && seq <= lastSeq ? [settled] : []));
    const id = `${spool.id}.${firstSeq}.${lastSeq}`;
    if (events.length > 0 && !queue.some((job) => job.id === id)) queue.push({ id, spool, firstSeq, events });
    batches.sent({ firstSeq, lastSeq, sentAt: now });
  };
  batches.confirm(confirmedSeq);
  for (const { firstSeq, lastSeq } of batches.due(now)) put(firstSeq, lastSeq);
  const afterSeq = batches.lastSeq(confirmedSeq);
  if (!batches.isFull && afterSeq < readableSeq) put(afterSeq + 1, Math.min(readableSeq, afterSeq + limit));
}
