import type { LeaseAsk, LeaseFences, LeaseGrant } from '@pingtoken/shared/lease';
import { planGrant, withoutHeld } from '../../control-plane/allocation/plan-grant.js';
import { chargeEvents, type HeldLease } from '../../control-plane/workers/charge-events.js';
import type { placeBatch } from '../../control-plane/workers/place-batch.js';
import type { SettledEvent } from '../../control-plane/workers/settle-event.js';
import { claim } from './claim.js';

/** For how long a lease admits calls, by the model's clock. */
const LEASE_MS = 100;
export const TENANT = '0190a000-0000-7000-8000-000000000001';
export const BUDGET = '0190a000-0000-7000-8000-000000000002';

interface Lease extends HeldLease {
  available: bigint;
  granted: bigint;
  admitUntil: number;
  fenceSeq: number | null;
  isClosed: boolean;
}

/** What the allocator keeps of a spool. */
interface LeaseSpool {
  fenceSeq: number | null;
  isLost: boolean;
}

export interface LedgerModelOptions {
  readonly credited: bigint;
  readonly budget: bigint;
  readonly placeBatch: typeof placeBatch;
  readonly createId: () => string;
}

/** The control plane's side, as far as it is money: one wallet, one hard budget, leases, and which records are booked. */
export class LedgerModel {
  readonly #options: LedgerModelOptions;
  readonly #leases = new Map<string, Lease>();
  readonly #spools = new Map<string, LeaseSpool>();
  readonly #confirmed = new Map<string, number>();
  readonly booked = new Map<string, SettledEvent>();
  #wallet: bigint;
  readonly #budget: { readonly limit: bigint; spent: bigint; leased: bigint };
  charged = 0n;
  loss = 0n;

  constructor(options: LedgerModelOptions) {
    this.#options = options;
    this.#wallet = options.credited;
    this.#budget = { limit: options.budget, spent: 0n, leased: 0n };
  }

  confirmedSeq(spoolId: string): number {
    return this.#confirmed.get(spoolId) ?? 0;
  }

  /** As the allocator answers one ask. */
  grant(spoolId: string, ask: LeaseAsk, now: number): LeaseGrant | undefined {
    const { fenceSeq, isLost } = this.#spool(spoolId);
    if (isLost || fenceSeq !== null) return undefined;
    const { kind } = ask.scope;
    const { limit, spent, leased } = this.#budget;
    const state =
      kind === 'wallet'
        ? { available: this.#wallet, leased: this.#leased() }
        : { available: limit - spent - leased, leased };
    const growing = [...this.#leases.values()].findLast(
      (lease) =>
        lease.spoolId === spoolId &&
        lease.scope === kind &&
        lease.fenceSeq === null &&
        lease.admitUntil - now > LEASE_MS / 3,
    );
    const plan = planGrant(growing === undefined ? withoutHeld(ask) : ask, state);
    if (typeof plan === 'string') return undefined;
    if (kind === 'wallet') this.#wallet -= plan.grant;
    else this.#budget.leased += plan.grant;
    const lease = growing ?? this.#open(spoolId, kind, now);
    lease.granted += plan.grant;
    lease.available += plan.grant;
    const { id: leaseId, granted, admitUntil } = lease;
    return { leaseId, granted: String(granted), admitUntil, windowFrom: null, windowTo: null };
  }

  fence({ spoolId, leases, lastSeq }: LeaseFences): void {
    for (const { leaseId, seq } of leases) {
      const lease = this.#leases.get(leaseId);
      if (lease !== undefined) lease.fenceSeq ??= seq;
    }
    if (lastSeq === null) return;
    const spool = this.#spool(spoolId);
    spool.fenceSeq ??= lastSeq;
    for (const lease of this.#leases.values()) {
      if (lease.spoolId !== spoolId || lease.isClosed) continue;
      lease.fenceSeq = Math.min(lease.fenceSeq ?? lastSeq, lastSeq);
    }
  }

  lose(spoolId: string): void {
    this.#spool(spoolId).isLost = true;
  }

  /** As a worker books one batch. @returns what is confirmed then, or that records before it are missing */
  ingest(spoolId: string, firstSeq: number, events: readonly SettledEvent[]): number | 'gap' {
    const confirmedSeq = this.confirmedSeq(spoolId);
    const place = this.#options.placeBatch({ firstSeq, count: events.length }, confirmedSeq);
    if (place === 'gap') return 'gap';
    if (place === 'known') return confirmedSeq;
    this.#charge(events.slice(place.knownCount));
    this.#confirmed.set(spoolId, place.lastSeq);
    return place.lastSeq;
  }

  close(): void {
    for (const lease of this.#leases.values()) {
      const isDrained = lease.fenceSeq !== null && lease.fenceSeq <= this.confirmedSeq(lease.spoolId);
      if (lease.isClosed || !(isDrained || this.#spool(lease.spoolId).isLost)) continue;
      lease.isClosed = true;
      if (lease.scope === 'wallet') this.#wallet += lease.available;
      else this.#budget.leased -= lease.available;
      lease.available = 0n;
    }
  }

  /** @throws Error where money was made or lost, or a limit exceeded */
  check(): void {
    claim(this.#wallet >= 0n, 'the wallet is never below zero');
    const held = this.#wallet + this.#leased() + this.charged;
    claim(held === this.#options.credited, 'no money is made or lost');
    const { limit, spent, leased } = this.#budget;
    claim(leased >= 0n && spent + leased <= limit, 'the budget is never exceeded');
    for (const { available } of this.#leases.values()) claim(available >= 0n, 'no lease gives more than it has');
  }

  /** @throws Error where money is still set aside */
  checkNothingIsStuck(): void {
    claim(this.#leased() === 0n && this.#budget.leased === 0n, 'nothing is stuck');
  }

  #charge(events: readonly SettledEvent[]): void {
    for (const settled of events) {
      claim(!this.booked.has(settled.event.eventId), 'no call is booked twice');
      this.booked.set(settled.event.eventId, settled);
    }
    const isLimited = new Map(
      events.map(({ event }) => [event.eventId, event.leaseIds.some((id) => this.#leases.get(id)?.scope === 'budget')]),
    );
    const { charges, leaseDraws, windowSpends } = chargeEvents(events, {
      leases: this.#leases,
      windowsOf: (eventId) => (isLimited.get(eventId) === true ? [{ budgetId: BUDGET, windowFrom: 0 }] : []),
      findWallet: () => ({ isPrepaid: true, balance: this.#wallet }),
    });
    for (const [id, amount] of leaseDraws) {
      const lease = this.#leases.get(id);
      if (lease === undefined) continue;
      lease.available -= amount;
      if (lease.scope === 'budget') this.#budget.leased -= amount;
    }
    for (const amount of windowSpends.values()) this.#budget.spent += amount;
    for (const { fromLease, fromWallet, excess } of charges) {
      claim(fromWallet === 0n, 'a call that was admitted on a lease is paid from it');
      this.charged += fromLease?.amount ?? 0n;
      this.loss += excess;
    }
  }

  #open(spoolId: string, kind: LeaseAsk['scope']['kind'], now: number): Lease {
    const lease: Lease = {
      ...{ id: this.#options.createId(), scope: kind, tenantId: TENANT, spoolId, currency: 'USD' },
      ...{ budgetId: kind === 'budget' ? BUDGET : null, windowFrom: kind === 'budget' ? 0 : null },
      ...{ available: 0n, granted: 0n, admitUntil: now + LEASE_MS, fenceSeq: null, isClosed: false, isOfJob: false },
    };
    this.#leases.set(lease.id, lease);
    return lease;
  }

  #spool(id: string): LeaseSpool {
    let spool = this.#spools.get(id);
    if (spool === undefined) {
      spool = { fenceSeq: null, isLost: false };
      this.#spools.set(id, spool);
    }
    return spool;
  }

  #leased(): bigint {
    let sum = 0n;
    for (const { scope, available } of this.#leases.values()) if (scope === 'wallet') sum += available;
    return sum;
  }
}
