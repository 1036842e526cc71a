import { createChild, type Child, type ChildProgram } from './child.js';
import { createFaultLines } from './child-output.js';
import type { CallLines } from './call-lines.js';
import { makePrivateFolder, type Home } from './home.js';
import { openLogFile } from './log-file.js';
import { createProcessRecord } from './process-record.js';
import type { Step } from './progress.js';

/** Says that the stop of the whole came in between; nothing went wrong. */
class Stopped extends Error {
  override readonly name = 'Stopped';
}

/**
 * Until when, counted from the beginning of a stop, the groups of children may take; then they are ended by force. The whole
 * is gone within 10 s. What writes usage goes before what reads it, and what stores it goes last.
 */
const STOP_UNTIL_MS = { 'data planes': 4500, worker: 6000, 'control plane': 7000, stores: 7800, PostgreSQL: 8600 };
export type StopGroup = keyof typeof STOP_UNTIL_MS;
const STOP_ORDER: readonly StopGroup[] = ['data planes', 'worker', 'control plane', 'stores', 'PostgreSQL'];

export interface Supervisor {
  /**
   * Starts a program and keeps it running.
   * @throws Stopped once {@link stop} was called, Error when the program does not start
   */
  run(group: StopGroup, program: ChildProgram): Promise<Child>;
  /** Ends all children in order; a second call changes nothing. */
  stop(hurry: AbortSignal): Promise<void>;
  readonly isStopping: () => boolean;
  /** Aborts when the stop begins. */
  readonly stopSignal: AbortSignal;
}

export async function createSupervisor(options: {
  readonly home: Home;
  readonly print: (line: string) => void;
  readonly calls: CallLines;
  readonly step: Step;
  /** A process has taken the place of another. */
  readonly replaced: () => void;
}): Promise<Supervisor> {
  const { home, print, calls, step } = options;
  const logFolder = await makePrivateFolder(home.path('logs'));
  const printFault = createFaultLines({ print, logFolder });
  const record = createProcessRecord(home);
  const children: { readonly group: StopGroup; readonly child: Child }[] = [];
  let stopping: Promise<void> | null = null;
  const stopBegun = new AbortController();
  const isStopping = () => stopping !== null;

  function create(program: ChildProgram): Child {
    let isFirst = true;
    return createChild({
      program,
      log: openLogFile(`${logFolder}/${program.name.toLowerCase().replaceAll(' ', '-')}.log`),
      events: {
        spawned: (pid) => {
          if (program.speaksIpc) record.note(program.name, pid);
          if (!isFirst) options.replaced();
          isFirst = false;
        },
        line: (line) => {
          if (line.kind === 'call') calls.add(line.call);
          // What a stop makes the others complain of is no news.
          else if (line.kind === 'fault' && !isStopping()) printFault(`${program.name}: ${line.text}`);
        },
        notice: (text) => {
          if (!isStopping()) print(text);
        },
      },
    });
  }

  async function stopAll(hurry: AbortSignal): Promise<void> {
    stopBegun.abort();
    const started = Date.now();
    for (const group of STOP_ORDER) {
      const members = children.filter((entry) => entry.group === group).map(({ child }) => child);
      const graceMs = Math.max(0, STOP_UNTIL_MS[group] - (Date.now() - started));
      await step(`Stopping ${members.map(({ name }) => name).join(', ')}`, async () => {
        await Promise.all(members.map((child) => child.stop({ graceMs, hurry })));
      });
    }
    record.clear();
  }

  return {
    isStopping,
    stopSignal: stopBegun.signal,
    run: async (group, program) => {
      if (isStopping()) throw new Stopped();
      const child = create(program);
      children.push({ group, child });
      try {
        await child.start();
      } catch (error) {
        throw isStopping() ? new Stopped() : error;
      }
      return child;
    },
    stop: (hurry) => (stopping ??= stopAll(hurry)),
  };
}
