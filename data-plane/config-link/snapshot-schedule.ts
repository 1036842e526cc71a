/** When to fetch a snapshot. */
export interface SnapshotSchedule {
  /** `fault`: nothing goes on without one; `compaction`: a fresh one would shorten the log, and has time. */
  request(why: 'fault' | 'compaction'): void;
  isDue(): boolean;
  succeeded(): void;
  /** `content`: it came and did not help; `transport`: it did not come. It stays requested. */
  failed(why: 'content' | 'transport'): void;
}

export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface SnapshotScheduleOptions {
  readonly redial: Backoff;
  readonly snapshot: Backoff;
  readonly compactionSpreadMs: number;
}

const REPEATED_WITHIN_MS = 10_000;

/** A snapshot that is broken for good must not be fetched in a loop, however often the stream asks for it. */
export function createSnapshotSchedule(options: SnapshotScheduleOptions): SnapshotSchedule {
  let due: { readonly at: number; readonly why: 'fault' | 'compaction' } | undefined;
  let failures = 0;
  let succeededAt = 0;
  return {
    request: (why) => {
      if (due?.why === 'fault' || due?.why === why) return;
      const pauseMs = failures === 0 ? 0 : backoffMs(options.snapshot, failures - 1);
      due = { why, at: Date.now() + (why === 'fault' ? pauseMs : Math.random() * options.compactionSpreadMs) };
    },
    isDue: () => due !== undefined && Date.now() >= due.at,
    succeeded: () => {
      // One that is asked for again and again, though each is good, is paced as if it had failed.
      failures = Date.now() - succeededAt < REPEATED_WITHIN_MS ? failures + 1 : 0;
      succeededAt = Date.now();
      due = undefined;
    },
    failed: (why) => {
      const pauseMs = backoffMs(why === 'content' ? options.snapshot : options.redial, failures);
      failures += 1;
      due = { why: 'fault', at: Date.now() + pauseMs };
    },
  };
}

/** Exponential with jitter: many data planes must not dial in step after an outage. */
export function backoffMs({ minMs, maxMs }: Backoff, failures: number): number {
  return minMs + Math.random() * (Math.min(maxMs, minMs * 2 ** Math.min(failures, 16)) - minMs);
}
