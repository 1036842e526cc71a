import { Arg, Ctx, Field, ID, InputType, Int, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Decimal, Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { ExchangeRate, RateCard } from './entities.js';
import { AddRateCardVersionInput, CreateRateCardInput, RateCardPayload } from './rate-card-types.graphql.js';
import { RateCardPurpose, RateCardType, toRateCard } from './rate-card-types.graphql.js';

const BASIS_POINTS =
  'Added to each rate, in hundredths of a per cent: 250 is a markup of 2.5 %, -1000 a discount of 10 %.';

@InputType()
class DeriveRateCardInput {
  @Field(() => ID, { description: 'A card that is not derived itself; its cost may be the base of a price.' })
  baseRateCardId!: string;

  @Field(() => String)
  name!: string;

  @Field(() => RateCardPurpose, { defaultValue: 'price' })
  purpose!: RateCard['purpose'];

  @Field(() => Int, { description: BASIS_POINTS })
  basisPoints!: number;

  @Field(() => String, { nullable: true, description: "ISO 4217; the base card's, where it is not given." })
  currency?: string | null;

  @Field(() => String, { description: 'Who decided on it, and why.' })
  source!: string;
}

@InputType()
class ChangeDerivationInput {
  @Field(() => ID)
  rateCardId!: string;

  @Field(() => Int, { description: BASIS_POINTS })
  basisPoints!: number;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'Now, where it is not given.' })
  effectiveFrom?: Date | null;

  @Field(() => String, { description: 'Who decided on it, and why.' })
  source!: string;
}

@ObjectType('ExchangeRate', { description: 'Superseded by a later one, never edited.' })
class ExchangeRateType {
  @Field(() => ID)
  id!: string;

  @Field(() => String, { description: 'ISO 4217' })
  baseCurrency!: string;

  @Field(() => String, { description: 'ISO 4217' })
  quoteCurrency!: string;

  @Field(() => Decimal, { description: 'How much of the quote currency one of the base currency buys.' })
  rate!: string;

  @Field(() => GraphQLDateTimeISO)
  effectiveFrom!: Date;

  @Field(() => String, { description: 'Who published it.' })
  source!: string;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@InputType()
class AddExchangeRateInput {
  @Field(() => String, { description: 'ISO 4217' })
  baseCurrency!: string;

  @Field(() => String, { description: 'ISO 4217' })
  quoteCurrency!: string;

  @Field(() => Decimal)
  rate!: string;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'Now, where it is not given.' })
  effectiveFrom?: Date | null;

  @Field(() => String, { description: 'Who published it.' })
  source!: string;
}

@ObjectType()
class ExchangeRatePayload extends Payload {
  @Field(() => ExchangeRateType, { nullable: true })
  exchangeRate?: ExchangeRate;
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
    description:
      'Supersedes the prices from an instant on; calls before it keep theirs. Derived cards follow. Where the instant lies ahead, tenants that use a model of the card are told.',
  })
  async addRateCardVersion(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => AddRateCardVersionInput) input: AddRateCardVersionInput,
  ): Promise<RateCardPayload> {
    const result = await services.rateCards.addVersion(viewerScope(viewer), input);
    return toPayload(result, (card) => ({ rateCard: toRateCard(card) }));
  }

  @Policy('rate-card:manage')
  @Mutation(() => RateCardPayload, {
    description: 'A card that follows another one with a markup, a discount or in another currency.',
  })
  async deriveRateCard(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => DeriveRateCardInput) input: DeriveRateCardInput,
  ): Promise<RateCardPayload> {
    const result = await services.derivedCards.create(viewerScope(viewer), input);
    return toPayload(result, (card) => ({ rateCard: toRateCard(card) }));
  }

  @Policy('rate-card:manage')
  @Mutation(() => RateCardPayload, {
    description: 'Another markup or discount, and the exchange rate of the day, from an instant on.',
  })
  async changeRateCardDerivation(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => ChangeDerivationInput) input: ChangeDerivationInput,
  ): Promise<RateCardPayload> {
    const result = await services.derivedCards.changeTerms(viewerScope(viewer), input);
    return toPayload(result, (card) => ({ rateCard: toRateCard(card) }));
  }

  @Policy('rate-card:read')
  @Query(() => [ExchangeRateType], { description: 'By currencies, the latest first.' })
  exchangeRates(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<ExchangeRate[]> {
    return services.exchangeRates.list(viewerScope(viewer));
  }

  @Policy('rate-card:manage')
  @Mutation(() => ExchangeRatePayload, {
    description:
      'Cards are converted by it when their versions are made from then on; those that are made keep theirs.',
  })
  async addExchangeRate(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => AddExchangeRateInput) input: AddExchangeRateInput,
  ): Promise<ExchangeRatePayload> {
    const result = await services.exchangeRates.add(viewerScope(viewer), input);
    return toPayload(result, (exchangeRate) => ({ exchangeRate }));
  }
}
