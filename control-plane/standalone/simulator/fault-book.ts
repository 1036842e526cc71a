import type { FaultRule, Faults } from './directives.js';

/** The rules set by `PUT /faults`. */
export interface FaultBook {
  /** Replaces every rule. */
  readonly put: (rules: readonly FaultRule[]) => void;
  /** The rules that still apply, with the `times` that are left. */
  readonly list: () => readonly FaultRule[];
  /** What applies to the next call, and uses up one of each matching rule's `times`. Later rules override earlier. */
  readonly take: (model: string | null) => Faults;
}

export function createFaultBook(): FaultBook {
  let rules: FaultRule[] = [];
  return {
    put: (next) => {
      rules = next.map((rule) => ({ ...rule }));
    },
    list: () => rules,
    take: (requested) => {
      let faults: Faults = {};
      for (const rule of rules) {
        const { times, model, ...own } = rule;
        if (model !== undefined && model !== requested) continue;
        faults = { ...faults, ...own };
        if (times !== undefined) rule.times = times - 1;
      }
      if (rules.some((rule) => rule.times === 0)) rules = rules.filter((rule) => rule.times !== 0);
      return faults;
    },
  };
}
