import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPool } from '../../../control-plane/database/sql.js';
import { projectFolder } from '../../kit/distribution.js';
import { endProcess, processorMs, residentBytes } from '../processes.js';
import type { Servers } from './servers.js';

export interface IngestResult {
  readonly events: number;
  readonly seconds: number;
  /** Processor time of all events, in milliseconds, by process. */
  readonly processor: Readonly<Record<'worker' | 'PostgreSQL' | 'Redis', number>>;
  /** The worker's, at its highest, in bytes. */
  readonly residentBytes: number;
}

export interface IngestOptions {
  readonly servers: Servers;
  readonly events: number;
  readonly nodeArguments?: readonly string[];
  /** Told, now and then, how many events are in. */
  readonly onProgress: (confirmed: number) => void;
}

const POLL_MS = 200;

/** Runs one worker, the program that production runs, until all that lies in the queue is in the ledger. */
export async function drainQueue(options: IngestOptions): Promise<IngestResult> {
  const { servers, events, nodeArguments = [], onProgress } = options;
  const pool = openPool({ url: servers.urls.owner, size: 1, onError: () => undefined });
  const worker = fork(join(projectFolder(), 'control-plane/dist/worker.js'), {
    execArgv: [...nodeArguments],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      PATH: process.env['PATH'],
      WORKER_DATABASE_URL: servers.urls.worker,
      QUEUE_URL: servers.redisUrl,
      PERSON_KEYS_DATABASE_URL: servers.urls.personKeys,
      PERSON_KEYS_SECRET: Buffer.alloc(32).toString('base64url'),
      LOG_LEVEL: 'warn',
    },
  });
  try {
    await once(worker, 'message');
    const { pid = 0 } = worker;
    const pids = { worker: pid, PostgreSQL: servers.postgresPid, Redis: servers.redisPid };
    const before = times(pids);
    const startedAt = performance.now();
    let most = 0;
    for (let confirmed = 0; confirmed < events;) {
      await sleep(POLL_MS);
      most = Math.max(most, residentBytes(pid));
      const sum = 'select coalesce(sum(confirmed), 0) as confirmed from usage_spool';
      confirmed = Number((await pool.query<{ confirmed: string }>(sum)).rows[0]?.confirmed);
      onProgress(confirmed);
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const after = times(pids);
    const spent = (name: keyof typeof pids): number => after[name] - before[name];
    const processor = { worker: spent('worker'), PostgreSQL: spent('PostgreSQL'), Redis: spent('Redis') };
    return { events, seconds, processor, residentBytes: most };
  } finally {
    await endProcess(worker);
    await pool.end();
  }
}

function times(pids: Readonly<Record<'worker' | 'PostgreSQL' | 'Redis', number>>) {
  const of = (pid: number): number => processorMs(pid) ?? Number.NaN;
  return { worker: of(pids.worker), PostgreSQL: of(pids.PostgreSQL), Redis: of(pids.Redis) };
}
