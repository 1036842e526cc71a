/** A batch of contiguous records that was put into the queue. */
export interface SentBatch {
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Milliseconds since 1970, when it was put there last. */
  readonly sentAt: number;
}

/** Enqueued and not confirmed: what lies beyond stays in the files, so that a dead worker fills the disk and not the queue. */
const MAX_UNCONFIRMED_BATCHES = 16;

/** Which records of one spool are on their way to the ledger. Pure but for its own state, and told the time. */
export class SentBatches {
  /** Unconfirmed, in order and without gaps; the first may be confirmed in part. */
  #batches: SentBatch[] = [];

  /** @param confirmWithinMs what is not confirmed by then is put into the queue again */
  constructor(private readonly confirmWithinMs: number) {}

  /** Nothing more is sent until something is confirmed. */
  get isFull(): boolean {
    return this.#batches.length >= MAX_UNCONFIRMED_BATCHES;
  }

  /** The last seq that was enqueued or need not be. @param confirmedSeq of the spool */
  lastSeq(confirmedSeq: number): number {
    return Math.max(this.#batches.at(-1)?.lastSeq ?? 0, confirmedSeq);
  }

  /** @param confirmedSeq of the spool: batches up to it are done with */
  confirm(confirmedSeq: number): void {
    this.#batches = this.#batches.filter(({ lastSeq }) => lastSeq > confirmedSeq);
  }

  /** What is to be put into the queue again, in order, with the bounds that it had: they make the job's id. */
  due(now: number): readonly SentBatch[] {
    const fresh = this.#batches.findIndex(({ sentAt }) => now - sentAt < this.confirmWithinMs);
    return fresh < 0 ? this.#batches : this.#batches.slice(0, fresh);
  }

  /** @param batch one that was sent before, or the next records after {@link SentBatches.lastSeq} */
  sent(batch: SentBatch): void {
    const known = this.#batches.findIndex(({ firstSeq }) => firstSeq === batch.firstSeq);
    if (known < 0) this.#batches.push(batch);
    else this.#batches[known] = batch;
  }

  /** When the first is due; undefined while nothing is on its way. */
  get dueAt(): number | undefined {
    const [oldest] = this.#batches;
    return oldest === undefined ? undefined : oldest.sentAt + this.confirmWithinMs;
  }
}
