import type { LeaseGrant, LeaseScope } from '@pingtoken/shared/lease';
import { Demand } from './demand.js';

/** What a call draws on: the wallet of its tenant in one currency, and the hard budgets that limit it. */
export interface CallScopes {
  readonly tenantId: string;
  readonly currency: string;
  /** Of the tenant, the member and the key; each once. */
  readonly budgetIds: readonly string[];
}

export interface CallCost extends CallScopes {
  /** The most that the call can cost, in units; see `dearestPriceOf`. */
  readonly amount: bigint;
  /** What is of use too, where the call can be held to less than the amount; left out where it cannot. */
  readonly least?: bigint | undefined;
  /** When it is admitted, milliseconds since 1970. */
  readonly at: number;
}

/** A scope that a call draws on, with whose it is. */
export interface ScopeOf {
  readonly tenantId: string;
  readonly currency: string;
  readonly scope: LeaseScope;
}

/** Money held for one call, on one lease of each of its scopes. */
export interface Reservation {
  /** As the usage event names them. */
  readonly leaseIds: readonly string[];
  readonly amount: bigint;
}

/** Not enough is leased; nothing was reserved. */
export interface Shortfall {
  readonly lacking: readonly (ScopeOf & {
    /** The most that is left of one lease of the scope that admits calls; units. */
    readonly held: bigint;
    /** Whether calls under way hold more of it, which they may give back. */
    readonly isReserved: boolean;
  })[];
}

/** A lease, as far as this process knows it. It is fenced when no call can draw on it any more. */
interface Slice {
  readonly leaseId: string;
  readonly key: string;
  readonly admitUntil: number;
  readonly grantedAt: number;
  readonly windowFrom: number | null;
  readonly windowTo: number | null;
  granted: bigint;
  used: bigint;
  reserved: bigint;
  /** Calls under way. */
  open: number;
  lastDrawnAt: number;
  /** Admits no call any more. */
  isRetired: boolean;
  /** Others wait for what it is of. */
  isRecalled: boolean;
}

/** What a scope holds, and how much its calls ask for. */
export interface ScopeStock extends ScopeOf {
  /** Left for new calls, on the lease that a grant would add to. */
  readonly held: bigint;
  /** The usual reservation; zero where there was none. */
  readonly unit: bigint;
  /** What is wanted in stock. */
  readonly wanted: bigint;
  /** Whether its newest lease is about to end. */
  readonly isEnding: boolean;
}

/** A lease of which nothing was drawn for so long goes back; sooner, where others wait for what it is of. */
const IDLE_MS = 15_000;
const RECALLED_IDLE_MS = 1_000;
/** Before this part of a lease's time is over it is followed by another one. The allocator adds to one for a little longer. */
const LASTS_FOR = 0.6;
/** For how long a budget that does not exist is believed not to: the config says so soon. */
const UNLIMITED_MS = 5_000;

const keyOf = ({ tenantId, currency, scope }: ScopeOf): string =>
  `${tenantId} ${currency} ${scope.kind === 'wallet' ? 'wallet' : scope.budgetId}`;

/**
 * The leases of this process, drawn down in memory. Pure but for its own state: it asks nobody, waits for nothing, and is told
 * the time. A reservation is taken from one lease of each scope, whole, or not at all, so that what the ledger takes from a
 * lease for a call is never more than what was reserved on that very lease: the two never come to different ends.
 */
export class LeaseBook {
  readonly #slices = new Map<string, Slice[]>();
  readonly #byLease = new Map<string, Slice>();
  readonly #scopes = new Map<string, ScopeOf>();
  readonly #demand = new Demand();
  readonly #unlimitedUntil = new Map<string, number>();
  readonly #open = new WeakMap<Reservation, readonly Slice[]>();

  /** All or none. A call that costs nothing draws on nothing. */
  reserve(cost: CallCost): Reservation | Shortfall {
    const { amount, at } = cost;
    if (amount === 0n) return { leaseIds: [], amount };
    const scopes = this.#scopesOf(cost);
    const found = scopes.map((scope) => this.#find(keyOf(scope), amount, at));
    const drawn = found.filter((slice) => slice !== undefined);
    if (drawn.length < scopes.length) {
      return { lacking: scopes.flatMap((scope, index) => (found[index] === undefined ? [this.#lack(scope, at)] : [])) };
    }
    return this.#draw(drawn, amount, at);
  }

  /** As much of the amount as there is on one lease of each scope, if that is the least or more. */
  reserveWhatIsLeft(cost: CallCost): Reservation | undefined {
    const { amount, least = amount, at } = cost;
    const found = this.#scopesOf(cost).map((scope) => this.#fullest(keyOf(scope), at));
    const drawn = found.filter((slice) => slice !== undefined);
    const held = drawn.reduce((most, slice) => (left(slice) < most ? left(slice) : most), amount);
    return drawn.length === found.length && held >= least ? this.#draw(drawn, held, at) : undefined;
  }

  #draw(drawn: readonly Slice[], amount: bigint, at: number): Reservation {
    for (const slice of drawn) {
      slice.reserved += amount;
      slice.open += 1;
      slice.lastDrawnAt = at;
      this.#demand.note(slice.key, amount, at);
    }
    const reservation = { leaseIds: drawn.map(({ leaseId }) => leaseId), amount };
    this.#open.set(reservation, drawn);
    return reservation;
  }

  /**
   * Replaces a reservation by what the call has cost; a second time nothing happens. What it cost beyond the reservation is not
   * its tenant's to pay. To be called when the call's end has its place in the spool, or when it never went out (zero).
   */
  settle(reservation: Reservation, actual: bigint): void {
    const slices = this.#open.get(reservation);
    if (slices === undefined) return;
    this.#open.delete(reservation);
    const used = actual < reservation.amount ? actual : reservation.amount;
    for (const slice of slices) {
      slice.reserved -= reservation.amount;
      slice.used += used;
      slice.open -= 1;
    }
  }

  /** Takes a grant up; one that is heard twice, or after a later one, changes nothing. */
  apply(of: ScopeOf, grant: LeaseGrant, now: number): void {
    const known = this.#byLease.get(grant.leaseId);
    const granted = BigInt(grant.granted);
    if (known !== undefined) {
      if (granted > known.granted) known.granted = granted;
      return;
    }
    const key = keyOf(of);
    const { leaseId, admitUntil, windowFrom, windowTo } = grant;
    const slice: Slice = {
      ...{ leaseId, key, admitUntil, windowFrom, windowTo, granted, grantedAt: now, lastDrawnAt: now },
      ...{ used: 0n, reserved: 0n, open: 0, isRetired: false, isRecalled: false },
    };
    this.#scopes.set(key, of);
    this.#byLease.set(leaseId, slice);
    const slices = this.#slices.get(key);
    if (slices === undefined) this.#slices.set(key, [slice]);
    else slices.push(slice);
  }

  /** The allocator knows no such hard budget: calls go without it for a moment. */
  setUnlimited(budgetId: string, now: number): void {
    this.#unlimitedUntil.set(budgetId, now + UNLIMITED_MS);
  }

  /** What each scope that is in use holds and wants, to decide what to ask for. */
  stocks(now: number): readonly ScopeStock[] {
    return [...this.#scopes].map(([key, of]) => {
      const newest = (this.#slices.get(key) ?? []).findLast((slice) => admits(slice, now));
      const { unit, wanted } = this.#demand.of(key, now);
      const held = newest === undefined ? 0n : left(newest);
      return { ...of, held, unit, wanted, isEnding: newest === undefined || isEnding(newest, now) };
    });
  }

  /**
   * Retires what admits no call any more, or was not drawn on for long, and names the leases that nobody can draw on from now
   * on: each is to be fenced at the last sequence number of the spool, once all ends are written. Named again until
   * {@link forget}.
   * @param keepsIdle nobody could lease again what is given back now, so that it is kept for the calls to come
   */
  fenceable(now: number, keepsIdle = false): readonly string[] {
    const found: string[] = [];
    for (const slice of this.#byLease.values()) {
      const idleMs = slice.isRecalled ? RECALLED_IDLE_MS : IDLE_MS;
      const isIdle = !keepsIdle && now - slice.lastDrawnAt >= idleMs;
      if (now >= slice.admitUntil || isIdle || isOver(slice, now)) slice.isRetired = true;
      if (slice.isRetired && slice.open === 0) found.push(slice.leaseId);
    }
    return found;
  }

  /** Others wait for what these leases are of: they go back as soon as nobody here draws on them. */
  recall(leaseIds: readonly string[]): void {
    for (const leaseId of leaseIds) {
      const slice = this.#byLease.get(leaseId);
      if (slice !== undefined) slice.isRecalled = true;
    }
  }

  /** The control plane has taken the fences. */
  forget(leaseIds: readonly string[]): void {
    for (const leaseId of leaseIds) {
      const slice = this.#byLease.get(leaseId);
      if (slice === undefined || slice.open > 0 || !slice.isRetired) continue;
      this.#byLease.delete(leaseId);
      const rest = (this.#slices.get(slice.key) ?? []).filter((other) => other !== slice);
      if (rest.length > 0) {
        this.#slices.set(slice.key, rest);
        continue;
      }
      this.#slices.delete(slice.key);
      this.#scopes.delete(slice.key);
      this.#demand.forget(slice.key);
    }
  }

  #scopesOf({ tenantId, currency, budgetIds, at }: CallCost): ScopeOf[] {
    const limiting = budgetIds.filter((id) => (this.#unlimitedUntil.get(id) ?? 0) <= at);
    return [
      { tenantId, currency, scope: { kind: 'wallet' } },
      ...limiting.map((budgetId): ScopeOf => ({ tenantId, currency, scope: { kind: 'budget', budgetId } })),
    ];
  }

  /** The oldest that has enough: so that what is nearly used up is used up, and goes back. */
  #find(key: string, amount: bigint, at: number): Slice | undefined {
    return this.#slices.get(key)?.find((slice) => admits(slice, at) && left(slice) >= amount);
  }

  #fullest(key: string, at: number): Slice | undefined {
    const slices = (this.#slices.get(key) ?? []).filter((slice) => admits(slice, at));
    return slices.reduce<Slice | undefined>(
      (most, slice) => (most === undefined || left(slice) > left(most) ? slice : most),
      undefined,
    );
  }

  #lack(of: ScopeOf, at: number): Shortfall['lacking'][number] {
    const slices = this.#slices.get(keyOf(of)) ?? [];
    const newest = slices.findLast((slice) => admits(slice, at));
    const isReserved = slices.some(({ open }) => open > 0);
    return { ...of, held: newest === undefined ? 0n : left(newest), isReserved };
  }
}

const left = ({ granted, used, reserved }: Slice): bigint => granted - used - reserved;

const isEnding = ({ admitUntil, grantedAt }: Slice, now: number): boolean =>
  now - grantedAt >= (admitUntil - grantedAt) * LASTS_FOR;

const isOver = ({ windowTo }: Slice, at: number): boolean => windowTo !== null && at >= windowTo;

function admits(slice: Slice, at: number): boolean {
  return !slice.isRetired && at < slice.admitUntil && !isOver(slice, at) && at >= (slice.windowFrom ?? 0);
}
