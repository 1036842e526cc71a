import {
  MAX_SHARES,
  type BoundId,
  type BoundName,
  type ShareGrant,
  type ShareReport,
} from '@pingtoken/shared/rate-share';

/** Each tenant of a plan has its limits for itself. */
export function ownIdOf({ scope, tenantId, id }: Pick<BoundId, 'scope' | 'tenantId' | 'id'>): string {
  return scope === 'plan' ? `${tenantId} ${id}` : id;
}

/** Whose limits they are, as this process and as the control plane calls it. */
export interface Sharing {
  readonly id: string;
  readonly of: Omit<BoundId, 'bound'>;
}

/** What a call finds too little of, on this data plane. */
export interface Lack extends Sharing {
  readonly bound: BoundName;
  /** Of one call. */
  readonly amount: number;
}

/** What of a limit is used here. */
export interface ShareUse {
  readonly used: number;
  /** Until some of it is free again; null where that is not known. */
  readonly freeInMs: number | null;
}

export type UseOf = (id: string, bound: BoundName, nowMs: number) => ShareUse;

interface Share extends Sharing {
  readonly bound: BoundName;
  granted: number;
  /** The limit that was shared out. */
  limit: number;
  /** Of it, what nobody held. */
  free: number;
  isRecalled: boolean;
  /** Nobody is asked for more before. */
  quietUntil: number;
  retryAt: number;
  /** Of what was asked for lately, the older the less. */
  recent: number;
  unit: number;
  notedAt: number;
}

const HALF_LIFE_MS = 10_000;
/** Wanted in stock: enough for the next seconds, and for some calls of the usual size. */
const HORIZON_MS = 3_000;
const CALLS_IN_STOCK = 4;
/** Who has asked for nothing for so long wants nothing in stock. */
const IDLE_MS = 10_000;
/** Where there is no more, nobody asks again before; meanwhile calls are refused at once. */
const QUIET_MS = 300;
/** Looked at in one go: shares of keys that nobody uses any more wait their turn. */
const LOOKED_AT = 4_000;

const keyOf = (id: string, bound: BoundName): string => `${id} ${bound}`;
const fade = (ageMs: number): number => 2 ** (-Math.max(0, ageMs) / HALF_LIFE_MS);

/**
 * The shares of limits that this process holds. Pure but for its own state. A share is only ever lowered here, to no less than
 * what is used of it, and raised by an answer: what the control plane takes for ours is never less than what we take.
 */
export class ShareBook {
  readonly #shares = new Map<string, Share>();
  #isAlone = false;
  /** Keys of those that are not answered yet. */
  readonly #recalled: string[] = [];
  /** Keys of what was used alone. */
  readonly #unsaid = new Set<string>();

  /** While nobody can be asked, and no other data plane is there: what nobody holds is ours. */
  setAlone(isAlone: boolean): void {
    if (this.#isAlone && !isAlone) for (const key of this.#shares.keys()) this.#unsaid.add(key);
    this.#isAlone = isAlone;
  }

  /** Whether more was used alone than is held, and nobody has been told: until then nobody else may be given any. */
  hasUnsaid(useOf: UseOf, nowMs: number): boolean {
    for (const key of this.#unsaid) {
      const share = this.#shares.get(key);
      if (share !== undefined && useOf(share.id, share.bound, nowMs).used > share.granted) return true;
      this.#unsaid.delete(key);
    }
    return false;
  }

  /** How much of a limit may be used here. */
  capOf({ id }: Pick<Sharing, 'id'>, bound: BoundName, limit: number): number {
    const share = this.#shares.get(keyOf(id, bound));
    if (share === undefined || share.limit === 0) return this.#isAlone ? limit : 0;
    const held = share.granted + (this.#isAlone ? share.free : 0);
    // A limit that was lowered is lowered for all by the same part, whoever has heard of it first.
    return limit < share.limit ? Math.floor((held / share.limit) * limit) : Math.min(limit, held);
  }

  /** Of a limit, what nobody held when that was asked last. */
  freeOf(id: string, bound: BoundName): number {
    return this.#shares.get(keyOf(id, bound))?.free ?? 0;
  }

  /** A call has asked for its part. */
  note({ id, of }: Sharing, bound: BoundName, amount: number, nowMs: number): void {
    const share = this.#open({ id, of, bound });
    share.recent = share.recent * fade(nowMs - share.notedAt) + amount;
    share.unit = amount >= share.unit || nowMs - share.notedAt > HALF_LIFE_MS ? amount : share.unit;
    share.notedAt = nowMs;
  }

  /** Whether there is any use in asking for it now. */
  isQuiet({ id, bound }: Pick<Lack, 'id' | 'bound'>, nowMs: number): boolean {
    return nowMs < (this.#shares.get(keyOf(id, bound))?.quietUntil ?? 0);
  }

  /** When there may be more, by what was said last. */
  retryInMs({ id, bound }: Pick<Lack, 'id' | 'bound'>, nowMs: number): number {
    return Math.max(1_000, (this.#shares.get(keyOf(id, bound))?.retryAt ?? 0) - nowMs);
  }

  recall(bounds: readonly BoundId[]): void {
    for (const bound of bounds) {
      const share = this.#shares.get(keyOf(ownIdOf(bound), bound.bound));
      if (share === undefined || share.isRecalled) continue;
      share.isRecalled = true;
      this.#recalled.push(keyOf(share.id, share.bound));
    }
  }

  /**
   * What to say in the next turn: what calls wait for first, then what is wanted and what is given up. Shares are lowered by
   * it at once.
   * @param lacks of calls that wait
   */
  report(lacks: readonly Lack[], useOf: UseOf, nowMs: number): readonly ShareReport[] {
    const needs = new Map<string, number>();
    for (const lack of lacks) {
      const key = keyOf(lack.id, lack.bound);
      const share = this.#open(lack);
      share.unit = Math.max(share.unit, lack.amount);
      share.notedAt = nowMs;
      needs.set(key, (needs.get(key) ?? 0) + lack.amount);
    }
    const reports: ShareReport[] = [];
    for (const key of [...needs.keys(), ...this.#turn(needs)]) {
      const share = this.#shares.get(key);
      if (share === undefined || reports.length >= MAX_SHARES) continue;
      const report = this.#reportOf(share, useOf(share.id, share.bound, nowMs), needs.get(key) ?? 0, nowMs);
      if (report !== undefined) reports.push(report);
    }
    return reports;
  }

  /** Everything but what is used is given up: no call is admitted any more. */
  giveUp(useOf: UseOf, nowMs: number): readonly ShareReport[] {
    const held = [...this.#shares.values()].filter(({ granted }) => granted > 0).slice(0, MAX_SHARES);
    return held.map((share) => lower(share, useOf(share.id, share.bound, nowMs), { needed: 0, stock: 0 }));
  }

  apply(reports: readonly ShareReport[], grants: readonly ShareGrant[], nowMs: number): void {
    for (const [index, report] of reports.entries()) {
      const share = this.#shares.get(keyOf(ownIdOf(report), report.bound));
      const grant = grants[index];
      if (share === undefined || grant === undefined) continue;
      this.#unsaid.delete(keyOf(share.id, share.bound));
      // Who is not bounded any more hears of it by the config.
      share.granted = grant.granted ?? Number.MAX_SAFE_INTEGER;
      share.limit = grant.granted === null ? Number.MAX_SAFE_INTEGER : grant.limit;
      share.free = grant.free;
      share.retryAt = nowMs + (grant.retryInMs ?? 0);
      const isShort = share.granted - report.used < report.needed + report.stock && grant.free === 0;
      share.quietUntil = isShort || grant.retryInMs !== null ? nowMs + QUIET_MS : 0;
    }
  }

  /** What is held is ours no more. */
  clear(): void {
    this.#shares.clear();
    this.#unsaid.clear();
  }

  get size(): number {
    return this.#shares.size;
  }

  #open({ id, of, bound }: Sharing & { readonly bound: BoundName }): Share {
    const key = keyOf(id, bound);
    const known = this.#shares.get(key);
    if (known !== undefined) return known;
    const none = { granted: 0, limit: 0, free: 0, isRecalled: false, quietUntil: 0, retryAt: 0 };
    const share: Share = { id, of, bound, ...none, recent: 0, unit: 0, notedAt: 0 };
    this.#shares.set(key, share);
    return share;
  }

  /** The next ones, each of which goes to the end of the row. */
  *#turn(without: ReadonlyMap<string, number>): Generator<string> {
    const recalled = this.#recalled.splice(0);
    for (const key of new Set([
      ...take(this.#unsaid, MAX_SHARES),
      ...recalled,
      ...take(this.#shares.keys(), LOOKED_AT),
    ])) {
      if (without.has(key)) continue;
      const share = this.#shares.get(key);
      if (share === undefined) continue;
      this.#shares.delete(key);
      this.#shares.set(key, share);
      yield key;
    }
  }

  #reportOf(share: Share, use: ShareUse, needed: number, nowMs: number): ShareReport | undefined {
    const spare = share.granted - use.used;
    const wanted = share.isRecalled ? 0 : stockOf(share, nowMs);
    if (needed > 0) {
      const lacking = Math.max(0, needed - Math.max(0, spare)) + Math.max(0, -spare);
      return lower(share, use, { needed: lacking, stock: wanted }, share.granted);
    }
    if (share.isRecalled) return lower(share, use, { needed: 0, stock: 0 });
    if (spare > 2 * wanted + CALLS_IN_STOCK * share.unit || (wanted === 0 && spare > 0)) {
      return lower(share, use, { needed: 0, stock: 0 }, use.used + wanted);
    }
    const isWanting = spare < 0 || (spare * 2 < wanted && nowMs >= share.quietUntil);
    if (isWanting)
      return lower(share, use, { needed: Math.max(0, -spare), stock: wanted - Math.max(0, spare) }, share.granted);
    if (share.granted === 0 && wanted === 0 && use.used === 0) this.#shares.delete(keyOf(share.id, share.bound));
    return undefined;
  }
}

function lower(
  share: Share,
  { used, freeInMs }: ShareUse,
  asked: Pick<ShareReport, 'needed' | 'stock'>,
  to = used,
): ShareReport {
  share.granted = Math.min(share.granted, Math.max(used, to));
  share.isRecalled = false;
  return { ...share.of, bound: share.bound, keep: share.granted, used, freeInMs, ...asked };
}

function stockOf({ recent, unit, notedAt }: Share, nowMs: number): number {
  if (nowMs - notedAt > IDLE_MS) return 0;
  const perMs = (recent * fade(nowMs - notedAt) * Math.LN2) / HALF_LIFE_MS;
  return Math.ceil(unit * CALLS_IN_STOCK + perMs * HORIZON_MS);
}

function* take<Item>(items: Iterable<Item>, count: number): Generator<Item> {
  let left = count;
  for (const item of items) {
    if (left === 0) return;
    left -= 1;
    yield item;
  }
}
