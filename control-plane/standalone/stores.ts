import { existsSync } from 'node:fs';
import { Client } from 'pg';
import type { DatabaseUrls } from '../database/provision.js';
import type { Child } from './child.js';
import type { LauncherEnvironment } from './environment.js';
import type { Home } from './home.js';
import type { KeptChoices, Ports } from './kept-choices.js';
import type { KeptSecrets } from './kept-secrets.js';
import { stopOrphanedPostgres, preparePostgres } from './postgres-server.js';
import { findPostgresPlace } from './postgres-user.js';
import { stopOrphans } from './process-record.js';
import { demandUsableRedis, hasRedisServer, prepareRedis, stopOrphanedRedis } from './redis-server.js';
import { Refusal } from './refusal.js';
import type { Supervisor } from './supervisor.js';

export interface StoreSettings {
  readonly home: Home;
  readonly environment: LauncherEnvironment;
  readonly inherited: Readonly<Record<string, string>>;
  readonly ports: Ports;
  readonly secrets: KeptSecrets;
  readonly supervisor: Supervisor;
}

/** Ends what a killed launcher left behind: the programs first, then what they store to. */
export async function stopLeftovers(home: Home): Promise<void> {
  await stopOrphans(home);
  await stopOrphanedRedis(home);
  if (existsSync(home.path('postgres'))) await stopOrphanedPostgres(await findPostgresPlace(home));
}

/** @returns null when `REDIS_URL` or the kept choice leave the queue to PostgreSQL. */
export async function startRedis(
  settings: StoreSettings,
  choice: KeptChoices['queue'],
): Promise<{ readonly child: Child | null; readonly url: string } | null> {
  const { home, environment, inherited, ports, secrets, supervisor } = settings;
  if (environment.REDIS_URL !== undefined) {
    await demandUsableRedis(environment.REDIS_URL);
    return { child: null, url: environment.REDIS_URL };
  }
  if (choice !== 'redis') return null;
  const { program, url } = await prepareRedis({
    home,
    port: ports.redis,
    password: secrets.redisPassword,
    environment: inherited,
  });
  return { child: await supervisor.run('stores', program), url };
}

/**
 * Decides once where the queue of this home lives: in Redis when a redis-server is on the path at the first start. Were it to
 * change with the path, jobs would wait in a queue that nobody reads.
 * @throws Refusal when the kept choice is Redis and its program is gone
 */
export async function chooseQueue(options: {
  readonly environment: LauncherEnvironment;
  readonly inherited: Readonly<Record<string, string>>;
  readonly kept: KeptChoices['queue'];
}): Promise<KeptChoices['queue']> {
  const { environment, inherited, kept } = options;
  if (environment.REDIS_URL !== undefined || kept === 'postgres') return kept;
  if (await hasRedisServer(inherited)) return 'redis';
  if (kept === null) return 'postgres';
  throw new Refusal(
    'The queue lives in Redis since the first start, and no redis-server is on the path: install it again.',
  );
}

/** The embedded server, or the one that `DATABASE_URL` names. */
export async function startPostgres(
  settings: StoreSettings,
  dataPlanes: number,
): Promise<{ readonly child: Child | null; readonly adminUrl: string }> {
  const { home, environment, inherited, ports, secrets, supervisor } = settings;
  if (environment.DATABASE_URL !== undefined) {
    await demandUsableDatabase(environment.DATABASE_URL);
    return { child: null, adminUrl: environment.DATABASE_URL };
  }
  const { program, adminUrl } = await preparePostgres({
    place: await findPostgresPlace(home),
    port: ports.postgres,
    password: secrets.postgresPassword,
    // A data plane holds a few connections for its queue; the rest is the control plane's and the worker's.
    maxConnections: 90 + 10 * dataPlanes,
    environment: inherited,
    signal: supervisor.stopSignal,
  });
  return { child: await supervisor.run('PostgreSQL', program), adminUrl };
}

async function demandUsableDatabase(url: string): Promise<void> {
  try {
    await isSuperuser(url);
  } catch (error) {
    throw new Refusal(`DATABASE_URL cannot be used: ${(error as Error).message}.`);
  }
}

/**
 * The URL for a person or a test that wants to read every table: the administrator's login where row security does not bind
 * it, else the tables' owner.
 */
export async function readerUrl(adminUrl: string, databaseUrls: DatabaseUrls): Promise<string> {
  if (!(await isSuperuser(adminUrl))) return databaseUrls.owner;
  const url = new URL(adminUrl);
  url.pathname = new URL(databaseUrls.owner).pathname;
  return url.href;
}

/** Asked at the database `postgres`, which every server has; that of the URL may be yet to be made. */
async function isSuperuser(url: string): Promise<boolean> {
  const connectionString = new URL(url);
  connectionString.pathname = '/postgres';
  const client = new Client({ connectionString: connectionString.href, connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const result = await client.query<{ super: boolean }>(
      'select rolsuper as super from pg_catalog.pg_roles where rolname = current_user',
    );
    return result.rows[0]?.super === true;
  } finally {
    await client.end().catch(() => undefined);
  }
}
