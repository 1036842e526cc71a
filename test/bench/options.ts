import { parseArgs } from 'node:util';

const WORKLOAD_NAMES = ['json', 'sse', 'paced', 'from-anthropic', 'from-gemini', 'to-anthropic'] as const;
export type WorkloadName = (typeof WORKLOAD_NAMES)[number];
export type LoadTool = 'wrk' | 'autocannon';

export interface BenchOptions {
  /** Measure other gateways too; installs them under `.bench/`. */
  readonly peers: boolean;
  /** Length of one window. */
  readonly seconds: number;
  /** Windows per contender, workload and concurrency. */
  readonly rounds: number;
  readonly workloads: readonly WorkloadName[];
  /** Keys that the data plane has loaded. */
  readonly keys: number;
  /** Undefined: wrk where present. */
  readonly loadTool: LoadTool | undefined;
  /** Profile the data plane instead of comparing it. */
  readonly profile: boolean;
}

export const USAGE = `npm run bench [-- options]
  --seconds 4      length of one window (1 to 60)
  --rounds 3       windows per contender, workload and concurrency (1 to 20)
  --only json      one workload: ${WORKLOAD_NAMES.join(', ')}; may be repeated (default: all but paced)
  --keys 100000    API keys that the data plane holds (0 to 1000000)
  --peers          also Portkey's gateway, installed under .bench/
  --load wrk       wrk or autocannon (default: wrk where present)
  --profile        instead of the table: CPU profile of the data plane, kept under .bench/`;

/** @throws Error fit for a terminal */
export function readOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      peers: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', multiple: true, default: WORKLOAD_NAMES.filter((name) => name !== 'paced') },
      keys: { type: 'string', default: '100000' },
      load: { type: 'string' },
      profile: { type: 'boolean', default: false },
    },
  });
  return {
    peers: values.peers,
    profile: values.profile,
    seconds: wholeNumber('--seconds', values.seconds, 1, 60),
    rounds: wholeNumber('--rounds', values.rounds, 1, 20),
    keys: wholeNumber('--keys', values.keys, 0, 1_000_000),
    // `sse` is what a translated stream is compared with.
    workloads: withSse(values.only.map((name) => oneOf('--only', name, WORKLOAD_NAMES))),
    loadTool: values.load === undefined ? undefined : oneOf('--load', values.load, ['wrk', 'autocannon'] as const),
  };
}

function withSse(names: readonly WorkloadName[]): readonly WorkloadName[] {
  const isTranslated = names.some((name) => !['json', 'sse', 'paced'].includes(name));
  return isTranslated && !names.includes('sse') ? ['sse', ...names] : names;
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new Error(`${name} must be a whole number from ${least} to ${most}.`);
}

function oneOf<Value extends string>(name: string, text: string, values: readonly Value[]): Value {
  const found = values.find((value) => value === text);
  if (found !== undefined) return found;
  throw new Error(`${name} must be one of ${values.join(', ')}.`);
}
