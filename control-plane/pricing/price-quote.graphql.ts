import { Arg, Ctx, Field, ID, InputType, Int, ObjectType, Query, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO, GraphQLSafeInt } from 'graphql-scalars';
import type { PriceLine } from '@pingtoken/shared/price-of';
import { formatAmount } from '@pingtoken/shared/money';
import type { Dimension, ServiceTier } from '@pingtoken/shared/rate-card';
import { CurrentViewer, orThrow, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Decimal, Money, toMoney } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope } from '../identity/scope.js';
import type { PriceQuote, QuotedCost } from './price-quote.js';
import { dimensionEnum, PriceWindow, serviceTierEnum, toWindow } from './rate-card-types.graphql.js';

@InputType()
class CountInput {
  @Field(() => dimensionEnum)
  dimension!: Dimension;

  @Field(() => GraphQLSafeInt)
  count!: number;
}

@InputType()
class PriceQuoteInput {
  @Field(() => String)
  model!: string;

  @Field(() => [CountInput], { description: 'Disjoint: a token read from a cache is none of INPUT.' })
  usage!: CountInput[];

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'When the call is admitted; now if left out.' })
  at?: Date | null;

  @Field(() => serviceTierEnum, { defaultValue: 'standard' })
  serviceTier!: ServiceTier;
}

@ObjectType()
class PriceQuoteLine {
  @Field(() => dimensionEnum)
  dimension!: Dimension;

  @Field(() => GraphQLSafeInt)
  count!: number;

  @Field(() => GraphQLSafeInt, { description: 'Of the count, what the free allowance covers.' })
  freeCount!: number;

  @Field(() => Decimal, { description: 'Of one.' })
  rate!: string;

  @Field(() => Money)
  price!: Money;

  @Field(() => dimensionEnum, {
    description: 'Whose rate it is: another one where the card has none for the dimension.',
  })
  billedAs!: Dimension;

  @Field(() => serviceTierEnum, { description: 'Whose rate it is; STANDARD too where a tier has none of its own.' })
  serviceTier!: ServiceTier;

  @Field(() => Int, { nullable: true, description: 'The context tier whose rate it is; null for that of all lengths.' })
  aboveInputTokens!: number | null;

  @Field(() => PriceWindow, { nullable: true, description: 'The hours whose rate it is; null for that of all hours.' })
  window!: PriceWindow | null;
}

@ObjectType({ description: 'What the call would cost the operator at one of the ways that the model is served.' })
class QuotedCostType {
  @Field(() => ID)
  targetId!: string;

  @Field(() => ID)
  providerId!: string;

  @Field(() => String)
  upstreamModel!: string;

  @Field(() => ID)
  rateCardVersionId!: string;

  @Field(() => Money)
  cost!: Money;

  @Field(() => Money, { nullable: true, description: 'Price less cost; null where their currencies differ.' })
  margin!: Money | null;
}

@ObjectType('PriceQuote', { description: 'The price of a call that is not made; nothing is reserved.' })
class PriceQuoteType {
  @Field(() => String)
  model!: string;

  @Field(() => GraphQLDateTimeISO)
  at!: Date;

  @Field(() => serviceTierEnum)
  serviceTier!: ServiceTier;

  @Field(() => ID, { description: 'The prices that a call admitted then goes by.' })
  priceCardVersionId!: string;

  @Field(() => Money)
  price!: Money;

  @Field(() => [PriceQuoteLine], { description: 'They sum to the price.' })
  lines!: readonly PriceQuoteLine[];

  @Field(() => GraphQLSafeInt, { description: 'Of the month of the call, before it.' })
  freeTokensLeft!: number;

  @Field(() => [QuotedCostType], { nullable: true, description: 'For the operator; null for everyone else.' })
  costs!: readonly QuotedCostType[] | null;
}

@Resolver()
export class PriceQuoteResolver {
  @Policy('model:read')
  @Query(() => PriceQuoteType, { description: 'What a call would cost, line by line.' })
  async priceQuote(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => PriceQuoteInput) input: PriceQuoteInput,
    @TenantArgument() tenantId?: string,
  ): Promise<PriceQuoteType> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    return toQuote(orThrow(await services.priceQuotes.quote(scope, input)));
  }
}

function toQuote(quote: PriceQuote): PriceQuoteType {
  const { model, at, serviceTier, rateCardVersionId, currency, amount, lines, freeTokensLeft, costs } = quote;
  return {
    ...{ model, at, serviceTier, freeTokensLeft },
    priceCardVersionId: rateCardVersionId,
    price: toMoney(amount, currency),
    lines: lines.map((line) => toLine(line, currency)),
    costs: costs?.map(toCost) ?? null,
  };
}

function toLine(
  { dimension, count, freeCount, rate, amount, billedAs, origin }: PriceLine,
  currency: string,
): PriceQuoteLine {
  return {
    ...{ dimension, count, freeCount, billedAs },
    rate: formatAmount(rate),
    price: toMoney(amount, currency),
    serviceTier: origin?.serviceTier ?? 'standard',
    aboveInputTokens: origin?.aboveInputTokens ?? null,
    window: origin?.window == null ? null : toWindow(origin.window),
  };
}

function toCost({
  targetId,
  providerId,
  upstreamModel,
  rateCardVersionId,
  currency,
  amount,
  margin,
}: QuotedCost): QuotedCostType {
  return {
    ...{ targetId, providerId, upstreamModel, rateCardVersionId },
    cost: toMoney(amount, currency),
    margin: margin === null ? null : toMoney(margin, currency),
  };
}
