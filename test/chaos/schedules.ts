import { createRandom } from '../kit/load.js';
import { MoneyModel, type ModelParts } from './money-model.js';
import type { Step } from './step.js';

export interface Schedule {
  readonly credited: number;
  readonly budget: number;
  readonly steps: readonly Step[];
}

const MOST_STEPS = 100;
/** Share of schedules in which an operator declares spools lost, rightly or not. */
const LOSSES = 0.25;

type Draw = { readonly [Type in Step['type']]: (to: (count: number) => number) => Extract<Step, { type: Type }> };

/** @param to a whole number from 0 up to below the count */
const DRAW: Draw = {
  call: (to) => ({ type: 'call', plane: to(2), amount: 1 + to(9), isLimited: to(2) === 0 }),
  end: (to) => ({ type: 'end', plane: to(2), call: to(10), percent: to(151) }),
  ask: (to) => ({ type: 'ask', plane: to(2), isHeard: to(2) === 0 }),
  repeat: (to) => ({ type: 'repeat', plane: to(2), answer: to(10) }),
  fence: (to) => ({ type: 'fence', plane: to(2), isHeard: to(2) === 0 }),
  sync: (to) => ({ type: 'sync', plane: to(2) }),
  send: (to) => ({ type: 'send', plane: to(2), source: to(4), limit: 1 + to(4) }),
  note: (to) => ({ type: 'note', plane: to(2) }),
  die: (to) => ({ type: 'die', plane: to(2), isPowerCut: to(2) === 0 }),
  work: (to) => ({ type: 'work', job: to(8), isRepeated: to(4) === 0, isHeard: to(3) > 0 }),
  drop: (to) => ({ type: 'drop', job: to(8) }),
  recover: (to) => ({ type: 'recover', spool: to(6), isTorn: to(4) === 0 }),
  leave: (to) => ({ type: 'leave', spool: to(6) }),
  lose: (to) => ({ type: 'lose', spool: to(6) }),
  close: () => ({ type: 'close' }),
  wait: (to) => ({ type: 'wait', ms: to(120) }),
};

/** How often each kind of step is drawn, among those of a schedule without losses. */
const WEIGHTS = {
  ...{ call: 6, end: 6, ask: 3, repeat: 1, fence: 3, sync: 3, send: 5, note: 1, die: 1, work: 6, drop: 0.5 },
  ...{ recover: 2, leave: 1, lose: 0, close: 3, wait: 2 },
} satisfies Record<Step['type'], number>;

const TYPES = (Object.keys(WEIGHTS) as Step['type'][]).flatMap((type) =>
  new Array<Step['type']>(WEIGHTS[type] * 2).fill(type),
);

/** The schedule of that number: the same seed and number, the same schedule. */
export function drawSchedule(seed: number, number: number): Schedule {
  const random = createRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(number + 1, 0x85ebca6b));
  const to = (count: number): number => Math.floor(random() * count);
  const hasLosses = random() < LOSSES;
  const steps = Array.from({ length: 1 + to(MOST_STEPS) }, () => {
    const type = hasLosses && to(30) === 0 ? 'lose' : TYPES[to(TYPES.length)];
    return DRAW[type ?? 'close'](to);
  });
  return { credited: 1 + to(200), budget: 1 + to(100), steps };
}

/** @returns what is wrong; undefined where all promises are kept */
export function findBreach({ steps, ...money }: Schedule, parts?: ModelParts): string | undefined {
  try {
    const model = new MoneyModel(money, parts);
    for (const step of steps) model.run(step);
    model.finish();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A shorter schedule that breaks the same promise: no single step of it can be left out. */
export function shrink(schedule: Schedule, parts?: ModelParts): Schedule {
  const breach = findBreach(schedule, parts);
  let steps = schedule.steps;
  for (let width = Math.ceil(steps.length / 2); width >= 1; width = width === 1 ? 0 : Math.ceil(width / 2)) {
    for (let at = 0; at < steps.length;) {
      const shorter = steps.toSpliced(at, width);
      if (findBreach({ ...schedule, steps: shorter }, parts) === breach) steps = shorter;
      else at += width;
    }
  }
  return { ...schedule, steps };
}
