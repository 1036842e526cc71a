import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { rateCardObject } from '../publishing/config-objects.js';
import { derivePrices } from './derive-prices.js';
import { RateCard, type DerivedTerms, type RateCardVersion } from './entities.js';
import { findExchangeRate } from './exchange-rates.js';
import { currencySchema, effectiveFromSchema, printable } from './inputs.js';
import { announceIfLater, findCard, findVersions, insertAscending, lockCard, storeVersion } from './rate-card-rows.js';
import { versionAt, type RateCardWithVersions } from './rate-card-rows.js';

const terms = {
  basisPoints: z.int().min(-10_000, 'at least -10000, which is free').max(1_000_000),
  source: printable(500),
};
const createInput = z.object({
  baseRateCardId: z.string(),
  name: printable(200),
  purpose: z.enum(['price', 'cost']).default('price'),
  /** Null for the base card's. */
  currency: currencySchema.nullish(),
  ...terms,
});
const changeInput = z.object({ rateCardId: z.string(), effectiveFrom: effectiveFromSchema, ...terms });

/**
 * Cards that are worked out from another: a plan's discount, a tenant's price, a markup upon cost, another currency. Each of
 * their versions is made of one version of the base card, and follows it: a price that changes there changes here too, at the
 * same instant, by the terms in force then.
 */
export interface DerivedCards {
  /** With a version for what is in force at the base card, and one for each that is to follow. */
  create(scope: Scope, input: z.input<typeof createInput>): Promise<RateCardWithVersions | Refusal>;
  /** Other terms, and the exchange rate of the day, from an instant on: after the last version that there is. */
  changeTerms(scope: Scope, input: z.input<typeof changeInput>): Promise<RateCardWithVersions | Refusal>;
}

export function createDerivedCards({ run }: { run: RunTransaction }): DerivedCards {
  return {
    async create(scope, input) {
      const checked = checkInput(createInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => refuseConflict(['name'], () => createDerived(transaction, checked)));
    },

    async changeTerms(scope, input) {
      const checked = checkInput(changeInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => changeTerms(transaction, checked));
    },
  };
}

async function createDerived(
  transaction: Transaction,
  input: z.output<typeof createInput>,
): Promise<RateCardWithVersions | Refusal> {
  const base = await findCard(transaction, input.baseRateCardId, ['baseRateCardId']);
  if (base instanceof Refusal) return base;
  if (base.baseCardId !== null) return refuse('invalid_request', ['baseRateCardId'], 'is derived itself');
  await lockCard(transaction, base.id);
  const baseVersions = await findVersions(transaction, base.id);
  const createdAt = new Date();
  const current = versionAt(baseVersions, createdAt);
  const { name, purpose, basisPoints, source } = input;
  const card = transaction.em.create(RateCard, { id: uuidv7(), name, purpose, baseCardId: base.id, createdAt });
  await transaction.em.flush();
  const versions: RateCardVersion[] = [];
  for (const baseVersion of baseVersions) {
    if (baseVersion !== current && baseVersion.effectiveFrom <= createdAt) continue;
    const effectiveFrom = baseVersion === current ? createdAt : baseVersion.effectiveFrom;
    const currency = input.currency ?? baseVersion.currency;
    const version = await derive(transaction, card, { baseVersion, basisPoints, currency, effectiveFrom, source });
    if (version instanceof Refusal) return version;
    versions.push(version);
  }
  const details = { baseCardId: base.id, basisPoints };
  await transaction.audit({ action: 'rate-card-derived', subjectKind: 'rate-card', subjectId: card.id, details });
  await transaction.publish([rateCardObject(card, versions)]);
  return { card, versions };
}

async function changeTerms(
  transaction: Transaction,
  input: z.output<typeof changeInput>,
): Promise<RateCardWithVersions | Refusal> {
  const card = await findCard(transaction, input.rateCardId);
  if (card instanceof Refusal) return card;
  if (card.baseCardId === null) return refuse('invalid_request', ['rateCardId'], 'is not derived from another card');
  await lockCard(transaction, card.baseCardId);
  const now = new Date();
  const effectiveFrom = input.effectiveFrom ?? now;
  if (effectiveFrom < now) return refuse('invalid_request', ['effectiveFrom'], 'Calls up to now have been priced.');
  const earlier = await findVersions(transaction, card.id);
  const last = earlier.at(-1);
  if (last === undefined || last.effectiveFrom >= effectiveFrom) {
    return refuse('conflict', ['effectiveFrom'], 'It must come after every price that is announced already.');
  }
  const baseVersion = versionAt(await findVersions(transaction, card.baseCardId), effectiveFrom);
  if (baseVersion === undefined) return refuse('price_missing', ['effectiveFrom']);
  const { basisPoints, source } = input;
  const { currency } = last;
  const version = await derive(transaction, card, { baseVersion, basisPoints, currency, effectiveFrom, source });
  if (version instanceof Refusal) return version;
  announceIfLater(transaction, card, version);
  const versions = insertAscending(earlier, version);
  const details = { rateCardVersionId: version.id, effectiveFrom: effectiveFrom.toISOString(), basisPoints };
  await transaction.audit({ action: 'rate-card-superseded', subjectKind: 'rate-card', subjectId: card.id, details });
  await transaction.publish([rateCardObject(card, versions)]);
  return { card, versions };
}

/**
 * Lets the cards that are derived from a card follow its new version; the caller holds the base card's lock and publishes.
 * @returns a refusal where a derived card has a later version of its own, made of prices that the new version supersedes
 */
export async function followBase(
  transaction: Transaction,
  base: RateCard,
  baseVersion: RateCardVersion,
  announceAt?: Date,
): Promise<RateCardWithVersions[] | Refusal> {
  const { effectiveFrom, source } = baseVersion;
  const followed: RateCardWithVersions[] = [];
  for (const card of await transaction.em.find(RateCard, { baseCardId: base.id }, { orderBy: { id: 'asc' } })) {
    const earlier = await findVersions(transaction, card.id);
    const overtaken = earlier.find((version) => version.effectiveFrom >= effectiveFrom);
    const before = versionAt(earlier, effectiveFrom);
    const inForce = before ?? overtaken;
    if (inForce === undefined) continue;
    if (before && overtaken && termsOf(overtaken).baseVersionId === termsOf(before).baseVersionId) {
      return refuse('conflict', ['effectiveFrom'], `The derived card ${card.name} has prices announced for later.`);
    }
    const { basisPoints } = termsOf(inForce);
    const { currency } = inForce;
    const version = await derive(transaction, card, { baseVersion, basisPoints, currency, effectiveFrom, source });
    if (version instanceof Refusal) return version;
    announceIfLater(transaction, card, version, announceAt);
    followed.push({ card, versions: insertAscending(earlier, version) });
  }
  return followed;
}

interface DeriveOptions {
  readonly baseVersion: RateCardVersion;
  readonly basisPoints: number;
  readonly currency: string;
  readonly effectiveFrom: Date;
  readonly source: string;
}

async function derive(
  transaction: Transaction,
  card: RateCard,
  { baseVersion, basisPoints, currency, effectiveFrom, source }: DeriveOptions,
): Promise<RateCardVersion | Refusal> {
  const pair = { baseCurrency: baseVersion.currency, quoteCurrency: currency, at: effectiveFrom };
  const isSameCurrency = currency === baseVersion.currency;
  const exchange = isSameCurrency ? null : await findExchangeRate(transaction, pair);
  if (exchange === null && !isSameCurrency) {
    const message = `No exchange rate from ${pair.baseCurrency} to ${currency} is in force then.`;
    return refuse('invalid_request', ['currency'], message);
  }
  const exchangeRateId = exchange?.id ?? null;
  const derivation: DerivedTerms = { kind: 'derived', baseVersionId: baseVersion.id, basisPoints, exchangeRateId };
  // What is free of one card is given away by that card, not by each that is derived from it for another purpose.
  const freeTokensPerMonth = card.purpose === 'price' ? baseVersion.freeTokensPerMonth : 0;
  return storeVersion(
    transaction,
    card.id,
    { currency, effectiveFrom, source, freeTokensPerMonth, derivation },
    derivePrices(baseVersion, { basisPoints, exchangeRate: exchange?.rate ?? null }),
  );
}

function termsOf({ derivation }: RateCardVersion): DerivedTerms {
  if (derivation?.kind !== 'derived') throw new Error('a version of a derived card has no terms');
  return derivation;
}
