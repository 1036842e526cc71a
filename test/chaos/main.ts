import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hasRedisServer } from '../../control-plane/standalone/redis-server.js';
import { describeFault, drawSchedule } from '../kit/chaos-schedule.js';
import { createChaosWorld, type ChaosRound, type ChaosWorld } from '../kit/chaos-world.js';
import { createRandom } from '../kit/load.js';

const USAGE = `npm run chaos -- [--rounds 10] [--seed 1] [--backend redis|postgres] [--artefacts folder] [--outage 60]

Each round draws a schedule with its seed (the first with --seed, the next with one more), kills, pauses and restarts parts of a
platform under load by it, lets everything come to rest, and compares all books. Without --backend the queue lives in PostgreSQL
and in Redis by turns. With --outage each store stands still once for so many seconds before the rounds begin. Ends with 1 at the first difference; what is needed to look into it is kept in the folder.`;

interface Options {
  readonly rounds: number;
  readonly seed: number;
  readonly backends: readonly Backend[];
  readonly artefacts: string;
  /** 0 for none. */
  readonly outageMs: number;
}
type Backend = 'postgres' | 'redis';

/** One platform serves so many rounds: what its books must say is worked out of all that it ever did. */
const ROUNDS_PER_WORLD = 8;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

async function readOptions(): Promise<Options> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '10' },
      seed: { type: 'string', default: '1' },
      backend: { type: 'string' },
      outage: { type: 'string', default: '0' },
      artefacts: { type: 'string', default: join(tmpdir(), 'pingtoken-chaos') },
    },
  });
  const { backend } = values;
  if (backend !== undefined && backend !== 'redis' && backend !== 'postgres') throw new Error(`no backend ${backend}`);
  const hasRedis = await hasRedisServer({ PATH: process.env['PATH'] ?? '' });
  if (backend === 'redis' && !hasRedis) throw new Error('no redis-server is on the path');
  const both: readonly Backend[] = hasRedis ? ['postgres', 'redis'] : ['postgres'];
  return {
    rounds: readCount('rounds', values.rounds),
    seed: readCount('seed', values.seed),
    backends: backend === undefined ? both : [backend],
    artefacts: values.artefacts,
    outageMs: readCount('outage', values.outage) * 1_000,
  };
}

function readCount(name: string, text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 0) throw new Error(`--${name} must be a whole number`);
  return count;
}

/** @returns whether all books agreed */
async function runWorld(backend: Backend, seeds: readonly number[], options: Options): Promise<boolean> {
  const { artefacts, outageMs } = options;
  const world = await createChaosWorld({ redis: backend === 'redis' });
  if (outageMs > 0) {
    await runOutages(world, backend, outageMs).catch(async (error: unknown) => {
      await world.close({ isKept: true });
      throw error;
    });
  }
  for (const seed of seeds) {
    const failure = await runRound(world, backend, seed);
    if (failure === undefined) continue;
    const [first = seed] = seeds;
    const folder = join(artefacts, `${backend}-${seed}`);
    const replay = `npm run chaos -- --backend ${backend} --seed ${first} --rounds ${seed - first + 1}`;
    await keep(world, { folder, seed, backend, replay, failure });
    await world.close({ isKept: true });
    print(`\n${failure}\n\nKept in ${folder} and ${world.distribution.home}. Again:\n  ${replay}`);
    return false;
  }
  await world.close();
  return true;
}

/** @throws Error where a store that stood still was more than waited for */
async function runOutages(world: ChaosWorld, backend: Backend, forMs: number): Promise<void> {
  for (const part of backend === 'redis' ? (['PostgreSQL', 'Redis'] as const) : (['PostgreSQL'] as const)) {
    const { load, failures } = await world.freeze(part, forMs, 1);
    const { seen, restMs, reconciled } = await world.finish(load);
    const callers = Object.entries(seen).map(([kind, count]) => `${count} ${kind}`);
    const short = load.of('roomy').filter(({ shortage }) => shortage !== null).length;
    callers.push(`${short} of them refused to the tenant with money`);
    print(`${backend}, ${part} stood still for ${forMs} ms: ${callers.join(', ')}; at rest after ${restMs} ms`);
    const wrong = [...reconciled.differences, ...failures().map((call) => JSON.stringify(call))];
    if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join('\n'));
  }
}

/** @returns what went wrong */
async function runRound(world: ChaosWorld, backend: Backend, seed: number): Promise<string | undefined> {
  try {
    const round = await world.run(seed);
    print(describeRound(round, backend));
    const { differences } = round.reconciled;
    return differences.length === 0 ? undefined : differences.join('\n');
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

function describeRound({ seed, seen, restMs, reconciled, schedule }: ChaosRound, backend: Backend): string {
  const { served, events, interrupted, estimated, spent } = reconciled;
  const callers = Object.entries(seen).map(([kind, count]) => `${count} ${kind}`);
  const faults = schedule.flatMap(({ deed, parts }) => parts.map((part) => `${deed} ${part}`));
  return (
    `${backend} ${seed}: ${faults.join(', ')}\n  callers saw ${callers.join(', ')}; at rest after ${restMs} ms; ` +
    `so far ${served} served, ${events} events, ${interrupted} interrupted, ${estimated} estimated, ${spent} units`
  );
}

interface Artefacts {
  readonly folder: string;
  readonly seed: number;
  readonly backend: Backend;
  readonly replay: string;
  readonly failure: string;
}

async function keep(world: ChaosWorld, { folder, seed, backend, replay, failure }: Artefacts): Promise<void> {
  await mkdir(folder, { recursive: true });
  const schedule = drawSchedule(createRandom(seed), { redis: backend === 'redis' }).map(describeFault);
  const events = world.database.rows('select * from usage_event order by id').catch(String);
  const books = Promise.all([...new Set(world.books.values())].map((each) => each.served())).catch(String);
  const files = {
    'failure.json': { replay, failure, schedule, home: world.distribution.home, kills: world.parts.kills },
    'calls.json': world.calls,
    'events.json': await events,
    'served.json': await books,
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), JSON.stringify(content, null, 1));
  }
  await writeFile(join(folder, 'launcher.log'), world.distribution.output());
}

async function main(): Promise<boolean> {
  const options = await readOptions();
  const { rounds, seed, backends } = options;
  for (let done = 0, turn = 0; done < rounds; turn += 1) {
    const count = Math.min(ROUNDS_PER_WORLD, rounds - done);
    const seeds = Array.from({ length: count }, (_, index) => seed + done + index);
    const backend = backends[turn % backends.length] ?? 'postgres';
    if (!(await runWorld(backend, seeds, options))) return false;
    done += count;
  }
  print(`\n${rounds} rounds: all books agree.`);
  return true;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n\n${USAGE}\n`);
  process.exitCode = 2;
}
