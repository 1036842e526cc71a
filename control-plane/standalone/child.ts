import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReadyMessage } from '@pingtoken/shared/wire';
import { createBackoff } from './backoff.js';
import { printable } from './call-lines.js';
import type { ChildLine } from './child-output.js';
import type { LogFile } from './log-file.js';

/** A program that is kept running, in a process of its own. */
export interface ChildProgram {
  /** As people read it: `data plane 1`. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** All that the process sees; nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  readonly workingFolder: string;
  /** Whom it runs as, where that is not the launcher's user. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Programs of ours have an IPC channel: over it they say that they are ready, and by its end that the launcher is gone. */
  readonly speaksIpc: boolean;
  /** Whether it serves; asked again and again until it does. */
  readonly isServing?: () => Promise<boolean>;
  /** What it is asked to stop with, gently first; SIGKILL comes after the last. */
  readonly stopSignals: readonly NodeJS.Signals[];
  readonly readLine: (line: string) => ChildLine;
}

export interface ChildEvents {
  /** At once after each start of a process, when {@link Child.pid} already names it. */
  readonly spawned: (pid: number) => void;
  readonly line: (line: ChildLine) => void;
  /** Something that a person should know: it ended, it is started again. */
  readonly notice: (text: string) => void;
}

export interface Child {
  readonly name: string;
  /** Of the last process; 0 before the first. */
  readonly pid: () => number;
  /**
   * Starts it and keeps it running from then on.
   * @throws Error when the first process ends, or is not ready within 60 s; the message carries its last words
   */
  readonly start: () => Promise<void>;
  /** Ends it for good: gently, and after `graceMs`, or when `hurry` aborts, by force. */
  readonly stop: (options: { readonly graceMs: number; readonly hurry: AbortSignal }) => Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const LAST_WORDS = 8;

/** One process of the program. */
interface Run {
  readonly process: ChildProcess;
  readonly ended: Promise<string>;
  readonly ready: Promise<void>;
  readonly lastWords: readonly string[];
  hasEnded: boolean;
  isReady: boolean;
}

export function createChild(options: {
  readonly program: ChildProgram;
  readonly log: LogFile;
  readonly events: ChildEvents;
}): Child {
  const { program, events } = options;
  let run: Run | null = null;
  let lastPid = 0;
  const stopped = new AbortController();
  const isStopped = () => stopped.signal.aborted;

  function launchNext(): Run {
    const next = launch(program, options.log, events.line);
    run = next;
    if (next.process.pid !== undefined) {
      lastPid = next.process.pid;
      events.spawned(lastPid);
    }
    return next;
  }

  async function keepRunning(first: Run): Promise<void> {
    const backoff = createBackoff();
    let current = first;
    while (!isStopped()) {
      const how = await current.ended;
      if (isStopped()) return;
      const delayMs = backoff.next(current.isReady);
      const later = delayMs < 1000 ? '' : `; next try in ${Math.round(delayMs / 1000)} s, see ${options.log.path}`;
      events.notice(`${program.name} ended (${how})${reasonOf(program, current)}${later}`);
      await sleep(delayMs, undefined, { signal: stopped.signal }).catch(() => undefined);
      if (isStopped()) return;
      const next = launchNext();
      void next.ready.then(() => {
        events.notice(`${program.name} runs again (process ${lastPid})`);
      });
      current = next;
    }
  }

  return {
    name: program.name,
    pid: () => lastPid,
    start: async () => {
      const first = launchNext();
      await demandReady(first, program.name, options.log.path);
      void keepRunning(first);
    },
    stop: async ({ graceMs, hurry }) => {
      stopped.abort();
      if (run !== null && !run.hasEnded) await endRun(run, program.stopSignals, graceMs, hurry);
    },
  };
}

/**
 * The child leads a process group of its own (`detached`): Ctrl-C reaches all of a terminal's foreground group at once, and
 * would end PostgreSQL before the data planes have handed over their usage. Only the launcher hears it, and stops the
 * children in order.
 */
function launch(program: ChildProgram, log: LogFile, onLine: ChildEvents['line']): Run {
  const child = spawn(program.command, [...program.args], {
    cwd: program.workingFolder,
    env: program.environment,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', ...(program.speaksIpc ? (['ipc'] as const) : [])],
    ...program.user,
  });
  const lastWords: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    stream.on('data', (bytes: Buffer) => {
      log.write(bytes);
    });
    createInterface({ input: stream }).on('line', (line) => {
      lastWords.push(line);
      if (lastWords.length > LAST_WORDS) lastWords.shift();
      onLine(program.readLine(line));
    });
  }
  const run: Run = {
    process: child,
    lastWords,
    hasEnded: false,
    isReady: false,
    ended: whenEnded(child),
    ready: Promise.resolve(),
  };
  void run.ended.then(() => {
    run.hasEnded = true;
  });
  return Object.assign(run, { ready: whenReady(run, program) });
}

function whenEnded(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) resolve(error.message);
    });
    child.once('exit', (code, signal) => {
      const how = signal ?? `exit code ${code ?? 'unknown'}`;
      // Its last output is read by then, unless a process of its own still holds the pipe.
      child.once('close', () => {
        resolve(how);
      });
      setTimeout(resolve, 100, how);
    });
  });
}

/** Never rejects; stays open when the process ends first. */
async function whenReady(run: Run, program: ChildProgram): Promise<void> {
  if (program.speaksIpc) {
    await new Promise<void>((resolve) => {
      run.process.on('message', (message) => {
        if ((message as Partial<ReadyMessage> | null)?.type === 'ready') resolve();
      });
    });
  }
  while (program.isServing !== undefined && !(await program.isServing().catch(() => false))) {
    if (run.hasEnded) return new Promise(() => undefined);
    await sleep(POLL_MS);
  }
  run.isReady = true;
}

async function demandReady(run: Run, name: string, logPath: string): Promise<void> {
  const timeout = new AbortController();
  const outcome = await Promise.race([
    run.ready.then(() => null),
    run.ended.then((how) => `ended (${how})`),
    sleep(READY_TIMEOUT_MS, `was not ready within ${READY_TIMEOUT_MS / 1000} s`, { signal: timeout.signal }),
  ]);
  timeout.abort();
  if (outcome === null) return;
  const words = run.lastWords.map((line) => `\n    ${line.slice(0, 500)}`).join('');
  throw new Error(`The ${name} ${outcome}. Its log is ${logPath}; its last words:${words}`);
}

/** A program of ours that fails before it can log says why in plain text, with or without a stack around it. */
function reasonOf({ speaksIpc }: ChildProgram, { process: child, lastWords }: Run): string {
  if (!speaksIpc || child.exitCode === null) return '';
  const line = lastWords.findLast((each) => /^[^\s{]/.test(each) && !/^(Node\.js v|.{0,2}$)/.test(each));
  return line === undefined ? '' : `: ${printable(line).slice(0, 300)}`;
}

async function endRun(
  run: Run,
  signals: readonly NodeJS.Signals[],
  graceMs: number,
  hurry: AbortSignal,
): Promise<void> {
  const [first = 'SIGTERM', ...rest] = signals;
  run.process.kill(first);
  if (await endsWithin(run, graceMs, hurry)) return;
  for (const signal of rest) {
    run.process.kill(signal);
    if (await endsWithin(run, 500)) return;
  }
  run.process.kill('SIGKILL');
  await endsWithin(run, 500);
}

async function endsWithin(run: Run, milliseconds: number, hurry?: AbortSignal): Promise<boolean> {
  const timer = new AbortController();
  const signal = hurry === undefined ? timer.signal : AbortSignal.any([timer.signal, hurry]);
  const waited = sleep(milliseconds, undefined, { signal }).catch(() => undefined);
  await Promise.race([run.ended, waited]);
  timer.abort();
  return run.hasEnded;
}
