import { setTimeout as sleep } from 'node:timers/promises';
import type { ContenderName, RunningContender } from './contenders.js';
import type { Load, Target, Window } from './load.js';
import type { BenchOptions } from './options.js';
import { processorMs, residentBytes } from './processes.js';
import { STREAMED_TEXT, WORKLOADS, type Workload } from './workloads.js';

export interface Sample extends Window {
  /** Of all the contender's processes, just after the window. */
  readonly residentBytes: number;
  /** Processor time for one call, in microseconds; undefined where the system does not tell. */
  readonly processorUs: number | undefined;
}

/** One contender under one workload at one concurrency: the medians of its windows. */
export interface Result extends Sample {
  readonly workload: Workload;
  readonly connections: number;
  readonly contender: ContenderName;
  /** Slowest and fastest window, in calls a second. */
  readonly spread: readonly [number, number];
}

const WARM_UP_SECONDS = 2;
const SETTLE_MS = 200;

export function targetOf(contender: RunningContender, workload: Workload): Target {
  return { ...contender.addressOf(workload.name), body: workload.requestBody };
}

/** Nobody but PingToken translates. */
function measured(contenders: readonly RunningContender[], { isTranslated }: Workload): readonly RunningContender[] {
  return isTranslated ? contenders.filter(({ name }) => name === 'PingToken') : contenders;
}

/**
 * @throws Error when an answer is not the upstream's, byte for byte, or, where it is translated, has not its words: what
 *   answers wrongly must not be called fast
 */
export async function verifyEcho(
  contenders: readonly RunningContender[],
  workloads: readonly Workload[],
): Promise<void> {
  for (const workload of workloads) {
    for (const contender of measured(contenders, workload)) {
      const { url, headers, body } = targetOf(contender, workload);
      const response = await fetch(url, { method: 'POST', headers, body });
      const text = await response.text();
      const contentType = response.headers.get('content-type') ?? '';
      if (response.status !== 200 || !isRight(text, workload) || !contentType.startsWith(workload.answer.contentType)) {
        throw new Error(
          `${contender.name} does not answer as the upstream does (${workload.name}): ${response.status} ${contentType}\n${text.slice(0, 2000)}`,
        );
      }
    }
  }
}

interface Turn {
  readonly name: ContenderName;
  readonly contender: RunningContender;
  readonly called: Workload;
}

/** A translated stream takes turns with the same one relayed, so that both have the same of the machine. */
function turnsOf(contenders: readonly RunningContender[], workload: Workload): Turn[] {
  return measured(contenders, workload).flatMap((contender): Turn[] => [
    { name: contender.name, contender, called: workload },
    ...(workload.isTranslated ? [{ name: 'PingToken, relayed' as const, contender, called: WORKLOADS.sse }] : []),
  ]);
}

function isRight(text: string, { isTranslated, answer }: Workload): boolean {
  if (!isTranslated) return text === answer.body;
  const pieces = text.matchAll(/"(?:content|text)":"([^"]*)"/g);
  const hasEnd = text.endsWith('data: [DONE]\n\n') || text.includes('"type":"message_stop"');
  const hasUsage = /"(?:completion|output)_tokens":1[56]\d/.test(text);
  return hasEnd && hasUsage && Array.from(pieces, ([, piece]) => piece).join('') === STREAMED_TEXT;
}

/** All contenders in turn, round after round, so that whatever else the machine does falls on each of them alike. */
export async function measure(
  contenders: readonly RunningContender[],
  workloads: readonly Workload[],
  { load, options, say }: { readonly load: Load; readonly options: BenchOptions; readonly say: (line: string) => void },
): Promise<Result[]> {
  const results: Result[] = [];
  for (const workload of workloads) {
    for (const connections of workload.concurrencies) {
      const turns = turnsOf(contenders, workload);
      const samples = new Map<ContenderName, Sample[]>(turns.map(({ name }) => [name, []]));
      for (let round = 0; round <= options.rounds; round += 1) {
        const isWarmUp = round === 0;
        say(
          `${workload.name}, ${connections} connections: ${isWarmUp ? 'warm-up' : `round ${round} of ${options.rounds}`}`,
        );
        const seconds = isWarmUp ? WARM_UP_SECONDS : options.seconds;
        for (const { name, contender, called } of turns) {
          const sample = await takeSample(contender, { load, workload: called, connections, seconds });
          if (!isWarmUp) samples.get(name)?.push(sample);
        }
      }
      for (const [contender, taken] of samples) results.push(summarise(taken, { workload, connections, contender }));
    }
  }
  return results;
}

async function takeSample(
  contender: RunningContender,
  window: { readonly load: Load; readonly workload: Workload; readonly connections: number; readonly seconds: number },
): Promise<Sample> {
  const { load, workload, connections, seconds } = window;
  await contender.before?.();
  await sleep(SETTLE_MS);
  const usedBefore = processorMs(contender.pid);
  const found = await load.run(targetOf(contender, workload), { connections, seconds });
  const usedAfter = processorMs(contender.pid);
  const sample = {
    ...found,
    residentBytes: residentBytes(contender.pid),
    processorUs:
      usedBefore === undefined || usedAfter === undefined
        ? undefined
        : ((usedAfter - usedBefore) * 1000) / Math.max(1, found.calls),
  };
  await contender.after?.();
  return sample;
}

function summarise(
  samples: readonly Sample[],
  what: { readonly workload: Workload; readonly connections: number; readonly contender: ContenderName },
): Result {
  const of = (read: (sample: Sample) => number): number => median(samples.map(read));
  const rates = samples.map(({ perSecond }) => perSecond);
  return {
    ...what,
    perSecond: median(rates),
    spread: [Math.min(...rates), Math.max(...rates)],
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    calls: samples.reduce((sum, { calls }) => sum + calls, 0),
    failed: samples.reduce((sum, { failed }) => sum + failed, 0),
    residentBytes: of((sample) => sample.residentBytes),
    processorUs: samples.some(({ processorUs }) => processorUs === undefined)
      ? undefined
      : of(({ processorUs }) => processorUs ?? 0),
  };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
