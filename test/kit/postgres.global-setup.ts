import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestProject } from 'vitest/node';
import { openHome } from '../../control-plane/standalone/home.js';
import { preparePostgres } from '../../control-plane/standalone/postgres-server.js';
import { findPostgresPlace } from '../../control-plane/standalone/postgres-user.js';
import { makeTemporaryFolder } from './temporary-folder.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** A login that may create databases and roles. */
    adminUrl: string;
  }
}

/** One real PostgreSQL for the whole run: that of `TEST_DATABASE_URL`, or the embedded one, thrown away afterwards. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const given = process.env['TEST_DATABASE_URL'];
  if (given !== undefined) {
    project.provide('adminUrl', given);
    return undefined;
  }
  const folder = await makeTemporaryFolder('postgres');
  const place = await findPostgresPlace(await openHome(folder.path));
  const environment = { PATH: process.env['PATH'] ?? '' };
  const { program, adminUrl } = await preparePostgres({
    place,
    port: await findFreePort(),
    password: 'of-a-test',
    maxConnections: 200,
    environment,
  });
  // Nothing of a test outlives it: what a power cut would lose is not worth the waiting.
  const server = spawn(program.command, [...program.args, '-c', 'fsync=off'], {
    cwd: program.workingFolder,
    env: program.environment,
    stdio: 'ignore',
    ...program.user,
  });
  for (let attempt = 0; attempt < 200 && !(await program.isServing?.()); attempt += 1) await delay(50);
  project.provide('adminUrl', adminUrl);
  return async () => {
    server.kill('SIGINT');
    await once(server, 'exit');
    await rm(place.folder, { recursive: true, force: true });
    await folder.remove();
  };
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
