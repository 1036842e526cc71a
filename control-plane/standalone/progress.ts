/** Rather early than late: a reader must not wait two seconds for a sign. */
const FIRST_LINE_MS = 1500;
const NEXT_LINES_MS = 2000;

/**
 * Runs the steps of a start or a stop. A quick step says nothing; one that takes longer says what it is, and goes on saying
 * so every two seconds. A step that has parts renames itself as it goes.
 */
export function createProgress(options: { readonly print: (line: string) => void }) {
  return async function step<Result>(
    title: string,
    work: (rename: (title: string) => void) => Promise<Result>,
  ): Promise<Result> {
    const started = Date.now();
    let current = title;
    let printed = '';
    const announce = () => {
      options.print(current === printed ? `${current}, ${Math.round((Date.now() - started) / 1000)} s` : `${current}…`);
      printed = current;
      timer = setTimeout(announce, NEXT_LINES_MS);
    };
    let timer = setTimeout(announce, FIRST_LINE_MS);
    try {
      return await work((renamed) => {
        current = renamed;
      });
    } finally {
      clearTimeout(timer);
    }
  };
}

export type Step = ReturnType<typeof createProgress>;
