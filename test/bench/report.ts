import type { ColdStart } from './cold-start.js';
import type { ContenderName } from './contenders.js';
import type { Result } from './measure.js';
import type { Drained } from './platform.js';

/** What PingToken is to reach, calls a second against another's, one process each. */
const TARGETS: readonly { readonly against: ContenderName; readonly ratio: number }[] = [
  { against: 'Express + undici', ratio: 0.85 },
  { against: 'nginx proxy', ratio: 0.3 },
  { against: 'Portkey', ratio: 6 },
];
/** Of the calls a second of the stream that is relayed as it comes. */
const TRANSLATED = 0.5;
const READY_MS = 1_000;
const IDLE_BYTES = 150e6;

const verdict = (isReached: boolean): string => (isReached ? 'reached' : 'not reached');
const whole = (value: number): string => Math.round(value).toLocaleString('en');
const milliseconds = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

export function heading(text: string): string {
  return `\n## ${text}\n`;
}

export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, column) => (column === 0 ? (cells[column] ?? '').padEnd(width) : (cells[column] ?? '').padStart(width))).join(' | ')} |`;
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(header), line(rule), ...rows.map(line)].join('\n');
}

/** One table for each workload and concurrency, then what PingToken reaches of its targets. */
export function reportResults(results: readonly Result[]): string {
  const groups = Map.groupBy(results, ({ workload, connections }) => `${workload.title}; ${connections} at a time`);
  return [...groups]
    .map(([title, group]) => `${heading(title)}\n${groupTable(group)}\n\n${groupTargets(group)}`)
    .join('\n');
}

function groupTable(group: readonly Result[]): string {
  const own = group.find(({ contender }) => contender === 'PingToken');
  const header = [
    'contender',
    'calls/s',
    'slowest-fastest',
    'PingToken is',
    'p50 ms',
    'p99 ms',
    'CPU µs/call',
    'RSS',
    'failed',
  ];
  const rows = group
    .toSorted((one, other) => other.perSecond - one.perSecond)
    .map((result) => [
      result.contender,
      whole(result.perSecond),
      result.spread.map(whole).join('-'),
      own === undefined || own === result ? '' : `${(own.perSecond / result.perSecond).toFixed(2)} ×`,
      milliseconds(result.p50Ms),
      milliseconds(result.p99Ms),
      result.processorUs === undefined || result.processorUs < 1 ? '-' : whole(result.processorUs),
      megabytes(result.residentBytes),
      whole(result.failed),
    ]);
  return table(header, rows);
}

/** A paced stream is limited by its pace and says nothing about calls a second. */
function groupTargets(group: readonly Result[]): string {
  const own = group.find(({ contender }) => contender === 'PingToken');
  if (own === undefined || own.workload.name === 'paced') return '';
  if (own.workload.isTranslated) return translationTarget(own, group);
  return TARGETS.flatMap(({ against, ratio }) => {
    const other = group.find(({ contender }) => contender === against);
    if (other === undefined) return [];
    const reached = own.perSecond / other.perSecond;
    const byProcessor =
      own.processorUs === undefined || other.processorUs === undefined
        ? ''
        : ` (${(other.processorUs / own.processorUs).toFixed(2)} × by processor time)`;
    return [
      `- ${reached.toFixed(2)} × ${against}${byProcessor}; target ${ratio.toFixed(2)}: ${verdict(reached >= ratio)}`,
    ];
  }).join('\n');
}

/** A translated stream against the same words relayed as they come. */
function translationTarget(own: Result, group: readonly Result[]): string {
  const relayed = group.find(({ contender }) => contender === 'PingToken, relayed');
  if (relayed === undefined) return '';
  const reached = own.perSecond / relayed.perSecond;
  const byProcessor =
    own.processorUs === undefined || relayed.processorUs === undefined
      ? ''
      : ` (${(relayed.processorUs / own.processorUs).toFixed(2)} × by processor time)`;
  return (
    `- ${reached.toFixed(2)} × the stream that is relayed in its own dialect${byProcessor}; ` +
    `target ${TRANSLATED.toFixed(2)}: ${verdict(reached >= TRANSLATED)}`
  );
}

export function reportColdStart(coldStart: ColdStart, keys: number): string {
  const { medianReadyMs, readyMs, idleBytes, onDiskBytes } = coldStart;
  return [
    heading(`A data plane by itself: ${whole(keys)} keys, control plane stopped`),
    `- ready ${whole(medianReadyMs)} ms after its process started (median of ${readyMs.map(whole).join(', ')}); ` +
      `target ${whole(READY_MS)} ms: ${verdict(medianReadyMs <= READY_MS)}`,
    `- config on disk: snapshot ${megabytes(onDiskBytes.snapshot)}, changes since ${megabytes(onDiskBytes.deltas)}`,
    `- idle at ${megabytes(idleBytes)} RSS; target ${megabytes(IDLE_BYTES)}: ${verdict(idleBytes < IDLE_BYTES)}`,
  ].join('\n');
}

export interface Aftermath {
  readonly drained: Drained;
  readonly billed: { readonly calls: number; readonly events: number; readonly transfers: number };
  /** The distribution's own data plane, idle: before its first call, and after its last one. */
  readonly residentBytes: { readonly before: number; readonly after: number };
  readonly queue: string;
}

export function reportAftermath({ drained, billed, residentBytes, queue }: Aftermath): string {
  const seconds = drained.ms / 1000;
  return [
    heading('What the windows left behind'),
    `- ${whole(drained.events)} calls were waiting for the worker after their windows, and were in the ledger ` +
      `${seconds.toFixed(1)} s after it went on: ${whole(drained.events / seconds)} a second (queue on ${queue})` +
      (drained.processorMs === undefined
        ? ''
        : `; the data plane itself used ${whole((drained.processorMs * 1000) / drained.events)} µs a call for that`),
    `- calls ${whole(billed.calls)}, usage events ${whole(billed.events)}, calls charged ${whole(billed.transfers)}`,
    `- RSS of the data plane that was measured: ${megabytes(residentBytes.before)} before its first call, ` +
      `${megabytes(residentBytes.after)} idle after its last one`,
  ].join('\n');
}
