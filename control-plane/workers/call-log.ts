import type { Logger } from 'pino';
import { formatAmount } from '@pingtoken/shared/money';
import type { SettledEvent } from './settle-event.js';

export interface CallLog {
  add(settled: readonly SettledEvent[]): void;
  /** Writes what has not been written yet; before the end. */
  flush(): void;
}

export interface CallLogOptions {
  readonly logger: Logger;
  /** Lines for single calls at most within a second; the others of that second are summed up by currency. */
  readonly perSecond?: number;
}

interface Sum {
  calls: number;
  inputTokens: number;
  outputTokens: number;
  cost: bigint;
}

/** One line for each settled call, `call-settled`; under load some, and `calls-settled` with the sums of the rest. */
export function createCallLog({ logger, perSecond = 100 }: CallLogOptions): CallLog {
  let written = 0;
  let timer: NodeJS.Timeout | undefined;
  const sums = new Map<string, Sum>();

  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    written = 0;
    for (const [currency, { cost, ...sum }] of sums) {
      logger.info({ event: 'calls-settled', ...sum, cost: formatAmount(cost), currency });
    }
    sums.clear();
  };

  const addOne = (settled: SettledEvent): void => {
    const { event, amount, currency } = settled;
    const tokens = countTokens(settled);
    if (written < perSecond) {
      written += 1;
      const latencyMs = Math.max(event.endedAt - event.admittedAt, 0);
      const { model, outcome } = event;
      logger.info({
        event: 'call-settled',
        model,
        ...tokens,
        cost: formatAmount(amount),
        currency,
        latencyMs,
        outcome,
      });
      return;
    }
    const sum = sums.get(currency) ?? { calls: 0, inputTokens: 0, outputTokens: 0, cost: 0n };
    sum.calls += 1;
    sum.inputTokens += tokens.inputTokens;
    sum.outputTokens += tokens.outputTokens;
    sum.cost += amount;
    sums.set(currency, sum);
  };

  return {
    add(settled) {
      if (settled.length === 0) return;
      timer ??= setTimeout(flush, 1000).unref();
      settled.forEach(addOne);
    },
    flush,
  };
}

function countTokens({ billed }: SettledEvent): { inputTokens: number; outputTokens: number } {
  const { input = 0, cacheRead = 0, cacheWrite5m = 0, cacheWrite1h = 0, audioInput = 0 } = billed?.usage ?? {};
  const { output = 0, reasoning = 0, audioOutput = 0 } = billed?.usage ?? {};
  return {
    inputTokens: input + cacheRead + cacheWrite5m + cacheWrite1h + audioInput,
    outputTokens: output + reasoning + audioOutput,
  };
}
