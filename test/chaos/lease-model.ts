import type { LeaseGrant } from '@pingtoken/shared/lease';
import { planGrant, withoutHeld } from '../../control-plane/allocation/plan-grant.js';
import { chargeEvents, type HeldLease } from '../../control-plane/workers/charge-events.js';
import type { SettledEvent } from '../../control-plane/workers/settle-event.js';
import { makeEvent } from '../kit/billing-fixture.js';
import { LeaseBook, type Reservation, type ScopeOf } from '../../data-plane/leases/lease-book.js';
import { planNeeds, planRefills } from '../../data-plane/leases/plan-asks.js';

/**
 * A model of spool, lease and ledger around the very functions that decide: the data planes' book, the allocator's plan, the
 * worker's charges. Everything between them is lost, late, repeated or killed as a schedule says.
 */
const TENANT = '0190a000-0000-7000-8000-000000000001';
const BUDGET = '0190a000-0000-7000-8000-000000000002';
const OWNER = { tenantId: TENANT, apiKeyId: TENANT, memberId: TENANT };
const WALLET: ScopeOf = { tenantId: TENANT, currency: 'USD', scope: { kind: 'wallet' } };
const LIMITED: ScopeOf = { ...WALLET, scope: { kind: 'budget', budgetId: BUDGET } };
/** For how long a lease admits calls, by the model's clock. */
const LEASE_MS = 100;
const PLANES = 2;

export type Step =
  | { readonly type: 'call'; readonly plane: number; readonly amount: number; readonly isLimited: boolean }
  | { readonly type: 'end'; readonly plane: number; readonly call: number; readonly percent: number }
  | { readonly type: 'ask'; readonly plane: number; readonly isHeard: boolean }
  | { readonly type: 'repeat'; readonly plane: number; readonly answer: number }
  | { readonly type: 'deliver'; readonly spool: number; readonly count: number; readonly isRepeated: boolean }
  | { readonly type: 'fence'; readonly plane: number; readonly isHeard: boolean }
  | { readonly type: 'kill'; readonly plane: number }
  | { readonly type: 'recover'; readonly spool: number }
  | { readonly type: 'lose'; readonly spool: number }
  | { readonly type: 'close' }
  | { readonly type: 'wait'; readonly ms: number };

interface Lease extends HeldLease {
  available: bigint;
  granted: bigint;
  admitUntil: number;
  fenceSeq: number | null;
  isClosed: boolean;
}

interface Ended {
  readonly settled: SettledEvent;
  /** What its tenant may be charged with. */
  readonly owed: bigint;
}

interface Spool {
  readonly id: string;
  readonly records: Ended[];
  confirmed: number;
  /** Ends at which nothing is written any more; null while its process lives or has not been recovered. */
  fenceSeq: number | null;
  isLost: boolean;
  isAlive: boolean;
}

interface OpenCall {
  readonly reservation: Reservation;
  readonly amount: bigint;
}

interface Plane {
  spool: Spool;
  book: LeaseBook;
  calls: OpenCall[];
  heard: { readonly of: ScopeOf; readonly grant: LeaseGrant }[];
}

export class LeaseModel {
  readonly #planes: Plane[] = [];
  readonly #spools: Spool[] = [];
  readonly #leases = new Map<string, Lease>();
  #now = 1_000;
  #nextId = 1;
  #wallet: bigint;
  readonly #budget: { readonly limit: bigint; spent: bigint; leased: bigint };
  #charged = 0n;
  #loss = 0n;
  /** Of calls that cost more than was reserved: their operator's from the start. */
  #expectedLoss = 0n;
  #owed = 0n;
  #hasLost = false;

  constructor(
    readonly credited: bigint,
    budget: bigint,
    readonly createBook: () => LeaseBook = () => new LeaseBook(),
  ) {
    this.#wallet = credited;
    this.#budget = { limit: budget, spent: 0n, leased: 0n };
    for (let count = 0; count < PLANES; count += 1) this.#planes.push(this.#start());
  }

  run(step: Step): void {
    if (step.type === 'wait') this.#now += step.ms;
    else if (step.type === 'close') this.#close();
    else if ('spool' in step) this.#ofSpool(step);
    else {
      const plane = this.#planes[step.plane % this.#planes.length];
      if (plane !== undefined) this.#ofPlane(plane, step);
    }
    this.#check();
  }

  /** Everything comes to its end: calls, processes, deliveries, fences. */
  finish(): void {
    for (const plane of this.#planes) {
      while (plane.calls.length > 0) this.#end(plane, 0, 100);
      plane.spool.isAlive = false;
    }
    for (const spool of this.#spools) {
      spool.fenceSeq ??= spool.records.length;
      this.#deliver(spool, spool.records.length);
    }
    for (const lease of this.#leases.values()) {
      lease.fenceSeq ??= this.#spools.find(({ id }) => id === lease.spoolId)?.fenceSeq ?? 0;
    }
    this.#close();
    this.#check();
    claim(this.#leased() === 0n && this.#budget.leased === 0n, 'nothing is stuck');
    if (this.#hasLost) return;
    claim(this.#charged === this.#owed, 'every call is charged with what was reserved for it at most');
    claim(this.#loss === this.#expectedLoss, 'the operator loses what calls cost beyond, and nothing else');
  }

  #ofPlane(plane: Plane, step: Extract<Step, { plane: number }>): void {
    if (step.type === 'call') this.#call(plane, BigInt(step.amount), step.isLimited);
    else if (step.type === 'end') this.#end(plane, step.call, step.percent);
    else if (step.type === 'ask') this.#refill(plane, step.isHeard);
    else if (step.type === 'repeat') {
      const answer = plane.heard[step.answer % Math.max(1, plane.heard.length)];
      if (answer !== undefined) plane.book.apply(answer.of, answer.grant, this.#now);
    } else if (step.type === 'fence') {
      const leaseIds = plane.book.fenceable(this.#now);
      for (const id of leaseIds) this.#fence(id, plane.spool.records.length);
      if (step.isHeard) plane.book.forget(leaseIds);
    } else {
      // Calls under way die with the process: their starts are on disk, and become interrupted calls that cost nothing.
      plane.spool.isAlive = false;
      Object.assign(plane, this.#start());
    }
  }

  #ofSpool(step: Extract<Step, { spool: number }>): void {
    const spool = this.#spools[step.spool % this.#spools.length];
    if (spool === undefined) return;
    if (step.type === 'deliver') {
      this.#deliver(spool, step.count);
      if (step.isRepeated) this.#deliver(spool, 0);
    } else if (step.type === 'recover') {
      if (spool.isAlive || spool.fenceSeq !== null) return;
      spool.fenceSeq = spool.records.length;
      for (const lease of this.#leases.values()) {
        if (lease.spoolId === spool.id && !lease.isClosed) lease.fenceSeq ??= spool.fenceSeq;
      }
    } else {
      // An operator may be wrong about it, and its process alive.
      spool.isLost = true;
      this.#hasLost = true;
    }
  }

  #start(): Plane {
    const spool = { id: this.#id(), records: [], confirmed: 0, fenceSeq: null, isLost: false, isAlive: true };
    this.#spools.push(spool);
    return { spool, book: this.createBook(), calls: [], heard: [] };
  }

  #call(plane: Plane, amount: bigint, isLimited: boolean): void {
    const cost = { tenantId: TENANT, currency: 'USD', budgetIds: isLimited ? [BUDGET] : [], amount, at: this.#now };
    const first = plane.book.reserve(cost);
    if (!('lacking' in first)) {
      plane.calls.push({ reservation: first, amount });
      return;
    }
    const asks = planNeeds([{ cost, shortfall: first }], plane.book.stocks(this.#now));
    for (const ask of asks) this.#grant(plane, ask.scope.kind === 'wallet' ? WALLET : LIMITED, ask, true);
    const second = plane.book.reserve(cost);
    if (!('lacking' in second)) plane.calls.push({ reservation: second, amount });
  }

  #end(plane: Plane, index: number, percent: number): void {
    const [call] = plane.calls.splice(index % Math.max(1, plane.calls.length), 1);
    if (call === undefined) return;
    const actual = (call.amount * BigInt(percent)) / 100n;
    const owed = actual < call.amount ? actual : call.amount;
    const { leaseIds } = call.reservation;
    const event = {
      ...makeEvent(OWNER, TENANT, { eventId: this.#id(), leaseIds: [...leaseIds], reserved: String(call.amount) }),
      ...{ spoolId: plane.spool.id, seq: plane.spool.records.length + 1 },
    };
    const settled = { event, billed: null, amount: actual, currency: 'USD', freeTokens: 0, costs: [] };
    plane.spool.records.push({ settled, owed });
    this.#owed += owed;
    this.#expectedLoss += actual - owed;
    plane.book.settle(call.reservation, actual);
  }

  #refill(plane: Plane, isHeard: boolean): void {
    for (const { asks } of planRefills(plane.book.stocks(this.#now))) {
      for (const ask of asks) this.#grant(plane, ask.scope.kind === 'wallet' ? WALLET : LIMITED, ask, isHeard);
    }
  }

  #grant(plane: Plane, of: ScopeOf, ask: Parameters<typeof planGrant>[0], isHeard: boolean): void {
    const { spool } = plane;
    if (spool.isLost || spool.fenceSeq !== null) return;
    const isWallet = of === WALLET;
    const { limit, spent, leased } = this.#budget;
    const state = isWallet
      ? { available: this.#wallet, leased: this.#leased() }
      : { available: limit - spent - leased, leased };
    const growing = [...this.#leases.values()].findLast(
      (lease) =>
        lease.spoolId === spool.id &&
        lease.scope === of.scope.kind &&
        lease.fenceSeq === null &&
        lease.admitUntil - this.#now > LEASE_MS / 3,
    );
    const plan = planGrant(growing === undefined ? withoutHeld(ask) : ask, state);
    if (typeof plan === 'string') return;
    if (isWallet) this.#wallet -= plan.grant;
    else this.#budget.leased += plan.grant;
    const lease = growing ?? this.#open(spool, of);
    lease.granted += plan.grant;
    lease.available += plan.grant;
    const { id: leaseId, admitUntil } = lease;
    const grant = { leaseId, granted: String(lease.granted), admitUntil, windowFrom: null, windowTo: null };
    plane.heard.push({ of, grant });
    if (isHeard) plane.book.apply(of, grant, this.#now);
  }

  #open(spool: Spool, { scope }: ScopeOf): Lease {
    const lease: Lease = {
      ...{ id: this.#id(), scope: scope.kind, tenantId: TENANT, spoolId: spool.id, currency: 'USD' },
      isOfJob: false,
      ...{ budgetId: scope.kind === 'budget' ? BUDGET : null, windowFrom: scope.kind === 'budget' ? 0 : null },
      ...{ available: 0n, granted: 0n, admitUntil: this.#now + LEASE_MS, fenceSeq: null, isClosed: false },
    };
    this.#leases.set(lease.id, lease);
    return lease;
  }

  #fence(leaseId: string, seq: number): void {
    const lease = this.#leases.get(leaseId);
    if (lease !== undefined) lease.fenceSeq ??= seq;
  }

  #deliver(spool: Spool, count: number): void {
    const batch = spool.records.slice(spool.confirmed, spool.confirmed + count);
    spool.confirmed += batch.length;
    const events = batch.map(({ settled }) => settled);
    const { charges, leaseDraws, windowSpends } = chargeEvents(events, {
      leases: this.#leases,
      windowsOf: (eventId) => {
        const of = events.find(({ event }) => event.eventId === eventId)?.event.leaseIds ?? [];
        return of.some((id) => this.#leases.get(id)?.scope === 'budget') ? [{ budgetId: BUDGET, windowFrom: 0 }] : [];
      },
      findWallet: () => ({ isPrepaid: true, balance: this.#wallet }),
    });
    for (const [id, amount] of leaseDraws) {
      const lease = this.#leases.get(id);
      if (lease === undefined) continue;
      lease.available -= amount;
      if (lease.scope === 'budget') this.#budget.leased -= amount;
    }
    for (const [, amount] of windowSpends) this.#budget.spent += amount;
    for (const { fromLease, fromWallet, excess } of charges) {
      claim(fromWallet === 0n, 'a call that was admitted on a lease is paid from it');
      this.#charged += fromLease?.amount ?? 0n;
      this.#loss += excess;
    }
  }

  #close(): void {
    for (const lease of this.#leases.values()) {
      const spool = this.#spools.find(({ id }) => id === lease.spoolId);
      if (lease.isClosed || spool === undefined) continue;
      if (!spool.isLost && (lease.fenceSeq === null || spool.confirmed < lease.fenceSeq)) continue;
      lease.isClosed = true;
      lease.fenceSeq ??= spool.confirmed;
      if (lease.scope === 'wallet') this.#wallet += lease.available;
      else this.#budget.leased -= lease.available;
      lease.available = 0n;
    }
  }

  #leased(): bigint {
    return [...this.#leases.values()].reduce(
      (sum, { scope, available }) => sum + (scope === 'wallet' ? available : 0n),
      0n,
    );
  }

  #check(): void {
    claim(this.#wallet >= 0n, 'the wallet is never below zero');
    claim(this.#wallet + this.#leased() + this.#charged === this.credited, 'no money is made or lost');
    const { limit, spent, leased } = this.#budget;
    claim(leased >= 0n && spent + leased <= limit, 'the budget is never exceeded');
    for (const { available } of this.#leases.values()) claim(available >= 0n, 'no lease gives more than it has');
  }

  #id(): string {
    const number = this.#nextId;
    this.#nextId += 1;
    return `0190b000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`;
  }
}

function claim(isTrue: boolean, sentence: string): void {
  if (!isTrue) throw new Error(`not true: ${sentence}`);
}
