import { sha256 } from '@pingtoken/shared/crypto';
import { DIMENSIONS, type CardPrices, type PriceTable } from '@pingtoken/shared/rate-card';
import type { RateCard, RateCardVersion } from '../pricing/entities.js';
import { versionAt, type RateCardWithVersions } from '../pricing/rate-card-rows.js';
import { versionsFrom, type CatalogueModel, type CatalogueVersion } from './catalogue.js';
import { cardName } from './install.js';

/**
 * What a catalogue holds against what stands, of the providers that are installed. Pure.
 *
 * - `new`: a model that is not installed
 * - `changed`: prices of a card that was installed, other than those in force or announced
 * - `gone`: a card of a model that the catalogue does not offer any more; there is nothing to apply
 */
export type ChangeKind = 'new' | 'changed' | 'gone';

export interface CatalogueChange {
  /** Names the change within a diff. */
  readonly key: string;
  readonly kind: ChangeKind;
  /** Slug. */
  readonly provider: string;
  readonly upstreamModel: string;
  /** Undefined where it is gone. */
  readonly model: CatalogueModel | undefined;
  /** Undefined where it is new. */
  readonly card: RateCard | undefined;
  /** What is in force at the card, and what is announced. */
  readonly standing: readonly RateCardVersion[];
  /** What the catalogue has now, and what it knows to follow. */
  readonly proposed: readonly CatalogueVersion[];
  /** Of all of this: who approves it approves just that. base64url of SHA-256. */
  readonly digest: string;
}

export interface Standing {
  /** Slugs of the providers that are installed. */
  readonly providers: ReadonlySet<string>;
  /** Names of models that are there, whoever made them. */
  readonly models: ReadonlySet<string>;
  /** By name. */
  readonly cards: ReadonlyMap<string, RateCardWithVersions>;
}

/** Providers first, by slug; of each what is new, what has changed and what is gone, by name. */
export function diffCatalogue(models: readonly CatalogueModel[], standing: Standing, now: Date): CatalogueChange[] {
  const offered = models.filter(({ provider }) => standing.providers.has(provider));
  const added = offered.flatMap((model) => (standing.models.has(model.name) ? [] : [newModel(model, now)]));
  const changed = offered.flatMap((model) =>
    (['cost', 'price'] as const).flatMap((purpose) => changedCard(model, purpose, standing, now) ?? []),
  );
  const changes = [...added, ...changed, ...goneCards(offered, standing, now)];
  const order: readonly ChangeKind[] = ['new', 'changed', 'gone'];
  const place = ({ provider, kind, key }: CatalogueChange): string => `${provider} ${order.indexOf(kind)} ${key}`;
  return changes.sort((one, other) => (place(one) < place(other) ? -1 : 1));
}

function newModel(model: CatalogueModel, now: Date): CatalogueChange {
  const { provider, upstreamModel } = model;
  const proposed = versionsFrom(model, now);
  return withDigest({
    ...{ key: `new ${model.name}`, kind: 'new', provider, upstreamModel, model },
    ...{ card: undefined, standing: [], proposed },
  });
}

function changedCard(
  model: CatalogueModel,
  purpose: RateCard['purpose'],
  { cards }: Standing,
  now: Date,
): CatalogueChange | undefined {
  const { provider, upstreamModel } = model;
  const name = cardName(provider, model, purpose);
  const found = cards.get(name);
  // A card that follows another one changes with that one.
  if (found === undefined || found.card.baseCardId !== null) return undefined;
  const proposed = versionsFrom(model, now);
  if (proposed.every((_, index) => isStanding(proposed, index, found.versions, now))) return undefined;
  return withDigest({
    ...{ key: `changed ${name}`, kind: 'changed', provider, upstreamModel, model },
    ...{ card: found.card, standing: fromNow(found.versions, now), proposed },
  });
}

/** Whether a version of the catalogue is in force in its time, or announced for some of it. */
function isStanding(
  proposed: readonly CatalogueVersion[],
  index: number,
  versions: readonly RateCardVersion[],
  now: Date,
): boolean {
  const version = proposed[index];
  if (version === undefined) return true;
  const begin = index === 0 ? now : beginOf(version, now);
  const next = proposed[index + 1];
  const end = next === undefined ? undefined : beginOf(next, now);
  const inForce = versionAt(versions, begin);
  const later = versions.filter(
    ({ effectiveFrom }) => effectiveFrom > begin && (end === undefined || effectiveFrom < end),
  );
  return [inForce, ...later].some((each) => each !== undefined && isSame(each, version));
}

/** A day of the catalogue's is one of UTC. */
export function beginOf({ from }: Pick<CatalogueVersion, 'from'>, now: Date): Date {
  return from === null || new Date(from) < now ? now : new Date(from);
}

/** Of what a catalogue states: it knows neither service tiers nor what is free. */
export function isSame(
  one: Pick<RateCardVersion, 'currency' | 'rates' | 'contextTiers' | 'windows'>,
  other: Pick<CatalogueVersion, 'currency' | 'rates' | 'contextTiers' | 'windows'>,
): boolean {
  return one.currency === other.currency && textOf(one) === textOf(other);
}

function goneCards(offered: readonly CatalogueModel[], { providers, cards }: Standing, now: Date): CatalogueChange[] {
  const known = new Set(
    offered.flatMap((model) => [cardName(model.provider, model, 'price'), cardName(model.provider, model, 'cost')]),
  );
  const listed = new Set(offered.map(({ provider }) => provider));
  return [...cards.values()].flatMap(({ card, versions }) => {
    const [, provider = '', upstreamModel = '', purpose] = /^(\S+) (.+) (price|cost)$/.exec(card.name) ?? [];
    if (known.has(card.name) || !providers.has(provider) || !listed.has(provider)) return [];
    if (purpose !== card.purpose || card.baseCardId !== null) return [];
    return withDigest({
      ...{ key: `gone ${card.name}`, kind: 'gone', provider, upstreamModel, model: undefined, card },
      ...{ standing: fromNow(versions, now), proposed: [] },
    });
  });
}

function fromNow(versions: readonly RateCardVersion[], now: Date): readonly RateCardVersion[] {
  const current = versionAt(versions, now);
  return versions.filter((version) => version === current || version.effectiveFrom > now);
}

function withDigest(change: Omit<CatalogueChange, 'digest'>): CatalogueChange {
  const { key, model, card, standing, proposed } = change;
  const seen = {
    ...{ key, cardId: card?.id ?? null, standing: standing.map(({ id }) => id), source: model?.source ?? null },
    proposed: proposed.map((version) => [version.from, version.currency, textOf(version)]),
    ...(card === undefined &&
      model !== undefined && {
        operations: model.operations,
        capabilities: model.capabilities,
        limits: [model.contextWindow, model.maxOutputTokens],
      }),
  };
  return { ...change, digest: sha256(JSON.stringify(seen)) };
}

/** The same text for the same prices, whatever the order in which they are kept. */
function textOf({ rates, contextTiers, windows }: Pick<CardPrices, 'rates' | 'contextTiers' | 'windows'>): string {
  const ratesOf = (table: PriceTable['rates']) => DIMENSIONS.map((dimension) => table[dimension] ?? null);
  const tableOf = (table: PriceTable) => [
    ratesOf(table.rates),
    table.contextTiers.map(({ aboveInputTokens, rates: above }) => [aboveInputTokens, ratesOf(above)]),
  ];
  return JSON.stringify([
    tableOf({ rates, contextTiers }),
    windows.map((window) => [
      ...[window.timeZone, window.days, window.fromMinute, window.toMinute, window.serviceTiers],
      tableOf(window),
    ]),
  ]);
}
