import { Agent, request } from 'node:https';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RoutingStrategy } from '@pingtoken/shared/route-policy';
import { makeSelfSigned } from '../kit/self-signed.js';
import { quantile } from '../kit/wait-for.js';
import { runWithCleanup, type Cleanup } from './cleanup.js';
import { startEdgeDataPlane } from './edge-data-plane.js';
import { openDistance, startFront, startProvider } from './edge-network.js';
import { table } from './report.js';

/** `npm run bench:edge`: what a data plane near the caller gains; see README.md beside this file. */
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const NEAR_MS = 10;
const FAR_MS = 150;
/** Of each of three regions, one of which turns ten times slower. */
const REGION_MS = 50;
const SLOWER = 10;

const CALLS = 20;
/** Longer than a connection that was taken needs to be replaced. */
const BETWEEN_CALLS_MS = 1_500;
const CALLS_A_SECOND = 20;
const LOAD_CALLS = 1_200;

const certificate = makeSelfSigned();

interface Callee {
  readonly port: number;
  readonly bearer: string;
}

/** One streamed call, over a new connection unless the agent has one. @returns milliseconds from its beginning to the first token */
function firstTokenMs({ port, bearer }: Callee, agent: Agent | false = false): Promise<number> {
  const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] });
  const headers = {
    authorization: `Bearer ${bearer}`,
    'content-type': 'application/json',
    'content-length': body.length,
  };
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const options = { method: 'POST', headers, agent, ca: certificate.cert };
    const call = request(`https://127.0.0.1:${port}/v1/chat/completions`, options, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => {
        const isFirst = !text.includes('"content"');
        text += chunk.toString();
        if (isFirst && text.includes('"content"')) resolve(performance.now() - startedAt);
      });
      answer.on('end', () => {
        reject(new Error(`status ${answer.statusCode ?? 0} without a token: ${text.slice(0, 200)}`));
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}

/** One call after another. */
async function inTurn(callees: readonly Callee[]): Promise<number[][]> {
  const times: number[][] = callees.map(() => []);
  // The first round is not counted: code is compiled, and the warm connections are being made.
  for (let round = 0; round <= CALLS; round += 1) {
    for (const [at, callee] of callees.entries()) {
      const ms = await firstTokenMs(callee);
      if (round > 0) times[at]?.push(ms);
    }
    await sleep(BETWEEN_CALLS_MS);
  }
  return times;
}

/** Calls begin at their times, whether or not those before have ended. */
async function underLoad(callee: Callee, agent: Agent): Promise<number[]> {
  const calls: Promise<number>[] = [];
  for (let at = 0; at < LOAD_CALLS; at += 1) {
    // A call that fails never has its first token.
    calls.push(firstTokenMs(callee, agent).catch(() => Infinity));
    await sleep(1000 / CALLS_A_SECOND);
  }
  return Promise.all(calls);
}

const ms = (value: number): string => `${value.toFixed(0)} ms`;

async function compareCold(cleanup: Cleanup): Promise<void> {
  const provider = await startProvider(certificate, true, cleanup);
  const far = await openDistance(provider, FAR_MS, cleanup);
  const common = { targets: [{ region: 'far', port: far.port }], strategy: 'weighted', certificate, cleanup } as const;
  const edges: Callee[] = [];
  for (const warmConnections of [0, 2]) {
    const { port, bearer } = await startEdgeDataPlane({ ...common, warmConnections });
    const near = await openDistance(await startFront(certificate, port, cleanup), NEAR_MS, cleanup);
    edges.push({ port: near.port, bearer });
  }
  say(`${CALLS} calls each, one after another`);
  const direct = { port: far.port, bearer: 'none' };
  const [alone = [], cold = [], warm = []] = await inTurn([direct, ...edges]);
  const base = quantile(alone, 0.5);
  const row = (name: string, times: readonly number[]): string[] => {
    const median = quantile(times, 0.5);
    return [name, ms(median), ms(quantile(times, 0.95)), `${(base / median).toFixed(2)} ×`];
  };
  print('\n## First token of a cold call\n');
  print(
    table(
      ['way', 'p50', 'p95', 'quicker than direct'],
      [row('direct', alone), row('edge, connecting for each call', cold), row('edge, warm connections', warm)],
    ),
  );
  print('\nAim: at least 2 × through a warm edge.');
}

async function compareRegions(cleanup: Cleanup): Promise<void> {
  const rows: string[][] = [];
  for (const strategy of ['latency', 'region'] as const satisfies readonly RoutingStrategy[]) {
    say(`Three regions, strategy ${strategy}: ${(2 * LOAD_CALLS) / CALLS_A_SECOND} s`);
    const provider = await startProvider(certificate, false, cleanup);
    const distances = await Promise.all([1, 2, 3].map(() => openDistance(provider, REGION_MS, cleanup)));
    const targets = distances.map(({ port }, at) => ({ region: ['eu', 'us', 'ap'][at] ?? '', port }));
    const dataPlane = await startEdgeDataPlane({ targets, strategy, certificate, warmConnections: 8, cleanup });
    const near = await openDistance(await startFront(certificate, dataPlane.port, cleanup), NEAR_MS, cleanup);
    const callee = { port: near.port, bearer: dataPlane.bearer };
    // Callers keep their connections here: which way calls take is what matters.
    const agent = new Agent({ keepAlive: true, maxCachedSessions: 0 });
    for (let at = 0; at < CALLS_A_SECOND * 5; at += 1) await firstTokenMs(callee, agent);
    const healthy = await underLoad(callee, agent);
    distances[0]?.setRoundTripMs(REGION_MS * SLOWER);
    const slowed = await underLoad(callee, agent);
    agent.destroy();
    const [before, after] = [quantile(healthy, 0.99), quantile(slowed, 0.99)];
    const worst = Math.max(...slowed);
    const row = [
      strategy,
      ms(quantile(healthy, 0.5)),
      ms(before),
      ms(after),
      ms(worst),
      `${(after / before).toFixed(2)} ×`,
    ];
    say(row.join('  '));
    rows.push(row);
  }
  print(`\n## First token with one of three regions ${SLOWER} times slower\n`);
  print(table(['strategy', 'healthy p50', 'healthy p99', 'slowed p99', 'slowed worst', 'p99 ratio'], rows));
  print('\nAim: at most 1.3 ×. Counted from the first call after the change: what it takes to notice is in it.');
}

await runWithCleanup(async (cleanup) => {
  print('# PingToken at the edge\n');
  print(`- Node ${process.versions.node}, ${process.platform} ${process.arch}, ${cpus().length} processors`);
  print(
    `- round trips: caller to edge ${NEAR_MS} ms, to a provider ${FAR_MS} ms, to each region ${REGION_MS} ms; TLS 1.3`,
  );
  await compareCold(cleanup);
  await compareRegions(cleanup);
});
