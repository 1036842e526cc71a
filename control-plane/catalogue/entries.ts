import type { AuthScheme, Capability, Dialect } from '@pingtoken/shared/config-snapshot';
import type { Operation } from '@pingtoken/shared/usage-event';
import type { Dimension } from '@pingtoken/shared/rate-card';

/** What is known of a vendor, to be installed with one mutation and changed at will afterwards. */
export interface ProviderEntry {
  readonly slug: string;
  readonly name: string;
  /** Up to and including the version. */
  readonly baseUrl: string;
  /** The address holds a customer's own name, which stands here as a sample: installing it takes the real one. */
  readonly baseUrlIsSample?: true;
  readonly dialect: Dialect;
  /** The dialect's own, where it is not given. */
  readonly auth?: AuthScheme;
  /** Where it serves; null where that is not said, or is the customer's choice. */
  readonly region: string | null;
  readonly termsUrl: string;
  readonly privacyUrl: string;
  /** Of what its API is sent, for paying customers, unless told otherwise; null where it is not known. */
  readonly trainsOnData: boolean | null;
  /** Days at most; null where it is not known. */
  readonly retentionDays: number | null;
}

/** A model that is offered: what no price list says about it. */
export interface ModelEntry {
  /** The vendor's own name for it. */
  readonly upstreamModel: string;
  /** The alias that callers use; the vendor's name where it is not given. */
  readonly name?: string;
  /** Its name in the price library, where that differs from the vendor's. */
  readonly listedAs?: string;
  /** The price library's provider, where that is not the one of the whole list. */
  readonly listedBy?: string;
  readonly operations: readonly Operation[];
  readonly capabilities?: readonly Capability[];
  /** In place of the library's, or where it has none. */
  readonly contextWindow?: number;
  /** Left out where it is not known. */
  readonly maxOutputTokens?: number;
  /** For what the library cannot price: the vendor's own list. */
  readonly vendorPrices?: VendorPrices;
}

export interface VendorPrices {
  /** The page that states them. */
  readonly source: string;
  /** US dollars, per million tokens or per piece. */
  readonly prices: Partial<Record<Dimension, string>>;
  /** What they leave out. */
  readonly uncovered?: readonly string[];
}

export interface ModelList {
  /** Slug of the provider. */
  readonly provider: string;
  /** The price library's name for it. */
  readonly listedBy: string;
  readonly models: readonly ModelEntry[];
}

/** What the generated list holds for one model of the price library. */
export interface ListPrice {
  readonly contextWindow: number | null;
  /** Ascending by `from`, a day (UTC); the first has none. */
  readonly versions: readonly ListPriceVersion[];
  /** Price keys of the library that no dimension stands for. */
  readonly uncovered: readonly string[];
}

export interface ListPriceTable {
  /** Per million tokens, per second of sound, or per piece. */
  readonly prices: Partial<Record<Dimension, string>>;
  readonly contextTiers: readonly {
    readonly aboveInputTokens: number;
    readonly prices: Partial<Record<Dimension, string>>;
  }[];
}

export interface ListPriceVersion extends ListPriceTable {
  readonly from: string | null;
  readonly currency: string;
  /** Other prices between two times of day, in UTC, every day. The first that is open counts. */
  readonly windows: readonly ListPriceWindow[];
}

export interface ListPriceWindow extends ListPriceTable {
  /** Minutes since midnight. */
  readonly fromMinute: number;
  readonly toMinute: number;
}
