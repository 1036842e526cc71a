import type { AddressRange } from '@pingtoken/shared/address-ranges';
import { Refusal, refuse } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { ensureCatalogueCards, type CatalogueCard, type CatalogueCardVersion } from '../pricing/catalogue-cards.js';
import type { RateCard } from '../pricing/entities.js';
import { Credential, Provider } from '../providers/entities.js';
import { createCredential, createProvider, type ProviderInput } from '../providers/providers.js';
import { Model, Route } from '../routes/entities.js';
import { createModel } from '../routes/models.js';
import { createRoute } from '../routes/routes.js';
import type { CatalogueModel } from './catalogue.js';

/** A provider and models to be brought in at once. */
export interface InstallPlan {
  readonly provider: ProviderInput;
  /** One that stands, one to be made, or none: then the models are there but have no route yet. */
  readonly credential: { readonly id: string } | { readonly name: string; readonly secret: string } | null;
  readonly models: readonly PlannedModel[];
}

export interface PlannedModel extends Pick<
  CatalogueModel,
  'name' | 'upstreamModel' | 'operations' | 'capabilities' | 'contextWindow' | 'maxOutputTokens' | 'source'
> {
  /** What tenants pay. */
  readonly price: readonly CatalogueCardVersion[];
  /** What the provider charges. */
  readonly cost: readonly CatalogueCardVersion[];
}

export interface Installed {
  readonly provider: Provider;
  readonly credential: Credential | null;
  /** In the order of the plan. */
  readonly models: readonly Model[];
}

export interface InstallSettings {
  /** base64url, 32 bytes: wraps the content keys that credentials are encrypted under. */
  readonly contentKeySecret: string;
  /** Ranges that are not public and may hold a provider nonetheless. */
  readonly privateUpstreams: readonly AddressRange[];
}

/**
 * Makes what is not there yet: provider, credential, cards, models, routes. Each is known by its name, and what stands is left as
 * it is, whatever its operator has made of it: a repeat changes nothing.
 */
export async function installPlan(
  transaction: Transaction,
  plan: InstallPlan,
  { contentKeySecret, privateUpstreams }: InstallSettings,
): Promise<Installed | Refusal> {
  // Two installations at once would both find nothing and make everything twice.
  await transaction.em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', ['catalogue-install']);
  const slug = plan.provider.slug;
  const provider =
    (await transaction.em.findOne(Provider, { slug })) ??
    (await createProvider(transaction, plan.provider, privateUpstreams));
  if (provider instanceof Refusal) return provider;
  const credential = await ensureCredential(transaction, provider, plan.credential, contentKeySecret);
  if (credential instanceof Refusal) return credential;
  const cards = await ensureCatalogueCards(
    transaction,
    plan.models.flatMap((model) => cardsOf(slug, model)),
  );
  const models = await ensureModels(transaction, slug, plan.models, cards);
  if (models instanceof Refusal || credential === null) {
    return models instanceof Refusal ? models : { provider, credential, models };
  }
  const fault = await ensureRoutes(transaction, { plan, models, credential, cards });
  return fault ?? { provider, credential, models };
}

async function ensureCredential(
  transaction: Transaction,
  provider: Provider,
  wanted: InstallPlan['credential'],
  contentKeySecret: string,
): Promise<Credential | null | Refusal> {
  const { em } = transaction;
  if (wanted === null) return null;
  if ('id' in wanted) {
    const named = await em.findOne(Credential, { id: wanted.id, providerId: provider.id });
    return named ?? refuse('not_found', ['credentialId']);
  }
  const origin = new URL(provider.baseUrl).origin;
  const standing = await em.findOne(Credential, { providerId: provider.id, name: wanted.name, tenantId: null, origin });
  if (standing !== null) return standing;
  const made = await createCredential(transaction, { providerId: provider.id, ...wanted }, contentKeySecret);
  if (!(made instanceof Refusal)) return made;
  return new Refusal(made.errors.map((error) => ({ ...error, path: ['credential', ...error.path] })));
}

export const cardName = (
  slug: string,
  model: Pick<PlannedModel, 'upstreamModel'>,
  purpose: RateCard['purpose'],
): string => `${slug} ${model.upstreamModel} ${purpose}`;

function cardsOf(slug: string, model: PlannedModel): CatalogueCard[] {
  return (['price', 'cost'] as const).map((purpose) => ({
    name: cardName(slug, model, purpose),
    purpose,
    source: model.source,
    versions: model[purpose],
  }));
}

type Cards = ReadonlyMap<string, RateCard>;

async function ensureModels(
  transaction: Transaction,
  slug: string,
  planned: readonly PlannedModel[],
  cards: Cards,
): Promise<readonly Model[] | Refusal> {
  const names = planned.map(({ name }) => name);
  const standing = await transaction.em.find(Model, { name: { $in: names } });
  const byName = new Map(standing.map((model) => [model.name, model]));
  const models: Model[] = [];
  for (const model of planned) {
    const { name, operations, capabilities, contextWindow, maxOutputTokens } = model;
    const priceCardId = cards.get(cardName(slug, model, 'price'))?.id ?? null;
    const input = {
      name,
      operations: [...operations],
      capabilities: [...capabilities],
      contextWindow,
      maxOutputTokens,
    };
    const row = byName.get(name) ?? (await createModel(transaction, { ...input, priceCardId }));
    if (row instanceof Refusal) return row;
    models.push(row);
  }
  return models;
}

interface RoutesToMake {
  readonly plan: InstallPlan;
  readonly models: readonly Model[];
  readonly credential: Credential;
  readonly cards: Cards;
}

/** A credential of one tenant makes routes of that tenant. */
async function ensureRoutes(
  transaction: Transaction,
  { plan, models, credential, cards }: RoutesToMake,
): Promise<Refusal | undefined> {
  const { id: credentialId, providerId, tenantId } = credential;
  const modelIds = models.map(({ id }) => id);
  const standing = await transaction.em.find(Route, { modelId: { $in: modelIds }, tenantId });
  const routed = new Set(standing.map(({ modelId }) => modelId));
  for (const [index, model] of models.entries()) {
    const planned = plan.models[index];
    if (planned === undefined || routed.has(model.id)) continue;
    const costCardId = cards.get(cardName(plan.provider.slug, planned, 'cost'))?.id ?? null;
    const target = { providerId, credentialId, upstreamModel: planned.upstreamModel, costCardId };
    const made = await createRoute(transaction, { modelId: model.id, tenantId, targets: [target] });
    if (made instanceof Refusal) return made;
  }
  return undefined;
}
