import type { Logger } from 'pino';

export interface PeriodicJob {
  start(): void;
  /** Resolves when the run at hand is done. */
  stop(): Promise<void>;
}

/** Runs something again and again, one run at a time; what fails is logged, and tried again at the next. */
export function createPeriodicJob({
  run,
  intervalMs,
  logger,
  what,
}: {
  readonly run: () => Promise<unknown>;
  readonly intervalMs: number;
  readonly logger: Pick<Logger, 'warn'>;
  /** For the log: what is looked for. */
  readonly what: string;
}): PeriodicJob {
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const turn = async (): Promise<void> => {
    try {
      await run();
    } catch (error) {
      logger.warn({ what, error: error instanceof Error ? error.message : 'unknown' }, 'a periodic job failed');
    }
    if (!stopped) timer = setTimeout(wake, intervalMs);
  };
  const wake = (): void => {
    running = turn();
  };
  return {
    start: wake,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
