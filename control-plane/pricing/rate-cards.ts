import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { RateCardVersion as SharedVersion } from '@pingtoken/shared/rate-card';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { rateCardObject } from '../publishing/config-objects.js';
import { RateCard, RateCardVersion } from './entities.js';
import { contextTiersSchema, pricesSchema, toRates } from './prices.js';

const TEN_YEARS_MS = 10 * 366 * 24 * 3600 * 1000;

const text = (max: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(max)
    .regex(/^\P{Cc}*$/u, 'must not hold control characters');
const identity = { name: text(200), purpose: z.enum(['price', 'cost']) };
const versionHead = {
  currency: z.string().regex(/^[A-Z]{3}$/, 'three capital letters (ISO 4217)'),
  /** Null for now. */
  effectiveFrom: z
    .date()
    .refine((date) => date.getTime() <= Date.now() + TEN_YEARS_MS, 'must lie within ten years')
    .nullish(),
  /** Where the prices come from: a vendor's page, a catalogue and its version, a person's decision. */
  source: text(500),
};
const versionInput = z.object({ ...versionHead, prices: pricesSchema, contextTiers: contextTiersSchema.default([]) });
const createInput = z.object({ ...identity, ...versionInput.shape });
const addVersionInput = z.object({ rateCardId: z.uuid(), ...versionInput.shape });
const importHead = z.object({ ...identity, ...versionHead });

export interface RateCardWithVersions {
  readonly card: RateCard;
  /** By ascending `effectiveFrom`. */
  readonly versions: readonly RateCardVersion[];
}

/** Rates that are units already, such as the catalogue's. */
export type ImportedRateCard = z.input<typeof importHead> & UnitRates;
type UnitRates = Pick<SharedVersion, 'rates' | 'contextTiers'>;

export interface RateCards {
  /** A new card with its first version. That one may take effect in the past, since no call went by it. */
  create(scope: Scope, input: z.input<typeof createInput>): Promise<RateCardWithVersions | Refusal>;
  /**
   * Supersedes what is in force from an instant on; nothing is edited. The instant is now or later, for calls before were
   * priced already, it is no other version's, and the currency stays that of the card.
   */
  addVersion(scope: Scope, input: z.input<typeof addVersionInput>): Promise<RateCardWithVersions | Refusal>;
  /** For installation: a new card of a catalogue's exact rates. */
  importCard(scope: Scope, input: ImportedRateCard): Promise<RateCardWithVersions | Refusal>;
  /** By name. */
  list(scope: Scope): Promise<RateCardWithVersions[]>;
  versionsOf(scope: Scope, rateCardId: string): Promise<readonly RateCardVersion[] | Refusal>;
}

export function createRateCards({ run }: { run: RunTransaction }): RateCards {
  return {
    async create(scope, input) {
      const checked = checkInput(createInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => createCard(transaction, checked, toUnitRates(checked)));
    },

    async addVersion(scope, input) {
      const checked = checkInput(addVersionInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => supersede(transaction, checked));
    },

    async importCard(scope, { rates, contextTiers, ...head }) {
      const checked = checkInput(importHead, head);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => createCard(transaction, checked, { rates, contextTiers }));
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

type Head = z.output<typeof importHead>;

function toUnitRates({
  prices,
  contextTiers,
}: Pick<z.output<typeof versionInput>, 'prices' | 'contextTiers'>): UnitRates {
  return {
    rates: toRates(prices),
    contextTiers: contextTiers.map((tier) => ({
      aboveInputTokens: tier.aboveInputTokens,
      rates: toRates(tier.prices),
    })),
  };
}

function createCard(transaction: Transaction, head: Head, rates: UnitRates): Promise<RateCardWithVersions | Refusal> {
  const { name, purpose } = head;
  return refuseConflict(['name'], async () => {
    const createdAt = new Date();
    const card = transaction.em.create(RateCard, { id: uuidv7(), name, purpose, baseCardId: null, createdAt });
    await transaction.em.flush();
    const version = storeVersion(transaction, card.id, head, rates);
    await transaction.audit({ action: 'rate-card-created', subjectKind: 'rate-card', subjectId: card.id });
    await transaction.publish([rateCardObject(card, [version])]);
    return { card, versions: [version] };
  });
}

async function supersede(
  transaction: Transaction,
  input: z.output<typeof addVersionInput>,
): Promise<RateCardWithVersions | Refusal> {
  const card = await findCard(transaction, input.rateCardId);
  if (card instanceof Refusal) return card;
  // Of two additions at once the second must publish the first one's version too. No row lock: no login may update a card.
  await transaction.em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`rate-card ${card.id}`]);
  const earlier = await findVersions(transaction, card.id);
  if (earlier.some(({ currency }) => currency !== input.currency)) {
    return refuse('invalid_request', ['currency'], 'The currency of a card does not change.');
  }
  const now = new Date();
  const effectiveFrom = input.effectiveFrom ?? now;
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
  const version = storeVersion(transaction, card.id, { ...input, effectiveFrom }, toUnitRates(input));
  const versions = [...earlier, version].sort((a, b) => a.effectiveFrom.getTime() - b.effectiveFrom.getTime());
  const details = { rateCardVersionId: version.id, effectiveFrom: effectiveFrom.toISOString() };
  await transaction.audit({ action: 'rate-card-superseded', subjectKind: 'rate-card', subjectId: card.id, details });
  await transaction.publish([rateCardObject(card, versions)]);
  return { card, versions };
}

function storeVersion(
  { em }: Transaction,
  rateCardId: string,
  { currency, effectiveFrom, source }: Pick<Head, 'currency' | 'effectiveFrom' | 'source'>,
  { rates, contextTiers }: UnitRates,
): RateCardVersion {
  const createdAt = new Date();
  return em.create(RateCardVersion, {
    id: uuidv7(),
    rateCardId,
    effectiveFrom: effectiveFrom ?? createdAt,
    currency,
    rates,
    contextTiers,
    serviceTiers: {},
    windows: [],
    freeTokensPerMonth: 0,
    derivation: null,
    source,
    createdAt,
  });
}

async function findCard({ em }: Transaction, rateCardId: string): Promise<RateCard | Refusal> {
  const card = z.uuid().safeParse(rateCardId).success ? await em.findOne(RateCard, { id: rateCardId }) : null;
  return card ?? refuse('not_found', ['rateCardId']);
}

function findVersions({ em }: Transaction, rateCardId: string): Promise<RateCardVersion[]> {
  return em.find(RateCardVersion, { rateCardId }, { orderBy: { effectiveFrom: 'asc' } });
}
