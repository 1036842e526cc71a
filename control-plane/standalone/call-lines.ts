import { z } from 'zod';
import { formatAmount, parseAmount } from '@pingtoken/shared/money';

/** What the worker writes to its log for each call that it has settled. */
export const settledCallSchema = z.object({
  event: z.literal('call-settled'),
  model: z.string(),
  inputTokens: z.number(),
  outputTokens: z.number(),
  /** Decimal string. */
  cost: z.string(),
  currency: z.string(),
  latencyMs: z.number().nullable(),
  outcome: z.string(),
});
export type SettledCall = z.infer<typeof settledCallSchema>;

/** What it writes for the others of a second in which there were too many for a line each. */
export const settledCallsSchema = settledCallSchema
  .pick({ inputTokens: true, outputTokens: true, cost: true, currency: true })
  .extend({ event: z.literal('calls-settled'), calls: z.number() });
export type SettledCalls = z.infer<typeof settledCallsSchema>;

const SYMBOLS: Readonly<Record<string, string>> = { USD: '$', EUR: '€', GBP: '£', CNY: '¥', JPY: '¥' };
/** The outcome that goes without saying. */
const PLAIN_OUTCOME = 'completed';

/** `14:02:51  sim-chat  12 in + 40 out tokens  $0.00042  230 ms` */
export function formatCall(call: SettledCall, settledAt: Date): string {
  const columns = [
    settledAt.toTimeString().slice(0, 8),
    call.model,
    `${call.inputTokens} in + ${call.outputTokens} out tokens`,
    formatCost(parseAmount(call.cost), call.currency),
  ];
  if (call.latencyMs !== null) columns.push(formatLatency(call.latencyMs));
  if (call.outcome !== PLAIN_OUTCOME) columns.push(call.outcome);
  return printable(columns.join('  '));
}

/** At least two decimals, as many as it has, and the currency's sign where it has a common one. */
export function formatCost(units: bigint, currency: string): string {
  const [whole = '0', fraction = ''] = formatAmount(units).split('.');
  const amount = `${whole}.${fraction.padEnd(2, '0')}`;
  const symbol = SYMBOLS[currency];
  return symbol === undefined ? `${amount} ${currency}` : `${symbol}${amount}`;
}

function formatLatency(latencyMs: number): string {
  return latencyMs < 10_000 ? `${Math.round(latencyMs)} ms` : `${(latencyMs / 1000).toFixed(1)} s`;
}

/** `950`, `12.3k`, `4.1M` */
export function formatCount(count: number): string {
  if (count < 1000) return String(count);
  return count < 999_950 ? `${(count / 1000).toFixed(1)}k` : `${(count / 1_000_000).toFixed(1)}M`;
}

/** A model's name, or an error's text, may come from a caller: no control character of theirs reaches the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ');
}

/** Calls that were not shown one by one. */
interface Unshown {
  calls: number;
  tokens: number;
  readonly cost: Map<string, bigint>;
}

export interface CallLines {
  add(call: SettledCall | SettledCalls): void;
  /** Prints what has not been shown yet; before the end. */
  flush(): void;
}

/**
 * Prints calls as they are settled, and under load no more than `perSecond` lines of them, then one that sums up the rest of
 * that second: "… and 430 more calls, 12.3k tokens, $0.42".
 */
export function createCallLines(options: {
  readonly print: (line: string) => void;
  readonly perSecond?: number;
}): CallLines {
  const { print, perSecond = 10 } = options;
  let shown = 0;
  let unshown = emptyUnshown();
  let second: NodeJS.Timeout | null = null;

  const flush = () => {
    if (second !== null) clearTimeout(second);
    second = null;
    shown = 0;
    if (unshown.calls > 0) print(formatUnshown(unshown));
    unshown = emptyUnshown();
  };
  return {
    flush,
    add: (call) => {
      second ??= setTimeout(flush, 1000);
      if (call.event === 'calls-settled') {
        count(unshown, call);
        return;
      }
      shown += 1;
      if (shown <= perSecond) print(formatCall(call, new Date()));
      else count(unshown, { ...call, calls: 1 });
    },
  };
}

function emptyUnshown(): Unshown {
  return { calls: 0, tokens: 0, cost: new Map() };
}

function count(unshown: Unshown, call: Omit<SettledCalls, 'event'>): void {
  unshown.calls += call.calls;
  unshown.tokens += call.inputTokens + call.outputTokens;
  unshown.cost.set(call.currency, (unshown.cost.get(call.currency) ?? 0n) + parseAmount(call.cost));
}

function formatUnshown({ calls, tokens, cost }: Unshown): string {
  const costs = [...cost].map(([currency, units]) => formatCost(units, currency)).join(' + ');
  return `… and ${calls} more ${calls === 1 ? 'call' : 'calls'}, ${formatCount(tokens)} tokens, ${costs}`;
}
