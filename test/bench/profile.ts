import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseJson } from '@pingtoken/shared/wire';
import { projectFolder } from '../kit/distribution.js';
import type { Cleanup } from './cleanup.js';
import type { Load } from './load.js';
import { targetOf } from './measure.js';
import type { BenchOptions } from './options.js';
import type { Platform } from './platform.js';
import { endProcess } from './processes.js';
import { heading, table } from './report.js';
import { startSecondDataPlane } from './second-data-plane.js';
import type { Workload } from './workloads.js';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly children?: readonly number[];
  }[];
  /** Microseconds of the system's monotonic clock, which all processes share. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Microseconds of the monotonic clock. */
interface Span {
  readonly from: number;
  readonly to: number;
}

const nowMicroseconds = (): number => Number(process.hrtime.bigint() / 1000n);

const CONNECTIONS = 32;
const WARM_UP_SECONDS = 3;
const TOP = 30;
const INTERVAL_US = 250;

/** Where the data plane's time goes, at its start and under each workload: for each a data plane of its own is profiled. */
export async function profile(
  platform: Platform,
  workloads: readonly Workload[],
  { load, options, cleanup }: { readonly load: Load; readonly options: BenchOptions; readonly cleanup: Cleanup },
): Promise<string> {
  const parts: string[] = [];
  for (const [index, workload] of workloads.entries()) {
    const folder = join(projectFolder(), '.bench/profiles', workload.name);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    const nodeArguments = ['--cpu-prof', `--cpu-prof-interval=${INTERVAL_US}`, `--cpu-prof-dir=${folder}`];
    const { child, url, readyMs } = await startSecondDataPlane(platform, { nodeArguments, cleanup });
    const readyAt = nowMicroseconds();
    const path = new URL(platform.contender.addressOf(workload.name).url).pathname;
    const target = { ...targetOf(platform.contender, workload), url: url + path };
    await load.run(target, { connections: CONNECTIONS, seconds: WARM_UP_SECONDS });
    const from = nowMicroseconds();
    const { perSecond } = await load.run(target, { connections: CONNECTIONS, seconds: options.seconds });
    const span = { from, to: nowMicroseconds() };
    await endProcess(child);
    for (const name of (await readdir(folder)).filter((each) => each.endsWith('.cpuprofile'))) {
      const cpuProfile = parseJson(await readFile(join(folder, name), 'utf8')) as CpuProfile;
      if (index === 0) {
        parts.push(heading(`start, ready after ${Math.round(readyMs)} ms while profiled`));
        parts.push(analyse(cpuProfile, { from: 0, to: readyAt }));
      }
      parts.push(
        heading(`${workload.title}; ${Math.round(perSecond)} calls/s while profiled`),
        analyse(cpuProfile, span),
      );
    }
    parts.push(`\nKept in .bench/profiles/${workload.name}`);
  }
  return parts.join('\n');
}

/**
 * Times within the span, in per cent of what was not idle. `at` is the innermost function of ours on the stack: what Node and
 * packages do for it counts as its own, so that this table says which of our lines to look at.
 */
function analyse({ nodes, startTime, samples, timeDeltas }: CpuProfile, span: Span): string {
  const frames = new Map(nodes.map((node) => [node.id, readFrame(node.callFrame)]));
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const [packages, self, innermost, total] = [new Tally(), new Tally(), new Tally(), new Tally()];
  let busy = 0;
  let at = startTime;
  samples.forEach((id, index) => {
    const microseconds = timeDeltas[index] ?? 0;
    at += microseconds;
    const frame = frames.get(id);
    if (frame === undefined || frame.name === '(idle)' || at < span.from || at > span.to) return;
    busy += microseconds;
    self.add(frame.name, microseconds);
    packages.add(frame.package, microseconds);
    const own = new Set<string>();
    for (let node: number | undefined = id; node !== undefined; node = parents.get(node)) {
      const caller = frames.get(node);
      if (caller !== undefined && OWN_PACKAGES.has(caller.package)) own.add(caller.name);
    }
    const [first = '(none of ours)'] = own;
    innermost.add(first, microseconds);
    for (const name of own) total.add(name, microseconds);
  });
  return [
    table(['package', 'itself'], packages.shares(busy)),
    table(['function', 'itself'], self.shares(busy)),
    table(['at', 'with what it calls that is not ours'], innermost.shares(busy)),
    table(['function of ours', 'with all that it calls'], total.shares(busy)),
  ].join('\n\n');
}

class Tally {
  readonly #times = new Map<string, number>();

  add(name: string, microseconds: number): void {
    this.#times.set(name, (this.#times.get(name) ?? 0) + microseconds);
  }

  shares(ofMicroseconds: number): string[][] {
    return [...this.#times]
      .sort(([, one], [, other]) => other - one)
      .slice(0, TOP)
      .map(([name, microseconds]) => [name, `${((microseconds * 100) / ofMicroseconds).toFixed(1)} %`]);
  }
}

const OWN_PACKAGES: ReadonlySet<string> = new Set(['data-plane', 'shared']);

function readFrame({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']) {
  const place = placeOf(url);
  const name = functionName === '' ? '(anonymous)' : functionName;
  return { name: place.file === '' ? name : `${name} ${place.file}:${lineNumber + 1}`, package: place.package };
}

function placeOf(url: string): { readonly package: string; readonly file: string } {
  if (url === '') return { package: '(engine)', file: '' };
  if (url.startsWith('node:')) return { package: 'node', file: url };
  const inPackage = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)(.*)$/.exec(url);
  if (inPackage !== null) return { package: inPackage[1] ?? '', file: `${inPackage[1] ?? ''}/${inPackage[2] ?? ''}` };
  const own = /\/(data-plane|shared)\/dist\/(.*)$/.exec(url);
  return own === null
    ? { package: url, file: url }
    : { package: own[1] ?? '', file: `${own[1] ?? ''}/${own[2] ?? ''}` };
}
