import { z } from 'zod';
import { compileRateCard, type PricePlan } from '@pingtoken/shared/compile-rate-card';
import { divideHalfEven } from '@pingtoken/shared/money';
import { DIMENSIONS, SERVICE_TIERS, SPECIAL_TIERS } from '@pingtoken/shared/rate-card';
import type { CardPrices, PriceTable, Rates, ServiceTier, TimeWindow } from '@pingtoken/shared/rate-card';
import { isTimeZone } from '@pingtoken/shared/time-window';
import { refuse, type Refusal } from '../database/refusal.js';
import { anyPricesSchema, contextTiersSchema, isRounded, pricesSchema, toRates, type Price } from './prices.js';

/**
 * All that a version of a card states, as people write it, and as rates. A service tier or an hour has prices of its own, or a
 * ratio of what the same call costs without it; from a ratio rates are made here, once, with the version.
 */
const ratioSchema = z.string().regex(/^\d{1,4}(\.\d{1,9})?$/, 'a decimal number such as "0.5", below 10000');
const special = {
  ratio: ratioSchema.nullish(),
  /** Whether rates that the ratio makes no whole number of units are rounded, half to even; else they are refused. */
  round: z.boolean().nullish(),
  prices: anyPricesSchema.default([]),
  contextTiers: contextTiersSchema.default([]),
};

const ONE_OF_TWO = 'either a ratio or prices';
const statesOneOfTwo = ({ ratio, prices, contextTiers }: SpecialPrices): boolean =>
  ratio == null ? prices.length + contextTiers.length > 0 : prices.length + contextTiers.length === 0;

type SpecialPrices = Pick<StatedTable, 'prices' | 'contextTiers'> & {
  readonly ratio?: string | null | undefined;
  readonly round?: boolean | null | undefined;
};
interface StatedTable {
  readonly prices: readonly Price[];
  readonly contextTiers: readonly { readonly aboveInputTokens: number; readonly prices: readonly Price[] }[];
}

const serviceTiersSchema = z
  .array(z.object({ serviceTier: z.enum(SPECIAL_TIERS), ...special }).refine(statesOneOfTwo, ONE_OF_TWO))
  .refine((tiers) => new Set(tiers.map(({ serviceTier }) => serviceTier)).size === tiers.length, 'one is priced twice');

const clockSchema = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, 'a time of day such as "16:30"');
const windowSchema = z
  .object({
    timeZone: z.string().max(64).refine(isTimeZone, 'is no time zone of the IANA database'),
    days: z
      .array(z.int().min(1).max(7))
      .min(1)
      .refine((days) => new Set(days).size === days.length, 'a day is named twice'),
    from: clockSchema.refine((time) => time !== '24:00', 'begins at "00:00" of the next day'),
    to: clockSchema,
    serviceTiers: z.array(z.enum(SERVICE_TIERS)).min(1).default(['standard']),
    ...special,
  })
  .refine(statesOneOfTwo, ONE_OF_TWO)
  .refine(
    ({ ratio, serviceTiers }) => ratio == null || serviceTiers.length === 1,
    'a ratio is that of one service tier; make a window for each',
  );

export const statedPrices = {
  prices: pricesSchema,
  contextTiers: contextTiersSchema.default([]),
  serviceTiers: serviceTiersSchema.default([]),
  windows: z.array(windowSchema).max(20).default([]),
  freeTokensPerMonth: z.int().nonnegative().max(1_000_000_000_000).default(0),
};
export type StatedPrices = z.output<z.ZodObject<typeof statedPrices>>;

/** @returns a refusal where a ratio would have to be rounded and is not said to be */
export function toCardPrices(stated: StatedPrices): CardPrices | Refusal {
  try {
    let card: CardPrices = { ...toTable(stated), serviceTiers: {}, windows: [] };
    const standard = toPlan(card, 'standard');
    for (const [index, { serviceTier, ...prices }] of stated.serviceTiers.entries()) {
      const table = toSpecialTable(prices, standard, ['serviceTiers', String(index), 'ratio']);
      card = { ...card, serviceTiers: { ...card.serviceTiers, [serviceTier]: table } };
    }
    const windows: TimeWindow[] = stated.windows.map((window, index) => ({
      timeZone: window.timeZone,
      days: window.days.toSorted(),
      fromMinute: toMinute(window.from),
      // Midnight as an end is that of the day itself.
      toMinute: toMinute(window.to) || 1440,
      serviceTiers: window.serviceTiers,
      ...toSpecialTable(window, toPlan(card, window.serviceTiers[0] ?? 'standard'), [
        'windows',
        String(index),
        'ratio',
      ]),
    }));
    return { ...card, windows };
  } catch (error) {
    if (!(error instanceof InexactRatioError)) throw error;
    return refuse('invalid_request', error.path, error.message);
  }
}

/** Whether anything was rounded, so that what was stated cannot be read off the rates any more. */
export function hasRounding(stated: StatedPrices): boolean {
  const tables = [stated, ...stated.serviceTiers, ...stated.windows];
  return tables.some(
    (table) =>
      ('ratio' in table && table.ratio != null && table.round === true) ||
      isRounded(table.prices) ||
      table.contextTiers.some(({ prices }) => isRounded(prices)),
  );
}

class InexactRatioError extends Error {
  constructor(readonly path: readonly string[]) {
    super('makes a rate no whole number of 10^-12; say that it is to be rounded');
  }
}

function toTable({ prices, contextTiers }: StatedTable): PriceTable {
  return {
    rates: toRates(prices),
    contextTiers: contextTiers.map((tier) => ({
      aboveInputTokens: tier.aboveInputTokens,
      rates: toRates(tier.prices),
    })),
  };
}

function toSpecialTable(stated: SpecialPrices, plan: PricePlan, path: readonly string[]): PriceTable {
  if (stated.ratio == null) return toTable(stated);
  const [whole = '', fraction = ''] = stated.ratio.split('.');
  const numerator = BigInt(whole + fraction);
  const denominator = 10n ** BigInt(fraction.length);
  return mapTable(toPlainTable(plan), (rate) => {
    const product = rate * numerator;
    if (stated.round !== true && product % denominator !== 0n) throw new InexactRatioError(path);
    return divideHalfEven(product, denominator);
  });
}

/** What calls of a service tier cost at hours that no window names. */
function toPlan(card: CardPrices, serviceTier: ServiceTier): PricePlan {
  const nameless = { id: '', effectiveFrom: 0, currency: '', freeTokensPerMonth: 0 };
  return compileRateCard({ ...card, ...nameless, windows: [] }).planAt(serviceTier, 0);
}

/** Several tables laid upon one another, as one. */
function toPlainTable(plan: PricePlan): PriceTable {
  const [lowest, ...longer] = plan.map(({ aboveInputTokens, cells }) => {
    const stated = DIMENSIONS.flatMap((dimension, index) => {
      const cell = cells[index];
      return cell?.origin != null && cell.billedAs === dimension ? [[dimension, cell.rate.toString()] as const] : [];
    });
    return { aboveInputTokens, rates: Object.fromEntries(stated) };
  });
  return { rates: lowest?.rates ?? {}, contextTiers: longer };
}

/** The same table with every rate put through a function. */
export function mapTable({ rates, contextTiers }: PriceTable, change: (rate: bigint) => bigint): PriceTable {
  const mapRates = (stated: Rates): Rates =>
    Object.fromEntries(Object.entries(stated).map(([dimension, rate]) => [dimension, change(BigInt(rate)).toString()]));
  return {
    rates: mapRates(rates),
    contextTiers: contextTiers.map((tier) => ({ ...tier, rates: mapRates(tier.rates) })),
  };
}

function toMinute(time: string): number {
  const [hours = '', minutes = ''] = time.split(':');
  return Number(hours) * 60 + Number(minutes);
}

/** Minutes since midnight as a time of day: `16:30`; the end of the day is `24:00`. */
export function toClock(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}
