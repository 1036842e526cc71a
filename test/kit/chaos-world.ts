import { verifyLedger } from '../../control-plane/billing/verify-ledger.js';
import { openPool } from '../../control-plane/database/sql.js';
import { startChaosLoad, type ChaosLoad, type ChaosTenantName } from './chaos-load.js';
import { createChaosParts, type ChaosParts } from './chaos-parts.js';
import { findUnrest } from './chaos-rest.js';
import { drawSchedule, type ChaosFault, type ChaosPart } from './chaos-schedule.js';
import { createChaosTenants, type ChaosTenants } from './chaos-tenants.js';
import { openDatabaseReader, type DatabaseReader } from './database-reader.js';
import { startDistribution, type Distribution } from './distribution.js';
import { createRandom, type SeenCall } from './load.js';
import { awaitSettled, reconcile, type Reconciled } from './reconcile.js';
import { waitFor } from './wait-for.js';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ChaosRound {
  readonly seed: number;
  readonly schedule: readonly ChaosFault[];
  /** How many calls of each kind callers saw in this round, such as `complete` or `refused 402`. */
  readonly seen: Readonly<Record<string, number>>;
  /** Of all rounds of this world so far. */
  readonly reconciled: Reconciled;
  /** From the last call's end until everything was at rest. */
  readonly restMs: number;
}

export interface ChaosOutage {
  readonly load: ChaosLoad;
  /**
   * What `roomy` was refused from its beginning on, and should not have been: failing and dying calls were ordered, and beyond
   * what is leased nobody can say whether there is money.
   */
  readonly failures: () => readonly SeenCall[];
}

/** A platform of two data planes under load, with everything to kill it and to count what became of its calls. */
export interface ChaosWorld {
  readonly distribution: Distribution;
  readonly database: DatabaseReader;
  readonly parts: ChaosParts;
  readonly books: ChaosTenants['books'];
  /** What callers saw, of all rounds so far. */
  readonly calls: readonly SeenCall[];
  /** A load, which `finish` ends. */
  begin(seed: number): ChaosLoad;
  /** Waits for so many more calls of `roomy` that are answered to their end. */
  awaitAnswers(load: ChaosLoad, count: number): Promise<void>;
  /** Ends the load, lets everything come to rest, and compares all books. @throws Error when it does not come to rest */
  finish(load: ChaosLoad): Promise<Pick<ChaosRound, 'seen' | 'reconciled' | 'restMs'>>;
  /** A load in whose midst a part stands still for so long at least, while calls are answered. */
  freeze(part: ChaosPart, forMs: number, seed: number): Promise<ChaosOutage>;
  /** One round of a schedule that the seed draws. */
  run(seed: number): Promise<ChaosRound>;
  /** With `isKept` its home stays, to be looked into. */
  close(options?: { readonly isKept: boolean }): Promise<void>;
}

/** Whoever runs a thousand rounds may do other things beside. */
const READY_TIMEOUT_MS = 240_000;
const SERVES_TIMEOUT_MS = 90_000;
const ANSWERS_TIMEOUT_MS = 90_000;
const REST_TIMEOUT_MS = 120_000;
/** Answers before the first fault and after the last: what is killed shall be at work, and what was killed serve again. */
const WARM_UP = 20;
const AFTERWARDS = 40;

export async function createChaosWorld({ redis }: { readonly redis: boolean }): Promise<ChaosWorld> {
  const distribution = await startDistribution({ redis, dataPlanes: 2, readyTimeoutMs: READY_TIMEOUT_MS });
  const database = openDatabaseReader(distribution.runtime.databaseUrl);
  const pool = openPool({ url: distribution.runtime.databaseUrl, size: 1, onError: () => undefined });
  const parts = createChaosParts(distribution);
  const { books, prices, keyOf, allow } = await createChaosTenants(distribution);
  const calls: SeenCall[] = [];

  const begin = (seed: number): ChaosLoad =>
    startChaosLoad({ gatewayUrl: distribution.runtime.gatewayUrl, keyOf, seed });

  const finish: ChaosWorld['finish'] = async (load) => {
    await load.stop();
    const seenNow = TENANTS.flatMap((who) => load.of(who));
    calls.push(...seenNow);
    const since = performance.now();
    await awaitRest(distribution, { database, books });
    const restMs = Math.round(performance.now() - since);
    const reconciled = await reconcile({ database, books, prices, calls, kills: parts.kills });
    const { differences } = await verifyLedger({ pool });
    const wrong = differences.map(({ about, id, expected, found }) => `${about} ${id}: ${expected}; is ${found}`);
    const told = { ...reconciled, differences: [...reconciled.differences, ...wrong] };
    return { seen: countSeen(seenNow), reconciled: told, restMs };
  };

  const run: ChaosWorld['run'] = async (seed) => {
    const schedule = drawSchedule(createRandom(seed), { redis });
    await allow();
    const load = begin(seed);
    try {
      await awaitAnswers(load, WARM_UP);
      const startedAt = performance.now();
      for (const fault of schedule) {
        await sleep(Math.max(0, startedAt + fault.atMs - performance.now()));
        parts.strike(fault);
      }
      await parts.settle(SERVES_TIMEOUT_MS);
      await awaitAnswers(load, AFTERWARDS);
    } catch (error) {
      await load.stop();
      throw error;
    }
    return { seed, schedule, ...(await finish(load)) };
  };

  const freeze: ChaosWorld['freeze'] = async (part, forMs, seed) => {
    const load = begin(seed);
    await awaitAnswers(load, WARM_UP);
    const since = Date.now();
    const goOn = parts.hold(part);
    try {
      await Promise.all([sleep(forMs), awaitAnswers(load, AFTERWARDS)]);
    } finally {
      goOn();
    }
    await awaitAnswers(load, AFTERWARDS);
    return { load, failures: () => findFailures(load, since) };
  };

  const close: ChaosWorld['close'] = async ({ isKept } = { isKept: false }) => {
    await pool.end();
    await database.close();
    if (isKept) await distribution.stop();
    else await distribution.dispose();
  };

  return { distribution, database, parts, books, calls, begin, awaitAnswers, finish, freeze, run, close };
}

const WITHOUT_ALLOCATOR: ReadonlySet<SeenCall['shortage']> = new Set(['budget_reserved', 'budget_unavailable']);

export function findFailures(load: ChaosLoad, since: number): readonly SeenCall[] {
  const isOrdered = ({ result, status, shortage }: SeenCall): boolean =>
    result === 'cut' || (result === 'refused' && (status === 500 || WITHOUT_ALLOCATOR.has(shortage)));
  return load
    .of('roomy')
    .filter((call) => call.endedAt >= since && !['complete', 'left'].includes(call.result) && !isOrdered(call));
}

const TENANTS: readonly ChaosTenantName[] = ['roomy', 'tight', 'limited'];

async function awaitAnswers(load: ChaosLoad, count: number): Promise<void> {
  const answered = (): number => load.of('roomy').filter(({ result }) => result === 'complete').length;
  const enough = answered() + count;
  await waitFor(() => answered() >= enough, { timeoutMs: ANSWERS_TIMEOUT_MS, what: `${count} more answers` });
}

/** Every call has ended, every record of it is in the ledger, and no spool of a dead process is left. */
async function awaitRest(
  { home }: Distribution,
  { database, books }: Pick<ChaosWorld, 'database' | 'books'>,
): Promise<void> {
  await awaitSettled({ database, books, home }, REST_TIMEOUT_MS);
  let left = '';
  const isAtRest = async (): Promise<boolean> => {
    const unrest = await findUnrest(home);
    left = JSON.stringify(unrest);
    return unrest.length === 0;
  };
  await waitFor(isAtRest, { timeoutMs: REST_TIMEOUT_MS, intervalMs: 100, what: 'the spools' }).catch(
    (error: unknown) => {
      throw new Error(`not at rest: ${left}`, { cause: error });
    },
  );
}

function countSeen(calls: readonly SeenCall[]): Record<string, number> {
  const kinds = Map.groupBy(calls, ({ result, status, shortage }) =>
    result === 'refused' ? `refused ${shortage ?? status ?? ''}` : result,
  );
  return Object.fromEntries([...kinds].map(([kind, list]) => [kind, list.length]));
}
