import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { readOrExplain, runWithCleanup, type Cleanup } from './cleanup.js';
import { measureColdStart } from './cold-start.js';
import { plainContenders, type RunningContender } from './contenders.js';
import { createLoad } from './load.js';
import { measure, verifyEcho } from './measure.js';
import { readOptions, USAGE, type BenchOptions } from './options.js';
import { startPlatform } from './platform.js';
import { portkey } from './portkey.js';
import { residentBytes } from './processes.js';
import { profile } from './profile.js';
import { reportAftermath, reportColdStart, reportResults } from './report.js';
import { CAN_START_SECOND } from './second-data-plane.js';
import { startUpstream } from './upstream.js';
import { WORKLOADS } from './workloads.js';

/** `npm run bench`: measures PingToken's data plane beside others, in one run, and prints tables. */
const print = (text: string): void => void process.stdout.write(`${text}\n`);
/** Progress, apart from the tables. */
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const IDLE_MS = 10_000;

async function bench(options: BenchOptions, cleanup: Cleanup): Promise<void> {
  const workloads = options.workloads.map((name) => WORKLOADS[name]);
  const { load, folder } = await createLoad(options.loadTool);
  cleanup.add(() => folder.remove());
  const upstream = await startUpstream(options.workloads, cleanup);
  const settings = { upstream, workloads: options.workloads, cleanup };
  const platform = await startPlatform({ upstream, workloads: options.workloads, keys: options.keys, cleanup, say });
  if (options.profile) {
    if (!CAN_START_SECOND) throw new Error('--profile needs Linux.');
    print(await profile(platform, workloads, { load, options, cleanup }));
    return;
  }

  const contenders: RunningContender[] = [];
  for (const contender of [...plainContenders(settings), ...(options.peers ? [portkey(settings)] : [])]) {
    say(`Starting ${contender.name}`);
    contenders.push(await contender.start());
  }
  contenders.push(platform.contender);
  await verifyEcho(contenders, workloads);
  await platform.contender.after?.();
  say('Every answer is the upstream’s, byte for byte');

  print('# PingToken bench\n');
  print(`- Node ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} processors`);
  print(`- upstream: ${upstream.title}; load: ${load.tool}, one thread`);
  print(`- ${options.rounds} windows of ${options.seconds} s each, contenders in turn; medians`);
  const before = residentBytes(platform.dataPlanePid);
  const results = await measure(contenders, workloads, { load, options, say });
  print(reportResults(results));

  await sleep(IDLE_MS);
  const billed = await platform.countBilled();
  const after = residentBytes(platform.dataPlanePid);
  const queue = platform.distribution.runtime.redisUrl === null ? 'PostgreSQL' : 'Redis';
  print(reportAftermath({ drained: platform.drained(), billed, residentBytes: { before, after }, queue }));
  if (CAN_START_SECOND) {
    say('Starting data planes with the control plane stopped');
    print(reportColdStart(await measureColdStart(platform, cleanup), options.keys));
  }
}

const options = readOrExplain(readOptions, USAGE);
await runWithCleanup((cleanup) => bench(options, cleanup));
