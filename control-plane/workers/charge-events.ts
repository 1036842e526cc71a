import type { SettledEvent } from './settle-event.js';

/** A lease as the ledger has it, locked. All amounts in units. */
export interface HeldLease {
  readonly id: string;
  readonly scope: 'wallet' | 'budget';
  readonly tenantId: string;
  readonly spoolId: string;
  /** A job's calls may be reported in any spool; a process's in its own alone. */
  readonly isOfJob: boolean;
  readonly currency: string;
  readonly budgetId: string | null;
  /** Milliseconds since 1970; null for a wallet's. */
  readonly windowFrom: number | null;
  /** What is left of it; zero once it was closed. */
  readonly available: bigint;
}

/** A window of a budget that a call counts in. */
export interface BudgetWindowKey {
  readonly budgetId: string;
  /** Milliseconds since 1970. */
  readonly windowFrom: number;
}

export interface HeldWallet {
  readonly isPrepaid: boolean;
  /** Leased money is not in it. */
  readonly balance: bigint;
}

/** Who pays for a call. The three parts are its price. */
export interface Charge {
  readonly settled: SettledEvent;
  readonly fromLease: { readonly leaseId: string; readonly amount: bigint } | null;
  readonly fromWallet: bigint;
  /** The operator's loss. */
  readonly excess: bigint;
}

export interface Charges {
  readonly charges: readonly Charge[];
  /** What each lease gives, of a budget too. */
  readonly leaseDraws: ReadonlyMap<string, bigint>;
  /** What is spent of each window, by {@link windowKey}. */
  readonly windowSpends: ReadonlyMap<string, bigint>;
}

export interface ChargeOptions {
  readonly leases: ReadonlyMap<string, HeldLease>;
  /** By event id. */
  readonly windowsOf: (eventId: string) => readonly BudgetWindowKey[];
  readonly findWallet: (tenantId: string, currency: string) => HeldWallet | undefined;
}

export const windowKey = ({ budgetId, windowFrom }: BudgetWindowKey): string => `${budgetId} ${windowFrom}`;

/**
 * Divides the price of each call between its tenant and the operator. Pure.
 *
 * A call pays from the lease that it was admitted on, never more than was reserved for it, nor than is left of any of its
 * leases: what it costs beyond is the operator's loss, and so is all that is reported on a lease that was closed. A call
 * without a lease is charged to the wallet: whatever it costs where the tenant pays afterwards, what is there where it has paid
 * before. So neither a prepaid wallet nor a hard budget is ever exceeded, whatever a gateway reports.
 */
export function chargeEvents(events: readonly SettledEvent[], options: ChargeOptions): Charges {
  const { leases, windowsOf, findWallet } = options;
  const leaseDraws = new Map<string, bigint>();
  const windowSpends = new Map<string, bigint>();
  const paid = new Map<string, bigint>();
  const availableIn = (lease: HeldLease): bigint => lease.available - (leaseDraws.get(lease.id) ?? 0n);

  const charges = events.map((settled): Charge => {
    const { event, amount, currency } = settled;
    const named = event.leaseIds
      .flatMap((id) => leases.get(id.toLowerCase()) ?? [])
      .filter((lease) => lease.tenantId === event.tenantId && lease.currency === currency);
    const ofWallet = named.find(({ scope }) => scope === 'wallet');
    const limits = named.map((lease) => (lease.isOfJob || lease.spoolId === event.spoolId ? availableIn(lease) : 0n));
    if (event.reserved !== undefined) limits.push(BigInt(event.reserved));
    if (ofWallet === undefined) {
      const wallet = findWallet(event.tenantId, currency);
      const key = `${event.tenantId} ${currency}`;
      if (wallet?.isPrepaid !== false) limits.push(notBelowZero((wallet?.balance ?? 0n) - (paid.get(key) ?? 0n)));
    }
    const charged = limits.reduce((least, limit) => (limit < least ? limit : least), amount);
    for (const { id } of named) leaseDraws.set(id, (leaseDraws.get(id) ?? 0n) + charged);
    for (const window of windowsOf(event.eventId)) {
      const key = windowKey(window);
      windowSpends.set(key, (windowSpends.get(key) ?? 0n) + charged);
    }
    if (ofWallet !== undefined) {
      return {
        settled,
        fromLease: { leaseId: ofWallet.id, amount: charged },
        fromWallet: 0n,
        excess: amount - charged,
      };
    }
    const key = `${event.tenantId} ${currency}`;
    paid.set(key, (paid.get(key) ?? 0n) + charged);
    return { settled, fromLease: null, fromWallet: charged, excess: amount - charged };
  });
  return { charges, leaseDraws, windowSpends };
}

const notBelowZero = (amount: bigint): bigint => (amount > 0n ? amount : 0n);
