import type { Transaction } from '../database/transaction.js';
import { RateCard, RateCardVersion } from '../pricing/entities.js';
import { Provider } from '../providers/entities.js';
import { Model } from '../routes/entities.js';
import type { Standing } from './catalogue-diff.js';

/** What a catalogue is held against. */
export async function readStanding({ em }: Transaction): Promise<Standing> {
  const cards = await em.find(RateCard, { baseCardId: null });
  const versions = await em.find(RateCardVersion, {}, { orderBy: { effectiveFrom: 'asc' } });
  const byCard = Map.groupBy(versions, ({ rateCardId }) => rateCardId);
  return {
    providers: new Set((await em.find(Provider, {})).map(({ slug }) => slug)),
    models: new Set((await em.find(Model, {})).map(({ name }) => name)),
    cards: new Map(cards.map((card) => [card.name, { card, versions: byCard.get(card.id) ?? [] }])),
  };
}
