import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { drawSchedule, findBreach, shrink } from './schedules.js';

/** `npm run chaos:model`: explores schedules of the model of spool, queue, leases and ledger, on all processors. */
const USAGE = `npm run chaos:model -- [--schedules 1000000] [--seed 1] [--from 0]

Ends with 1 at the first schedule that breaks a promise; it is printed, made as short as it can be.`;

interface Share {
  readonly seed: number;
  readonly from: number;
  /** The schedules of one thread are so far apart. */
  readonly stride: number;
  readonly to: number;
}

/** What a thread tells: that it has done so many more, or what it has found. */
type Word = { readonly done: number } | { readonly number: number; readonly breach: string };

const TELL_EVERY = 1_000;
const SAY_EVERY_MS = 10_000;

function exploreShare({ seed, from, stride, to }: Share, tell: (word: Word) => void): void {
  let done = 0;
  for (let number = from; number < to; number += stride) {
    const breach = findBreach(drawSchedule(seed, number));
    if (breach !== undefined) {
      tell({ number, breach });
      return;
    }
    done += 1;
    if (done % TELL_EVERY === 0) tell({ done: TELL_EVERY });
  }
  tell({ done: done % TELL_EVERY });
}

function readNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name} must be a whole number`);
  return value;
}

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/** @returns whether no schedule breaks a promise */
async function explore(): Promise<boolean> {
  const options = { schedules: '1000000', seed: '1', from: '0' };
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: options.schedules },
      seed: { type: 'string', default: options.seed },
      from: { type: 'string', default: options.from },
    },
  });
  const [schedules, seed, from] = [
    readNumber('schedules', values.schedules),
    readNumber('seed', values.seed),
    readNumber('from', values.from),
  ];
  const stride = availableParallelism();
  const startedAt = performance.now();
  let done = 0;
  const rate = (): string => {
    const seconds = (performance.now() - startedAt) / 1_000;
    return `${done} schedules in ${seconds.toFixed(0)} s, ${Math.round(done / seconds)} a second`;
  };
  const saying = setInterval(() => {
    print(rate());
  }, SAY_EVERY_MS);
  const shares = Array.from({ length: stride }, (_, index) => ({
    seed,
    from: from + index,
    stride,
    to: from + schedules,
  }));
  const workers = shares.map((share) => new Worker(new URL(import.meta.url), { workerData: share }));
  try {
    await Promise.all(workers.map((worker) => follow(worker, (count) => (done += count))));
    print(`${rate()}: every promise kept`);
    return true;
  } catch (error) {
    if (!(error instanceof Breach)) throw error;
    const { steps, ...money } = shrink(drawSchedule(seed, error.number));
    print(`${rate()}\n\n${error.message}, in schedule ${error.number}: ${JSON.stringify(money)}`);
    for (const step of steps) print(`  ${JSON.stringify(step)}`);
    print(`\nAgain:\n  npm run chaos:model -- --seed ${seed} --from ${error.number} --schedules 1`);
    return false;
  } finally {
    clearInterval(saying);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

class Breach extends Error {
  override readonly name = 'Breach';

  constructor(
    readonly number: number,
    breach: string,
  ) {
    super(breach);
  }
}

/** Resolves when the thread has done its share. @throws Breach */
function follow(worker: Worker, count: (done: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on('message', (word: Word) => {
      if ('breach' in word) reject(new Breach(word.number, word.breach));
      else count(word.done);
    });
    worker.on('error', reject);
    worker.on('exit', () => {
      resolve();
    });
  });
}

if (isMainThread) {
  try {
    process.exitCode = (await explore()) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    process.exitCode = 2;
  }
} else {
  exploreShare(workerData as Share, (word) => parentPort?.postMessage(word));
}
