import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { CardPrices } from '@pingtoken/shared/rate-card';
import { refuse, type Refusal } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { RateCard, RateCardVersion, type Derivation } from './entities.js';

export interface RateCardWithVersions {
  readonly card: RateCard;
  /** By ascending `effectiveFrom`. */
  readonly versions: readonly RateCardVersion[];
}

/** What every version has, whether its prices were stated or worked out. */
export interface VersionHead {
  readonly currency: string;
  readonly effectiveFrom: Date;
  readonly source: string;
  readonly freeTokensPerMonth: number;
  readonly derivation: Derivation | null;
}

/** Earlier and later prices of a card change one after the other. No row lock: no login may update a card. */
export async function lockCard({ em }: Transaction, cardId: string): Promise<void> {
  await em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [`rate-card ${cardId}`]);
}

export async function findCard(
  { em }: Transaction,
  rateCardId: string,
  path: readonly string[] = ['rateCardId'],
): Promise<RateCard | Refusal> {
  const card = z.uuid().safeParse(rateCardId).success ? await em.findOne(RateCard, { id: rateCardId }) : null;
  return card ?? refuse('not_found', path);
}

/** By ascending `effectiveFrom`. */
export function findVersions({ em }: Transaction, rateCardId: string): Promise<RateCardVersion[]> {
  return em.find(RateCardVersion, { rateCardId }, { orderBy: { effectiveFrom: 'asc' } });
}

export function storeVersion(
  { em }: Transaction,
  rateCardId: string,
  head: VersionHead,
  { rates, contextTiers, serviceTiers, windows }: CardPrices,
): RateCardVersion {
  return em.create(RateCardVersion, {
    id: uuidv7(),
    rateCardId,
    ...head,
    ...{ rates, contextTiers, serviceTiers, windows },
    createdAt: new Date(),
  });
}

export function insertAscending(versions: readonly RateCardVersion[], version: RateCardVersion): RateCardVersion[] {
  return [...versions, version].sort((a, b) => a.effectiveFrom.getTime() - b.effectiveFrom.getTime());
}

/** The last version that has begun at an instant. */
export function versionAt(versions: readonly RateCardVersion[], instant: Date): RateCardVersion | undefined {
  return versions.findLast(({ effectiveFrom }) => effectiveFrom <= instant);
}

/** A price that is to change is told ahead to those whom it concerns, once for each version that takes effect later. */
export function announceIfLater(
  transaction: Transaction,
  { purpose }: RateCard,
  { id, effectiveFrom }: RateCardVersion,
  announceAt?: Date,
): void {
  if (purpose !== 'price' || effectiveFrom.getTime() <= Date.now()) return;
  transaction.enqueue('announce-price-change', { rateCardVersionId: id }, announceAt);
}
