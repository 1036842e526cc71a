import { setTimeout as sleep } from 'node:timers/promises';
import type { SpoolStore } from './spool-store.js';

const LOOK_MS = 50;

/** Waits for the ledger to confirm what a spool holds by then. */
export function createLedgerWait({
  store,
  writtenSeq,
}: {
  readonly store: Pick<SpoolStore, 'confirmedSeq'>;
  /** The last seq of the spool; undefined while a call that has ended is not written yet. */
  readonly writtenSeq: () => number | undefined;
}): (signal: AbortSignal) => Promise<void> {
  return async (signal) => {
    let target = writtenSeq();
    while (target === undefined || store.confirmedSeq < target) {
      await sleep(LOOK_MS, undefined, { signal, ref: false });
      target ??= writtenSeq();
    }
  };
}
