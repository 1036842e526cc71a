import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseJson } from '@pingtoken/shared/wire';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Runtime } from '../../control-plane/standalone/runtime-file.js';
import { createCustomer, listModels, type Customer } from '../kit/customer.js';
import { openDatabaseReader, type DatabaseReader } from '../kit/database-reader.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import type { DataPlaneKill } from '../kit/event-problem.js';
import { parseUnits, readPriceList, type PriceList } from '../kit/exact-price.js';
import { LOAD_MODELS } from '../kit/load-calls.js';
import { createRandom, startLoad, type Load, type SeenCall } from '../kit/load.js';
import { describeOnEachQueue } from '../kit/queue-backends.js';
import { awaitSettled, reconcile } from '../kit/reconcile.js';
import type { SimulatorBooks } from '../kit/simulator-books.js';
import { readBalance } from '../kit/usage-view.js';
import { waitFor } from '../kit/wait-for.js';

const SEED = 20_261;
const CALLERS = 10;
const PROVIDERS = ['simulator', 'simulator-anthropic', 'simulator-gemini'];
const CREDIT = '100';
const SETTLE_TIMEOUT_MS = 120_000;
const REPLACE_TIMEOUT_MS = 20_000;
const FREEZE_MS = 5_000;

type Part = 'first data plane' | 'second data plane' | 'worker' | 'control plane' | 'PostgreSQL';
const pidOf: Readonly<Record<Part, (runtime: Runtime) => number>> = {
  'first data plane': ({ processes }) => processes.dataPlanes[0] ?? 0,
  'second data plane': ({ processes }) => processes.dataPlanes[1] ?? 0,
  worker: ({ processes }) => processes.worker,
  'control plane': ({ processes }) => processes.controlPlane,
  PostgreSQL: ({ processes }) => processes.postgres ?? 0,
};
/** What dies together, round by round. */
const DEATHS: readonly (readonly Part[])[] = [
  ['first data plane'],
  ['worker'],
  ['control plane'],
  ['second data plane', 'worker'],
  ['first data plane', 'second data plane'],
  ['worker'],
  ['control plane', 'first data plane'],
  ['second data plane', 'control plane', 'worker'],
  ['first data plane', 'second data plane', 'worker', 'control plane'],
  ['worker', 'control plane'],
];

describeOnEachQueue('every call that reached the provider is in the ledger once', ({ name, redis }) => {
  let distribution: Distribution;
  let customer: Customer;
  let database: DatabaseReader;
  const prices: Record<string, PriceList> = {};
  const books = new Map<string, SimulatorBooks>();
  const calls: SeenCall[] = [];
  const kills: DataPlaneKill[] = [];
  let load: Load | undefined;
  let nextSeed = SEED;

  beforeAll(async () => {
    distribution = await startDistribution({ redis, dataPlanes: 2 });
    database = openDatabaseReader(distribution.runtime.databaseUrl);
    customer = await createCustomer(distribution);
    const { platform, tenant } = customer;
    for (const slug of PROVIDERS) {
      const id = await platform.findProvider(slug);
      await platform.grant(tenant, id);
      books.set(id, customer.books);
    }
    for (const model of LOAD_MODELS) prices[model] = await readPriceList(platform, model);
    await awaitModels();
  });
  afterAll(async () => {
    await load?.stop();
    await database.close();
    await distribution.dispose();
  });

  const awaitModels = async (): Promise<void> => {
    for (const url of distribution.runtime.dataPlaneUrls) {
      const areThere = async (): Promise<boolean> => {
        const names = new Set(await listModels(`${url}/v1`, customer.key.secret));
        return LOAD_MODELS.every((model) => names.has(model));
      };
      await waitFor(areThere, { timeoutMs: 10_000, what: `the models at ${url}` });
    }
  };
  const runtime = (): Runtime => distribution.readRuntime() ?? distribution.runtime;
  const begin = (): Load => {
    const { gatewayUrl } = distribution.runtime;
    load = startLoad({ gatewayUrl, apiKey: customer.key.secret, seed: (nextSeed += 1), callers: CALLERS });
    return load;
  };
  /** Waits for so many more calls that are answered to their end. */
  const awaitAnswers = (running: Load, count: number): Promise<unknown> => {
    const answered = () => running.calls.filter(({ result }) => result === 'complete').length;
    const enough = answered() + count;
    return waitFor(() => answered() >= enough, { timeoutMs: 30_000, what: `${count} more answers` });
  };
  /** SIGKILL, all at once. @returns a wait until each has been replaced by a process that is there */
  const killParts = (parts: readonly Part[]): (() => Promise<void>) => {
    const before = runtime();
    for (const part of parts) {
      const dataPlane = ['first data plane', 'second data plane'].indexOf(part);
      if (dataPlane >= 0) kills.push({ dataPlaneId: readDataPlaneId(distribution.home, dataPlane), at: Date.now() });
      process.kill(pidOf[part](before), 'SIGKILL');
    }
    return async () => {
      const isReplaced = () => parts.every((part) => pidOf[part](runtime()) !== pidOf[part](before));
      await waitFor(isReplaced, { timeoutMs: REPLACE_TIMEOUT_MS, what: `new processes for ${parts.join(', ')}` });
    };
  };
  /** Ends the load, waits for the ledger, and demands that all books agree. */
  const expectAgreement = async (running: Load): Promise<void> => {
    await running.stop();
    calls.push(...running.calls);
    const { platform, tenant } = customer;
    const since = performance.now();
    await awaitSettled({ database, books, home: distribution.home }, SETTLE_TIMEOUT_MS);
    const settledMs = Math.round(performance.now() - since);
    const { differences, served, events, interrupted, estimated, spent } = await reconcile({
      database,
      books,
      prices,
      calls,
      kills,
    });
    const seen = Object.entries(Object.groupBy(running.calls, ({ result }) => result));
    const summary = seen.map(([result, list]) => `${list.length} ${result}`).join(', ');
    console.log(
      `queue in ${name}: callers saw ${summary}; so far ${served} served, ${events} events, ` +
        `${interrupted} interrupted, ${estimated} estimated; settled ${settledMs} ms after the last call`,
    );
    expect(differences).toEqual([]);
    expect(spent).toBeGreaterThan(0n);
    expect(estimated).toBeGreaterThan(0);
    expect(await readBalance(platform, tenant.token)).toBe(parseUnits(CREDIT) - spent);
  };

  it('whatever process is killed under load, and however often', { timeout: 240_000 }, async () => {
    const random = createRandom(SEED);
    const running = begin();
    for (const parts of DEATHS) {
      await awaitAnswers(running, 40);
      await sleep(1_000 * random());
      const replaced = killParts(parts);
      await replaced();
    }
    await awaitAnswers(running, 200);
    await expectAgreement(running);
    expect((await database.rows(`select 1 from usage_event where kind = 'interrupted'`)).length).toBeGreaterThan(0);
  });

  it('and calls go on while PostgreSQL is down', { timeout: 240_000 }, async () => {
    const running = begin();
    await awaitAnswers(running, 100);
    const killedAt = Date.now();
    const replaced = killParts(['PostgreSQL']);
    await awaitAnswers(running, 30);
    await replaced();
    await awaitAnswers(running, 200);
    await expectAgreement(running);
    expect(failuresSince(running, killedAt)).toEqual([]);
  });

  if (!redis) return;
  it('and calls go on while Redis stands still', { timeout: 240_000 }, async () => {
    const running = begin();
    await awaitAnswers(running, 100);
    const frozenAt = Date.now();
    const pid = runtime().processes.redis ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      await sleep(FREEZE_MS);
      expect(running.calls.filter(({ endedAt }) => endedAt > frozenAt + 1_000).length).toBeGreaterThan(30);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await awaitAnswers(running, 200);
    await expectAgreement(running);
    expect(failuresSince(running, frozenAt)).toEqual([]);
  });
});

/** What no caller may see while its own data plane lives: the dying and failing calls were ordered from the provider. */
function failuresSince({ calls }: Load, since: number): SeenCall[] {
  const ordered = (call: SeenCall) => call.result === 'cut' || (call.result === 'refused' && call.status === 500);
  return calls.filter(
    (call) => call.endedAt >= since && call.result !== 'complete' && call.result !== 'left' && !ordered(call),
  );
}

function readDataPlaneId(home: string, index: number): string {
  const identity = parseJson(readFileSync(join(home, `data-plane-${index + 1}`, 'identity.json'), 'utf8'));
  return (identity as { id: string }).id;
}
