import { findProvider } from '@pydantic/genai-prices';
import type { ConditionalPrice, ModelInfo, ModelPrice, TieredPrices } from '@pydantic/genai-prices';
import { isExactAmount, parseAmount } from '@pingtoken/shared/money';
import {
  SERVICE_TIERS,
  type CardPrices,
  type Dimension,
  type PriceTable,
  type TimeWindow,
} from '@pingtoken/shared/rate-card';

/**
 * Vendors' list prices and context windows, from a library that is part of the installation. The library calculates in doubles;
 * here only its data is read: each number's shortest decimal text is what its authors wrote, and from that text the rate is made
 * exactly. Pure, and without a clock: what holds from a later day on is told with that day.
 */
export interface LibraryModel {
  readonly providerId: string;
  readonly modelId: string;
  readonly contextWindow: number | null;
  /** Ascending by `from`; the first has none. */
  readonly versions: readonly LibraryVersion[];
  /**
   * Price keys that no dimension stands for, such as `cache_audio_read_mtok`. What they price would be counted under another
   * dimension and be charged by its rate, so that calls with such content are not exact; all others are.
   */
  readonly uncovered: readonly string[];
}

export interface LibraryVersion extends Omit<CardPrices, 'serviceTiers'> {
  readonly currency: string;
  /** First day (UTC) on which these prices hold, `2027-01-01`; null for ever before. */
  readonly from: string | null;
}

export interface SkippedModel {
  readonly providerId: string;
  readonly modelId: string;
  readonly reason: string;
}

export interface PriceLibrary {
  readonly models: readonly LibraryModel[];
  /** Models whose prices no rate card can state. */
  readonly skipped: readonly SkippedModel[];
}

/** @param providerIds the library's own names */
export function readPriceLibrary(providerIds: Iterable<string>): PriceLibrary {
  const models: LibraryModel[] = [];
  const skipped: SkippedModel[] = [];
  for (const providerId of providerIds) {
    for (const model of findProvider({ providerId })?.models ?? []) {
      const head = { providerId, modelId: model.id };
      try {
        models.push({ ...head, contextWindow: model.context_window ?? null, ...toVersions(model) });
      } catch (error) {
        if (!(error instanceof UnrepresentableError)) throw error;
        skipped.push({ ...head, reason: error.message });
      }
    }
  }
  return { models, skipped };
}

/** A rate card cannot say this. */
class UnrepresentableError extends Error {}

/** What each price key becomes, and how many of the dimension its price buys. */
const DIMENSION_OF: Readonly<Record<string, { dimension: Dimension; per: bigint }>> = {
  input_mtok: { dimension: 'input', per: 1_000_000n },
  output_mtok: { dimension: 'output', per: 1_000_000n },
  cache_read_mtok: { dimension: 'cacheRead', per: 1_000_000n },
  cache_write_mtok: { dimension: 'cacheWrite5m', per: 1_000_000n },
  cache_write_1h_mtok: { dimension: 'cacheWrite1h', per: 1_000_000n },
  input_audio_mtok: { dimension: 'audioInput', per: 1_000_000n },
  output_audio_mtok: { dimension: 'audioOutput', per: 1_000_000n },
  output_reasoning_mtok: { dimension: 'reasoning', per: 1_000_000n },
  input_image_mtok: { dimension: 'imageInput', per: 1_000_000n },
  output_image_mtok: { dimension: 'imageOutput', per: 1_000_000n },
  audio_hours: { dimension: 'audioSeconds', per: 3600n },
  // The part of it that was heard; of a model that only hears, all of it.
  input_audio_hours: { dimension: 'audioSeconds', per: 3600n },
  web_searches_kcount: { dimension: 'webSearch', per: 1000n },
  requests_kcount: { dimension: 'request', per: 1000n },
};

/** Of several conditional prices the last that applies counts. Those that depend on the hour become windows. */
function toVersions({ prices }: ModelInfo): Pick<LibraryModel, 'versions' | 'uncovered'> {
  const conditional = Array.isArray(prices) ? prices : [{ prices }];
  const days = new Set(conditional.flatMap((price) => (isHourly(price) ? [] : [startOf(price)])));
  const uncovered = new Set<string>();
  const read = (stated: ModelPrice): PriceTable => {
    const { table, missing } = toTable(stated);
    for (const key of missing) uncovered.add(key);
    return table;
  };
  const versions = [...days].sort(compareDays).map((from): LibraryVersion => {
    const index = conditional.findLastIndex((price) => !isHourly(price) && compareDays(startOf(price), from) <= 0);
    const inForce = conditional[index];
    if (inForce === undefined) throw new UnrepresentableError('no price is in force');
    const table = read(inForce.prices);
    // Of two windows that are open at once a card takes the first, the library the last.
    const hourly = conditional
      .slice(index + 1)
      .filter(isHourly)
      .toReversed();
    const windows = hourly.map((price) => toWindow(price, read(price.prices)));
    for (const window of windows) refuseOtherDimensions(table, window);
    return { from, currency: 'USD', ...table, windows };
  });
  if (versions.length === 0) throw new UnrepresentableError('no price is in force');
  return { versions, uncovered: [...uncovered] };
}

type HourlyPrice = ConditionalPrice & { constraint: Extract<ConditionalPrice['constraint'], { type: 'time_of_date' }> };

function isHourly(price: ConditionalPrice): price is HourlyPrice {
  return price.constraint?.type === 'time_of_date';
}

/** First day of a price; null for ever before. */
function startOf({ constraint }: ConditionalPrice): string | null {
  return constraint?.type === 'start_date' ? constraint.start_date : null;
}

function compareDays(a: string | null, b: string | null): number {
  return (a ?? '').localeCompare(b ?? '');
}

/** Every day, in UTC, and for every service tier: the library knows neither days of the week nor tiers. */
function toWindow({ constraint }: HourlyPrice, table: PriceTable): TimeWindow {
  return {
    ...{ timeZone: 'UTC', days: [1, 2, 3, 4, 5, 6, 7] },
    fromMinute: toMinute(constraint.start_time),
    // Midnight as an end is that of the day itself.
    toMinute: toMinute(constraint.end_time) || 1440,
    serviceTiers: [...SERVICE_TIERS],
    ...table,
  };
}

function toMinute(time: string): number {
  const [, hours = '', minutes = ''] = /^(\d\d):(\d\d):00Z$/.exec(time) ?? [];
  if (minutes === '') throw new UnrepresentableError(`the price changes at ${time}`);
  return Number(hours) * 60 + Number(minutes);
}

/** What a window does not name costs what it does outside; in the library it would cost nothing. */
function refuseOtherDimensions(table: PriceTable, window: PriceTable): void {
  const named = (rates: PriceTable['rates']): string => Object.keys(rates).sort().join();
  if (named(table.rates) !== named(window.rates)) {
    throw new UnrepresentableError('what is charged for depends on the time of day');
  }
}

function toTable(prices: ModelPrice): { readonly table: PriceTable; readonly missing: readonly string[] } {
  const rates: PriceTable['rates'] = {};
  const tiers = new Map<number, PriceTable['rates']>();
  const missing: string[] = [];
  const stated = Object.entries(prices).flatMap(([key, price]) => (price === undefined ? [] : [{ key, price }]));
  for (const { start } of stated.flatMap(({ price }) => (typeof price === 'number' ? [] : price.tiers))) {
    if (start <= 0) throw new UnrepresentableError('a context tier without a lower bound');
    tiers.set(start, {});
  }
  for (const { key, price } of stated) {
    const target = DIMENSION_OF[key];
    if (target === undefined) missing.push(key);
    else {
      const { dimension, per } = target;
      const rate = toRate(typeof price === 'number' ? price : price.base, per);
      if ((rates[dimension] ?? rate) !== rate) throw new UnrepresentableError(`two prices for ${dimension}`);
      rates[dimension] = rate;
      if (typeof price === 'number') continue;
      // A tier names every tiered rate anew, for of several tiers only the highest counts.
      for (const [start, tierRates] of tiers) tierRates[dimension] = toRate(priceAbove(price, start), per);
    }
  }
  if (rates.input === undefined && rates.audioSeconds === undefined) {
    throw new UnrepresentableError('there is no price for what is sent');
  }
  const contextTiers = [...tiers]
    .map(([aboveInputTokens, tierRates]) => ({ aboveInputTokens, rates: tierRates }))
    .sort((a, b) => a.aboveInputTokens - b.aboveInputTokens);
  return { table: { rates, contextTiers }, missing };
}

/** The price of a prompt that is just longer than `start`. */
function priceAbove({ base, tiers }: TieredPrices, start: number): number {
  const ascending = tiers.toSorted((a, b) => a.start - b.start);
  return ascending.findLast((tier) => tier.start <= start)?.price ?? base;
}

/** @throws UnrepresentableError where one of the dimension is not worth a whole number of units */
function toRate(price: number, per: bigint): string {
  if (!isExactAmount(String(price), per)) throw new UnrepresentableError(`${price} is no whole number of units`);
  return parseAmount(String(price), per).toString();
}
