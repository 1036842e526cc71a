import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { makeTemporaryFolder } from './temporary-folder.js';

export interface TestRedis {
  readonly url: string;
  /** As an outage does: what it held is gone. */
  kill(): Promise<void>;
  /** It holds its connections and answers nothing, until it is resumed. */
  pause(): void;
  resume(): void;
  /** On the same port. */
  restart(): Promise<void>;
  remove(): Promise<void>;
}

/** Tests that need a Redis are skipped, by name, where none is installed. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0;

export async function startRedis({ policy = 'noeviction' }: { readonly policy?: string } = {}): Promise<TestRedis> {
  const folder = await makeTemporaryFolder('redis');
  const port = await findFreePort();
  const url = `redis://127.0.0.1:${port}`;
  const args = ['--port', String(port), '--save', '', '--maxmemory-policy', policy, '--dir', folder.path];
  const start = async () => {
    const server = spawn('redis-server', args, { stdio: 'ignore' });
    for (let attempt = 0; attempt < 100 && !(await answers(url)); attempt += 1) await delay(30);
    return server;
  };
  let server = await start();
  const kill = async (): Promise<void> => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  };
  return {
    url,
    kill,
    pause: () => {
      server.kill('SIGSTOP');
    },
    resume: () => {
      server.kill('SIGCONT');
    },
    restart: async () => {
      await kill();
      server = await start();
    },
    remove: async () => {
      await kill();
      await folder.remove();
    },
  };
}

async function answers(url: string): Promise<boolean> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    await redis.ping();
    return true;
  } catch {
    return false;
  } finally {
    redis.disconnect();
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
