import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inSpendingOrder, remainingOf, settleCredits, type Credit } from './settle-credits.js';

const credit = (id: string, amount: number, overrides: Partial<Credit> = {}): Credit => ({
  ...{ id, amount: BigInt(amount), priority: 100, expiresAt: null, drawn: 0n, expired: 0n, refunded: 0n },
  ...overrides,
});
const left = (credits: readonly Credit[]) => credits.map((each) => [each.id, Number(remainingOf(each))]);

describe('credits are spent', () => {
  const credits = [
    credit('d', 10),
    credit('c', 10, { expiresAt: 900 }),
    credit('b', 10, { expiresAt: 500 }),
    credit('a', 10, { priority: 200, expiresAt: 100 }),
    credit('e', 10, { priority: 1 }),
  ];

  it('by priority, then by expiry, then by age', () => {
    expect(inSpendingOrder(credits).map(({ id }) => id)).toEqual(['e', 'b', 'c', 'd', 'a']);
    const settled = settleCredits(credits, 25n, 50);
    expect(left(settled.credits)).toEqual([
      ...[
        ['e', 0],
        ['b', 0],
        ['c', 5],
      ],
      ...[
        ['d', 10],
        ['a', 10],
      ],
    ]);
  });

  it('not at all below zero: a debt is of no credit', () => {
    const settled = settleCredits(credits, -7n, 50);
    expect(settled.credits.every((each) => remainingOf(each) === 0n)).toBe(true);
    expect(settled.balance).toBe(-7n);
  });

  it('and run out with what is left of them', () => {
    const settled = settleCredits([credit('a', 10, { expiresAt: 100 }), credit('b', 5)], 12n, 100);
    expect(settled.expiries).toEqual([{ creditId: 'a', amount: 7n }]);
    expect(settled.balance).toBe(5n);
    expect(left(settled.credits)).toEqual([
      ...[
        ['a', 0],
        ['b', 5],
      ],
    ]);
  });

  it('and what comes back goes to the one drawn last, and runs out if that has', () => {
    const drawn = [credit('a', 10, { expiresAt: 100, drawn: 10n }), credit('b', 5, { drawn: 2n })];
    expect(settleCredits(drawn, 5n, 200)).toMatchObject({ expiries: [], balance: 5n });
    expect(settleCredits(drawn, 9n, 200)).toMatchObject({ expiries: [{ creditId: 'a', amount: 4n }], balance: 5n });
  });
});

describe('whatever happens to a wallet', () => {
  const step = fc.oneof(
    fc.record({
      type: fc.constant('credit' as const),
      amount: fc.integer({ min: 1, max: 1000 }),
      priority: fc.integer({ min: 0, max: 3 }),
      lifetime: fc.option(fc.integer({ min: 1, max: 20 })),
    }),
    fc.record({ type: fc.constant('spend' as const), amount: fc.integer({ min: 1, max: 500 }) }),
    fc.record({ type: fc.constant('come-back' as const), share: fc.integer({ min: 0, max: 100 }) }),
    fc.record({ type: fc.constant('settle' as const) }),
  );

  it('its credits are its money: none made, none lost, and none spent twice', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let [credits, balance, spent, expired, credited]: [Credit[], bigint, bigint, bigint, bigint] = [
          [],
          0n,
          0n,
          0n,
          0n,
        ];
        const settle = (at: number): void => {
          const settled = settleCredits(credits, balance, at);
          expired += settled.expiries.reduce((sum, { amount }) => sum + amount, 0n);
          [credits, balance] = [[...settled.credits], settled.balance];
        };
        steps.forEach((each, at) => {
          if (each.type === 'credit') {
            settle(at);
            const { amount, priority, lifetime } = each;
            const expiresAt = lifetime === null ? null : at + lifetime;
            credits.push(credit(String(at).padStart(3, '0'), amount, { priority, expiresAt }));
            balance += BigInt(amount);
            credited += BigInt(amount);
          } else if (each.type === 'spend') {
            balance -= BigInt(each.amount);
            spent += BigInt(each.amount);
          } else if (each.type === 'come-back') {
            const amount = (spent * BigInt(each.share)) / 100n;
            balance += amount;
            spent -= amount;
          } else settle(at);
        });
        settle(steps.length);
        const sum = (pick: (each: Credit) => bigint) => credits.reduce((total, each) => total + pick(each), 0n);
        expect(balance).toBe(credited - spent - expired);
        expect(sum(remainingOf)).toBe(balance > 0n ? balance : 0n);
        expect(sum((each) => each.expired)).toBe(expired);
        for (const each of credits) {
          expect(each.drawn >= 0n && each.expired >= 0n && remainingOf(each) >= 0n).toBe(true);
          if (each.expiresAt !== null && each.expiresAt <= steps.length) expect(remainingOf(each)).toBe(0n);
        }
        // Settled again, nothing moves.
        expect(settleCredits(credits, balance, steps.length)).toMatchObject({ balance, expiries: [] });
      }),
      { numRuns: 2000 },
    );
  });
});
