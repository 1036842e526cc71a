import type { Scope } from '../database/transaction.js';
import { expectDone } from '../installation.js';
import { CATALOGUE_SOURCE, readCatalogue, type CatalogueModel, type CatalogueProvider } from '../pricing/catalogue.js';
import { SIMULATOR_PRICES } from '../pricing/simulator-prices.js';
import type { Services } from '../services.js';
import type { RealProvider } from './real-providers.js';

/** How a provider that has a key in the environment is reached. All of them offer OpenAI's dialect at these addresses. */
interface KnownProvider {
  readonly name: string;
  readonly baseUrl: string;
  readonly termsUrl: string;
  readonly privacyUrl: string;
  readonly catalogueId: CatalogueProvider;
  /** Which of the catalogue's models are served at this address: it also lists those of the vendor's other services. */
  readonly serves: RegExp;
}

const KNOWN: Readonly<Record<RealProvider, KnownProvider>> = {
  openai: {
    name: 'OpenAI',
    baseUrl: 'https://api.openai.com/v1',
    termsUrl: 'https://openai.com/policies/services-agreement/',
    privacyUrl: 'https://openai.com/policies/row-privacy-policy/',
    catalogueId: 'openai',
    serves: /./,
  },
  anthropic: {
    name: 'Anthropic',
    baseUrl: 'https://api.anthropic.com/v1',
    termsUrl: 'https://www.anthropic.com/legal/commercial-terms',
    privacyUrl: 'https://www.anthropic.com/legal/privacy',
    catalogueId: 'anthropic',
    serves: /^claude-/,
  },
  gemini: {
    name: 'Google Gemini',
    baseUrl: 'https://generativelanguage.googleapis.com/v1beta/openai',
    termsUrl: 'https://ai.google.dev/gemini-api/terms',
    privacyUrl: 'https://policies.google.com/privacy',
    catalogueId: 'google',
    serves: /^(gemini|gemma)-/,
  },
  deepseek: {
    name: 'DeepSeek',
    baseUrl: 'https://api.deepseek.com/v1',
    termsUrl: 'https://cdn.deepseek.com/policies/en-US/deepseek-open-platform-terms-of-service.html',
    privacyUrl: 'https://cdn.deepseek.com/policies/en-US/deepseek-privacy-policy.html',
    catalogueId: 'deepseek',
    serves: /^deepseek-/,
  },
};

/** What a provider is set up with; each part is looked for before it is made. */
interface Seed {
  readonly provider: Omit<KnownProvider, 'catalogueId' | 'serves'> & { readonly slug: string };
  readonly secret: string;
  readonly models: readonly SeedModel[];
}

interface SeedModel {
  readonly name: string;
  readonly operation: 'chat-completions' | 'embeddings';
  /** Makes a card; called only where there is none of that name. */
  makeCard(purpose: 'price' | 'cost', name: string): Promise<string>;
}

export async function seedSimulator(
  services: Services,
  operator: Scope,
  baseUrl: string,
): Promise<{ providerId: string; model: string }> {
  const source = 'demonstration prices';
  const models = SIMULATOR_PRICES.map(({ model, ...prices }): SeedModel => ({
    name: model,
    operation: operationOf(model),
    async makeCard(purpose, name) {
      const input = { name, purpose, currency: 'USD', prices: [...prices[purpose]], source };
      return expectDone(await services.rateCards.create(operator, input)).card.id;
    },
  }));
  const provider = {
    slug: 'simulator',
    name: 'Provider simulator',
    baseUrl,
    termsUrl: `${baseUrl}/terms`,
    privacyUrl: `${baseUrl}/privacy`,
  };
  const providerId = await seed(services, operator, { provider, secret: 'simulator-needs-no-secret', models });
  return { providerId, model: models[0]?.name ?? '' };
}

/** @returns the provider's id; its models are sold at its list prices */
export async function seedProvider(
  services: Services,
  operator: Scope,
  slug: RealProvider,
  secret: string,
): Promise<string> {
  const { catalogueId, serves, ...provider } = KNOWN[slug];
  const models = readCatalogue(new Date())
    .models.filter(({ providerId, modelId }) => providerId === catalogueId && serves.test(modelId))
    .map((model): SeedModel => ({
      name: model.modelId,
      operation: operationOf(model.modelId),
      async makeCard(purpose, name) {
        const { currency, rates, contextTiers }: CatalogueModel = model;
        const card = { name, purpose, currency, rates, contextTiers, source: CATALOGUE_SOURCE };
        return expectDone(await services.rateCards.importCard(operator, card)).card.id;
      },
    }));
  return seed(services, operator, { provider: { slug, ...provider }, secret, models });
}

function operationOf(model: string): SeedModel['operation'] {
  return model.includes('embedding') ? 'embeddings' : 'chat-completions';
}

async function seed(services: Services, operator: Scope, { provider, secret, models }: Seed): Promise<string> {
  const providerId = await ensureProvider(services, operator, provider);
  const credentials = await services.providers.listCredentials(operator);
  const credential =
    credentials.find((candidate) => candidate.providerId === providerId && candidate.tenantId === null) ??
    expectDone(await services.providers.createCredential(operator, { providerId, name: 'environment', secret }));
  const cards = new Map((await services.rateCards.list(operator)).map(({ card }) => [card.name, card.id]));
  const known = new Map((await services.routes.listModels(operator)).map((model) => [model.name, model.id]));
  const routed = new Set(await services.routes.listRoutedModelIds(operator));
  for (const { name, operation, makeCard } of models) {
    const cardOf = async (purpose: 'price' | 'cost'): Promise<string> => {
      const cardName = `${provider.slug} ${name} ${purpose}`;
      return cards.get(cardName) ?? makeCard(purpose, cardName);
    };
    const modelId = known.get(name) ?? (await makeModel(services, operator, name, operation, await cardOf('price')));
    if (routed.has(modelId)) continue;
    const costCardId = await cardOf('cost');
    const target = { providerId, credentialId: credential.id, upstreamModel: name, costCardId };
    expectDone(await services.routes.createRoute(operator, { modelId, targets: [target] }));
  }
  return providerId;
}

async function makeModel(
  services: Services,
  operator: Scope,
  name: string,
  operation: SeedModel['operation'],
  priceCardId: string,
): Promise<string> {
  return expectDone(await services.routes.createModel(operator, { name, operations: [operation], priceCardId })).id;
}

async function ensureProvider(services: Services, operator: Scope, provider: Seed['provider']): Promise<string> {
  const standing = (await services.providers.list(operator)).find(({ slug }) => slug === provider.slug);
  if (standing === undefined) {
    return expectDone(await services.providers.create(operator, { ...provider, dialect: 'openai' })).id;
  }
  // The simulator's port may have been given to somebody else since, and then it has another.
  if (standing.baseUrl !== provider.baseUrl) {
    const { baseUrl, termsUrl, privacyUrl } = provider;
    expectDone(await services.providers.update(operator, { id: standing.id, baseUrl, termsUrl, privacyUrl }));
  }
  return standing.id;
}
