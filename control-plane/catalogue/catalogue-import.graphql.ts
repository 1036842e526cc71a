import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import { RateCardPurpose, RateCardVersionType, toVersion } from '../pricing/rate-card-types.graphql.js';
import type { RateCard } from '../pricing/entities.js';
import { CataloguePrices, toListPrices } from './catalogue.graphql.js';
import type { CatalogueChange, ChangeKind } from './catalogue-diff.js';
import type { CatalogueImport, CatalogueSource } from './import-catalogue.js';

const CatalogueSourceEnum = { SHIPPED: 'shipped', LIBRARY: 'library' } as const;
registerEnumType(CatalogueSourceEnum, {
  name: 'CatalogueSource',
  description:
    'SHIPPED: the price list of this release. LIBRARY: the price library that is installed, which may be newer.',
});
const CatalogueChangeKind = { NEW: 'new', CHANGED: 'changed', GONE: 'gone' } as const;
registerEnumType(CatalogueChangeKind, {
  name: 'CatalogueChangeKind',
  description:
    'NEW: a model that is not installed. CHANGED: other prices than those in force or announced. GONE: the catalogue does not ' +
    'offer it any more; nothing is applied.',
});
const KEY = 'Names the change within the diff.';
const DIGEST = 'Of the change as it is shown: an import applies it only as it was seen.';

@ObjectType('CatalogueChange')
class CatalogueChangeType {
  @Field(() => String, { description: KEY })
  key!: string;

  @Field(() => String, { description: DIGEST })
  digest!: string;

  @Field(() => CatalogueChangeKind)
  kind!: ChangeKind;

  @Field(() => String, { description: 'Slug.' })
  provider!: string;

  @Field(() => String, { nullable: true, description: 'The alias in the catalogue; null where it is gone.' })
  model!: string | null;

  @Field(() => String, { description: "The provider's own name for it." })
  upstreamModel!: string;

  @Field(() => RateCardPurpose, {
    nullable: true,
    description: 'Null where it is new: price and cost are the same then.',
  })
  purpose!: RateCard['purpose'] | null;

  @Field(() => ID, { nullable: true })
  rateCardId!: string | null;

  @Field(() => [RateCardVersionType], { description: 'What is in force at the card, and what is announced.' })
  standing!: readonly RateCardVersionType[];

  @Field(() => [CataloguePrices], { description: 'What the catalogue has now, and what it knows to follow.' })
  proposed!: readonly CataloguePrices[];

  @Field(() => String, { nullable: true, description: 'Where the proposed prices come from.' })
  source!: string | null;
}

@ObjectType()
class ApprovedChange {
  @Field(() => String)
  key!: string;

  @Field(() => String)
  digest!: string;
}

@ObjectType('CatalogueImport', { description: 'Changes of the catalogue that were approved and applied.' })
class CatalogueImportType implements CatalogueImport {
  @Field(() => ID)
  id!: string;

  @Field(() => CatalogueSourceEnum)
  source!: CatalogueSource;

  @Field(() => GraphQLDateTimeISO)
  effectiveFrom!: Date;

  @Field(() => GraphQLDateTimeISO)
  announceAt!: Date;

  @Field(() => [ApprovedChange])
  entries!: readonly ApprovedChange[];

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@InputType()
class ApprovedChangeInput {
  @Field(() => String, { description: KEY })
  key!: string;

  @Field(() => String, { description: DIGEST })
  digest!: string;
}

@InputType()
class ImportCatalogueInput {
  @Field(() => CatalogueSourceEnum, { defaultValue: 'shipped' })
  source!: CatalogueSource;

  @Field(() => [ApprovedChangeInput], { description: 'What is approved; nothing else is applied.' })
  entries!: ApprovedChangeInput[];

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'From when the prices hold; now if left out.' })
  effectiveFrom?: Date | null;

  @Field(() => GraphQLDateTimeISO, {
    nullable: true,
    description: 'When tenants that use the models are told of prices that change later on; at once if left out.',
  })
  announceAt?: Date | null;

  @Field(() => ID, {
    nullable: true,
    description: 'For the routes of new models of its provider; without one they get none.',
  })
  credentialId?: string | null;

  @Field(() => String, { description: 'The same key with the same input is done once.' })
  idempotencyKey!: string;
}

@ObjectType()
class ImportCataloguePayload extends Payload {
  @Field(() => CatalogueImportType, { nullable: true })
  catalogueImport?: CatalogueImportType;
}

@Resolver()
export class CatalogueImportResolver {
  @Policy('rate-card:read')
  @Query(() => [CatalogueChangeType], {
    description:
      'What the catalogue holds against what stands, of the providers that are installed; empty where it is the same.',
  })
  async catalogueDiff(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('source', () => CatalogueSourceEnum, { defaultValue: 'shipped' }) source: CatalogueSource,
    @Arg('provider', () => String, { nullable: true, description: 'Slug.' }) provider?: string,
    @Arg('kinds', () => [CatalogueChangeKind], { nullable: true }) kinds?: ChangeKind[],
  ): Promise<CatalogueChangeType[]> {
    const question = { source, provider: provider ?? null, kinds: kinds ?? null };
    return (await services.catalogueImports.diff(viewerScope(viewer), question)).map(toChange);
  }

  @Policy('rate-card:read')
  @Query(() => [CatalogueImportType], { description: 'Newest first, at most 200.' })
  catalogueImports(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<CatalogueImportType[]> {
    return services.catalogueImports.list(viewerScope(viewer));
  }

  @Policy('rate-card:manage')
  @Mutation(() => ImportCataloguePayload, {
    description:
      'Applies the changes that are named, all or nothing: new card versions that supersede, and new models. Service tiers and ' +
      'free allowances of a card stay.',
  })
  async importCatalogue(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => ImportCatalogueInput) input: ImportCatalogueInput,
  ): Promise<ImportCataloguePayload> {
    const result = await services.catalogueImports.import(viewerScope(viewer), input);
    return toPayload(result, (catalogueImport) => ({ catalogueImport }));
  }
}

function toChange(change: CatalogueChange): CatalogueChangeType {
  const { key, digest, kind, provider, upstreamModel, model, card } = change;
  return {
    ...{ key, digest, kind, provider, upstreamModel },
    model: model?.name ?? null,
    purpose: card?.purpose ?? null,
    rateCardId: card?.id ?? null,
    standing: change.standing.map(toVersion),
    proposed: change.proposed.map(toListPrices),
    source: model?.source ?? null,
  };
}
