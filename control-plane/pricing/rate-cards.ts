import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { CardPrices } from '@pingtoken/shared/rate-card';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { rateCardObject } from '../publishing/config-objects.js';
import { hasRounding, statedPrices, toCardPrices, type StatedPrices } from './card-prices.js';
import { followBase } from './derived-cards.js';
import { RateCard, RateCardVersion } from './entities.js';
import { currencySchema, effectiveFromSchema, printable } from './inputs.js';
import { announceIfLater, findCard, findVersions, insertAscending, lockCard, storeVersion } from './rate-card-rows.js';
import type { RateCardWithVersions, VersionHead } from './rate-card-rows.js';

const identity = { name: printable(200), purpose: z.enum(['price', 'cost']) };
const versionHead = {
  currency: currencySchema,
  effectiveFrom: effectiveFromSchema,
  /** Where the prices come from: a vendor's page, a catalogue and its version, a person's decision. */
  source: printable(500),
};
const versionInput = { ...versionHead, ...statedPrices };
const createInput = z
  .object({ ...identity, ...versionInput })
  .refine(({ purpose, freeTokensPerMonth }) => purpose === 'price' || freeTokensPerMonth === 0, {
    message: 'is for prices only',
    path: ['freeTokensPerMonth'],
  });
const addVersionInput = z.object({ rateCardId: z.uuid(), ...versionInput });

export interface RateCards {
  /** A new card with its first version. That one may take effect in the past, since no call went by it. */
  create(scope: Scope, input: z.input<typeof createInput>): Promise<RateCardWithVersions | Refusal>;
  /**
   * Supersedes what is in force from an instant on; nothing is edited. The instant is now or later, for calls before were
   * priced already, it is no other version's, and the currency stays that of the card.
   */
  addVersion(scope: Scope, input: z.input<typeof addVersionInput>): Promise<RateCardWithVersions | Refusal>;
  /** By name. */
  list(scope: Scope): Promise<RateCardWithVersions[]>;
  versionsOf(scope: Scope, rateCardId: string): Promise<readonly RateCardVersion[] | Refusal>;
}

export function createRateCards({ run }: { run: RunTransaction }): RateCards {
  return {
    async create(scope, input) {
      const checked = checkInput(createInput, input);
      if (checked instanceof Refusal) return checked;
      const prices = toCardPrices(checked);
      if (prices instanceof Refusal) return prices;
      return run(scope, (transaction) => createCard(transaction, checked, toHead(checked, new Date()), prices));
    },

    async addVersion(scope, input) {
      const checked = checkInput(addVersionInput, input);
      if (checked instanceof Refusal) return checked;
      const prices = toCardPrices(checked);
      if (prices instanceof Refusal) return prices;
      return run(scope, (transaction) => supersede(transaction, checked, prices));
    },

    list: (scope) =>
      run(scope, async ({ em }) => {
        const cards = await em.find(RateCard, {}, { orderBy: { name: 'asc' } });
        const versions = await em.find(RateCardVersion, {}, { orderBy: { effectiveFrom: 'asc' } });
        const byCard = Map.groupBy(versions, ({ rateCardId }) => rateCardId);
        return cards.map((card) => ({ card, versions: byCard.get(card.id) ?? [] }));
      }),

    versionsOf: (scope, rateCardId) =>
      run(scope, async (transaction) => {
        const card = await findCard(transaction, rateCardId);
        return card instanceof Refusal ? card : findVersions(transaction, card.id);
      }),
  };
}

function toHead(
  stated: StatedPrices & Pick<z.output<typeof createInput>, 'currency' | 'effectiveFrom' | 'source'>,
  now: Date,
): VersionHead {
  const { currency, effectiveFrom, source, freeTokensPerMonth } = stated;
  const { prices, contextTiers, serviceTiers, windows } = stated;
  const kept = { prices, contextTiers, serviceTiers, windows, freeTokensPerMonth };
  const derivation = hasRounding(stated) ? ({ kind: 'rounded', stated: kept } as const) : null;
  return { currency, effectiveFrom: effectiveFrom ?? now, source, freeTokensPerMonth, derivation };
}

function createCard(
  transaction: Transaction,
  { name, purpose }: Pick<z.output<typeof createInput>, 'name' | 'purpose'>,
  head: VersionHead,
  prices: CardPrices,
): Promise<RateCardWithVersions | Refusal> {
  return refuseConflict(['name'], async () => {
    const createdAt = new Date();
    const card = transaction.em.create(RateCard, { id: uuidv7(), name, purpose, baseCardId: null, createdAt });
    await transaction.em.flush();
    const version = storeVersion(transaction, card.id, head, prices);
    await transaction.audit({ action: 'rate-card-created', subjectKind: 'rate-card', subjectId: card.id });
    await transaction.publish([rateCardObject(card, [version])]);
    return { card, versions: [version] };
  });
}

async function supersede(
  transaction: Transaction,
  input: z.output<typeof addVersionInput>,
  prices: CardPrices,
): Promise<RateCardWithVersions | Refusal> {
  const card = await findCard(transaction, input.rateCardId);
  if (card instanceof Refusal) return card;
  // Of two additions at once the second must publish the first one's version too.
  await lockCard(transaction, card.id);
  const earlier = await findVersions(transaction, card.id);
  const now = new Date();
  const head = toHead(input, now);
  return supersedeCard(transaction, { card, versions: earlier }, { head, prices, now });
}

interface SupersedingVersion {
  readonly head: VersionHead;
  readonly prices: CardPrices;
  readonly now: Date;
  /** When those whom it concerns are told; at once where it is not given. */
  readonly announceAt?: Date | undefined;
}

/** For other modules' transactions; the caller holds the card's lock. Derived cards follow. */
export async function supersedeCard(
  transaction: Transaction,
  { card, versions: earlier }: RateCardWithVersions,
  { head, prices, now, announceAt }: SupersedingVersion,
): Promise<RateCardWithVersions | Refusal> {
  const fault = findFault(card, head, { earlier, now });
  if (fault !== undefined) return fault;
  const version = storeVersion(transaction, card.id, head, prices);
  announceIfLater(transaction, card, version, announceAt);
  const superseded = { card, versions: insertAscending(earlier, version) };
  const followed = await followBase(transaction, card, version, announceAt);
  if (followed instanceof Refusal) return followed;
  const details = { rateCardVersionId: version.id, effectiveFrom: head.effectiveFrom.toISOString() };
  await transaction.audit({ action: 'rate-card-superseded', subjectKind: 'rate-card', subjectId: card.id, details });
  await transaction.publish([superseded, ...followed].map((each) => rateCardObject(each.card, each.versions)));
  return superseded;
}

function findFault(
  { purpose, baseCardId }: RateCard,
  { currency, effectiveFrom, freeTokensPerMonth }: VersionHead,
  { earlier, now }: { readonly earlier: readonly RateCardVersion[]; readonly now: Date },
): Refusal | undefined {
  if (baseCardId !== null) {
    return refuse('invalid_request', ['rateCardId'], 'It is derived: change its terms, or the card that it follows.');
  }
  if (earlier.some((version) => version.currency !== currency)) {
    return refuse('invalid_request', ['currency'], 'The currency of a card does not change.');
  }
  if (purpose === 'cost' && freeTokensPerMonth > 0) {
    return refuse('invalid_request', ['freeTokensPerMonth'], 'is for prices only');
  }
  if (effectiveFrom < now) {
    return refuse(
      'invalid_request',
      ['effectiveFrom'],
      'Calls up to now have been priced; it must not lie in the past.',
    );
  }
  if (earlier.some((version) => version.effectiveFrom.getTime() === effectiveFrom.getTime())) {
    return refuse('conflict', ['effectiveFrom']);
  }
  return undefined;
}
