import {
  Arg,
  Ctx,
  Field,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
} from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { DIMENSIONS, type Dimension } from '@pingtoken/shared/rate-card';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Decimal, Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { RateCard } from './entities.js';
import { toPrices, type Price } from './prices.js';
import type { RateCardWithVersions } from './rate-cards.js';

const RateCardPurpose = { PRICE: 'price', COST: 'cost' } as const;
registerEnumType(RateCardPurpose, {
  name: 'RateCardPurpose',
  description: 'What tenants pay, or what a provider charges the operator.',
});

const enumName = (dimension: string): string => dimension.replace(/([A-Z]|\d+)/g, '_$1').toUpperCase();
/** `cacheWrite5m` is `CACHE_WRITE_5M` on the wire. */
export const dimensionEnum = Object.fromEntries(DIMENSIONS.map((dimension) => [enumName(dimension), dimension]));
registerEnumType(dimensionEnum, {
  name: 'Dimension',
  description: 'What a call can be charged for; the counts of a call are disjoint.',
});

@ObjectType('Price')
class PriceType implements Price {
  @Field(() => dimensionEnum)
  dimension!: Dimension;

  @Field(() => Decimal, { description: 'Per million tokens; for IMAGE, REQUEST and WEB_SEARCH per piece.' })
  amount!: string;
}

@ObjectType()
class ContextTier {
  @Field(() => Int, { description: 'Its prices hold for all of a call whose prompt is longer.' })
  aboveInputTokens!: number;

  @Field(() => [PriceType])
  prices!: readonly PriceType[];
}

@ObjectType('RateCardVersion', { description: 'Superseded by a later one, never edited.' })
class RateCardVersionType {
  @Field(() => ID)
  id!: string;

  @Field(() => GraphQLDateTimeISO)
  effectiveFrom!: Date;

  @Field(() => String, { description: 'ISO 4217' })
  currency!: string;

  @Field(() => [PriceType])
  prices!: readonly PriceType[];

  @Field(() => [ContextTier])
  contextTiers!: readonly ContextTier[];

  @Field(() => String, { description: 'Where the prices come from.' })
  source!: string;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@ObjectType('RateCard')
class RateCardType {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => RateCardPurpose)
  purpose!: RateCard['purpose'];

  @Field(() => [RateCardVersionType], { description: 'The first to take effect comes first.' })
  versions!: readonly RateCardVersionType[];

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@InputType()
class PriceInput implements Price {
  @Field(() => dimensionEnum)
  dimension!: Dimension;

  @Field(() => Decimal, { description: 'Per million tokens; for IMAGE, REQUEST and WEB_SEARCH per piece.' })
  amount!: string;
}

@InputType()
class ContextTierInput {
  @Field(() => Int)
  aboveInputTokens!: number;

  @Field(() => [PriceInput])
  prices!: PriceInput[];
}

@InputType()
abstract class VersionInput {
  @Field(() => String, { description: 'ISO 4217' })
  currency!: string;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'Now, where it is not given.' })
  effectiveFrom?: Date | null;

  @Field(() => [PriceInput])
  prices!: PriceInput[];

  @Field(() => [ContextTierInput], { defaultValue: [] })
  contextTiers!: ContextTierInput[];

  @Field(() => String, { description: 'Where the prices come from.' })
  source!: string;
}

@InputType()
class CreateRateCardInput extends VersionInput {
  @Field(() => String)
  name!: string;

  @Field(() => RateCardPurpose)
  purpose!: RateCard['purpose'];
}

@InputType()
class AddRateCardVersionInput extends VersionInput {
  @Field(() => ID)
  rateCardId!: string;
}

@ObjectType()
class RateCardPayload extends Payload {
  @Field(() => RateCardType, { nullable: true })
  rateCard?: RateCardType;
}

@Resolver()
export class PricingResolver {
  @Policy('rate-card:read')
  @Query(() => [RateCardType], { description: 'Every card with all of its versions, by name.' })
  async rateCards(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<RateCardType[]> {
    return (await services.rateCards.list(viewerScope(viewer))).map(toRateCard);
  }

  @Policy('rate-card:manage')
  @Mutation(() => RateCardPayload)
  async createRateCard(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateRateCardInput) input: CreateRateCardInput,
  ): Promise<RateCardPayload> {
    const result = await services.rateCards.create(viewerScope(viewer), input);
    return toPayload(result, (created) => ({ rateCard: toRateCard(created) }));
  }

  @Policy('rate-card:manage')
  @Mutation(() => RateCardPayload, {
    description: 'Supersedes the prices from an instant on; calls before it keep theirs.',
  })
  async addRateCardVersion(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => AddRateCardVersionInput) input: AddRateCardVersionInput,
  ): Promise<RateCardPayload> {
    const result = await services.rateCards.addVersion(viewerScope(viewer), input);
    return toPayload(result, (card) => ({ rateCard: toRateCard(card) }));
  }
}

function toRateCard({ card, versions }: RateCardWithVersions): RateCardType {
  return {
    id: card.id,
    name: card.name,
    purpose: card.purpose,
    createdAt: card.createdAt,
    versions: versions.map(({ id, effectiveFrom, currency, rates, contextTiers, source, createdAt }) => ({
      id,
      effectiveFrom,
      currency,
      prices: toPrices(rates),
      contextTiers: contextTiers.map((tier) => ({
        aboveInputTokens: tier.aboveInputTokens,
        prices: toPrices(tier.rates),
      })),
      source,
      createdAt,
    })),
  };
}
