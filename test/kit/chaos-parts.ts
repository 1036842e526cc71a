import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseJson } from '@pingtoken/shared/wire';
import type { Runtime } from '../../control-plane/standalone/runtime-file.js';
import type { ChaosFault, ChaosPart } from './chaos-schedule.js';
import { isReady } from './data-plane-process.js';
import type { Distribution } from './distribution.js';
import type { DataPlaneKill } from './event-problem.js';
import { waitFor } from './wait-for.js';

/** The processes of a distribution, to lay hands on. Linux only: what PostgreSQL consists of is read from /proc. */
export interface ChaosParts {
  /** Every death of a data plane so far. */
  readonly kills: readonly DataPlaneKill[];
  /** Does what the fault says; a pause goes on by itself until {@link ChaosParts.settle}. A part that is down is passed over. */
  strike(fault: Omit<ChaosFault, 'atMs'>): void;
  /** SIGSTOP. @returns what lets it go on */
  hold(part: ChaosPart): () => void;
  /** Resolves when no pause is under way, and every part has a process that serves. */
  settle(timeoutMs: number): Promise<void>;
}

/** Longer than a data plane that is told to stop may go on taking calls, were it asleep when it was told. */
const DRAIN_MS = 15_000;

export function createChaosParts(distribution: Distribution): ChaosParts {
  const kills: DataPlaneKill[] = [];
  const pauses = new Set<Promise<void>>();
  const struck = new Map<ChaosPart, number>();
  const runtime = (): Runtime => distribution.readRuntime() ?? distribution.runtime;

  const strike: ChaosParts['strike'] = ({ deed, parts, forMs }) => {
    const { processes } = runtime();
    for (const part of parts) {
      const pid = pidOf(part, processes);
      if (pid === null) continue;
      if (deed === 'pause') {
        const pause = sleep(forMs).then(stop(processesOf(part, pid)));
        pauses.add(pause);
        void pause.then(() => pauses.delete(pause));
        continue;
      }
      const at = Date.now();
      if (!signal(pid, deed === 'kill' ? 'SIGKILL' : stopSignalOf(part))) continue;
      struck.set(part, pid);
      const dataPlane = DATA_PLANES.indexOf(part);
      if (dataPlane < 0) continue;
      const dataPlaneId = readDataPlaneId(distribution.home, dataPlane);
      kills.push({ dataPlaneId, at, ...(deed === 'restart' && { drainsForMs: DRAIN_MS }) });
    }
  };

  const settle = async (timeoutMs: number): Promise<void> => {
    await Promise.all(pauses);
    for (const [part, pid] of struck) {
      const isReplaced = (): boolean => pidOf(part, runtime().processes) !== pid;
      await waitFor(isReplaced, { timeoutMs, what: `another ${part}` });
    }
    struck.clear();
    for (const url of distribution.runtime.dataPlaneUrls) {
      await waitFor(() => isReady(url), { timeoutMs, what: `a data plane at ${url}`, intervalMs: 100 });
    }
    const { graphqlUrl } = distribution.runtime;
    await waitFor(() => answers(graphqlUrl), { timeoutMs, what: 'the control plane', intervalMs: 100 });
  };

  const hold: ChaosParts['hold'] = (part) => {
    const pid = pidOf(part, runtime().processes);
    if (pid === null) throw new Error(`no process of ${part}`);
    return stop(processesOf(part, pid));
  };

  return { kills, strike, hold, settle };
}

const DATA_PLANES: readonly ChaosPart[] = ['data plane 1', 'data plane 2'];

function pidOf(part: ChaosPart, processes: Runtime['processes']): number | null {
  switch (part) {
    case 'data plane 1':
      return processes.dataPlanes[0] ?? null;
    case 'data plane 2':
      return processes.dataPlanes[1] ?? null;
    case 'worker':
      return processes.worker;
    case 'control plane':
      return processes.controlPlane;
    case 'PostgreSQL':
      return processes.postgres;
    case 'Redis':
      return processes.redis;
  }
}

/** PostgreSQL takes SIGTERM for a wish to wait until all have hung up. */
const stopSignalOf = (part: ChaosPart): NodeJS.Signals => (part === 'PostgreSQL' ? 'SIGINT' : 'SIGTERM');

/** @returns false where there is no such process any more */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** A frozen PostgreSQL is all of it: who has a connection talks to a child of the server. */
function processesOf(part: ChaosPart, pid: number): () => number[] {
  return () => (part === 'PostgreSQL' ? [pid, ...childrenOf(pid)] : [pid]);
}

/** @returns what lets them go on */
function stop(pidsOf: () => number[]): () => void {
  const [first = 0] = pidsOf();
  if (!signal(first, 'SIGSTOP')) return () => undefined;
  // Only now are its children all that it will have.
  const pids = pidsOf();
  for (const pid of pids) signal(pid, 'SIGSTOP');
  return () => {
    for (const pid of pids) signal(pid, 'SIGCONT');
  };
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && parentOf(pid) === parent);
}

function parentOf(pid: number): number | undefined {
  try {
    // The name before it stands in brackets, and may hold anything.
    const after = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1);
    return Number(after?.split(' ')[1]);
  } catch {
    return undefined;
  }
}

function readDataPlaneId(home: string, index: number): string {
  const identity = parseJson(readFileSync(join(home, `data-plane-${index + 1}`, 'identity.json'), 'utf8'));
  return (identity as { id: string }).id;
}

async function answers(graphqlUrl: string): Promise<boolean> {
  const body = JSON.stringify({ query: '{ currentPolicy { version } }' });
  const headers = { 'content-type': 'application/json' };
  try {
    const response = await fetch(graphqlUrl, { method: 'POST', headers, body, signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
