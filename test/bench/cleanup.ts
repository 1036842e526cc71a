/** What must be undone before this process ends, last done first; also when it is interrupted. */
export interface Cleanup {
  add(undo: () => Promise<void> | void): void;
  run(): Promise<void>;
}

function createCleanup(): Cleanup {
  const undos: (() => Promise<void> | void)[] = [];
  async function run(): Promise<void> {
    for (let undo = undos.pop(); undo !== undefined; undo = undos.pop()) {
      try {
        await undo();
      } catch (error) {
        process.stderr.write(`clean-up: ${String(error)}\n`);
      }
    }
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      process.stderr.write(`\n${signal}: ending what was started\n`);
      void run().then(() => process.exit(130));
    });
  }
  return {
    add: (undo) => {
      undos.push(undo);
    },
    run,
  };
}

/** Runs a bench, and undoes whatever it has started, however it ends. A fault is told, and is the exit code. */
export async function runWithCleanup(bench: (cleanup: Cleanup) => Promise<void>): Promise<void> {
  const cleanup = createCleanup();
  try {
    await bench(cleanup);
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  } finally {
    await cleanup.run();
  }
}

/** @returns what the command line says; where it cannot be read the process ends with 2, and says how it is used */
export function readOrExplain<Options>(read: (argv: readonly string[]) => Options, usage: string): Options {
  try {
    return read(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}\n`);
    process.exit(2);
  }
}
