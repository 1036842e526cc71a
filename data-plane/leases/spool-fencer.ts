import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { LeaseClient } from './lease-keeper.js';

export interface SpoolFencerOptions {
  readonly client: Pick<LeaseClient, 'sendFences'>;
  readonly logger: Pick<Logger, 'warn'>;
  readonly retry?: { readonly minMs: number; readonly maxMs: number };
}

/** What leases hold is nobody's until then. */
const RETRY = { minMs: 500, maxMs: 5_000 };
const REQUEST_TIMEOUT_MS = 5_000;

/** Says of spools that nothing is written to them any more, so that what their leases have left goes back. */
export class SpoolFencer {
  readonly #closed = new AbortController();

  constructor(private readonly options: SpoolFencerOptions) {}

  /**
   * Tries until the control plane has taken it. Saying it again does no harm.
   * @param lastSeq zero for a spool that nothing was written to
   * @returns whether it was taken before this was closed; the spool's folder has to stay otherwise
   */
  async fence(spoolId: string, lastSeq: number): Promise<boolean> {
    const { minMs, maxMs } = this.options.retry ?? RETRY;
    for (let waitMs = minMs; !this.#closed.signal.aborted; waitMs = Math.min(waitMs * 2, maxMs)) {
      if (await this.tryFence(spoolId, lastSeq)) return true;
      await sleep(waitMs, undefined, { signal: this.#closed.signal }).catch(() => undefined);
    }
    return false;
  }

  /** Once. @returns whether the control plane has taken it */
  async tryFence(spoolId: string, lastSeq: number): Promise<boolean> {
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    try {
      await this.options.client.sendFences({ spoolId, leases: [], lastSeq }, signal);
      return true;
    } catch (error) {
      if (!this.#closed.signal.aborted) {
        this.options.logger.warn({ spoolId, reason: String(error) }, 'the leases of a spool cannot be fenced yet');
      }
      return false;
    }
  }

  close(): void {
    this.#closed.abort();
  }
}
