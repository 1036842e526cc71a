import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import {
  awaitConfig,
  isReady,
  readProcessStart,
  residentMiB,
  startAgain,
  stopProcess,
} from '../kit/data-plane-process.js';
import { openDatabaseReader, type DatabaseReader } from '../kit/database-reader.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { seededKey, seedKeys } from '../kit/seed-keys.js';
import { awaitUsage } from '../kit/usage-view.js';
import { measureUntil, quantile, waitFor } from '../kit/wait-for.js';

const KEYS = 100_000;
const ROUNDS = 10;
/** What is promised within a second may take this on a slow machine. The measured times are printed. */
const PATIENCE_MS = 5_000;

function chatAt(url: string, bearer: string): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'pingtoken-sim-small', messages: [{ role: 'user', content: 'Hello' }] }),
  });
}

describe(`config push with ${KEYS} keys loaded and two data planes`, () => {
  let distribution: Distribution;
  let customer: Customer;
  let database: DatabaseReader;
  let urls: readonly string[];

  const statusAt = async (url: string, secret: string): Promise<number> => {
    const response = await fetch(`${url}/v1/models`, {
      headers: { authorization: `Bearer ${secret}` },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    await response.arrayBuffer();
    return response.status;
  };
  const note = (text: string): void => {
    console.log(`${KEYS} keys: ${text}`);
  };

  beforeAll(async () => {
    distribution = await startDistribution({ dataPlanes: 2 });
    urls = distribution.runtime.dataPlaneUrls;
    database = openDatabaseReader(distribution.runtime.databaseUrl);
    customer = await createCustomer(distribution);
    const { platform, tenant } = customer;
    const { me } = await platform.query<{ me: { memberId: string } }>('{ me { memberId } }', tenant.token);
    const started = performance.now();
    const { databaseUrl } = distribution.runtime;
    const owner = { tenantId: tenant.id, memberId: me.memberId };
    const seq = await seedKeys({ databaseUrl, ...owner, prefix: 'seeded', count: KEYS });
    const committed = performance.now();
    await awaitConfig(urls, seq, 60_000);
    const [seeding, loading] = [committed - started, performance.now() - committed].map(Math.round);
    note(`written in ${seeding ?? 0} ms, in force at both data planes ${loading ?? 0} ms later`);
  }, 180_000);
  afterAll(async () => {
    await database.close();
    await distribution.dispose();
  });

  it('knows the first of them and the last', async () => {
    for (const url of urls) {
      for (const n of [1, KEYS]) expect(await statusAt(url, seededKey('seeded', n))).toBe(200);
      expect(await statusAt(url, seededKey('seeded', KEYS + 1))).toBe(401);
    }
  });

  it('puts a new key, a revocation, a withdrawn and a given grant in force at every data plane', async () => {
    const { platform, tenant, key, providerId } = customer;
    const times: Record<string, number[]> = {};
    /** From the moment before the change is asked for, so more than from its commit. */
    const measure = async (what: string, change: () => Promise<void>, isInForce: (url: string) => Promise<boolean>) => {
      const since = performance.now();
      await change();
      const options = { since, timeoutMs: PATIENCE_MS, intervalMs: 2, what };
      const each = await Promise.all(urls.map((url) => measureUntil(() => isInForce(url), options)));
      (times[what] ??= []).push(Math.max(...each));
    };
    const hasModels = async (url: string) => (await listModels(`${url}/v1`, key.secret)).length > 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      let made = { id: '', secret: '' };
      const create = async () => {
        made = await platform.createKey(tenant);
      };
      await measure('a new key', create, async (url) => (await statusAt(url, made.secret)) === 200);
      const revoke = () => platform.revokeKey(tenant, made.id);
      await measure('a revocation', revoke, async (url) => (await statusAt(url, made.secret)) === 401);
      const withdraw = async () => {
        const options = { token: tenant.token, inputType: 'ProviderIdInput' };
        await platform.mutate('revokeProviderGrant', { providerId }, 'revoked', options);
      };
      await measure('a withdrawn grant', withdraw, async (url) => !(await hasModels(url)));
      await measure('a grant', () => platform.grant(tenant, providerId), hasModels);
    }
    for (const [what, values] of Object.entries({ ...times, 'any change': Object.values(times).flat() })) {
      note(`${what} in force at both: p50 ${quantile(values, 0.5)} ms, p99 ${quantile(values, 0.99)} ms`);
    }
    expect(Object.values(times).flat()).toHaveLength(4 * ROUNDS);
  });

  it.runIf(process.platform === 'linux')(
    'brings a killed data plane back from its disk with the control plane dead, and no revoked key with it',
    async () => {
      const { platform, tenant, key, books } = customer;
      const { processes } = distribution.readRuntime() ?? distribution.runtime;
      const [url = ''] = urls;
      const revoked = await platform.createKey(tenant);
      await waitFor(async () => (await statusAt(url, revoked.secret)) === 200, {
        timeoutMs: PATIENCE_MS,
        what: 'a key',
      });
      await platform.revokeKey(tenant, revoked.id);
      await waitFor(() => everyDataPlaneHasAcknowledged(database), {
        timeoutMs: PATIENCE_MS,
        what: 'acknowledgements',
      });

      const start = readProcessStart(processes.dataPlanes[0] ?? 0, distribution.home);
      // A launcher that stands still replaces nobody: the control plane stays dead.
      process.kill(processes.launcher, 'SIGSTOP');
      try {
        for (const pid of [processes.controlPlane, processes.worker, ...processes.dataPlanes])
          process.kill(pid, 'SIGKILL');
        await waitFor(async () => !(await isReady(url)), { timeoutMs: PATIENCE_MS, what: 'the death' });
        await expect(fetch(distribution.runtime.graphqlUrl)).rejects.toThrow();
        const since = performance.now();
        const alone = startAgain(start);
        try {
          const options = { since, timeoutMs: 20_000, intervalMs: 2, what: '/readyz' };
          note(`a data plane alone is ready after ${await measureUntil(() => isReady(url), options)} ms`);
          expect(await statusAt(url, revoked.secret)).toBe(401);
          expect(await statusAt(url, seededKey('seeded', 4711))).toBe(200);
          note(`a data plane alone holds ${await settledMemory(alone.pid ?? 0)} MiB when idle`);
          // It knows who may call, and not what is left to spend: its leases went with the process before it.
          const refused = await chatAt(url, key.secret);
          expect([refused.status, await refused.json()]).toMatchObject([
            503,
            { error: { code: 'budget_unavailable' } },
          ]);
        } finally {
          await stopProcess(alone);
        }
      } finally {
        process.kill(processes.launcher, 'SIGCONT');
      }
      const replaced = () =>
        distribution.readRuntime()?.processes.dataPlanes.every((pid) => !processes.dataPlanes.includes(pid));
      await waitFor(async () => replaced() === true && (await isReady(url)), {
        timeoutMs: 20_000,
        what: 'the restart',
      });
      expect(await statusAt(url, revoked.secret)).toBe(401);
      await waitFor(
        () =>
          platform.query('{ currentPolicy { version } }').then(
            () => true,
            () => false,
          ),
        {
          timeoutMs: 20_000,
          what: 'the control plane',
        },
      );
      let requestId = '';
      const isServed = async (): Promise<boolean> => {
        const response = await chatAt(url, key.secret);
        requestId = response.headers.get('x-request-id') ?? '';
        await response.arrayBuffer();
        return response.ok;
      };
      await waitFor(isServed, { timeoutMs: 20_000, what: 'a call that is paid for' });
      expect((await books.servedCall(requestId)).outcome).toBe('completed');
      expect(await awaitUsage(platform, tenant.token, requestId)).toMatchObject({ outcome: 'COMPLETED' });
    },
    90_000,
  );
});

async function everyDataPlaneHasAcknowledged(database: DatabaseReader): Promise<boolean> {
  const rows = await database.rows<{ behind: string }>(
    `select count(*) as behind from data_plane, config_head where acked_seq is distinct from config_head.seq`,
  );
  return rows[0]?.behind === '0';
}

/** Lowest of some seconds: what a process needs when it has nothing to do. @returns MiB */
async function settledMemory(pid: number): Promise<number> {
  let lowest = Number.POSITIVE_INFINITY;
  const until = performance.now() + 3_000;
  await waitFor(
    () => {
      lowest = Math.min(lowest, residentMiB(pid));
      return performance.now() > until;
    },
    { timeoutMs: 10_000, intervalMs: 100, what: 'idleness' },
  );
  return lowest;
}
