import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { processIdentity } from '../../control-plane/standalone/process-identity.js';
import { hasRedisServer } from '../../control-plane/standalone/redis-server.js';
import { runtimeSchema, type Runtime } from '../../control-plane/standalone/runtime-file.js';
import { removeHome, runLauncher, startDistribution, type Distribution } from '../kit/distribution.js';

const hasRedis = await hasRedisServer({ PATH: process.env['PATH'] ?? '' });
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const portOf = (url: string) => Number(new URL(url).port);

function pidsOf({ processes }: Runtime): number[] {
  const { launcher, controlPlane, worker, dataPlanes, provider, postgres, redis } = processes;
  return [launcher, controlPlane, worker, ...dataPlanes, provider, postgres, redis].filter((pid) => pid !== null);
}

const livingOf = (pids: readonly number[]) => pids.filter((pid) => processIdentity(pid) !== null);

/** What a process was started with; Linux only. */
const environmentOf = (pid: number) => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');

/** What the processes other than the launcher were started with. */
function environmentsOf(runtime: Runtime): string {
  if (process.platform !== 'linux') return '';
  const children = livingOf(pidsOf(runtime)).filter((pid) => pid !== runtime.processes.launcher);
  return children.flatMap(environmentOf).join('\n');
}

async function call(runtime: Runtime, baseUrl = runtime.gatewayUrl): Promise<number> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${runtime.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: runtime.model, messages: [{ role: 'user', content: 'Hello' }] }),
    signal: AbortSignal.timeout(5000),
  });
  await response.arrayBuffer();
  return response.status;
}

/** A request that any living control plane answers. */
async function askGraphql(runtime: Runtime): Promise<number> {
  const response = await fetch(runtime.graphqlUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${runtime.apiKey}` },
    body: '{"query":"{ __typename }"}',
    signal: AbortSignal.timeout(5000),
  });
  await response.arrayBuffer();
  return response.status;
}

async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

describe('a distribution', () => {
  let distribution: Distribution;
  let runtime: Runtime;

  beforeAll(async () => {
    distribution = await startDistribution();
    runtime = distribution.runtime;
  });
  afterAll(async () => {
    await distribution.dispose();
  });

  it('says where it is, in a file of its own user alone', () => {
    expect(runtimeSchema.parse(runtime)).toEqual(runtime);
    expect(runtime.gatewayUrl).toMatch(/\/v1$/);
    expect(runtime.redisUrl).toBeNull();
    expect(runtime.processes.redis).toBeNull();
    expect(modeOf(distribution.home)).toBe('700');
    for (const name of ['runtime.json', 'secrets.json', 'choices.json', 'data-plane-1/identity.json']) {
      expect(modeOf(join(distribution.home, name)), name).toBe('600');
    }
    for (const name of readdirSync(join(distribution.home, 'logs'))) {
      expect(modeOf(join(distribution.home, 'logs', name)), name).toBe('600');
    }
  });

  it('runs each part as a process of its own', () => {
    const pids = pidsOf(runtime);
    expect(new Set(pids).size).toBe(6);
    expect(livingOf(pids)).toEqual(pids);
  });

  it('prints a line that can be pasted and answers, and then the call as it is billed', async () => {
    // The block comes after runtime.json, which says that it runs.
    await vi.waitFor(() => {
      expect(distribution.output()).toContain('curl ');
    }, 10_000);
    const output = distribution.output();
    for (const text of [runtime.graphqlUrl, runtime.gatewayUrl, runtime.operator.password, runtime.apiKey]) {
      expect(output).toContain(text);
    }
    const line = output.split('\n').find((each) => each.trimStart().startsWith('curl '));
    const answer = execFileSync('sh', ['-c', `${line ?? 'false'} --silent --fail`], { encoding: 'utf8' });
    expect(answer).toContain('"choices"');
    await vi.waitFor(() => {
      const shown = distribution.output().slice(output.length);
      expect(shown).toMatch(new RegExp(`${runtime.model} {2}\\d+ in \\+ \\d+ out tokens {2}\\S+ {2}\\d+ ms`));
    }, 10_000);
  });

  it('may be read by its databaseUrl, every table of it', async () => {
    const tables = await query(
      runtime.databaseUrl,
      `select format('%I.%I', schemaname, tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    );
    expect(tables.length).toBeGreaterThan(5);
    for (const { name } of tables) await query(runtime.databaseUrl, `select count(*) from ${String(name)}`);
    expect(
      await query(
        runtime.databaseUrl,
        'select rolsuper or rolbypassrls as sees_all from pg_roles where rolname = current_user',
      ),
    ).toEqual([{ sees_all: true }]);
  });

  it.runIf(process.platform === 'linux')('hands no process more than it needs', () => {
    const { dataPlanes, provider } = runtime.processes;
    for (const pid of [...dataPlanes, provider]) {
      const seen = environmentOf(pid).join('\n');
      expect(seen).not.toMatch(/DATABASE_URL|_SECRET|CONFIG_SIGNING_KEY|pingtoken_owner|OPENAI/);
    }
  });

  it('refuses a second start with a sentence that says so', async () => {
    const second = runLauncher({ home: distribution.home });
    expect(await second.exit(20_000)).toBe(1);
    expect(second.output()).toMatch(
      /^PingToken already runs from \S+ \(process \d+\): stop it first, or set PINGTOKEN_HOME .*\.\n$/,
    );
    expect(await call(runtime)).toBe(200);
  });

  it('refuses a taken port, naming it and the variable that changes it', async () => {
    const home = await mkdtemp(join(tmpdir(), 'pingtoken-test-'));
    const ports = {
      CONTROL_PLANE_PORT: portOf(runtime.graphqlUrl),
      DATA_PLANE_PORT: portOf(runtime.gatewayUrl),
      PROVIDER_SIMULATOR_PORT: portOf(runtime.provider.url),
    };
    for (const [variable, port] of Object.entries(ports)) {
      const refused = runLauncher({ home, env: { [variable]: String(port) } });
      expect(await refused.exit(20_000)).toBe(1);
      expect(refused.output()).toBe(`Port ${port} is taken: stop what uses it or set ${variable}.\n`);
    }
    await removeHome(home);
  });

  it('refuses settings and arguments that make no sense', async () => {
    const home = await mkdtemp(join(tmpdir(), 'pingtoken-test-'));
    const wrong = runLauncher({ home, env: { DATA_PLANE_PORT: 'x', DATABASE_URL: 'mysql://u:hidden@h/d' } });
    expect(await wrong.exit(20_000)).toBe(1);
    expect(wrong.output()).toMatch(/DATA_PLANE_PORT[^]*DATABASE_URL: must be a postgres:\/\/ URL/);
    expect(wrong.output()).not.toContain('hidden');
    const many = runLauncher({ home, dataPlanes: 17 });
    expect(await many.exit(20_000)).toBe(1);
    expect(many.output()).toBe('--data-planes must be a whole number from 1 to 16.\n');
    const unreachable = runLauncher({ home, env: { DATABASE_URL: 'postgres://u:hidden@127.0.0.1:1/d' } });
    expect(await unreachable.exit(20_000)).toBe(1);
    expect(unreachable.output()).toMatch(/^(?:Starting the database…\n)?DATABASE_URL cannot be used: [^\n]*\n$/);
    await removeHome(home);
  });

  const parts: Readonly<Record<string, (runtime: Runtime) => number | null | undefined>> = {
    'control plane': ({ processes }) => processes.controlPlane,
    worker: ({ processes }) => processes.worker,
    'data plane': ({ processes }) => processes.dataPlanes[0],
    simulator: ({ processes }) => processes.provider,
    PostgreSQL: ({ processes }) => processes.postgres,
  };
  for (const [part, pidOf] of Object.entries(parts)) {
    it(`starts its ${part} again when that dies, on the same port and state`, async () => {
      const pid = pidOf(runtime) ?? 0;
      process.kill(pid, 'SIGKILL');
      await vi.waitFor(
        () => {
          const next = pidOf(distribution.readRuntime() ?? runtime) ?? pid;
          expect(next).not.toBe(pid);
          expect(processIdentity(next)).not.toBeNull();
        },
        { timeout: 10_000, interval: 50 },
      );
      await vi.waitFor(
        async () => {
          expect(await call(runtime)).toBe(200);
          expect(await askGraphql(runtime)).toBe(200);
          expect(await query(runtime.databaseUrl, 'select 1 as one')).toEqual([{ one: 1 }]);
        },
        { timeout: 20_000, interval: 200 },
      );
      const now = distribution.readRuntime() ?? runtime;
      expect({ ...now, processes: {} }).toEqual({ ...runtime, processes: {} });
      expect(modeOf(join(distribution.home, 'runtime.json'))).toBe('600');
      runtime = now;
    });
  }

  it('starts from what it kept after its launcher was killed, and nothing of the old one is left', async () => {
    const before = distribution.readRuntime() ?? runtime;
    await distribution.killLauncher();
    distribution = await startDistribution({ home: distribution.home });
    expect(livingOf(pidsOf(before))).toEqual([]);
    expect({ ...distribution.runtime, processes: {} }).toEqual({ ...before, processes: {} });
    runtime = distribution.runtime;
    await vi.waitFor(async () => {
      expect(await call(runtime)).toBe(200);
    }, 10_000);
  });

  it('stops on SIGTERM within ten seconds, leaves no process and no runtime.json, and starts with the same key', async () => {
    const before = distribution.readRuntime() ?? runtime;
    const started = Date.now();
    expect(await distribution.stop()).toBe(0);
    expect(Date.now() - started).toBeLessThan(10_000);
    expect(livingOf(pidsOf(before))).toEqual([]);
    expect(existsSync(join(distribution.home, 'runtime.json'))).toBe(false);
    distribution = await startDistribution({ home: distribution.home });
    expect({ ...distribution.runtime, processes: {} }).toEqual({ ...before, processes: {} });
  });
});

describe('a distribution with two data planes', () => {
  let distribution: Distribution;

  beforeAll(async () => {
    distribution = await startDistribution({ redis: true, dataPlanes: 2, env: { OPENAI_API_KEY: 'sk-not-a-key' } });
  });
  afterAll(async () => {
    await distribution.dispose();
  });

  it('has them share the port, each reachable on one of its own too', async () => {
    const { runtime } = distribution;
    expect(new Set([runtime.gatewayUrl, ...runtime.dataPlaneUrls].map(portOf)).size).toBe(3);
    expect(new Set(runtime.processes.dataPlanes).size).toBe(2);
    for (const url of [runtime.gatewayUrl, ...runtime.dataPlaneUrls.map((base) => `${base}/v1`)]) {
      expect(await call(runtime, url)).toBe(200);
    }
    const [first = 0] = runtime.processes.dataPlanes;
    process.kill(first, 'SIGKILL');
    expect(await call(runtime, `${runtime.dataPlaneUrls[1] ?? ''}/v1`)).toBe(200);
  });

  it('seeds a real provider whose key was set, beside the simulator, and shows its key to nobody', async () => {
    const { runtime } = distribution;
    expect(await query(runtime.databaseUrl, 'select slug, dialect from provider order by slug')).toEqual([
      { slug: 'openai', dialect: 'openai' },
      { slug: 'simulator', dialect: 'openai' },
      { slug: 'simulator-anthropic', dialect: 'anthropic' },
      { slug: 'simulator-gemini', dialect: 'gemini' },
    ]);
    expect(environmentsOf(distribution.readRuntime() ?? runtime)).not.toContain('sk-not-a-key');
    expect(distribution.output()).not.toContain('sk-not-a-key');
  });

  it.runIf(hasRedis)('uses the Redis on the path and keeps to it', async () => {
    const { runtime } = distribution;
    expect(runtime.redisUrl).toMatch(/^redis:\/\/:[^@]+@127\.0\.0\.1:/);
    const redis = runtime.processes.redis ?? 0;
    process.kill(redis, 'SIGKILL');
    await vi.waitFor(() => {
      const next = distribution.readRuntime()?.processes.redis ?? redis;
      expect(next).not.toBe(redis);
      expect(livingOf([next])).toHaveLength(1);
    }, 10_000);
    await distribution.stop();
    const gone = runLauncher({ home: distribution.home, redis: false });
    expect(await gone.exit(20_000)).toBe(1);
    expect(gone.output()).toMatch(/no redis-server is on the path/);
    distribution = await startDistribution({ home: distribution.home, redis: true, dataPlanes: 2 });
    expect(distribution.runtime.redisUrl).toBe(runtime.redisUrl);
    expect(await call(distribution.runtime)).toBe(200);
  });

  it('lends its PostgreSQL to another distribution, which then runs none', async () => {
    const url = new URL(distribution.runtime.databaseUrl);
    url.pathname = '/second';
    const second = await startDistribution({ env: { DATABASE_URL: url.href } });
    try {
      expect(second.runtime.processes.postgres).toBeNull();
      expect(new URL(second.runtime.databaseUrl).pathname).toBe('/second');
      expect(await call(second.runtime)).toBe(200);
    } finally {
      await second.dispose();
    }
  });
});
