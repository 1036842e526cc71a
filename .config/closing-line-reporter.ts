import type { Reporter, SerializedError, TestModule } from 'vitest/node';

/**
 * Prints `N passed, N failed, N skipped` as the very last line. Whatever makes the run fail without a failed test is
 * counted as one failure each: a file that cannot be collected, a hook that throws, an error that nobody caught.
 */
export class ClosingLineReporter implements Reporter {
  readonly #counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };

  onInit(): void {
    // Vitest still prints after the run (its summary, complaints about open handles), hence the exit hook.
    process.once('exit', () => {
      const { passed, failed, skipped, pending } = this.#counts;
      process.stdout.write(`${passed} passed, ${failed + pending} failed, ${skipped} skipped\n`);
    });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 };
    for (const module of modules) {
      counts.failed += module.errors().length;
      for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
      for (const test of module.children.allTests()) counts[test.result().state] += 1;
    }
    Object.assign(this.#counts, counts);
  }
}
