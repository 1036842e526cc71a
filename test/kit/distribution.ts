import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseJson } from '@pingtoken/shared/wire';
import type { Runtime } from '../../control-plane/standalone/runtime-file.js';

/** Starting everything on a busy machine. */
const READY_TIMEOUT_MS = 60_000;
/** What a stop is promised to take, and some for a busy machine. */
const STOP_TIMEOUT_MS = 15_000;

export interface DistributionOptions {
  /** Whether a redis-server on the path is used; false hides it, and the queue lives in PostgreSQL. Default false. */
  readonly redis?: boolean;
  /** Default 1. */
  readonly dataPlanes?: number;
  /** Set last; all ports are 0 otherwise. */
  readonly env?: Readonly<Record<string, string>>;
  /** An earlier distribution's home, to start from what it kept. Default: a new one. */
  readonly home?: string;
  /** Default: a minute. */
  readonly readyTimeoutMs?: number;
}

export interface Distribution {
  readonly home: string;
  /** As it was when the distribution became ready. */
  readonly runtime: Runtime;
  /** As it is now; null when there is no runtime.json. */
  readonly readRuntime: () => Runtime | null;
  /** All that the launcher has printed. */
  readonly output: () => string;
  /** SIGTERM. @returns exit code of the launcher */
  readonly stop: () => Promise<number | null>;
  /** SIGKILL to the launcher alone: whatever the children do then is theirs. */
  readonly killLauncher: () => Promise<void>;
  /** Stops it and removes its home. */
  readonly dispose: () => Promise<void>;
}

/** Starts the one-machine distribution from the compiled files, as `npm start` does. */
export async function startDistribution(options: DistributionOptions = {}): Promise<Distribution> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'pingtoken-test-')));
  const launcher = runLauncher({ ...options, home });
  const readRuntime = () => readRuntimeFile(home);
  const deadline = Date.now() + (options.readyTimeoutMs ?? READY_TIMEOUT_MS);
  // The process id tells this launcher's file from one that a killed launcher left.
  while (readRuntime()?.processes.launcher !== launcher.process.pid) {
    if (launcher.process.exitCode !== null || Date.now() > deadline) {
      launcher.process.kill('SIGKILL');
      throw new Error(`the distribution did not start:\n${launcher.output()}`);
    }
    await sleep(50);
  }
  const runtime = readRuntime();
  if (runtime === null) throw new Error('runtime.json is gone');
  const stop = async () => {
    launcher.process.kill('SIGTERM');
    return launcher.exit(STOP_TIMEOUT_MS);
  };
  return {
    home,
    runtime,
    readRuntime,
    output: launcher.output,
    stop,
    killLauncher: async () => {
      launcher.process.kill('SIGKILL');
      await launcher.exit(STOP_TIMEOUT_MS);
    },
    dispose: async () => {
      await stop();
      await removeHome(home);
    },
  };
}

export interface LauncherRun {
  readonly process: ChildProcess;
  readonly output: () => string;
  /** @throws Error when it has not ended by then */
  readonly exit: (withinMs: number) => Promise<number | null>;
}

/** Starts the launcher and waits for nothing. */
export function runLauncher(options: DistributionOptions & { readonly home: string }): LauncherRun {
  const { redis = false, dataPlanes = 1, env = {}, home } = options;
  const child = spawn(
    process.execPath,
    [join(projectFolder(), 'control-plane/dist/standalone/launcher.js'), '--data-planes', String(dataPlanes)],
    {
      cwd: projectFolder(),
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: redis ? (process.env['PATH'] ?? '') : '/nonexistent',
        HOME: process.env['HOME'] ?? '/',
        PINGTOKEN_HOME: home,
        CONTROL_PLANE_PORT: '0',
        DATA_PLANE_PORT: '0',
        PROVIDER_SIMULATOR_PORT: '0',
        // A busy machine answers late; how late is not what is tested.
        LEASE_TIMEOUT_MS: '5000',
        ...env,
      },
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exited = new Promise<number | null>((resolve) => {
    child.once('close', resolve);
  });
  return {
    process: child,
    output: () => output,
    exit: (withinMs) => {
      const late = sleep(withinMs, undefined, { ref: false }).then(() => {
        throw new Error(`the launcher did not end within ${withinMs} ms:\n${output}`);
      });
      return Promise.race([exited, late]);
    },
  };
}

/** Where PostgreSQL must not run as root its data lies elsewhere, and the home holds a link to it. */
export async function removeHome(home: string): Promise<void> {
  const postgres = await realpath(join(home, 'postgres')).catch(() => null);
  if (postgres !== null) await rm(postgres, { recursive: true, force: true });
  await rm(home, { recursive: true, force: true });
}

function readRuntimeFile(home: string): Runtime | null {
  try {
    return parseJson(readFileSync(join(home, 'runtime.json'), 'utf8')) as Runtime;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** This file runs from test/kit and, compiled, from deeper down. */
export function projectFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'docker-compose.yml'))) {
    if (dirname(folder) === folder) throw new Error('the project folder was not found');
    folder = dirname(folder);
  }
  return folder;
}
