import { findProvider } from '@pydantic/genai-prices';
import type { ConditionalPrice, ModelInfo, ModelPrice, TieredPrices } from '@pydantic/genai-prices';
import { formatAmount, parseAmount } from '@pingtoken/shared/money';
import type { Dimension, RateCardVersion } from '@pingtoken/shared/rate-card';

/**
 * Vendors' list prices, from a catalogue that is part of the installation. The catalogue calculates in doubles; here only its
 * data is read: each number's shortest decimal text is what its authors wrote, and from that text the rate is made exactly.
 */
export const CATALOGUE_SOURCE = '@pydantic/genai-prices 0.1.8';
export const CATALOGUE_PROVIDERS = ['openai', 'anthropic', 'google', 'deepseek'] as const;
export type CatalogueProvider = (typeof CATALOGUE_PROVIDERS)[number];

export interface CatalogueModel extends Pick<RateCardVersion, 'currency' | 'rates' | 'contextTiers'> {
  readonly providerId: CatalogueProvider;
  readonly modelId: string;
  /**
   * Price keys that no dimension stands for, such as `input_image_mtok`. What they price would be counted under another
   * dimension and be charged by its rate, so that calls with such content are not exact; all others are.
   */
  readonly uncovered: readonly string[];
}

export interface SkippedModel {
  readonly providerId: CatalogueProvider;
  readonly modelId: string;
  readonly reason: string;
}

export interface Catalogue {
  readonly models: readonly CatalogueModel[];
  /** Models whose prices no rate card can state. */
  readonly skipped: readonly SkippedModel[];
}

/** The prices in force at an instant. Pure: the same instant gives the same catalogue. */
export function readCatalogue(at: Date): Catalogue {
  const models: CatalogueModel[] = [];
  const skipped: SkippedModel[] = [];
  for (const providerId of CATALOGUE_PROVIDERS) {
    for (const model of findProvider({ providerId })?.models ?? []) {
      const head = { providerId, modelId: model.id };
      try {
        models.push({ ...head, ...toVersion(pricesAt(model, at)) });
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
  web_searches_kcount: { dimension: 'webSearch', per: 1000n },
  requests_kcount: { dimension: 'request', per: 1000n },
};

/** Of several conditional prices the last that applies; one that depends on the hour makes the model unrepresentable. */
function pricesAt(model: ModelInfo, at: Date): ModelPrice {
  if (!Array.isArray(model.prices)) return model.prices;
  const applies = ({ constraint }: ConditionalPrice): boolean => {
    if (constraint === undefined) return true;
    if (constraint.type === 'time_of_date') throw new UnrepresentableError('the price depends on the time of day');
    return at >= new Date(constraint.start_date);
  };
  const inForce = model.prices.toReversed().find(applies);
  if (inForce === undefined) throw new UnrepresentableError('no price is in force');
  return inForce.prices;
}

function toVersion(prices: ModelPrice): Omit<CatalogueModel, 'providerId' | 'modelId'> {
  const rates: RateCardVersion['rates'] = {};
  const tiers = new Map<number, RateCardVersion['rates']>();
  const uncovered: string[] = [];
  const stated = Object.entries(prices).flatMap(([key, price]) => (price === undefined ? [] : [{ key, price }]));
  for (const { start } of stated.flatMap(({ price }) => (typeof price === 'number' ? [] : price.tiers))) {
    if (start <= 0) throw new UnrepresentableError('a context tier without a lower bound');
    tiers.set(start, {});
  }
  for (const { key, price } of stated) {
    const target = DIMENSION_OF[key];
    if (target === undefined) uncovered.push(key);
    else {
      const { dimension, per } = target;
      rates[dimension] = toRate(typeof price === 'number' ? price : price.base, per);
      if (typeof price === 'number') continue;
      // A tier names every tiered rate anew, for of several tiers only the highest counts.
      for (const [start, tierRates] of tiers) tierRates[dimension] = toRate(priceAbove(price, start), per);
    }
  }
  if (rates.input === undefined) throw new UnrepresentableError('there is no price for input tokens');
  const contextTiers = [...tiers]
    .map(([aboveInputTokens, tierRates]) => ({ aboveInputTokens, rates: tierRates }))
    .sort((a, b) => a.aboveInputTokens - b.aboveInputTokens);
  return { currency: 'USD', rates, contextTiers, uncovered };
}

/** The price of a prompt that is just longer than `start`. */
function priceAbove({ base, tiers }: TieredPrices, start: number): number {
  const ascending = tiers.toSorted((a, b) => a.start - b.start);
  return ascending.findLast((tier) => tier.start <= start)?.price ?? base;
}

/** @throws UnrepresentableError where one of the dimension is not worth a whole number of units */
function toRate(price: number, per: bigint): string {
  const rate = parseAmount(String(price), per);
  if (Number(formatAmount(rate * per)) !== price)
    throw new UnrepresentableError(`${price} is no whole number of units`);
  return rate.toString();
}
