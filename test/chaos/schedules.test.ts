import { expect, it } from 'vitest';
import { LeaseBook, type Reservation } from '../../data-plane/leases/lease-book.js';
import { REAL_PARTS, type ModelParts } from './money-model.js';
import { drawSchedule, findBreach, shrink, type Schedule } from './schedules.js';

/** `npm run chaos:model` explores as many as it is told to, a million in minutes. */
const SCHEDULES = 4_000;
const SEED = 2_026;
/** Nothing is waited for, but a busy machine computes slowly. */
const TIMEOUT_MS = 180_000;

function* schedules(count: number): Generator<Schedule, void> {
  for (let number = 0; number < count; number += 1) yield drawSchedule(SEED, number);
}

it(
  'whatever is lost, late, repeated, out of order or killed: no overspend, nothing stuck, each call booked once',
  () => {
    for (const schedule of schedules(SCHEDULES)) {
      const breach = findBreach(schedule);
      if (breach !== undefined) expect.fail(`${breach}: ${JSON.stringify(shrink(schedule))}`);
    }
  },
  TIMEOUT_MS,
);

it('a schedule is the same whenever it is drawn', () => {
  expect(drawSchedule(SEED, 7)).toEqual(drawSchedule(SEED, 7));
  expect(drawSchedule(SEED, 7)).not.toEqual(drawSchedule(SEED, 8));
});

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

const { placeBatch } = REAL_PARTS;
it.each<[string, Partial<ModelParts>]>([
  ['fences leases that calls are still under way on', { createBook: () => new HastyBook() }],
  ['gives back what was used', { createBook: () => new GenerousBook() }],
  ['hands out records that a power cut can take back', { readableSeq: ({ lastSeq }) => lastSeq }],
  ['passes over what is missing', { placeBatch: (batch) => placeBatch(batch, Math.max(0, batch.firstSeq - 1)) }],
  ['takes a batch for all known whose first record is', { placeBatch: placeByFirst }],
  ['books a batch again that it knows in part', { placeBatch: placeWhole }],
])(
  'a platform that %s is found out',
  (_name, parts) => {
    const isBroken = (schedule: Schedule): boolean => findBreach(schedule, { ...REAL_PARTS, ...parts }) !== undefined;
    expect([...schedules(SCHEDULES)].some(isBroken)).toBe(true);
  },
  TIMEOUT_MS,
);

function placeByFirst(...[batch, confirmedSeq]: Parameters<typeof placeBatch>): ReturnType<typeof placeBatch> {
  if (batch.firstSeq <= confirmedSeq) return { knownCount: batch.count, lastSeq: batch.firstSeq + batch.count - 1 };
  return placeBatch(batch, confirmedSeq);
}

function placeWhole(...[batch, confirmedSeq]: Parameters<typeof placeBatch>): ReturnType<typeof placeBatch> {
  const place = placeBatch(batch, confirmedSeq);
  return typeof place === 'string' ? place : { ...place, knownCount: 0 };
}
