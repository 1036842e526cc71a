import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { seedKeys } from '../kit/seed-keys.js';
import { prepareCatalogue, type BenchTenant } from './catalogue.js';
import type { Cleanup } from './cleanup.js';
import type { RunningContender } from './contenders.js';
import type { WorkloadName } from './options.js';
import { processorMs } from './processes.js';
import type { Upstream } from './upstream.js';
import { WORKLOADS } from './workloads.js';

/** The distribution of `npm start`, with everything on, and what the bench asks of it. */
export interface Platform {
  readonly distribution: Distribution;
  readonly tenant: BenchTenant;
  readonly dataPlanePid: number;
  /** By its own port, without a path. */
  readonly dataPlaneUrl: string;
  readonly contender: RunningContender;
  /** All drains so far. */
  readonly drained: () => Drained;
  /** What the ledger has of the calls made, once all is drained. */
  countBilled(): Promise<{ readonly calls: number; readonly events: number; readonly transfers: number }>;
}

export interface Drained {
  readonly events: number;
  readonly ms: number;
  /** What the data plane itself used meanwhile; undefined where the system does not tell. */
  readonly processorMs: number | undefined;
}

const READY_TIMEOUT_MS = 120_000;
const DRAIN_TIMEOUT_MS = 600_000;

export async function startPlatform(options: {
  readonly upstream: Upstream;
  readonly workloads: readonly WorkloadName[];
  readonly keys: number;
  readonly cleanup: Cleanup;
  readonly say: (line: string) => void;
}): Promise<Platform> {
  const { upstream, workloads, keys, cleanup, say } = options;
  say('Starting PingToken in a folder of its own');
  const distribution = await startDistribution({ redis: true });
  cleanup.add(distribution.dispose);
  const { runtime } = distribution;
  const tenant = await prepareCatalogue(distribution, upstream, workloads);
  say(`Publishing ${keys.toLocaleString('en')} keys`);
  const { databaseUrl } = runtime;
  await seedKeys({ databaseUrl, tenantId: tenant.tenantId, memberId: tenant.memberId, prefix: 'bench', count: keys });

  const database = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  database.on('error', () => undefined);
  cleanup.add(() => database.end());
  const [dataPlaneUrl = ''] = runtime.dataPlaneUrls;
  const [dataPlanePid = 0] = runtime.processes.dataPlanes;
  const number = async (text: string, values: readonly unknown[] = []): Promise<number> => {
    const { rows } = await database.query<{ value: string | null }>(text, [...values]);
    return Number(rows[0]?.value ?? 0);
  };

  const head = await number('select seq as value from config_head');
  await until(async () => (await readMetric(dataPlaneUrl, 'pingtoken_config_seq')) >= head, READY_TIMEOUT_MS);

  const { worker } = runtime.processes;
  cleanup.add(() => {
    signal(worker, 'SIGCONT');
  });
  let drained: Drained = { events: 0, ms: 0, processorMs: processorMs(dataPlanePid) === undefined ? undefined : 0 };
  const confirmed = (): Promise<number> => number('select sum(confirmed) as value from usage_spool');
  const contender: RunningContender = {
    name: 'PingToken',
    pid: dataPlanePid,
    addressOf: (workload) => ({
      url: `${dataPlaneUrl}/v1${WORKLOADS[workload].callerPath}`,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${tenant.apiKey}` },
    }),
    before: () => {
      signal(worker, 'SIGSTOP');
    },
    after: async () => {
      const before = await confirmed();
      const startedAt = performance.now();
      const usedBefore = processorMs(dataPlanePid) ?? 0;
      signal(worker, 'SIGCONT');
      const made = await readMetric(dataPlaneUrl, 'pingtoken_calls_total');
      await until(async () => (await confirmed()) >= made, DRAIN_TIMEOUT_MS);
      const used = (processorMs(dataPlanePid) ?? 0) - usedBefore;
      drained = {
        events: drained.events + made - before,
        ms: drained.ms + performance.now() - startedAt,
        processorMs: drained.processorMs === undefined ? undefined : drained.processorMs + used,
      };
    },
  };
  return {
    distribution,
    tenant,
    dataPlanePid,
    dataPlaneUrl,
    contender,
    drained: () => drained,
    countBilled: async () => ({
      calls: await readMetric(dataPlaneUrl, 'pingtoken_calls_total'),
      events: await number('select count(*) as value from usage_event where tenant_id = $1', [tenant.tenantId]),
      transfers: await number(
        `select count(distinct event_id) as value from transfer where tenant_id = $1 and kind = 'usage'`,
        [tenant.tenantId],
      ),
    }),
  };
}

/** The sum over all labels of a metric. */
export async function readMetric(dataPlaneUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${dataPlaneUrl}/metrics`)).text();
  const values = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

async function until(isDone: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new Error(`not done within ${timeoutMs / 1000} s`);
    await sleep(50);
  }
}

/** A process that has ended meanwhile needs no signal. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
