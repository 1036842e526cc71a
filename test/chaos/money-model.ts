import type { LeaseGrant } from '@pingtoken/shared/lease';
import type { SettledEvent } from '../../control-plane/workers/settle-event.js';
import { placeBatch } from '../../control-plane/workers/place-batch.js';
import { LeaseBook, type Reservation, type ScopeOf } from '../../data-plane/leases/lease-book.js';
import { planNeeds, planRefills } from '../../data-plane/leases/plan-asks.js';
import { makeEvent } from '../kit/billing-fixture.js';
import { claim, createIds } from './claim.js';
import { BUDGET, LedgerModel, TENANT } from './ledger-model.js';
import { createSource, pumpSource, SpoolModel, type QueueJob, type SpoolSource } from './spool-model.js';
import type { Step } from './step.js';

const OWNER = { tenantId: TENANT, apiKeyId: TENANT, memberId: TENANT };
const WALLET: ScopeOf = { tenantId: TENANT, currency: 'USD', scope: { kind: 'wallet' } };
const LIMITED: ScopeOf = { ...WALLET, scope: { kind: 'budget', budgetId: BUDGET } };
/** What no promise of this model depends on. */
const EVENT = makeEvent(OWNER, TENANT);
const PLANES = 2;

/** What may be replaced by something that is wrong, to see that it is found out. */
export interface ModelParts {
  readonly createBook: () => LeaseBook;
  readonly placeBatch: typeof placeBatch;
  /** Up to which record a spool may be read for the queue. */
  readonly readableSeq: (spool: SpoolModel) => number;
}

export const REAL_PARTS: ModelParts = {
  createBook: () => new LeaseBook(),
  placeBatch,
  readableSeq: ({ durableSeq }) => durableSeq,
};

interface OpenCall {
  readonly eventId: string;
  readonly reservation: Reservation;
  readonly amount: bigint;
}

/** A data plane: the process that runs now, in a home that the one before has left. */
interface Plane {
  readonly home: number;
  spool: SpoolModel;
  book: LeaseBook;
  calls: OpenCall[];
  heard: { readonly of: ScopeOf; readonly grant: LeaseGrant }[];
  sources: SpoolSource[];
}

/**
 * A model of spool, queue, leases and ledger around the very functions that decide: the data planes' book and what they have
 * sent, the allocator's plan, the worker's place of a batch and its charges. Everything between them is lost, late, repeated,
 * out of order or killed as a schedule says.
 */
export class MoneyModel {
  readonly #id = createIds();
  readonly #ledger: LedgerModel;
  readonly #planes: Plane[] = [];
  readonly #spools: SpoolModel[] = [];
  readonly #queue: QueueJob[] = [];
  #now = 1_000;
  #hasLost = false;

  constructor(
    { credited, budget }: { readonly credited: number; readonly budget: number },
    readonly parts: ModelParts = REAL_PARTS,
  ) {
    const { placeBatch: place } = parts;
    const money = { credited: BigInt(credited), budget: BigInt(budget) };
    this.#ledger = new LedgerModel({ ...money, placeBatch: place, createId: this.#id });
    for (let home = 0; home < PLANES; home += 1) {
      const plane: Plane = { home, ...this.#start(home) };
      this.#planes.push(plane);
    }
  }

  /** @throws Error where a promise is broken */
  run(step: Step): void {
    if (step.type === 'wait') this.#now += step.ms;
    else if (step.type === 'close') this.#ledger.close();
    else if ('job' in step) this.#ofQueue(step);
    else if ('spool' in step) this.#ofSpool(step);
    else {
      const plane = this.#planes[step.plane % PLANES];
      if (plane !== undefined) this.#ofPlane(plane, step);
    }
    this.#ledger.check();
  }

  /** Everything comes to its end: calls, processes, deliveries, fences. @throws Error where something is missing or stuck */
  finish(): void {
    for (const plane of this.#planes) {
      while (plane.calls.length > 0) this.#end(plane, 0, 100);
      plane.spool.isAlive = false;
    }
    for (const spool of this.#spools) {
      this.#recover(spool, false);
      const all = spool.ends.map(({ settled }) => settled);
      if (all.length > 0) this.#ledger.ingest(spool.id, 1, all);
      this.#ledger.fence({ spoolId: spool.id, leases: [], lastSeq: spool.lastSeq });
    }
    this.#ledger.close();
    this.#ledger.check();
    this.#ledger.checkNothingIsStuck();
    this.#checkBooks();
  }

  #checkBooks(): void {
    let [owed, loss, count] = [0n, 0n, 0];
    for (const { settled } of this.#spools.flatMap((spool) => spool.ends)) {
      count += 1;
      claim(this.#ledger.booked.get(settled.event.eventId) === settled, 'each call is booked as its spool has it');
      const reserved = BigInt(settled.event.reserved ?? 0);
      const paid = settled.amount < reserved ? settled.amount : reserved;
      owed += paid;
      loss += settled.amount - paid;
    }
    claim(this.#ledger.booked.size === count, 'nothing is booked that no spool has');
    if (this.#hasLost) return;
    claim(this.#ledger.charged === owed, 'every call is charged with what was reserved for it at most');
    claim(this.#ledger.loss === loss, 'the operator loses what calls cost beyond, and nothing else');
  }

  #ofPlane(plane: Plane, step: Extract<Step, { plane: number }>): void {
    switch (step.type) {
      case 'call':
        this.#call(plane, BigInt(step.amount), step.isLimited);
        break;
      case 'end':
        this.#end(plane, step.call, step.percent);
        break;
      case 'ask':
        for (const { asks } of planRefills(plane.book.stocks(this.#now))) this.#grantAll(plane, asks, step.isHeard);
        break;
      case 'repeat': {
        const answer = plane.heard[step.answer % Math.max(1, plane.heard.length)];
        if (answer !== undefined) plane.book.apply(answer.of, answer.grant, this.#now);
        break;
      }
      case 'fence': {
        const leaseIds = plane.book.fenceable(this.#now);
        const leases = leaseIds.map((leaseId) => ({ leaseId, seq: plane.spool.lastSeq }));
        this.#ledger.fence({ spoolId: plane.spool.id, leases, lastSeq: null });
        if (step.isHeard) plane.book.forget(leaseIds);
        break;
      }
      case 'sync':
        for (const { spool } of plane.sources) spool.sync();
        break;
      case 'send':
        this.#send(plane, step);
        break;
      case 'note':
        for (const source of plane.sources) source.spool.notedSeq = source.confirmedSeq;
        break;
      case 'die':
        this.#die(plane, step.isPowerCut);
    }
  }

  /** Calls under way die with the process: their starts are on disk, and become interrupted calls that cost nothing. */
  #die(plane: Plane, isPowerCut: boolean): void {
    plane.spool.isAlive = false;
    for (const spool of this.#spools) {
      if (spool.home !== plane.home) continue;
      // What the dead process had recovered is found again by the next.
      if (isPowerCut) spool.powerCut();
    }
    Object.assign(plane, this.#start(plane.home));
  }

  #send(plane: Plane, { source: index, limit }: Extract<Step, { type: 'send' }>): void {
    const source = plane.sources[index % Math.max(1, plane.sources.length)];
    if (source === undefined) return;
    pumpSource(source, this.#queue, { now: this.#now, limit, readableSeq: this.parts.readableSeq(source.spool) });
  }

  #ofQueue(step: Extract<Step, { job: number }>): void {
    const at = step.job % Math.max(1, this.#queue.length);
    const job = this.#queue[at];
    if (job === undefined) return;
    if (step.type === 'drop') {
      this.#queue.splice(at, 1);
      return;
    }
    const confirmedSeq = this.#ledger.ingest(job.spool.id, job.firstSeq, job.events);
    if (confirmedSeq === 'gap') return;
    // A worker that dies before the queue has its word leaves the job to another.
    if (!step.isRepeated) this.#queue.splice(at, 1);
    if (step.isHeard) this.#confirm(job.spool, confirmedSeq);
  }

  #confirm(spool: SpoolModel, confirmedSeq: number): void {
    claim(confirmedSeq <= spool.lastSeq, 'nothing is confirmed that its spool does not have');
    for (const { sources } of this.#planes) {
      const source = sources.find((each) => each.spool === spool);
      if (source !== undefined) source.confirmedSeq = Math.max(source.confirmedSeq, confirmedSeq);
    }
  }

  #ofSpool(step: Extract<Step, { spool: number }>): void {
    const spool = this.#spools[step.spool % this.#spools.length];
    if (spool === undefined) return;
    if (step.type === 'recover') this.#recover(spool, step.isTorn);
    else if (step.type === 'leave') {
      if (!this.#isRecovered(spool)) return;
      this.#ledger.fence({ spoolId: spool.id, leases: [], lastSeq: spool.lastSeq });
    } else {
      // An operator may be wrong about it, and its process alive.
      this.#ledger.lose(spool.id);
      this.#hasLost = true;
    }
  }

  #isRecovered(spool: SpoolModel): boolean {
    return !spool.isAlive && this.#planes.some(({ sources }) => sources.some((each) => each.spool === spool));
  }

  /** @param isTorn the process that recovers it dies in the middle, and nothing more comes of it */
  #recover(spool: SpoolModel, isTorn: boolean): void {
    const plane = this.#planes.find(({ home }) => home === spool.home);
    if (plane === undefined || spool.isAlive || this.#isRecovered(spool)) return;
    for (const eventId of spool.open) {
      spool.end(this.#settled(spool, { eventId, amount: 0n, leaseIds: [], reserved: 0n, kind: 'interrupted' }));
      if (isTorn) return;
    }
    spool.sync();
    plane.sources.push(createSource(spool));
  }

  #start(home: number): Omit<Plane, 'home'> {
    const spool = new SpoolModel(this.#id(), home);
    this.#spools.push(spool);
    return { spool, book: this.parts.createBook(), calls: [], heard: [], sources: [createSource(spool)] };
  }

  #call(plane: Plane, amount: bigint, isLimited: boolean): void {
    const cost = { tenantId: TENANT, currency: 'USD', budgetIds: isLimited ? [BUDGET] : [], amount, at: this.#now };
    let result = plane.book.reserve(cost);
    if ('lacking' in result) {
      this.#grantAll(plane, planNeeds([{ cost, shortfall: result }], plane.book.stocks(this.#now)), true);
      result = plane.book.reserve(cost);
    }
    if ('lacking' in result) return;
    const eventId = this.#id();
    plane.spool.start(eventId);
    plane.calls.push({ eventId, reservation: result, amount });
  }

  #end(plane: Plane, index: number, percent: number): void {
    const [call] = plane.calls.splice(index % Math.max(1, plane.calls.length), 1);
    if (call === undefined) return;
    const { eventId, reservation, amount: reserved } = call;
    const amount = (reserved * BigInt(percent)) / 100n;
    const { leaseIds } = reservation;
    plane.spool.end(this.#settled(plane.spool, { eventId, amount, leaseIds, reserved, kind: 'usage' }));
    plane.book.settle(reservation, amount);
  }

  #settled(
    spool: SpoolModel,
    {
      eventId,
      amount,
      leaseIds,
      reserved,
      kind,
    }: {
      readonly eventId: string;
      readonly amount: bigint;
      readonly leaseIds: readonly string[];
      readonly reserved: bigint;
      readonly kind: 'usage' | 'interrupted';
    },
  ): SettledEvent {
    const own = { eventId, kind, leaseIds: [...leaseIds], reserved: String(reserved) };
    const event = { ...EVENT, ...own, spoolId: spool.id, seq: spool.lastSeq + 1 };
    return { event, billed: null, amount, currency: 'USD', freeTokens: 0, costs: [], region: '', period: '2026-01-01' };
  }

  #grantAll(plane: Plane, asks: readonly Parameters<LedgerModel['grant']>[1][], isHeard: boolean): void {
    for (const ask of asks) {
      const grant = this.#ledger.grant(plane.spool.id, ask, this.#now);
      if (grant === undefined) continue;
      const of = ask.scope.kind === 'wallet' ? WALLET : LIMITED;
      plane.heard.push({ of, grant });
      if (isHeard) plane.book.apply(of, grant, this.#now);
    }
  }
}
