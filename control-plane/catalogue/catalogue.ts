import { AUTH_OF_DIALECT, type AuthScheme, type Capability } from '@pingtoken/shared/config-snapshot';
import { DIMENSIONS, SERVICE_TIERS, type CardPrices, type PriceTable } from '@pingtoken/shared/rate-card';
import type { Operation } from '@pingtoken/shared/usage-event';
import { toRates } from '../pricing/prices.js';
import type { ListPrice, ListPriceTable, ModelEntry, ModelList, ProviderEntry } from './entries.js';
import { HOST_MODELS } from './host-models.js';
import { HOSTS } from './hosts.js';
import { LIST_PRICES, LIST_PRICES_SOURCE } from './list-prices.js';
import { MAKER_MODELS } from './maker-models.js';
import { MAKERS } from './makers.js';

/**
 * Vendors and their models, with prices, as part of the installation: nothing of it is in force before an operator installs it,
 * and whatever was installed is the operator's to change.
 */
export interface CatalogueProvider extends ProviderEntry {
  readonly auth: AuthScheme;
}

export interface CatalogueModel {
  /** The alias that callers use; unique in the catalogue. */
  readonly name: string;
  /** Slug of the provider. */
  readonly provider: string;
  readonly upstreamModel: string;
  readonly operations: readonly Operation[];
  readonly capabilities: readonly Capability[];
  readonly contextWindow: number | null;
  readonly maxOutputTokens: number | null;
  /** Ascending by `from`; never empty, the first has no `from`. */
  readonly versions: readonly CatalogueVersion[];
  /** Where the prices come from. */
  readonly source: string;
  /** What the vendor charges for and these prices leave out. */
  readonly uncovered: readonly string[];
}

export interface CatalogueVersion extends CardPrices {
  readonly currency: string;
  /** First day (UTC) on which these prices hold, `2027-01-01`; null for ever before. */
  readonly from: string | null;
}

export const CATALOGUE_PROVIDERS: readonly CatalogueProvider[] = [...MAKERS, ...HOSTS]
  .map((entry) => ({ ...entry, auth: entry.auth ?? AUTH_OF_DIALECT[entry.dialect] }))
  .sort((a, b) => compareText(a.slug, b.slug));

export const MODEL_LISTS: readonly ModelList[] = [...MAKER_MODELS, ...HOST_MODELS];

/** By name. What has no price is left out: it could not be sold. */
export const CATALOGUE_MODELS: readonly CatalogueModel[] = listModels(LIST_PRICES, LIST_PRICES_SOURCE);

/** What is offered, at the prices of a list. @param source names the list */
export function listModels(prices: Readonly<Record<string, ListPrice>>, source: string): readonly CatalogueModel[] {
  return MODEL_LISTS.flatMap((list) =>
    list.models.flatMap((entry) => toModel(entry, list, { prices, source }) ?? []),
  ).sort((a, b) => compareText(a.name, b.name));
}

/** The price library's names for a model: of the provider, and of the model there. */
export function listingOf(
  list: ModelList,
  entry: ModelEntry,
): { readonly providerId: string; readonly modelId: string } {
  return { providerId: entry.listedBy ?? list.listedBy, modelId: entry.listedAs ?? entry.upstreamModel };
}

/** A model's place in the generated list. */
export function listKey({ providerId, modelId }: { readonly providerId: string; readonly modelId: string }): string {
  return `${providerId}/${modelId}`;
}

/** What of a model holds at an instant, and what is to follow. */
export function versionsFrom(model: CatalogueModel, at: Date): readonly CatalogueVersion[] {
  const today = at.toISOString().slice(0, 10);
  const current = model.versions.findLastIndex(({ from }) => from === null || from <= today);
  return model.versions.slice(current);
}

function toModel(
  entry: ModelEntry,
  list: ModelList,
  { prices, source }: { readonly prices: Readonly<Record<string, ListPrice>>; readonly source: string },
): CatalogueModel | undefined {
  const listed = prices[listKey(listingOf(list, entry))];
  const priced = entry.vendorPrices === undefined ? listed && fromList(listed, source) : fromVendor(entry.vendorPrices);
  if (priced === undefined) return undefined;
  return {
    name: entry.name ?? entry.upstreamModel,
    provider: list.provider,
    upstreamModel: entry.upstreamModel,
    operations: entry.operations,
    capabilities: entry.capabilities ?? [],
    contextWindow: entry.contextWindow ?? listed?.contextWindow ?? null,
    maxOutputTokens: entry.maxOutputTokens ?? null,
    ...priced,
  };
}

type Priced = Pick<CatalogueModel, 'versions' | 'source' | 'uncovered'>;

function fromList({ versions, uncovered }: ListPrice, source: string): Priced {
  return {
    versions: versions.map((version) => ({
      from: version.from,
      currency: version.currency,
      ...toTable(version),
      serviceTiers: {},
      windows: version.windows.map((window) => ({
        ...{ timeZone: 'UTC', days: [1, 2, 3, 4, 5, 6, 7], serviceTiers: [...SERVICE_TIERS] },
        ...{ fromMinute: window.fromMinute, toMinute: window.toMinute },
        ...toTable(window),
      })),
    })),
    source,
    uncovered,
  };
}

function fromVendor({ source, prices, uncovered = [] }: NonNullable<ModelEntry['vendorPrices']>): Priced {
  const table = toTable({ prices, contextTiers: [] });
  return { versions: [{ from: null, currency: 'USD', ...table, serviceTiers: {}, windows: [] }], source, uncovered };
}

function toTable({ prices, contextTiers }: ListPriceTable): PriceTable {
  return {
    rates: ratesOf(prices),
    contextTiers: contextTiers.map((tier) => ({
      aboveInputTokens: tier.aboveInputTokens,
      rates: ratesOf(tier.prices),
    })),
  };
}

function ratesOf(prices: ListPriceTable['prices']): PriceTable['rates'] {
  return toRates(
    DIMENSIONS.flatMap((dimension) => {
      const amount = prices[dimension];
      return amount === undefined ? [] : [{ dimension, amount }];
    }),
  );
}

/** The same order on every machine, whatever its language. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
