import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { createCleanup, type Cleanup } from '../cleanup.js';
import { openMarket } from './customers.js';
import { drainQueue, type IngestResult } from './ingest.js';
import { startServers } from './servers.js';
import { enqueueTraffic } from './traffic.js';

/** `npm run bench:ledger`: how fast usage comes into the ledger, and how fast questions about it are answered. */
const print = (text: string): void => void process.stdout.write(`${text}\n`);
/** Progress, apart from the results. */
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    tenants: { type: 'string', default: '50' },
    keys: { type: 'string', default: '4' },
    models: { type: 'string', default: '10' },
    'data-planes': { type: 'string', default: '4' },
    batch: { type: 'string', default: '500' },
    days: { type: 'string', default: '30' },
    profile: { type: 'string' },
  },
});

async function bench(cleanup: Cleanup): Promise<void> {
  const number = (name: 'events' | 'tenants' | 'keys' | 'models' | 'data-planes' | 'batch' | 'days'): number =>
    Number(values[name]);
  say('Starting PostgreSQL and Redis');
  const servers = await startServers(cleanup);
  const size = { tenants: number('tenants'), keys: number('keys'), models: number('models') };
  const market = await openMarket(servers.urls.owner, { ...size, dataPlanes: number('data-planes') });
  const events = number('events');
  say(`Enqueuing ${events} calls`);
  const traffic = { market, events, batchSize: number('batch'), days: number('days'), queueUrl: servers.redisUrl };
  const bytes = await enqueueTraffic(traffic);
  say(`${Math.round(bytes / 2 ** 20)} MB in the queue; starting the worker`);
  const nodeArguments =
    values.profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${values.profile}`];
  let toldAt = performance.now();
  const onProgress = (confirmed: number): void => {
    if (performance.now() - toldAt < 5_000) return;
    toldAt = performance.now();
    say(`${confirmed} of ${events}`);
  };
  print(`- Node ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} processors`);
  print(describe(await drainQueue({ servers, events, nodeArguments, onProgress })));
}

function describe({ events, seconds, processor, residentBytes }: IngestResult): string {
  const each = Object.entries(processor).map(([name, ms]) => `${name} ${((ms * 1000) / events).toFixed(1)}`);
  return [
    `- ${Math.round(events / seconds)} events a second (${events} in ${seconds.toFixed(1)} s)`,
    `- processor time, µs an event: ${each.join(', ')}`,
    `- the worker's memory at its highest: ${Math.round(residentBytes / 2 ** 20)} MB`,
  ].join('\n');
}

const cleanup = createCleanup();
try {
  await bench(cleanup);
} catch (error) {
  process.exitCode = 1;
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
} finally {
  await cleanup.run();
}
