/** What must be undone before this process ends, last done first; also when it is interrupted. */
export interface Cleanup {
  add(undo: () => Promise<void> | void): void;
  run(): Promise<void>;
}

export function createCleanup(): Cleanup {
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
