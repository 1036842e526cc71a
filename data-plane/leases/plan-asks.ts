import { MAX_LEASES, type LeaseAsk } from '@pingtoken/shared/lease';
import type { CallCost, ScopeOf, ScopeStock, Shortfall } from './lease-book.js';

/** What to ask of the allocator, about one tenant in one currency. */
export interface PlannedAsks {
  readonly tenantId: string;
  readonly currency: string;
  readonly asks: readonly LeaseAsk[];
}

/**
 * Refills ahead of need: a scope that holds less than half of what it wants, or whose lease is about to end, asks for the rest.
 * Nobody waits for it.
 */
export function planRefills(stocks: readonly ScopeStock[]): readonly PlannedAsks[] {
  const due = stocks.filter(
    ({ unit, held, wanted, isEnding }) => unit > 0n && wanted > 0n && (isEnding || held * 2n < wanted),
  );
  const byOwner = Map.groupBy(due, ({ tenantId, currency }) => `${tenantId} ${currency}`);
  return [...byOwner.values()].flatMap((scopes) => {
    const [first] = scopes;
    if (first === undefined) return [];
    const asks = scopes.map(({ scope, held, unit, wanted, isEnding }): LeaseAsk => {
      // A lease that ends is followed by another one: what it holds is no help to that.
      const kept = isEnding ? 0n : held;
      return { scope, ...units({ held: kept, unit, needed: 0n, desired: wanted > kept ? wanted - kept : unit }) };
    });
    const { tenantId, currency } = first;
    return chunk(asks).map((part) => ({ tenantId, currency, asks: part }));
  });
}

/** A call that waits for leases. */
export interface WaitingCall {
  readonly cost: CallCost;
  readonly shortfall: Shortfall;
}

/** What calls of one tenant in one currency lack together, asked for at once; with the stock that their scopes want. */
export function planNeeds(waiting: readonly WaitingCall[], stocks: readonly ScopeStock[]): readonly LeaseAsk[] {
  const needs = new Map<string, { of: ScopeOf; held: bigint; unit: bigint; total: bigint }>();
  for (const { cost, shortfall } of waiting) {
    const { amount, least = amount } = cost;
    for (const { held, ...of } of shortfall.lacking) {
      const key = scopeKey(of);
      const need = needs.get(key) ?? { of, held, unit: least, total: 0n };
      needs.set(key, {
        ...need,
        held,
        unit: least < need.unit ? least : need.unit,
        total: need.total + amount,
      });
    }
  }
  const wantedBy = new Map(stocks.map((stock) => [scopeKey(stock), stock.wanted]));
  return [...needs].slice(0, MAX_LEASES).map(([key, { of, held, unit, total }]) => {
    const needed = total > held ? total - held : 0n;
    return { scope: of.scope, ...units({ held, unit, needed, desired: needed + (wantedBy.get(key) ?? 0n) }) };
  });
}

const scopeKey = ({ scope }: ScopeOf): string => (scope.kind === 'wallet' ? 'wallet' : scope.budgetId);

function units(amounts: Record<'held' | 'unit' | 'needed' | 'desired', bigint>): Omit<LeaseAsk, 'scope'> {
  const { held, unit, needed, desired } = amounts;
  return { held: String(held), unit: String(unit), needed: String(needed), desired: String(desired) };
}

function chunk(asks: readonly LeaseAsk[]): LeaseAsk[][] {
  const parts: LeaseAsk[][] = [];
  for (let at = 0; at < asks.length; at += MAX_LEASES) parts.push(asks.slice(at, at + MAX_LEASES));
  return parts;
}
