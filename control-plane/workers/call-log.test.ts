import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { parseJson } from '@pingtoken/shared/wire';
import { settledCallSchema } from '../standalone/call-lines.js';
import { makeAttempt, makeEvent } from '../../test/kit/billing-fixture.js';
import { createCallLog } from './call-log.js';
import type { SettledEvent } from './settle-event.js';

const customer = { tenantId: crypto.randomUUID(), apiKeyId: crypto.randomUUID(), memberId: crypto.randomUUID() };

function settled(amount: bigint, currency = 'USD'): SettledEvent {
  const billed = makeAttempt({ usage: { input: 10, cacheRead: 5, output: 3, reasoning: 4 } });
  const draft = makeEvent(customer, crypto.randomUUID(), { attempts: [billed], admittedAt: 1000, endedAt: 1250 });
  return {
    event: { ...draft, spoolId: crypto.randomUUID(), seq: 1 },
    billed,
    amount,
    currency,
    freeTokens: 0,
    costs: [],
    region: 'test',
    period: '1970-01-01',
  };
}

function record(perSecond: number) {
  const lines: unknown[] = [];
  const logger = pino({ base: null, timestamp: false }, { write: (line) => lines.push(parseJson(line)) });
  return { lines, log: createCallLog({ logger, perSecond }) };
}

test('a call is one line, in the form that the launcher reads', () => {
  const { lines, log } = record(10);
  log.add([settled(1_234_567n)]);
  expect(lines.map((line) => settledCallSchema.parse(line))).toEqual([
    {
      ...{ event: 'call-settled', model: 'test-model', inputTokens: 15, outputTokens: 7 },
      ...{ cost: '0.000001234567', currency: 'USD', latencyMs: 250, outcome: 'completed' },
    },
  ]);
});

test('under load the rest of a second is summed up, exactly, by currency', () => {
  vi.useFakeTimers();
  const { lines, log } = record(2);
  const calls = [1n, 2n, 10n ** 30n, 1n].map((amount) => settled(amount));
  log.add([...calls, settled(7n, 'EUR')]);
  vi.advanceTimersByTime(1000);
  expect(lines.slice(2)).toMatchObject([
    { event: 'calls-settled', calls: 2, inputTokens: 30, outputTokens: 14, cost: '1000000000000000000.000000000001' },
    { event: 'calls-settled', calls: 1, currency: 'EUR', cost: '0.000000000007' },
  ]);
  log.add(calls.slice(0, 2));
  log.flush();
  expect(lines).toHaveLength(6);
  vi.useRealTimers();
});
