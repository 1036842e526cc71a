import { describe, expect, it } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import type { LeaseGrant } from '@pingtoken/shared/lease';
import { LeaseBook, type CallCost, type Reservation, type ScopeOf, type Shortfall } from './lease-book.js';
import { planNeeds, planRefills } from './plan-asks.js';
import { refusalOf, type AllocatorWord } from './refusal-of.js';

const [tenantId, budgetId] = [uuidv7(), uuidv7()];
const START = 1_000_000;
const END = START + 600_000;
const wallet: ScopeOf = { tenantId, currency: 'USD', scope: { kind: 'wallet' } };
const budget: ScopeOf = { tenantId, currency: 'USD', scope: { kind: 'budget', budgetId } };

const grant = (granted: number, overrides: Partial<LeaseGrant> = {}): LeaseGrant => ({
  ...{ leaseId: uuidv7(), granted: String(granted), admitUntil: END, windowFrom: null, windowTo: null },
  ...overrides,
});
const call = (amount: number, overrides: Partial<CallCost> = {}): CallCost => ({
  ...{ tenantId, currency: 'USD', budgetIds: [], amount: BigInt(amount), at: START },
  ...overrides,
});
const isShort = (result: Reservation | Shortfall): result is Shortfall => 'lacking' in result;
function reserved(result: Reservation | Shortfall): Reservation {
  if (isShort(result)) throw new Error('nothing was reserved');
  return result;
}

describe('a reservation', () => {
  it('is held until it is settled, with what was used, once', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(10), START);
    const first = reserved(book.reserve(call(6)));
    expect(isShort(book.reserve(call(5)))).toBe(true);
    book.settle(first, 2n);
    book.settle(first, 2n);
    expect(reserved(book.reserve(call(8))).amount).toBe(8n);
    expect(isShort(book.reserve(call(1)))).toBe(true);
  });

  it('takes no more of the lease than was reserved, whatever the call has cost', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(10), START);
    book.settle(reserved(book.reserve(call(4))), 99n);
    expect(reserved(book.reserve(call(6))).leaseIds).toHaveLength(1);
    expect(isShort(book.reserve(call(1)))).toBe(true);
  });

  it('is taken from all of its scopes or from none', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(10), START);
    const limited = call(6, { budgetIds: [budgetId] });
    const refused = book.reserve(limited);
    expect(isShort(refused) && refused.lacking).toEqual([{ ...budget, held: 0n, isReserved: false }]);
    book.apply(budget, grant(5), START);
    const short = book.reserve(limited);
    expect(isShort(short) && short.lacking).toMatchObject([{ held: 5n }]);
    // Nothing of the wallet's lease was held by the two that failed.
    reserved(book.reserve(call(5, { budgetIds: [budgetId] })));
    expect(reserved(book.reserve(call(5))).leaseIds).toHaveLength(1);
  });

  it('is of one lease whole, not of two in parts', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(3), START);
    book.apply(wallet, grant(4), START);
    expect(isShort(book.reserve(call(5)))).toBe(true);
    expect(reserved(book.reserve(call(3))).leaseIds).toHaveLength(1);
  });

  it('of nothing needs no lease', () => {
    expect(new LeaseBook().reserve(call(0, { budgetIds: [budgetId] }))).toEqual({ leaseIds: [], amount: 0n });
  });

  it('is not made on a lease whose time is over, nor on a budget of another day, nor for another tenant or currency', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(10), START);
    expect(isShort(book.reserve(call(1, { at: END })))).toBe(true);
    expect(isShort(book.reserve(call(1, { currency: 'EUR' })))).toBe(true);
    expect(isShort(book.reserve(call(1, { tenantId: uuidv7() })))).toBe(true);
    const window = { windowFrom: START - 10, windowTo: START + 10 };
    book.apply(budget, grant(10, window), START);
    const limited = { budgetIds: [budgetId] };
    reserved(book.reserve(call(1, { ...limited, at: START + 9 })));
    expect(isShort(book.reserve(call(1, { ...limited, at: START + 10 })))).toBe(true);
    expect(isShort(book.reserve(call(1, { ...limited, at: START - 11 })))).toBe(true);
  });

  it('goes without a budget that the allocator does not know, for a moment', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(10), START);
    book.setUnlimited(budgetId, START);
    reserved(book.reserve(call(1, { budgetIds: [budgetId] })));
    expect(isShort(book.reserve(call(1, { budgetIds: [budgetId], at: START + 5_000 })))).toBe(true);
  });
});

describe('a grant', () => {
  it('that is heard twice, or after a later one, changes nothing', () => {
    const book = new LeaseBook();
    const first = grant(5);
    book.apply(wallet, { ...first, granted: '9' }, START);
    book.apply(wallet, first, START);
    book.apply(wallet, first, START);
    expect(isShort(book.reserve(call(10)))).toBe(true);
    reserved(book.reserve(call(9)));
  });
});

describe('a lease', () => {
  it('is to be fenced when its time is over and its last call has ended, until that is done', () => {
    const book = new LeaseBook();
    const only = grant(10);
    book.apply(wallet, only, START);
    const open = reserved(book.reserve(call(1)));
    expect(book.fenceable(START)).toEqual([]);
    expect(book.fenceable(END)).toEqual([]);
    book.settle(open, 1n);
    expect(book.fenceable(END)).toEqual([only.leaseId]);
    expect(book.fenceable(END)).toEqual([only.leaseId]);
    // Whatever a clock that went back says: what is about to be fenced admits nothing any more.
    expect(isShort(book.reserve(call(1)))).toBe(true);
    book.forget([only.leaseId]);
    expect([book.fenceable(END), book.stocks(END)]).toEqual([[], []]);
  });

  it('goes back when nobody draws on it for a while, but not under a call', () => {
    const book = new LeaseBook();
    const [idle, busy] = [grant(10), grant(10)];
    book.apply(wallet, idle, START);
    expect(book.fenceable(START + 14_999)).toEqual([]);
    // What nobody could lease again is kept for the calls to come.
    expect(book.fenceable(START + 15_000, true)).toEqual([]);
    expect(book.fenceable(START + 15_000)).toEqual([idle.leaseId]);
    expect(book.fenceable(START + 15_000, true)).toEqual([idle.leaseId]);
    book.forget([idle.leaseId]);
    book.apply(wallet, busy, START + 15_000);
    const open = reserved(book.reserve(call(1, { at: START + 15_000 })));
    expect(book.fenceable(START + 40_000)).toEqual([]);
    book.settle(open, 0n);
    expect(book.fenceable(START + 40_000)).toEqual([busy.leaseId]);
  });
});

describe('what is asked for', () => {
  it('comes before it is needed, and before a lease has ended', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(100), START);
    expect(planRefills(book.stocks(START))).toEqual([]);
    reserved(book.reserve(call(10)));
    // Forty for calls of the usual size, and some for the seconds to come; ninety are held.
    expect(planRefills(book.stocks(START))).toEqual([]);
    for (let count = 0; count < 7; count += 1) reserved(book.reserve(call(10)));
    expect(planRefills(book.stocks(START))).toMatchObject([
      { tenantId, currency: 'USD', asks: [{ scope: { kind: 'wallet' }, held: '20', unit: '10', needed: '0' }] },
    ]);
    const late = START + 599_000;
    reserved(book.reserve(call(10, { at: late })));
    expect(planRefills(book.stocks(late))).toMatchObject([{ asks: [{ held: '0', needed: '0' }] }]);
  });

  it('for calls that wait is what they lack together, scope by scope', () => {
    const book = new LeaseBook();
    book.apply(wallet, grant(4), START);
    const waiting = [call(5), call(3, { budgetIds: [budgetId] }), call(9)].flatMap((cost) => {
      const shortfall = book.reserve(cost);
      return isShort(shortfall) ? [{ cost, shortfall }] : [];
    });
    expect(planNeeds(waiting, book.stocks(START))).toEqual([
      { scope: wallet.scope, held: '4', unit: '5', needed: '10', desired: '10' },
      { scope: budget.scope, held: '0', unit: '3', needed: '3', desired: '3' },
    ]);
  });
});

describe('a refusal', () => {
  const lacking = (isReserved: boolean) => ({ lacking: [{ ...wallet, held: 0n, isReserved }] });
  it.each<[AllocatorWord, boolean, string]>([
    ['exhausted', false, 'insufficient_funds'],
    ['exhausted', true, 'insufficient_funds'],
    ['reserved', false, 'budget_reserved'],
    ['granted', true, 'budget_reserved'],
    ['unavailable', true, 'budget_reserved'],
    ['unavailable', false, 'budget_unavailable'],
    ['fenced', false, 'budget_unavailable'],
    ['unlimited', false, 'budget_unavailable'],
  ])('after %s, calls under way: %s, is %s', (word, isReserved, code) => {
    expect(refusalOf(lacking(isReserved), () => word)).toBe(code);
  });
});
