import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createCallLines, formatCall, formatCost, formatCount, type SettledCall } from './call-lines.js';

const call: SettledCall = {
  event: 'call-settled',
  model: 'sim-chat',
  inputTokens: 12,
  outputTokens: 40,
  cost: '0.00042',
  currency: 'USD',
  latencyMs: 230.4,
  outcome: 'completed',
};

describe('a call line', () => {
  it('shows model, tokens, cost and latency', () => {
    expect(formatCall(call, new Date(2026, 0, 1, 14, 2, 51))).toBe(
      '14:02:51  sim-chat  12 in + 40 out tokens  $0.00042  230 ms',
    );
  });

  it('names an outcome that does not go without saying', () => {
    expect(formatCall({ ...call, outcome: 'interrupted', latencyMs: null }, new Date())).toMatch(
      /\$0\.00042 {2}interrupted$/,
    );
  });

  it('never passes on a control character of a caller', () => {
    expect(formatCall({ ...call, model: 'a\u001b[2Jb\nc' }, new Date())).toContain('a [2Jb c');
  });

  it('writes amounts exactly, in the currency they are in', () => {
    expect(formatCost(1n, 'USD')).toBe('$0.000000000001');
    expect(formatCost(2_500_000_000_000n, 'CHF')).toBe('2.50 CHF');
    expect([950, 12_345, 999_999, 4_100_000].map(formatCount)).toEqual(['950', '12.3k', '1.0M', '4.1M']);
  });
});

describe('call lines under load', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('shows ten a second and sums up the rest, losing none', () => {
    const lines: string[] = [];
    const calls = createCallLines({ print: (line) => lines.push(line) });
    for (let index = 0; index < 440; index += 1) calls.add(call);
    expect(lines).toHaveLength(10);
    vi.advanceTimersByTime(1000);
    expect(lines).toHaveLength(11);
    expect(lines[10]).toBe('… and 430 more calls, 22.4k tokens, $0.1806');
    calls.add(call);
    expect(lines).toHaveLength(12);
    const sum = { event: 'calls-settled', calls: 1000, inputTokens: 3000, outputTokens: 1000, cost: '2' } as const;
    calls.add({ ...sum, currency: 'USD' });
    vi.advanceTimersByTime(1000);
    expect(lines.slice(12)).toEqual(['… and 1000 more calls, 4.0k tokens, $2.00']);
  });
});
