import { HEALTH_REPORT_INTERVAL_MS, type ReportedHealth } from '@pingtoken/shared/health-report';
import type { Logger } from 'pino';
import type { ControlPlaneClient } from './control-plane-client.js';
import { backoffMs } from './snapshot-schedule.js';

/** Tells the control plane in what state the providers' targets are: on change, and from time to time besides. */
export interface HealthReporter {
  /** From now on; the first report tells the control plane to forget what the last run of this process knew. */
  watch(describe: () => ReportedHealth): void;
  /** Something has changed. Returns at once: it is sent soon, together with what changes until then. */
  changed(): void;
  /** Resolves when the report on its way is sent or cut off. */
  close(): Promise<void>;
}

export interface HealthReporterTiming {
  /** From a change to its report. */
  readonly settleMs: number;
  /** Between two reports at least, however much changes. */
  readonly spacingMs: number;
  readonly intervalMs: number;
}

const TIMING: HealthReporterTiming = { settleMs: 50, spacingMs: 1_000, intervalMs: HEALTH_REPORT_INTERVAL_MS };
const RETRY = { minMs: 500, maxMs: 15_000 };

export function createHealthReporter(options: {
  readonly client: Pick<ControlPlaneClient, 'sendHealth'>;
  /** Names this run of the process. */
  readonly runId: string;
  readonly logger: Pick<Logger, 'warn'>;
  readonly timing?: Partial<HealthReporterTiming>;
}): HealthReporter {
  const reporter = new Reporter(options, { ...TIMING, ...options.timing });
  return {
    watch: (describe) => {
      reporter.watch(describe);
    },
    changed: () => {
      reporter.changed();
    },
    close: () => reporter.close(),
  };
}

class Reporter {
  readonly #closing = new AbortController();
  #describe: (() => ReportedHealth) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #seq = 0;
  #sentAt = -Infinity;
  #failures = 0;
  #hasChanged = false;

  constructor(
    private readonly options: Parameters<typeof createHealthReporter>[0],
    private readonly timing: HealthReporterTiming,
  ) {}

  watch(describe: () => ReportedHealth): void {
    this.#describe = describe;
    this.#schedule(0);
  }

  changed(): void {
    if (this.#hasChanged) return;
    this.#hasChanged = true;
    // One that failed is tried again in its own time, and one on its way schedules the next when it is there.
    if (this.#sending === undefined && this.#failures === 0) this.#schedule(this.#soonMs());
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#sending;
  }

  #soonMs(): number {
    return Math.max(this.timing.settleMs, this.#sentAt + this.timing.spacingMs - performance.now());
  }

  #schedule(inMs: number): void {
    clearTimeout(this.#timer);
    if (this.#closing.signal.aborted || this.#describe === undefined) return;
    this.#timer = setTimeout(() => {
      this.#sending = this.#send().finally(() => {
        this.#sending = undefined;
        this.#schedule(this.#nextMs());
      });
    }, inMs);
    this.#timer.unref();
  }

  #nextMs(): number {
    if (this.#failures > 0) return backoffMs(RETRY, this.#failures - 1);
    return this.#hasChanged ? this.#soonMs() : this.timing.intervalMs;
  }

  async #send(): Promise<void> {
    const { client, runId, logger } = this.options;
    if (this.#describe === undefined) return;
    this.#hasChanged = false;
    this.#seq += 1;
    this.#sentAt = performance.now();
    try {
      await client.sendHealth({ version: 1, runId, seq: this.#seq, ...this.#describe() }, this.#closing.signal);
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      const isNews = this.#failures === 1 && !this.#closing.signal.aborted;
      if (isNews) logger.warn({ reason: String(error) }, 'health report not sent; trying again');
    }
  }
}
