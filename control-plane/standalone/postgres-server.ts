import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chown, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { ChildProgram } from './child.js';
import { readPostgresLine } from './child-output.js';
import { makePrivateFolder, readTextFile } from './home.js';
import { findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.js';
import type { PostgresPlace } from './postgres-user.js';
import { commandLine, endProcess } from './process-identity.js';
import { Refusal } from './refusal.js';

const run = promisify(execFile);
const SUPERUSER = 'postgres';

export interface PostgresServer {
  readonly program: ChildProgram;
  /** URL of the superuser, at the database `postgres`. */
  readonly adminUrl: string;
}

/**
 * Readies the embedded PostgreSQL: programs that run here, and a cluster (made at the first start). It listens on 127.0.0.1
 * alone, asks everyone for a password, and opens no Unix socket.
 * @throws Refusal where this machine cannot run it
 */
export async function preparePostgres(options: {
  readonly place: PostgresPlace;
  readonly port: number;
  readonly password: string;
  /** Connections that will be needed at most. */
  readonly maxConnections: number;
  readonly environment: Readonly<Record<string, string>>;
  /** Aborts when all is to stop: the making of a cluster then ends half-way, and starts over the next time. */
  readonly signal?: AbortSignal;
}): Promise<PostgresServer> {
  const { place, port, password } = options;
  const binaries = await findPostgresBinaries({ user: place.user, copyFolder: place.folder });
  await makeCluster(place, binaries, password, options.signal);
  const adminUrl = `postgres://${SUPERUSER}:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
  return {
    adminUrl,
    program: {
      name: 'PostgreSQL',
      command: binaries.postgres,
      args: ['-D', dataFolder(place), ...settings(port, options.maxConnections)],
      environment: serverEnvironment(options.environment),
      workingFolder: place.folder,
      ...(place.user === null ? {} : { user: place.user.ids }),
      speaksIpc: false,
      isServing: () => accepts(adminUrl),
      // Fast shutdown, then immediate shutdown, which the next start recovers from.
      stopSignals: ['SIGINT', 'SIGQUIT'],
      readLine: readPostgresLine,
    },
  };
}

/**
 * Stops a server that a killed launcher left behind; only the holder of the home's lock may call it. Whether the process is
 * really ours is told by its command line: an id in an old file may by now be anybody's.
 */
export async function stopOrphanedPostgres(place: PostgresPlace): Promise<void> {
  const pidFile = join(dataFolder(place), 'postmaster.pid');
  const text = await readTextFile(pidFile);
  if (text === null) return;
  const pid = Number(text.split('\n')[0]);
  if (Number.isInteger(pid) && pid > 0 && commandLine(pid)?.includes(`-D ${dataFolder(place)} `) === true) {
    await endProcess(pid, ['SIGINT', 'SIGQUIT'], 4000);
  }
  // PostgreSQL takes any living process with that id for itself and would refuse to start. (That no backend of a killed
  // server still holds its shared memory, it finds out by other means.)
  await rm(pidFile, { force: true });
}

function dataFolder(place: PostgresPlace): string {
  return join(place.folder, 'data');
}

/** For a small machine that also runs everything else. Durability is never traded: fsync stays on. */
function settings(port: number, maxConnections: number): string[] {
  const values = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: String(maxConnections),
    shared_buffers: '128MB',
    max_wal_size: '512MB',
    jit: 'off',
    password_encryption: 'scram-sha-256',
    // A failed statement may hold a person's data or a password; its text stays out of the log, and so do its details.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_timezone: 'UTC',
    timezone: 'UTC',
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** PG* variables of the user's shell stay outside: one of them would send the server to other data. */
function serverEnvironment(environment: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: environment['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' };
}

/** The cluster is made under another name and renamed when whole: a kill in between leaves nothing that looks like one. */
async function makeCluster(
  place: PostgresPlace,
  binaries: PostgresBinaries,
  password: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if ((await readTextFile(join(dataFolder(place), 'PG_VERSION'))) !== null) return;
  await removeUnfinished(place.folder);
  // A name of its own each time: the initdb of a launcher that was just killed goes on for a moment.
  const attempt = randomUUID();
  const temporary = join(place.folder, `data-${attempt}.tmp`);
  const passwordFile = join(place.folder, `password-${attempt}.tmp`);
  await makePrivateFolder(temporary);
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
  if (place.user !== null) {
    for (const path of [temporary, passwordFile]) await chown(path, place.user.ids.uid, place.user.ids.gid);
  }
  try {
    await runInitdb({ place, program: binaries.initdb, data: temporary, passwordFile, signal });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rename(temporary, dataFolder(place));
}

async function removeUnfinished(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter((each) => each.endsWith('.tmp'))) {
    // One that is still being written to cannot always be removed; the next start tries again.
    await rm(join(folder, name), { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }
}

/** A cluster whose sort order and character classes are its own, not those of the system's library, and so never change. */
async function runInitdb(options: {
  readonly place: PostgresPlace;
  readonly program: string;
  readonly data: string;
  readonly passwordFile: string;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { place, program, data, passwordFile, signal } = options;
  const files = ['-D', data, '--pwfile', passwordFile];
  const logins = ['--username', SUPERUSER, '--auth', 'scram-sha-256'];
  const locale = ['--encoding', 'UTF8', '--locale', 'C', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8'];
  const running = run(program, [...files, ...logins, ...locale], {
    cwd: place.folder,
    env: serverEnvironment({}),
    ...place.user?.ids,
  });
  // Not execFile's own `signal`, which does not wait for the end of the process.
  const end = () => running.child.kill();
  signal?.addEventListener('abort', end);
  try {
    await running;
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new Refusal(`PostgreSQL could not make its data folder in ${place.folder}: ${stderr.trim() || message}`);
  } finally {
    signal?.removeEventListener('abort', end);
  }
}

async function accepts(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  // A connection that breaks later than it is of use must not end the launcher.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
