import { cpus } from 'node:os';
import { verifyLedger } from '../../../control-plane/billing/verify-ledger.js';
import { openPool } from '../../../control-plane/database/sql.js';
import { readOrExplain, runWithCleanup, type Cleanup } from '../cleanup.js';
import { table } from '../report.js';
import { startApi } from './api.js';
import { openMarket } from './customers.js';
import { drainQueue, type IngestResult } from './ingest.js';
import { LEDGER_USAGE, readLedgerOptions, type LedgerOptions } from './options.js';
import { measureQuestions, type Latency } from './questions.js';
import { startServers, type Servers } from './servers.js';
import { enqueueTraffic } from './traffic.js';

/** `npm run bench:ledger`: how fast usage comes into the ledger, and how fast questions about it are answered. */
const print = (text: string): void => void process.stdout.write(`${text}\n`);
/** Progress, apart from the results. */
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const TELL_EVERY_MS = 5_000;

async function bench(options: LedgerOptions, cleanup: Cleanup): Promise<void> {
  const { events, batchSize, days, profileFolder } = options;
  say('Starting PostgreSQL and Redis');
  const servers = await startServers(cleanup);
  const market = await openMarket(servers.urls.owner, options);
  say(`Enqueuing ${events} calls`);
  const bytes = await enqueueTraffic({ market, events, batchSize, days, queueUrl: servers.redisUrl });
  say(`${Math.round(bytes / 2 ** 20)} MB in the queue; starting the worker`);
  const nodeArguments =
    profileFolder === undefined ? [] : ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${profileFolder}`];
  print('# PingToken ledger bench\n');
  print(`- Node ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} processors`);
  print(describe(await drainQueue({ servers, events, nodeArguments, onProgress: createProgress(events) })));
  if (options.verifies) print(await verify(servers));
  if (!options.asks) return;
  say('Asking');
  print(describeLatencies(await measureQuestions(await startApi(servers, cleanup), market)));
}

function createProgress(events: number): (confirmed: number) => void {
  let toldAt = performance.now();
  return (confirmed) => {
    if (performance.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = performance.now();
    say(`${confirmed} of ${events}`);
  };
}

async function verify({ urls }: Servers): Promise<string> {
  say('Verifying the ledger');
  const pool = openPool({ url: urls.worker, size: 1, onError: () => undefined });
  const start = performance.now();
  const { events, transfers, differences } = await verifyLedger({ pool });
  await pool.end();
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  return `- verified in ${seconds} s: ${events} events, ${transfers} transfers, ${differences.length} differences`;
}

function describe({ events, seconds, processor, residentBytes }: IngestResult): string {
  const each = Object.entries(processor).map(([name, ms]) => `${name} ${((ms * 1000) / events).toFixed(1)}`);
  return [
    `- ${Math.round(events / seconds)} events a second (${events} in ${seconds.toFixed(1)} s)`,
    `- processor time, µs an event: ${each.join(', ')}`,
    `- the worker's memory at its highest: ${Math.round(residentBytes / 2 ** 20)} MB`,
  ].join('\n');
}

function describeLatencies(latencies: readonly Latency[]): string {
  const rows = latencies.map(({ name, first, median, slowest }) => [
    name,
    ...[first, median, slowest].map((ms) => ms.toFixed(0)),
  ]);
  return `\n${table(['question', 'first, ms', 'median', 'slowest'], rows)}`;
}

const options = readOrExplain(readLedgerOptions, LEDGER_USAGE);
await runWithCleanup((cleanup) => bench(options, cleanup));
