import { z } from 'zod';
import { CAPABILITIES, DIALECTS } from '@pingtoken/shared/config-snapshot';
import { OPERATIONS } from '@pingtoken/shared/usage-event';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope } from '../database/transaction.js';
import {
  CATALOGUE_MODELS,
  CATALOGUE_PROVIDERS,
  versionsFrom,
  type CatalogueModel,
  type CatalogueProvider,
} from './catalogue.js';
import { installPlan, type Installed, type InstallPlan, type InstallSettings, type PlannedModel } from './install.js';

const page = {
  first: z.int().min(1).max(100, 'at most 100').default(50),
  /** A cursor of the same listing. */
  after: z.string().max(200).nullish(),
  /** Part of a name, whatever the case. */
  search: z.string().max(100).nullish(),
};
const providersInput = z.object({ ...page, dialect: z.enum(DIALECTS).nullish() });
const modelsInput = z.object({
  ...page,
  provider: z.string().max(100).nullish(),
  operation: z.enum(OPERATIONS).nullish(),
  capability: z.enum(CAPABILITIES).nullish(),
});

const installInput = z
  .object({
    /** Slug. */
    provider: z.string().max(100),
    /** Names; null for all of them. */
    models: z.array(z.string().max(200)).min(1).max(500).nullish(),
    credentialId: z.uuid().nullish(),
    credential: z.object({ name: z.string(), secret: z.string() }).nullish(),
    /** In place of the catalogue's. */
    baseUrl: z.string().max(500).nullish(),
  })
  .refine(({ credentialId, credential }) => credentialId == null || credential == null, {
    path: ['credential'],
    message: 'either a credential that stands or one to be made',
  });

export interface CataloguePage<Entry> {
  readonly entries: readonly Entry[];
  readonly hasNextPage: boolean;
}

export interface Catalogue {
  /** By slug. */
  providers(input: z.input<typeof providersInput>): CataloguePage<CatalogueProvider> | Refusal;
  /** By name. */
  models(input: z.input<typeof modelsInput>): CataloguePage<CatalogueModel> | Refusal;
  /** Brings a provider of the catalogue and models of it into force, at list prices. A repeat changes nothing. */
  install(scope: Scope, input: z.input<typeof installInput>): Promise<Installed | Refusal>;
  /** For installation: the same for what is not in the catalogue. */
  installPlan(scope: Scope, plan: InstallPlan): Promise<Installed | Refusal>;
}

export function createCatalogue({ run, ...settings }: { run: RunTransaction } & InstallSettings): Catalogue {
  return {
    providers: listProviders,
    models: listModels,
    async install(scope, input) {
      const checked = checkInput(installInput, input);
      if (checked instanceof Refusal) return checked;
      const plan = planInstall(checked, new Date());
      if (plan instanceof Refusal) return plan;
      return run(scope, (transaction) => installPlan(transaction, plan, settings));
    },
    installPlan: (scope, plan) => run(scope, (transaction) => installPlan(transaction, plan, settings)),
  };
}

function listProviders(input: z.input<typeof providersInput>): CataloguePage<CatalogueProvider> | Refusal {
  const checked = checkInput(providersInput, input);
  if (checked instanceof Refusal) return checked;
  const { dialect, search } = checked;
  const matching = CATALOGUE_PROVIDERS.filter(
    (provider) => (dialect == null || provider.dialect === dialect) && matches(search, provider.slug, provider.name),
  );
  return pageOf(matching, ({ slug }) => slug, checked);
}

function listModels(input: z.input<typeof modelsInput>): CataloguePage<CatalogueModel> | Refusal {
  const checked = checkInput(modelsInput, input);
  if (checked instanceof Refusal) return checked;
  const { provider, operation, capability, search } = checked;
  const matching = CATALOGUE_MODELS.filter(
    (model) =>
      (provider == null || model.provider === provider) &&
      (operation == null || model.operations.includes(operation)) &&
      (capability == null || model.capabilities.includes(capability)) &&
      matches(search, model.name),
  );
  return pageOf(matching, ({ name }) => name, checked);
}

function matches(search: string | null | undefined, ...names: readonly string[]): boolean {
  return search == null || names.some((name) => name.toLowerCase().includes(search.toLowerCase()));
}

export function catalogueCursor(key: string): string {
  return Buffer.from(key).toString('base64url');
}

/** Entries stand in the order of their keys, so that a cursor is good in every release, whatever was added since. */
function pageOf<Entry>(
  entries: readonly Entry[],
  keyOf: (entry: Entry) => string,
  { first, after }: { readonly first: number; readonly after?: string | null | undefined },
): CataloguePage<Entry> | Refusal {
  const key = after == null ? '' : Buffer.from(after, 'base64url').toString();
  if (after != null && (key === '' || catalogueCursor(key) !== after)) {
    return refuse('invalid_request', ['after'], 'The cursor is not one of this listing.');
  }
  const rest = entries.filter((entry) => keyOf(entry) > key);
  return { entries: rest.slice(0, first), hasNextPage: rest.length > first };
}

/** A provider of the catalogue as it would be installed, at its own address unless another is given. */
export function planProvider(provider: CatalogueProvider, baseUrl = provider.baseUrl): InstallPlan['provider'] {
  const { slug, name, dialect, auth, region, termsUrl, privacyUrl, trainsOnData, retentionDays } = provider;
  return { slug, name, baseUrl, dialect, auth, region, termsUrl, privacyUrl, trainsOnData, retentionDays };
}

function planInstall(input: z.output<typeof installInput>, now: Date): InstallPlan | Refusal {
  const provider = CATALOGUE_PROVIDERS.find(({ slug }) => slug === input.provider);
  if (provider === undefined) return refuse('not_found', ['provider']);
  if (provider.baseUrlIsSample === true && input.baseUrl == null) {
    return refuse('invalid_request', ['baseUrl'], `It is your own address: as in ${provider.baseUrl}`);
  }
  const models = chooseModels(provider.slug, input.models ?? null);
  if (models instanceof Refusal) return models;
  return {
    provider: planProvider(provider, input.baseUrl ?? provider.baseUrl),
    credential: input.credentialId != null ? { id: input.credentialId } : (input.credential ?? null),
    models: models.map((model) => planModel(model, now)),
  };
}

function chooseModels(slug: string, names: readonly string[] | null): readonly CatalogueModel[] | Refusal {
  const offered = CATALOGUE_MODELS.filter(({ provider }) => provider === slug);
  if (names === null) return offered;
  const byName = new Map(offered.map((model) => [model.name, model]));
  const unknown = names.findIndex((name) => !byName.has(name));
  if (unknown !== -1) return refuse('not_found', ['models', String(unknown)]);
  return [...new Set(names)].flatMap((name) => byName.get(name) ?? []);
}

/** Sold at the vendor's list price, which is also what it costs; the operator adds card versions to change either. */
export function planModel(model: CatalogueModel, now: Date): PlannedModel {
  const versions = versionsFrom(model, now).map(({ from, ...version }, index) => ({
    ...version,
    effectiveFrom: index === 0 || from === null ? now : new Date(from),
  }));
  return { ...model, price: versions, cost: versions };
}
