import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limitsSchema, type Limits } from '@pingtoken/shared/limits';
import type { BoundName, ShareGrant, ShareReport } from '@pingtoken/shared/rate-share';
import { planShare } from '../../control-plane/allocation/plan-share.js';
import { createLimiter, type Admission, type Limiter } from '../../data-plane/limits/limiter.js';
import { ShareBook, type Lack } from '../../data-plane/limits/share-book.js';

const MINUTE_MS = 60_000;
const START = 1_760_000_000_000;
const tenantId = randomUUID();
const of = { scope: 'tenant', tenantId, id: tenantId } as const;
const limitsOf = (given: Partial<Limits>): Limits => limitsSchema.parse(given);

/** A run of a data plane: its books, and what it says in turns. */
interface Plane {
  readonly id: string;
  readonly limiter: Limiter;
  readonly book: ShareBook;
  lacks: readonly Lack[];
  turn: number;
  readonly open: Admission[];
}

interface Message {
  readonly plane: Plane;
  readonly turn: number;
  readonly reports: readonly ShareReport[];
}

/** As the control plane has it: what each run holds, and until when what a dead one has used still counts. */
class World {
  readonly planes: Plane[] = [];
  readonly admitted: { at: number; amount: number }[] = [];
  now = START;
  mostRunning = 0;
  readonly #held = new Map<string, { amount: number; until: number; plane: Plane; bound: BoundName }>();
  readonly #turns = new Map<string, number>();
  readonly #late: Message[] = [];

  constructor(
    readonly limits: Limits,
    count: number,
  ) {
    for (let index = 0; index < count; index += 1) this.planes.push(createPlane());
  }

  call(index: number, tokens: number): boolean {
    const plane = this.#at(index);
    const result = plane.limiter.admit([{ id: tenantId, limits: this.limits, of }], tokens, this.now);
    if ('reached' in result) {
      plane.lacks = [...plane.lacks, ...result.lacking];
      return false;
    }
    plane.open.push(result);
    this.admitted.push({ at: this.now, amount: tokens });
    this.mostRunning = Math.max(
      this.mostRunning,
      this.planes.reduce((sum, { open }) => sum + open.length, 0),
    );
    return true;
  }

  settle(index: number): void {
    this.#at(index).open.pop()?.settle(0, this.now);
  }

  turn(index: number, fate: 'heard' | 'lost' | 'unanswered' | 'late'): void {
    const plane = this.#at(index);
    plane.turn += 1;
    const message = { plane, turn: plane.turn, reports: plane.book.report(plane.lacks, plane.limiter.useOf, this.now) };
    plane.lacks = [];
    if (fate === 'late') this.#late.push(message);
    if (fate === 'lost' || fate === 'late') return;
    const grants = this.#answer(message);
    if (fate === 'heard' && grants !== undefined) plane.book.apply(message.reports, grants, this.now);
  }

  /** What was on its way for long arrives: its answer is not waited for any more. */
  arrive(): void {
    for (const message of this.#late.splice(0)) this.#answer(message);
  }

  /** The process is gone with its books; what it may have used counts for as long as it can. */
  die(index: number): void {
    const plane = this.#at(index);
    for (const held of this.#held.values()) {
      if (held.plane === plane) held.until = this.now + (held.bound === 'concurrentCalls' ? 0 : MINUTE_MS);
    }
    this.planes[index % this.planes.length] = createPlane();
  }

  #answer({ plane, turn, reports }: Message): ShareGrant[] | undefined {
    if (turn <= (this.#turns.get(plane.id) ?? 0)) return undefined;
    this.#turns.set(plane.id, turn);
    return reports.map((report) => {
      const limit = this.limits[report.bound] ?? 0;
      const key = `${plane.id} ${report.bound}`;
      const others = [...this.#held].filter(
        ([other, { until, bound }]) => other !== key && bound === report.bound && until > this.now,
      );
      const sum = others.reduce((total, [, { amount }]) => total + amount, 0);
      const planned = planShare(report, { limit, others: sum, own: this.#held.get(key)?.amount ?? 0 });
      this.#held.set(key, { amount: planned.granted, until: Infinity, plane, bound: report.bound });
      if (planned.isShort) for (const [, held] of others) held.plane.book.recall([report]);
      return { granted: planned.granted, limit, free: planned.free, retryInMs: planned.isShort ? 1_000 : null };
    });
  }

  #at(index: number): Plane {
    const plane = this.planes[index % this.planes.length];
    if (plane === undefined) throw new Error('no planes');
    return plane;
  }
}

function createPlane(): Plane {
  const book = new ShareBook();
  return { id: randomUUID(), limiter: createLimiter(book), book, lacks: [], turn: 0, open: [] };
}

const plane = fc.nat({ max: 3 });
const commands = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant('call' as const), plane, tokens: fc.nat({ max: 30 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const), plane }) },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('turn' as const),
        plane,
        fate: fc.constantFrom(
          'heard' as const,
          'heard' as const,
          'lost' as const,
          'unanswered' as const,
          'late' as const,
        ),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('arrive' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), plane }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 25_000 }) }) },
  ),
  { minLength: 20, maxLength: 300 },
);

describe('shares of a limit, over data planes that die, and messages that are lost, late or not answered', () => {
  it('let through no more than the limit, in any stretch of its length, and at the same time', () => {
    const anyLimit = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(commands, anyLimit, anyLimit, anyLimit, (steps, requests, tokens, running) => {
        const world = new World(
          limitsOf({ requestsPerMinute: requests, tokensPerMinute: tokens, concurrentCalls: running }),
          3,
        );
        for (const step of steps) {
          if (step.do === 'call') world.call(step.plane, step.tokens);
          else if (step.do === 'settle') world.settle(step.plane);
          else if (step.do === 'turn') world.turn(step.plane, step.fate);
          else if (step.do === 'arrive') world.arrive();
          else if (step.do === 'die') world.die(step.plane);
          else world.now += step.ms;
        }
        expect(world.mostRunning).toBeLessThanOrEqual(running);
        for (const { at } of world.admitted) {
          const inside = world.admitted.filter((each) => each.at >= at && each.at < at + MINUTE_MS);
          expect(inside.length).toBeLessThanOrEqual(requests);
        }
      }),
      { numRuns: 200 },
    );
  }, 60_000);

  it('are all of it where only one data plane is called, and are got back from one that is idle', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.boolean(), (limit, wasOtherBusy) => {
        const world = new World(limitsOf({ requestsPerMinute: limit }), 2);
        if (wasOtherBusy) {
          world.call(1, 0);
          world.turn(1, 'heard');
        }
        let passed = 0;
        for (let asked = 0; asked < limit * 3; asked += 1) {
          if (world.call(0, 0)) {
            passed += 1;
            continue;
          }
          world.turn(0, 'heard');
          // The other one hears within a second that it is asked for what it does not use.
          world.turn(1, 'heard');
          world.now += 1;
        }
        expect(passed).toBe(limit);
        expect(world.call(0, 0)).toBe(false);
      }),
      { numRuns: 25 },
    );
  });

  it('of a limit that is lowered are lowered by the same part at once, whoever has heard of it', () => {
    const world = new World(limitsOf({ requestsPerMinute: 100 }), 2);
    for (const [index, calls] of [
      [0, 60],
      [1, 40],
    ] as const) {
      for (let asked = 0; asked < calls; asked += 1) {
        if (world.call(index, 0)) continue;
        world.turn(index, 'heard');
        world.call(index, 0);
      }
    }
    // What the first one has in stock, the other one lacks.
    expect(world.admitted.length).toBeGreaterThanOrEqual(80);
    const caps = world.planes.map(({ book }) => book.capOf({ id: tenantId }, 'requestsPerMinute', 10));
    expect(caps.reduce((sum, cap) => sum + cap, 0)).toBeLessThanOrEqual(10);
    expect(Math.min(...caps)).toBeGreaterThan(0);
  });
});
