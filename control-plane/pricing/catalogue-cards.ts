import { v7 as uuidv7 } from 'uuid';
import type { CardPrices } from '@pingtoken/shared/rate-card';
import type { Transaction } from '../database/transaction.js';
import { rateCardObject } from '../publishing/config-objects.js';
import { RateCard } from './entities.js';
import { storeVersion } from './rate-card-rows.js';

/** A card to be made of prices that are units already, with all that is known to follow. */
export interface CatalogueCard {
  readonly name: string;
  readonly purpose: RateCard['purpose'];
  readonly source: string;
  /** Never empty. */
  readonly versions: readonly CatalogueCardVersion[];
}

export interface CatalogueCardVersion extends CardPrices {
  readonly currency: string;
  readonly effectiveFrom: Date;
}

/** Makes cards where there is none of the name; what stands is the operator's and stays. */
export async function ensureCatalogueCards(
  transaction: Transaction,
  cards: readonly CatalogueCard[],
): Promise<ReadonlyMap<string, RateCard>> {
  const names = cards.map(({ name }) => name);
  const standing = await transaction.em.find(RateCard, { name: { $in: names } });
  const byName = new Map(standing.map((card) => [card.name, card]));
  for (const card of cards) {
    if (!byName.has(card.name)) byName.set(card.name, await createCard(transaction, card));
  }
  return byName;
}

async function createCard(transaction: Transaction, card: CatalogueCard): Promise<RateCard> {
  const { em } = transaction;
  const { name, purpose, source } = card;
  const row = em.create(RateCard, { id: uuidv7(), name, purpose, baseCardId: null, createdAt: new Date() });
  await em.flush();
  const versions = card.versions.map(({ currency, effectiveFrom, ...prices }) => {
    const head = { currency, effectiveFrom, source, freeTokensPerMonth: 0, derivation: null };
    return storeVersion(transaction, row.id, head, prices);
  });
  await transaction.audit({ action: 'rate-card-created', subjectKind: 'rate-card', subjectId: row.id });
  await transaction.publish([rateCardObject(row, versions)]);
  return row;
}
