/** Between a first and a second request to stop that is meant: npm hands Ctrl-C on, and so it arrives twice at once. */
const SECOND_AFTER_MS = 500;

export type End = (code: number, message?: string) => Promise<void>;

/**
 * The one way out, from a signal, a failed start or a fault: ends all children, then the process. Must be called before any
 * child is started, so that none is ever left behind.
 * @param stop ends everything; hurries when the signal aborts
 */
export function createEnding(options: {
  readonly stop: (hurry: AbortSignal) => Promise<void>;
  readonly print: (line: string) => void;
}): End {
  const hurry = new AbortController();
  let startedAt: number | null = null;

  const end: End = async (code, message) => {
    if (startedAt !== null) return;
    startedAt = Date.now();
    if (message !== undefined) process.stderr.write(`${message}\n`);
    await options.stop(hurry.signal).catch((error: unknown) => {
      process.stderr.write(`Not everything could be stopped: ${String(error)}\n`);
    });
    process.exit(code);
  };
  const onSignal = () => {
    if (startedAt === null) {
      options.print('Stopping… (Ctrl-C again hurries)');
      void end(0);
    } else if (Date.now() - startedAt > SECOND_AFTER_MS) hurry.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  // A fault of the launcher's own must not leave servers without one.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => void end(1, `PingToken's launcher failed: ${describe(error)}`));
  }
  return end;
}

/** What a person needs of an error: the sentence of one that was foreseen, the whole of one that was not. */
export function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
