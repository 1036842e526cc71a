import { setTimeout as sleep } from 'node:timers/promises';
import { StateLock } from '@pingtoken/shared/state-lock';
import { readArguments } from './arguments.js';
import { readyBanner } from './banner.js';
import { createCallLines } from './call-lines.js';
import { startDistribution } from './distribution.js';
import { createEnding, describe } from './ending.js';
import { inheritedEnvironment, readLauncherEnvironment, type LauncherEnvironment } from './environment.js';
import { openHome, readJsonFile, type Home } from './home.js';
import { createProgress } from './progress.js';
import { Refusal } from './refusal.js';
import { createRuntimeFile, runtimeSchema, type Runtime } from './runtime-file.js';
import { createSupervisor } from './supervisor.js';

/**
 * The one-machine distribution, what `npm start` runs: PostgreSQL, Redis where there is one, the control plane, a worker,
 * data planes and the provider simulator, each a process of its own, kept running until Ctrl-C or SIGTERM.
 */
const startedAt = Date.now();
const print = (line: string) => void process.stdout.write(`${line}\n`);
// Whoever reads the output may leave (`npm start | head`); the distribution goes on.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

try {
  await main();
} catch (error) {
  // No child was started yet, else the fault would have gone by way of `end`.
  process.stderr.write(`${sentence(error)}\n`);
  process.exit(1);
}

async function main(): Promise<void> {
  const { dataPlanes } = readArguments(process.argv.slice(2));
  const environment = readSettings();
  const home = await openHome(environment.PINGTOKEN_HOME);
  const lock = await demandLock(home);
  const runtimeFile = createRuntimeFile(home);
  runtimeFile.removeStale();

  const step = createProgress({ print });
  const calls = createCallLines({ print });
  let runtime: (() => Runtime) | null = null;
  let starting: Promise<unknown> = Promise.resolve();
  const replaced = () => {
    if (runtime !== null) void runtimeFile.write(runtime());
  };
  const supervisor = await createSupervisor({ home, print, calls, step, replaced });
  const end = createEnding({
    print,
    stop: async (hurry) => {
      await runtimeFile.remove();
      await supervisor.stop(hurry);
      // A start that was interrupted may be in the middle of making its cluster; it ends at its next step.
      await Promise.race([starting, sleep(3000)]).catch(() => undefined);
      calls.flush();
      await lock.release();
    },
  });

  try {
    const inherited = inheritedEnvironment(process.env);
    const started = startDistribution({ home, environment, inherited, dataPlanes, supervisor, step, print });
    starting = started;
    runtime = await started;
    await runtimeFile.write(runtime());
    print(readyBanner({ runtime: runtime(), home: home.folder, tookMs: Date.now() - startedAt }));
  } catch (error) {
    // After a signal, whatever the start ran into came of that.
    if (!supervisor.isStopping()) await end(1, sentence(error));
  }
}

function readSettings(): LauncherEnvironment {
  try {
    return readLauncherEnvironment(process.env);
  } catch (error) {
    throw new Refusal((error as Error).message);
  }
}

/** Two launchers on one folder would give one database two servers and one spool two writers. */
async function demandLock(home: Home): Promise<StateLock> {
  const lock = await StateLock.acquire(home.folder);
  if (lock !== null) return lock;
  const runtime = await readJsonFile(home.path('runtime.json'), runtimeSchema).catch(() => null);
  const process = runtime === null ? '' : ` (process ${runtime.processes.launcher})`;
  throw new Refusal(
    `PingToken already runs from ${home.folder}${process}: stop it first, or set PINGTOKEN_HOME to another folder.`,
  );
}

function sentence(error: unknown): string {
  return error instanceof Refusal ? error.message : `PingToken could not start: ${describe(error)}`;
}
