import {
  Arg,
  Args,
  ArgsType,
  Ctx,
  Field,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
} from 'type-graphql';
import type { AuthScheme, Capability, Dialect } from '@pingtoken/shared/config-snapshot';
import type { Operation } from '@pingtoken/shared/usage-event';
import { CurrentViewer, orThrow, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { PageInfo, Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import { PricesType, PriceWindow, toTable, toWindow } from '../pricing/rate-card-types.graphql.js';
import { authSchemeEnum, CredentialType, dialectEnum, ProviderType } from '../providers/providers.graphql.js';
import { capabilityEnum, ModelType, operationEnum } from '../routes/models.graphql.js';
import { versionsFrom, type CatalogueModel, type CatalogueProvider, type CatalogueVersion } from './catalogue.js';
import { catalogueCursor, type CataloguePage } from './catalogue-service.js';

@ObjectType('CatalogueProvider', { description: 'A vendor that can be installed; nothing of it is in force before.' })
class CatalogueProviderType implements Partial<Omit<CatalogueProvider, 'baseUrlIsSample'>> {
  @Field(() => String)
  slug!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String)
  baseUrl!: string;

  @Field(() => Boolean, { description: 'Whether the base URL is a sample, to be replaced by your own address there.' })
  baseUrlIsSample!: boolean;

  @Field(() => dialectEnum)
  dialect!: Dialect;

  @Field(() => authSchemeEnum)
  auth!: AuthScheme;

  @Field(() => String, { nullable: true })
  region!: string | null;

  @Field(() => String)
  termsUrl!: string;

  @Field(() => String)
  privacyUrl!: string;

  @Field(() => Boolean, { nullable: true, description: 'Null where not known.' })
  trainsOnData!: boolean | null;

  @Field(() => Int, { nullable: true, description: 'Null where not known.' })
  retentionDays!: number | null;
}

@ObjectType({ description: 'List prices from a day on.' })
export class CataloguePrices extends PricesType {
  @Field(() => String, { nullable: true, description: 'A day (UTC), `2027-01-01`; null for ever before.' })
  from!: string | null;

  @Field(() => String, { description: 'ISO 4217' })
  currency!: string;

  @Field(() => [PriceWindow], { description: 'Other prices at certain hours.' })
  windows!: readonly PriceWindow[];
}

@ObjectType('CatalogueModel')
class CatalogueModelType implements Partial<CatalogueModel> {
  @Field(() => String, { description: 'The alias that it would be installed under.' })
  name!: string;

  @Field(() => String, { description: 'Slug of its provider.' })
  provider!: string;

  @Field(() => String, { description: "The provider's own name for it." })
  upstreamModel!: string;

  @Field(() => [operationEnum])
  operations!: readonly Operation[];

  @Field(() => [capabilityEnum])
  capabilities!: readonly Capability[];

  @Field(() => Int, { nullable: true, description: 'Tokens; null where not known.' })
  contextWindow!: number | null;

  @Field(() => Int, { nullable: true, description: 'Tokens; null where not known.' })
  maxOutputTokens!: number | null;

  @Field(() => [CataloguePrices], { description: 'What holds now, and what is known to follow.' })
  listPrices!: readonly CataloguePrices[];

  @Field(() => String, { description: 'Where the prices come from.' })
  source!: string;

  @Field(() => [String], { description: 'What the vendor charges for and these prices leave out.' })
  uncovered!: readonly string[];
}

@ObjectType()
class CatalogueProviderEdge {
  @Field(() => CatalogueProviderType)
  node!: CatalogueProviderType;

  @Field(() => String)
  cursor!: string;
}

@ObjectType()
class CatalogueProviderConnection {
  @Field(() => [CatalogueProviderEdge])
  edges!: readonly CatalogueProviderEdge[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@ObjectType()
class CatalogueModelEdge {
  @Field(() => CatalogueModelType)
  node!: CatalogueModelType;

  @Field(() => String)
  cursor!: string;
}

@ObjectType()
class CatalogueModelConnection {
  @Field(() => [CatalogueModelEdge])
  edges!: readonly CatalogueModelEdge[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@ArgsType()
class CataloguePageArguments {
  @Field(() => Int, { defaultValue: 50, description: 'At most 100.' })
  first!: number;

  @Field(() => String, { nullable: true, description: 'The cursor to read on from.' })
  after?: string | null;

  @Field(() => String, { nullable: true, description: 'Part of a name.' })
  search?: string | null;
}

@ArgsType()
class CatalogueProvidersArguments extends CataloguePageArguments {
  @Field(() => dialectEnum, { nullable: true })
  dialect?: Dialect | null;
}

@ArgsType()
class CatalogueModelsArguments extends CataloguePageArguments {
  @Field(() => String, { nullable: true, description: 'Slug.' })
  provider?: string | null;

  @Field(() => operationEnum, { nullable: true })
  operation?: Operation | null;

  @Field(() => capabilityEnum, { nullable: true })
  capability?: Capability | null;
}

@InputType()
class NewCredentialInput {
  @Field(() => String)
  name!: string;

  @Field(() => String, { description: 'Write-only. Not looked at where the provider has a credential of this name.' })
  secret!: string;
}

@InputType()
class InstallCatalogueProviderInput {
  @Field(() => String, { description: 'Slug.' })
  provider!: string;

  @Field(() => [String], { nullable: true, description: 'Names; all of its models where left out.' })
  models?: string[] | null;

  @Field(() => ID, { nullable: true, description: 'A credential that stands; without any, models get no route.' })
  credentialId?: string | null;

  @Field(() => NewCredentialInput, { nullable: true, description: 'A credential to be made.' })
  credential?: NewCredentialInput | null;

  @Field(() => String, { nullable: true, description: "In place of the catalogue's." })
  baseUrl?: string | null;
}

@ObjectType()
class InstallCatalogueProviderPayload extends Payload {
  @Field(() => ProviderType, { nullable: true })
  provider?: ProviderType;

  @Field(() => CredentialType, { nullable: true })
  credential?: CredentialType | null;

  @Field(() => [ModelType], { nullable: true })
  models?: readonly ModelType[];
}

@Resolver()
export class CatalogueResolver {
  @Policy('provider:manage')
  @Query(() => CatalogueProviderConnection, { description: 'Vendors that this release knows, by slug.' })
  catalogueProviders(
    @Ctx() { services }: Context,
    @Args(() => CatalogueProvidersArguments) input: CatalogueProvidersArguments,
  ): CatalogueProviderConnection {
    return toConnection(orThrow(services.catalogue.providers(input)), toProvider, ({ slug }) => slug);
  }

  @Policy('provider:manage')
  @Query(() => CatalogueModelConnection, { description: 'Models that this release knows, by name, with list prices.' })
  catalogueModels(
    @Ctx() { services }: Context,
    @Args(() => CatalogueModelsArguments) input: CatalogueModelsArguments,
  ): CatalogueModelConnection {
    return toConnection(orThrow(services.catalogue.models(input)), toModel, ({ name }) => name);
  }

  @Policy('provider:manage')
  @Mutation(() => InstallCatalogueProviderPayload, {
    description:
      'Brings a provider, models, price and cost cards at list prices, and routes into force. What is there already stays ' +
      'as it is: a repeat changes nothing.',
  })
  async installCatalogueProvider(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => InstallCatalogueProviderInput) input: InstallCatalogueProviderInput,
  ): Promise<InstallCatalogueProviderPayload> {
    return toPayload(await services.catalogue.install(viewerScope(viewer), input), (installed) => installed);
  }
}

function toConnection<Entry, Node>(
  { entries, hasNextPage }: CataloguePage<Entry>,
  toNode: (entry: Entry) => Node,
  keyOf: (entry: Entry) => string,
): { edges: { node: Node; cursor: string }[]; pageInfo: PageInfo } {
  const edges = entries.map((entry) => ({ node: toNode(entry), cursor: catalogueCursor(keyOf(entry)) }));
  return { edges, pageInfo: { hasNextPage, endCursor: edges.at(-1)?.cursor ?? null } };
}

function toProvider(provider: CatalogueProvider): CatalogueProviderType {
  return { ...provider, baseUrlIsSample: provider.baseUrlIsSample ?? false };
}

function toModel(model: CatalogueModel): CatalogueModelType {
  const { name, provider, upstreamModel, operations, capabilities, contextWindow, maxOutputTokens } = model;
  return {
    ...{ name, provider, upstreamModel, operations, capabilities, contextWindow, maxOutputTokens },
    ...{ source: model.source, uncovered: model.uncovered },
    listPrices: versionsFrom(model, new Date()).map(toListPrices),
  };
}

export function toListPrices(version: CatalogueVersion): CataloguePrices {
  const { from, currency, windows } = version;
  return { from, currency, ...toTable(version), windows: windows.map(toWindow) };
}
