import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import type { ChildProgram } from './child.js';
import { readRedisLine } from './child-output.js';
import { makePrivateFolder, readTextFile, writeFileAtomically, type Home } from './home.js';
import { compareVersions } from './postgres-binaries.js';
import { commandLine, endProcess } from './process-identity.js';
import { Refusal } from './refusal.js';

const COMMAND = 'redis-server';
/** What BullMQ wants. */
const OLDEST_VERSION = '6.2';
const run = promisify(execFile);

export interface RedisServer {
  readonly program: ChildProgram;
  readonly url: string;
}

/** Whether a redis-server that is recent enough stands on the path. */
export async function hasRedisServer(environment: Readonly<Record<string, string>>): Promise<boolean> {
  try {
    const { stdout } = await run(COMMAND, ['--version'], { env: environment, timeout: 5000 });
    const version = /v=([\d.]+)/.exec(stdout)?.[1];
    return version !== undefined && compareVersions(version, OLDEST_VERSION) >= 0;
  } catch {
    return false;
  }
}

/** Writes the server's configuration; the password stands in that file only, not among the arguments that `ps` shows. */
export async function prepareRedis(options: {
  readonly home: Home;
  readonly port: number;
  readonly password: string;
  readonly environment: Readonly<Record<string, string>>;
}): Promise<RedisServer> {
  const { home, port, password } = options;
  const folder = await makePrivateFolder(home.path('redis'));
  await writeFileAtomically(configurationPath(home), configuration(folder, port, password));
  const url = `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}/0`;
  return {
    url,
    program: {
      name: 'Redis',
      command: COMMAND,
      args: [configurationPath(home)],
      environment: options.environment,
      workingFolder: folder,
      speaksIpc: false,
      isServing: async () => (await readMemoryPolicy(url)) === 'noeviction',
      stopSignals: ['SIGTERM'],
      readLine: readRedisLine,
    },
  };
}

function configurationPath(home: Home): string {
  return home.path('redis', 'redis.conf');
}

/** A queue must never lose an entry: nothing is evicted, and what was accepted is appended to a file. */
function configuration(folder: string, port: number, password: string): string {
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    'protected-mode yes',
    `requirepass ${password}`,
    `dir ${JSON.stringify(folder)}`,
    `pidfile ${JSON.stringify(pidPath(folder))}`,
    'daemonize no',
    // So that an orphan can be told by its command line, which names this file.
    'set-proc-title no',
    'maxmemory-policy noeviction',
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
  ];
  return `${lines.join('\n')}\n`;
}

function pidPath(folder: string): string {
  return join(folder, 'redis.pid');
}

/** Stops a server that a killed launcher left behind; only the holder of the home's lock may call it. */
export async function stopOrphanedRedis(home: Home): Promise<void> {
  const pid = Number((await readTextFile(pidPath(home.path('redis')))) ?? 'none');
  if (!Number.isInteger(pid) || pid <= 0) return;
  if (commandLine(pid)?.includes(configurationPath(home)) === true) await endProcess(pid, ['SIGTERM'], 4000);
}

/**
 * Checks a server that the user named.
 * @throws Refusal when it cannot be reached, or may drop entries of the queue when its memory is full
 */
export async function demandUsableRedis(url: string): Promise<void> {
  const policy = await readMemoryPolicy(url).catch((error: unknown) => {
    throw new Refusal(`REDIS_URL cannot be used: ${(error as Error).message}.`);
  });
  if (policy === 'noeviction') return;
  throw new Refusal(
    `The Redis of REDIS_URL has maxmemory-policy ${policy} and may drop usage that was not billed yet: set it to noeviction.`,
  );
}

/** From INFO, not CONFIG GET, which hosted servers refuse. */
async function readMemoryPolicy(url: string): Promise<string> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 3000,
    retryStrategy: null,
    maxRetriesPerRequest: 0,
  });
  const faults: Error[] = [];
  redis.on('error', (error: Error) => {
    faults.push(error);
  });
  try {
    await redis.connect();
    return /^maxmemory_policy:(\S+)/m.exec(await redis.info('memory'))?.[1] ?? 'unknown';
  } catch (error) {
    // The first tells why; the one that is thrown may only say that the connection is closed.
    throw faults[0] ?? error;
  } finally {
    redis.disconnect();
  }
}
