import { rateCardVersionSchema, type RateCardVersion } from '@pingtoken/shared/rate-card';
import type { Queryable } from '../database/sql.js';

/** Versions that are kept in memory; an installation has some hundreds. */
const MAX_KEPT = 10_000;

export interface RateCardVersions {
  /**
   * Brings the named versions into memory; those that do not exist, or cannot be read, stay unknown and are asked for again.
   * @param ids lower-case UUIDs, repeated or not
   */
  load(database: Queryable, ids: Iterable<string>): Promise<void>;
  /** @returns undefined for what `load` did not find */
  readonly find: (id: string) => RateCardVersion | undefined;
}

interface VersionRow {
  readonly id: string;
  readonly effective_from: Date;
  readonly currency: string;
  readonly rates: unknown;
  readonly context_tiers: unknown;
  readonly service_tiers: unknown;
  readonly windows: unknown;
  readonly free_tokens_per_month: string;
}

/** Rate card versions as the worker needs them: immutable, so that one which was read once is never read again. */
export function createRateCardVersions(): RateCardVersions {
  const kept = new Map<string, RateCardVersion>();
  return {
    async load(database, ids) {
      const missing = [...new Set(ids)].filter((id) => !kept.has(id));
      if (missing.length === 0) return;
      const { rows } = await database.query<VersionRow>({
        name: 'rate-card-versions',
        text: `
          select id, effective_from, currency, rates, context_tiers, service_tiers, windows, free_tokens_per_month
          from rate_card_version where id = any($1::uuid[])`,
        values: [missing],
      });
      if (kept.size + rows.length > MAX_KEPT) kept.clear();
      for (const row of rows) {
        const version = readRateCardVersion(row);
        if (version !== undefined) kept.set(row.id, version);
      }
    },
    find: (id) => kept.get(id),
  };
}

function readRateCardVersion(row: VersionRow): RateCardVersion | undefined {
  return rateCardVersionSchema.safeParse({
    id: row.id,
    effectiveFrom: row.effective_from.getTime(),
    currency: row.currency,
    rates: row.rates,
    contextTiers: row.context_tiers,
    serviceTiers: row.service_tiers,
    windows: row.windows,
    freeTokensPerMonth: Number(row.free_tokens_per_month),
  }).data;
}
