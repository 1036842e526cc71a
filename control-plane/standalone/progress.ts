/** Rather early than late: a reader must not wait two seconds for a sign. */
const FIRST_LINE_MS = 1500;
const NEXT_LINES_MS = 2000;

/**
 * Runs the steps of a start or a stop. A quick step says nothing; one that takes longer says what it is, and goes on saying
 * so every two seconds.
 */
export function createProgress(options: { readonly print: (line: string) => void }) {
  return async function step<Result>(title: string, work: () => Promise<Result>): Promise<Result> {
    const started = Date.now();
    let timer = setTimeout(function announce() {
      const seconds = Math.round((Date.now() - started) / 1000);
      options.print(seconds < 3 ? `${title}…` : `${title}, ${seconds} s`);
      timer = setTimeout(announce, NEXT_LINES_MS);
    }, FIRST_LINE_MS);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
    }
  };
}

export type Step = ReturnType<typeof createProgress>;
