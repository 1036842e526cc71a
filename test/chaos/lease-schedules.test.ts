import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LeaseBook, type Reservation } from '../../data-plane/leases/lease-book.js';
import { LeaseModel, type Step } from './lease-model.js';

const plane = fc.nat(1);
const spool = fc.nat(5);
const isHeard = fc.boolean();
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      ...{ type: fc.constant('call' as const), plane, isLimited: fc.boolean() },
      amount: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant('end' as const), plane, call: fc.nat(9), percent: fc.nat(150) }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('ask' as const), plane, isHeard }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('repeat' as const), plane, answer: fc.nat(9) }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('deliver' as const), spool, count: fc.nat(9), isRepeated: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('fence' as const), plane, isHeard }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('kill' as const), plane }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('recover' as const), spool }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('close' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(120) }) },
);
const loss: fc.Arbitrary<Step> = fc.record({ type: fc.constant('lose' as const), spool });
const start = { credited: fc.integer({ min: 1, max: 200 }), budget: fc.integer({ min: 1, max: 100 }) };

/** `LEASE_SCHEDULES=1000000` explores that many, in minutes; `LEASE_SEED` replays. */
const numRuns = Number(process.env['LEASE_SCHEDULES'] ?? 4_000);
const seed = process.env['LEASE_SEED'];
const settings = { numRuns, ...(seed !== undefined && { seed: Number(seed) }) };
const TIMEOUT_MS = 30 * 60_000;

function explore(steps: readonly Step[], credited: number, budget: number, createBook?: () => LeaseBook): void {
  const model = new LeaseModel(BigInt(credited), BigInt(budget), createBook);
  for (const each of steps) model.run(each);
  model.finish();
}

it(
  'whatever is lost, late, repeated or killed: no overspend, nothing stuck, each call charged exactly',
  () => {
    fc.assert(
      fc.property(fc.record({ ...start, steps: fc.array(step, { maxLength: 80 }) }), ({ credited, budget, steps }) => {
        explore(steps, credited, budget);
      }),
      settings,
    );
  },
  TIMEOUT_MS,
);

it(
  'and where spools are declared lost, rightly or not, what comes late is never the tenant’s loss',
  () => {
    const steps = fc.array(fc.oneof({ weight: 30, arbitrary: step }, { weight: 1, arbitrary: loss }), {
      maxLength: 80,
    });
    fc.assert(
      fc.property(fc.record({ ...start, steps }), (schedule) => {
        explore(schedule.steps, schedule.credited, schedule.budget);
      }),
      settings,
    );
  },
  TIMEOUT_MS,
);

class HastyBook extends LeaseBook {
  readonly #seen = new Set<string>();
  override apply(...parts: Parameters<LeaseBook['apply']>): void {
    super.apply(...parts);
    this.#seen.add(parts[1].leaseId);
  }
  /** Calls may still be under way on them. */
  override fenceable(now: number): readonly string[] {
    super.fenceable(now);
    return [...this.#seen];
  }
}

class GenerousBook extends LeaseBook {
  /** As if what a call cost beyond its reservation were on the house, and the rest still there. */
  override settle(reservation: Reservation): void {
    super.settle(reservation, 0n);
  }
}

it.each([
  ['fences leases that calls are still under way on', () => new HastyBook()],
  ['gives back what was used', () => new GenerousBook()],
])('a book that %s is found out', (_name, createBook) => {
  const schedule = fc.record({ ...start, steps: fc.array(step, { maxLength: 80 }) });
  const { failed } = fc.check(
    fc.property(schedule, ({ credited, budget, steps }) => {
      explore(steps, credited, budget, createBook);
    }),
    { numRuns: 4_000, endOnFailure: true },
  );
  expect(failed).toBe(true);
});
