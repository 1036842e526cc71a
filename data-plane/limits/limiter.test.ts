import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limitsSchema, type Limits } from '@pingtoken/shared/limits';
import { createLimiter, type Admission, type Limiter } from './limiter.js';

const limits = (given: Partial<Limits>): Limits => limitsSchema.parse(given);
const NOW = 1_760_000_000_123;

function admitted(limiter: Limiter, given: Partial<Limits>, tokens: number, nowMs: number): Admission {
  const result = limiter.admit([{ id: 'key', limits: limits(given) }], tokens, nowMs);
  if ('reached' in result) throw new Error(`refused: ${result.reached}`);
  return result;
}

const anyCalls = fc.array(
  fc.record({
    afterMs: fc.integer({ min: 0, max: 20_000 }),
    assumed: fc.integer({ min: 0, max: 60 }),
    used: fc.option(fc.integer({ min: 0, max: 60 }), { nil: undefined }),
    endsAfter: fc.integer({ min: 0, max: 5 }),
  }),
  { minLength: 1, maxLength: 200 },
);

describe('limits', () => {
  it('let through no more than they say in any stretch of their length, wherever it begins', () => {
    fc.assert(
      fc.property(anyCalls, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 60, max: 300 }), (calls, rpm, tpm) => {
        const limiter = createLimiter();
        const passed: { at: number; tokens: number }[] = [];
        let now = NOW;
        for (const { afterMs, assumed, used } of calls) {
          now += afterMs;
          const bounded = [{ id: 'key', limits: limits({ requestsPerMinute: rpm, tokensPerMinute: tpm }) }];
          const result = limiter.admit(bounded, assumed, now);
          if ('reached' in result) continue;
          // What was used is at most what was assumed here, so that the tokens too have to hold at every instant.
          const tokens = Math.min(assumed, used ?? 0);
          result.settle(tokens, now);
          passed.push({ at: now, tokens });
        }
        for (const { at } of passed) {
          const inside = passed.filter((each) => each.at >= at && each.at < at + 60_000);
          expect(inside.length).toBeLessThanOrEqual(rpm);
          expect(inside.reduce((sum, { tokens }) => sum + tokens, 0)).toBeLessThanOrEqual(tpm);
        }
      }),
    );
  });

  it('tell a time after which the very same call is let through, and not before it', () => {
    fc.assert(
      fc.property(anyCalls, fc.integer({ min: 1, max: 10 }), (calls, rpm) => {
        const limiter = createLimiter();
        const bounded = [{ id: 'key', limits: limits({ requestsPerMinute: rpm, tokensPerMinute: 100 }) }];
        let now = NOW;
        for (const { afterMs, assumed } of calls) {
          now += afterMs;
          const refused = limiter.admit(bounded, assumed, now);
          if (!('reached' in refused)) continue;
          const { retryAfterMs = 0 } = refused;
          expect(limiter.admit(bounded, assumed, now + retryAfterMs - 1)).toHaveProperty('reached');
          now += retryAfterMs;
          expect(limiter.admit(bounded, assumed, now)).not.toHaveProperty('reached');
        }
      }),
    );
  });

  it('count tokens when a call begins, so that calls that begin together do not all find room', () => {
    const limiter = createLimiter();
    const first = admitted(limiter, { tokensPerMinute: 100 }, 60, NOW);
    expect(limiter.admit([{ id: 'key', limits: limits({ tokensPerMinute: 100 }) }], 60, NOW)).toMatchObject({
      reached: 'tokensPerMinute',
      limit: 100,
    });
    first.settle(10, NOW + 5);
    expect(admitted(limiter, { tokensPerMinute: 100 }, 60, NOW + 6).states.tokensPerMinute?.left).toBe(30);
  });

  it('take back what a call did not use, and add what it used above', () => {
    const limiter = createLimiter();
    admitted(limiter, { tokensPerDay: 1000 }, 100, NOW).settle(undefined, NOW + 1);
    admitted(limiter, { tokensPerDay: 1000 }, 100, NOW).settle(400, NOW + 1);
    expect(admitted(limiter, { tokensPerDay: 1000 }, 0, NOW + 2).states.tokensPerDay?.left).toBe(600);
  });

  it('settle a call once', () => {
    const limiter = createLimiter();
    const given = { concurrentCalls: 1 };
    const call = admitted(limiter, given, 0, NOW);
    expect(limiter.admit([{ id: 'key', limits: limits(given) }], 0, NOW)).toMatchObject({ reached: 'concurrentCalls' });
    call.settle(0, NOW);
    call.settle(0, NOW);
    const next = admitted(limiter, given, 0, NOW);
    expect(limiter.admit([{ id: 'key', limits: limits(given) }], 0, NOW)).toHaveProperty('reached');
    next.settle(0, NOW);
  });

  it('take of all that bound a call, or of none', () => {
    const limiter = createLimiter();
    const key = { id: 'key', limits: limits({ requestsPerMinute: 5 }) };
    const tenant = { id: 'tenant', limits: limits({ requestsPerMinute: 1 }) };
    expect(limiter.admit([key, tenant], 0, NOW)).not.toHaveProperty('reached');
    for (let index = 0; index < 10; index += 1) {
      expect(limiter.admit([key, tenant], 0, NOW)).toMatchObject({ reached: 'requestsPerMinute', limit: 1 });
    }
    expect(limiter.admit([key], 0, NOW)).toMatchObject({ states: { requestsPerMinute: { left: 3 } } });
  });

  it('refuse for good what never fits', () => {
    const refused = createLimiter().admit([{ id: 'key', limits: limits({ tokensPerMinute: 10 }) }], 11, NOW);
    expect(refused).toMatchObject({ reached: 'tokensPerMinute', retryAfterMs: undefined });
  });

  it('are not widened by a clock that is set back', () => {
    const limiter = createLimiter();
    admitted(limiter, { requestsPerMinute: 1 }, 0, NOW).settle(0, NOW);
    expect(limiter.admit([{ id: 'key', limits: limits({ requestsPerMinute: 1 }) }], 0, NOW - 600_000)).toHaveProperty(
      'reached',
    );
  });

  it('forget who has not called for a day, and nobody else', () => {
    const limiter = createLimiter();
    const open = admitted(limiter, { concurrentCalls: 2 }, 0, NOW);
    limiter.sweep(NOW + 2 * 86_400_000);
    expect(limiter.size).toBe(1);
    open.settle(0, NOW);
    limiter.sweep(NOW + 2 * 86_400_000);
    expect(limiter.size).toBe(0);
  });
});
