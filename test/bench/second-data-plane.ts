import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTemporaryFolder } from '../kit/temporary-folder.js';
import type { Cleanup } from './cleanup.js';
import type { Platform } from './platform.js';
import { endProcess, findFreePort } from './processes.js';

export interface SecondDataPlane {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly url: string;
  /** From the start of its process to the first 200 of `/readyz`. */
  readonly readyMs: number;
}

/** Reading another process's command line and environment takes Linux. */
export const CAN_START_SECOND = existsSync('/proc/self/environ');

const READY_TIMEOUT_MS = 30_000;
const POLL_MS = 5;

/**
 * Starts a data plane by hand as the launcher started its own: same command, same environment, and a copy of its identity
 * and of its last good config; spool and ports are its own.
 */
export async function startSecondDataPlane(
  { distribution, dataPlanePid }: Platform,
  {
    nodeArguments = [],
    env = {},
    cleanup,
  }: {
    readonly nodeArguments?: readonly string[];
    /** Set last. */
    readonly env?: Readonly<Record<string, string>>;
    readonly cleanup: Cleanup;
  },
): Promise<SecondDataPlane> {
  const folder = await makeTemporaryFolder('bench-data-plane');
  cleanup.add(() => folder.remove());
  const home = join(folder.path, 'home');
  await mkdir(home, { mode: 0o700 });
  const original = join(distribution.home, 'data-plane-1');
  await cp(join(original, 'identity.json'), join(home, 'identity.json'));
  await copyConfig(join(original, 'config'), join(home, 'config'));

  const [command = '', ...args] = readList(`/proc/${dataPlanePid}/cmdline`);
  const environment = Object.fromEntries(
    readList(`/proc/${dataPlanePid}/environ`)
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const)
      // The channel to the launcher is the other one's.
      .filter(([name]) => !name.startsWith('NODE_CHANNEL')),
  );
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const startedAt = performance.now();
  const child = spawn(command, [...nodeArguments, ...args], {
    cwd: folder.path,
    stdio: 'ignore',
    env: { ...environment, DATA_PLANE_HOME: home, DATA_PLANE_PORT: '0', DATA_PLANE_OWN_PORT: String(port), ...env },
  });
  cleanup.add(() => endProcess(child));
  if (child.pid === undefined) throw new Error('the data plane did not start');
  while (!(await isReady(url))) {
    if (child.exitCode !== null) throw new Error(`the data plane ended (exit code ${child.exitCode})`);
    if (performance.now() - startedAt > READY_TIMEOUT_MS) throw new Error('the data plane did not become ready');
    await sleep(POLL_MS);
  }
  return { child, pid: child.pid, url, readyMs: performance.now() - startedAt };
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

const readList = (path: string): string[] => readFileSync(path, 'utf8').split('\0').filter(Boolean);

/** The data plane that it belongs to goes on writing: a file that is folded into the snapshot meanwhile is gone, once. */
async function copyConfig(from: string, to: string): Promise<void> {
  try {
    await cp(from, to, { recursive: true });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    await cp(from, to, { recursive: true });
  }
}
