import type { Capability, Dialect } from '@pingtoken/shared/config-snapshot';
import type { Operation } from '@pingtoken/shared/usage-event';
import type { PlannedModel } from '../catalogue/install.js';
import type { Scope } from '../database/transaction.js';
import { expectDone } from '../installation.js';
import { toRates, type Price } from '../pricing/prices.js';
import { SIMULATOR_PRICES } from '../pricing/simulator-prices.js';
import type { Services } from '../services.js';
import type { RealProvider } from './real-providers.js';

interface SimulatorModel {
  /** The simulator's own name for it; the alias where it is not given. */
  readonly upstreamModel?: string;
  readonly operations: readonly Operation[];
  readonly capabilities: readonly Capability[];
  /** Made up, as all of it is. */
  readonly contextWindow?: number;
  readonly maxOutputTokens?: number;
}

interface SimulatorProvider {
  readonly slug: string;
  readonly name: string;
  readonly dialect: Dialect;
  /** Of the simulator's address. */
  readonly path: string;
  readonly models: Readonly<Record<string, SimulatorModel>>;
}

const CHAT: SimulatorModel = {
  operations: ['chat-completions', 'completions', 'responses', 'batches'],
  capabilities: ['vision', 'tools', 'json-schema', 'reasoning'],
  contextWindow: 128_000,
  maxOutputTokens: 16_384,
};

/** One simulator, as a provider of each dialect. */
const SIMULATORS: readonly SimulatorProvider[] = [
  {
    slug: 'simulator',
    name: 'Provider simulator',
    dialect: 'openai',
    path: '/v1',
    models: {
      'pingtoken-sim-small': CHAT,
      'pingtoken-sim-large': CHAT,
      'pingtoken-sim-embedding': { operations: ['embeddings', 'batches'], capabilities: [], contextWindow: 8192 },
      'pingtoken-sim-image': { upstreamModel: 'sim-image', operations: ['images'], capabilities: ['vision'] },
      'pingtoken-sim-speech': { upstreamModel: 'sim-speech', operations: ['speech'], capabilities: ['audio-output'] },
      'pingtoken-sim-transcribe': {
        upstreamModel: 'sim-transcription',
        operations: ['transcriptions', 'translations'],
        capabilities: ['audio-input'],
      },
      'pingtoken-sim-moderation': { upstreamModel: 'sim-moderation', operations: ['moderations'], capabilities: [] },
      'pingtoken-sim-rerank': { upstreamModel: 'sim-rerank', operations: ['rerank'], capabilities: [] },
      'pingtoken-sim-realtime': { upstreamModel: 'sim-realtime', operations: ['realtime'], capabilities: ['tools'] },
    },
  },
  {
    slug: 'simulator-anthropic',
    name: 'Provider simulator, as Anthropic',
    dialect: 'anthropic',
    path: '/v1',
    models: {
      'pingtoken-sim-anthropic': { ...CHAT, upstreamModel: 'sim-anthropic', operations: ['chat-completions'] },
    },
  },
  {
    slug: 'simulator-gemini',
    name: 'Provider simulator, as Gemini',
    dialect: 'gemini',
    path: '/v1beta',
    models: {
      'pingtoken-sim-gemini': { ...CHAT, upstreamModel: 'sim-gemini', operations: ['chat-completions'] },
      'pingtoken-sim-gemini-embedding': {
        upstreamModel: 'sim-gemini-embedding',
        operations: ['embeddings'],
        capabilities: [],
        contextWindow: 8192,
      },
    },
  },
];

const CREDENTIAL_NAME = 'environment';

/** @param baseUrl of the simulator, with a version path: the other dialects' addresses stand beside it */
export async function seedSimulator(
  services: Services,
  operator: Scope,
  baseUrl: string,
): Promise<{ providerIds: readonly string[]; model: string }> {
  const providerIds: string[] = [];
  for (const simulator of SIMULATORS) providerIds.push(await seedOne(services, operator, simulator, baseUrl));
  return { providerIds, model: SIMULATOR_PRICES[0]?.model ?? '' };
}

async function seedOne(
  services: Services,
  operator: Scope,
  { slug, name, dialect, path, models }: SimulatorProvider,
  anyUrl: string,
): Promise<string> {
  const { origin } = new URL(anyUrl);
  const address = {
    baseUrl: `${origin}${path}`,
    termsUrl: `${origin}${path}/terms`,
    privacyUrl: `${origin}${path}/privacy`,
  };
  // The simulator's port may have been given to somebody else since, and then it has another.
  const standing = (await services.providers.list(operator)).find((provider) => provider.slug === slug);
  const hasMoved = standing !== undefined && standing.baseUrl !== address.baseUrl;
  if (hasMoved) expectDone(await services.providers.update(operator, { id: standing.id, ...address }));
  const plan = {
    provider: { slug, name, dialect, ...address, trainsOnData: false, retentionDays: 0 },
    credential: { name: CREDENTIAL_NAME, secret: 'simulator-needs-no-secret' },
    models: Object.entries(models).map(([model, details]) => planModel(model, details)),
  };
  const { provider, credential } = expectDone(await services.catalogue.installPlan(operator, plan));
  // The old one is bound to the old address for good.
  if (hasMoved && credential !== null) expectDone(await services.routes.useCredential(operator, credential.id));
  return provider.id;
}

function planModel(name: string, model: SimulatorModel): PlannedModel {
  const prices = SIMULATOR_PRICES.find((candidate) => candidate.model === name);
  if (prices === undefined) throw new Error(`${name} has no price`);
  const effectiveFrom = new Date();
  const versions = (stated: readonly Price[]) => [
    { effectiveFrom, currency: 'USD', rates: toRates(stated), contextTiers: [], serviceTiers: {}, windows: [] },
  ];
  return {
    name,
    upstreamModel: model.upstreamModel ?? name,
    operations: model.operations,
    capabilities: model.capabilities,
    contextWindow: model.contextWindow ?? null,
    maxOutputTokens: model.maxOutputTokens ?? null,
    source: 'demonstration prices',
    price: versions(prices.price),
    cost: versions(prices.cost),
  };
}

/** @returns the provider's id; the catalogue's models of it are sold at list prices */
export async function seedProvider(
  services: Services,
  operator: Scope,
  provider: RealProvider,
  secret: string,
): Promise<string> {
  const credential = { name: CREDENTIAL_NAME, secret };
  return expectDone(await services.catalogue.install(operator, { provider, credential })).provider.id;
}
