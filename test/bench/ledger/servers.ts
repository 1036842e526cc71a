import { spawn, spawnSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { migrate } from '../../../control-plane/database/migrate.js';
import { provision, type DatabaseUrls } from '../../../control-plane/database/provision.js';
import { openHome } from '../../../control-plane/standalone/home.js';
import { preparePostgres } from '../../../control-plane/standalone/postgres-server.js';
import { findPostgresPlace } from '../../../control-plane/standalone/postgres-user.js';
import { makeTemporaryFolder } from '../../kit/temporary-folder.js';
import type { Cleanup } from '../cleanup.js';
import { endProcess, findFreePort } from '../processes.js';

/** What a worker needs to run, of this bench's own and thrown away afterwards. */
export interface Servers {
  readonly urls: DatabaseUrls;
  readonly redisUrl: string;
  readonly postgresPid: number;
  readonly redisPid: number;
}

const PASSWORDS = { api: 'api', worker: 'worker', owner: 'owner', personKeys: 'person-keys', queue: 'queue' };

/** The embedded PostgreSQL with the settings of `npm start`, durable as there, and a Redis with an append-only file. */
export async function startServers(cleanup: Cleanup): Promise<Servers> {
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    throw new Error('This bench needs a redis-server on the path (apt-get install redis-server).');
  }
  const folder = await makeTemporaryFolder('ledger-bench');
  cleanup.add(() => folder.remove());
  const postgres = await startPostgres(folder.path, cleanup);
  const redis = await startRedis(folder.path, cleanup);
  const adminUrl = new URL(postgres.adminUrl);
  adminUrl.pathname = '/pingtoken';
  const urls = await provision({ adminUrl: adminUrl.href, passwords: PASSWORDS });
  await migrate({ ownerUrl: urls.owner, personKeysUrl: urls.personKeys });
  return { urls, postgresPid: postgres.pid, ...redis };
}

async function startPostgres(home: string, cleanup: Cleanup): Promise<{ adminUrl: string; pid: number }> {
  const place = await findPostgresPlace(await openHome(home));
  const environment = { PATH: process.env['PATH'] ?? '' };
  const port = await findFreePort();
  const options = { place, port, password: 'of-a-bench', maxConnections: 60, environment };
  const { program, adminUrl } = await preparePostgres(options);
  const server = spawn(program.command, [...program.args], {
    cwd: program.workingFolder,
    env: program.environment,
    stdio: 'ignore',
    ...program.user,
  });
  cleanup.add(async () => {
    await endProcess(server, 'SIGINT');
    await rm(place.folder, { recursive: true, force: true });
  });
  for (let attempt = 0; attempt < 400 && !(await program.isServing?.()); attempt += 1) await sleep(50);
  if (server.pid === undefined) throw new Error('PostgreSQL did not start');
  return { adminUrl, pid: server.pid };
}

async function startRedis(folder: string, cleanup: Cleanup): Promise<{ redisUrl: string; redisPid: number }> {
  const port = await findFreePort();
  const settings = ['--save', '', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'];
  const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...settings], {
    stdio: 'ignore',
  });
  cleanup.add(() => endProcess(server));
  const redisUrl = `redis://127.0.0.1:${port}`;
  const redis = new Redis(redisUrl, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  await redis.ping();
  redis.disconnect();
  if (server.pid === undefined) throw new Error('Redis did not start');
  return { redisUrl, redisPid: server.pid };
}
