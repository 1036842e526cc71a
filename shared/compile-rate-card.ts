import { DIMENSIONS, SERVICE_TIERS } from './rate-card.js';
import type { Dimension, PriceTable, RateCardVersion, Rates, ServiceTier, TimeWindow } from './rate-card.js';
import { isWithinWindow } from './time-window.js';

/** Which part of a card a rate was taken from. */
export interface RateOrigin {
  readonly serviceTier: ServiceTier;
  /** The window that states it; null for a rate of all hours. */
  readonly window: TimeWindow | null;
  /** The context tier that states it; null for a rate of all lengths. */
  readonly aboveInputTokens: number | null;
}

export interface RateCell {
  readonly rate: bigint;
  /** Another dimension than the one asked for where the card states no rate of its own for it. */
  readonly billedAs: Dimension;
  /** Null for what is free because the card does not name it. */
  readonly origin: RateOrigin | null;
}

/** The rates of calls whose prompts are longer than one bound and at most as long as the next. */
export interface PriceRange {
  /** -1 for prompts of any length. */
  readonly aboveInputTokens: number;
  readonly upToInputTokens: number;
  /** By the index of the dimension in {@link DIMENSIONS}; undefined where nothing prices it. */
  readonly cells: readonly (RateCell | undefined)[];
}

/** All that a card says of the calls of one service tier, admitted within one window or outside of all. Ascending. */
export type PricePlan = readonly PriceRange[];

export interface CompiledRateCard {
  readonly planAt: (serviceTier: ServiceTier, at: number) => PricePlan;
  readonly plans: readonly PricePlan[];
}

/** Where a card states no rate of its own for a dimension, the vendor bills it as this one. */
const BILLED_AS: Partial<Record<Dimension, Dimension>> = {
  cacheRead: 'input',
  cacheWrite5m: 'input',
  cacheWrite1h: 'cacheWrite5m',
  audioInput: 'input',
  imageInput: 'input',
  reasoning: 'output',
  audioOutput: 'output',
  imageOutput: 'output',
};

const compiled = new WeakMap<RateCardVersion, CompiledRateCard>();

/** Resolves every combination of tables once; a version is immutable, so that its plans live as long as it does. */
export function compileRateCard(version: RateCardVersion): CompiledRateCard {
  const known = compiled.get(version);
  if (known !== undefined) return known;
  const card = compile(version);
  compiled.set(version, card);
  return card;
}

interface Layer {
  readonly table: PriceTable;
  readonly serviceTier: ServiceTier;
  readonly window: TimeWindow | null;
}

interface TierPlans {
  readonly anyTime: PricePlan;
  readonly windows: readonly { readonly window: TimeWindow; readonly plan: PricePlan }[];
}

function compile(version: RateCardVersion): CompiledRateCard {
  const byTier = new Map(SERVICE_TIERS.map((serviceTier) => [serviceTier, compileTier(version, serviceTier)]));
  return {
    planAt: (serviceTier, at) => {
      const plans = byTier.get(serviceTier);
      if (plans === undefined) throw new RangeError('no such service tier');
      const open = plans.windows.find(({ window }) => isWithinWindow(window, at));
      return open?.plan ?? plans.anyTime;
    },
    plans: [...byTier.values()].flatMap(({ anyTime, windows }) => [anyTime, ...windows.map(({ plan }) => plan)]),
  };
}

function compileTier(version: RateCardVersion, serviceTier: ServiceTier): TierPlans {
  const layers: Layer[] = [{ table: version, serviceTier: 'standard', window: null }];
  const special = serviceTier === 'standard' ? undefined : version.serviceTiers[serviceTier];
  if (special !== undefined) layers.push({ table: special, serviceTier, window: null });
  return {
    anyTime: compilePlan(layers),
    windows: version.windows
      .filter((window) => window.serviceTiers.includes(serviceTier))
      .map((window) => ({ window, plan: compilePlan([...layers, { table: window, serviceTier, window }]) })),
  };
}

/** @param layers the most special last */
function compilePlan(layers: readonly Layer[]): PricePlan {
  const bounds = layers.flatMap(({ table }) => table.contextTiers.map(({ aboveInputTokens }) => aboveInputTokens));
  const ascending = [-1, ...new Set(bounds.toSorted((a, b) => a - b))];
  return ascending.map((aboveInputTokens, index) => ({
    aboveInputTokens,
    upToInputTokens: ascending[index + 1] ?? Number.POSITIVE_INFINITY,
    cells: compileCells(layers, aboveInputTokens),
  }));
}

function compileCells(layers: readonly Layer[], bound: number): (RateCell | undefined)[] {
  const stated = new Map<Dimension, RateCell>();
  const state = (rates: Rates, origin: RateOrigin): void => {
    for (const dimension of DIMENSIONS) {
      const rate = rates[dimension];
      if (rate !== undefined) stated.set(dimension, { rate: BigInt(rate), billedAs: dimension, origin });
    }
  };
  for (const { table, serviceTier, window } of layers) {
    state(table.rates, { serviceTier, window, aboveInputTokens: null });
    const tier = highestTier(table, bound);
    if (tier !== undefined) state(tier.rates, { serviceTier, window, aboveInputTokens: tier.aboveInputTokens });
  }
  return DIMENSIONS.map((dimension) => findCell(dimension, stated));
}

function highestTier({ contextTiers }: PriceTable, bound: number): PriceTable['contextTiers'][number] | undefined {
  return contextTiers
    .filter(({ aboveInputTokens }) => aboveInputTokens <= bound)
    .reduce<PriceTable['contextTiers'][number] | undefined>(
      (highest, tier) => (highest !== undefined && highest.aboveInputTokens > tier.aboveInputTokens ? highest : tier),
      undefined,
    );
}

function findCell(dimension: Dimension, stated: ReadonlyMap<Dimension, RateCell>): RateCell | undefined {
  for (let key: Dimension | undefined = dimension; key !== undefined; key = BILLED_AS[key]) {
    const cell = stated.get(key);
    if (cell !== undefined) return cell;
  }
  // Few cards charge for the call itself; one that does not say so gives it away.
  return dimension === 'request' ? { rate: 0n, billedAs: 'request', origin: null } : undefined;
}
