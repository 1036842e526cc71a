import { Field, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { GraphQLDateTimeISO, GraphQLSafeInt } from 'graphql-scalars';
import { DIMENSIONS, SERVICE_TIERS } from '@pingtoken/shared/rate-card';
import type { Dimension, PriceTable, ServiceTier, SpecialTier } from '@pingtoken/shared/rate-card';
import { Decimal, Payload } from '../graphql/types.js';
import { toClock } from './card-prices.js';
import type { Derivation, RateCard, RateCardVersion } from './entities.js';
import { toPrices, type Price } from './prices.js';
import type { RateCardWithVersions } from './rate-card-rows.js';

/** How rate cards look on the wire, as answers and as inputs. */
export const RateCardPurpose = { PRICE: 'price', COST: 'cost' } as const;
registerEnumType(RateCardPurpose, {
  name: 'RateCardPurpose',
  description: 'What tenants pay, or what a provider charges the operator.',
});

const enumName = (name: string): string => name.replace(/([A-Z]|\d+)/g, '_$1').toUpperCase();
/** `cacheWrite5m` is `CACHE_WRITE_5M` on the wire. */
export const dimensionEnum = Object.fromEntries(DIMENSIONS.map((dimension) => [enumName(dimension), dimension]));
registerEnumType(dimensionEnum, {
  name: 'Dimension',
  description: 'What a call can be charged for; the counts of a call are disjoint.',
});
export const serviceTierEnum = Object.fromEntries(SERVICE_TIERS.map((tier) => [enumName(tier), tier]));
registerEnumType(serviceTierEnum, { name: 'ServiceTier', description: 'How urgently a provider serves a call.' });

const AMOUNT = 'Per million tokens or characters; of everything else per piece.';

@ObjectType('Price')
class PriceType implements Price {
  @Field(() => dimensionEnum)
  dimension!: Dimension;

  @Field(() => Decimal, { description: AMOUNT })
  amount!: string;
}

@ObjectType()
class ContextTier {
  @Field(() => Int, { description: 'Its prices hold for all of a call whose prompt is longer.' })
  aboveInputTokens!: number;

  @Field(() => [PriceType])
  prices!: readonly PriceType[];
}

@ObjectType()
export abstract class PricesType {
  @Field(() => [PriceType])
  prices!: readonly PriceType[];

  @Field(() => [ContextTier])
  contextTiers!: readonly ContextTier[];
}

@ObjectType({ description: 'Prices of calls that a provider served by another service tier than the standard one.' })
class ServiceTierPrices extends PricesType {
  @Field(() => serviceTierEnum)
  serviceTier!: ServiceTier;
}

const CLOCK = 'Time of day, such as "16:30".';
const DAYS = 'Days on which it begins; Monday is 1, Sunday 7.';

@ObjectType({ description: 'Prices of calls that were admitted at certain hours. The first that is open counts.' })
export class PriceWindow extends PricesType {
  @Field(() => String, { description: 'IANA name, such as "Asia/Shanghai".' })
  timeZone!: string;

  @Field(() => [Int], { description: DAYS })
  days!: readonly number[];

  @Field(() => String, { description: CLOCK })
  from!: string;

  @Field(() => String, { description: 'Exclusive; at or before `from` it is on the next day.' })
  to!: string;

  @Field(() => [serviceTierEnum], { description: 'Calls of these service tiers go by it, no others.' })
  serviceTiers!: readonly ServiceTier[];
}

@ObjectType({ description: 'How the prices were worked out from those of another card.' })
class PriceDerivation {
  @Field(() => ID)
  baseVersionId!: string;

  @Field(() => Int, { description: 'Added to each rate, in hundredths of a per cent; negative for a discount.' })
  basisPoints!: number;

  @Field(() => ID, { nullable: true, description: 'Null where the currency is the same.' })
  exchangeRateId!: string | null;
}

@ObjectType('RateCardVersion', { description: 'Superseded by a later one, never edited.' })
export class RateCardVersionType extends PricesType {
  @Field(() => ID)
  id!: string;

  @Field(() => GraphQLDateTimeISO)
  effectiveFrom!: Date;

  @Field(() => String, { description: 'ISO 4217' })
  currency!: string;

  @Field(() => [ServiceTierPrices], { description: 'Service tiers that are not here cost what the standard one does.' })
  serviceTiers!: readonly ServiceTierPrices[];

  @Field(() => [PriceWindow])
  windows!: readonly PriceWindow[];

  @Field(() => GraphQLSafeInt, { description: 'Tokens that a tenant has for nothing in a month (UTC) of one model.' })
  freeTokensPerMonth!: number;

  @Field(() => PriceDerivation, { nullable: true, description: 'Null where the prices were stated.' })
  derivation!: PriceDerivation | null;

  @Field(() => String, { description: 'Where the prices come from.' })
  source!: string;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@ObjectType('RateCard')
export class RateCardType {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => RateCardPurpose)
  purpose!: RateCard['purpose'];

  @Field(() => ID, { nullable: true, description: 'The card that it is derived from and follows.' })
  baseCardId!: string | null;

  @Field(() => [RateCardVersionType], { description: 'The first to take effect comes first.' })
  versions!: readonly RateCardVersionType[];

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@ObjectType()
export class RateCardPayload extends Payload {
  @Field(() => RateCardType, { nullable: true })
  rateCard?: RateCardType;
}

const ROUND = 'Rounds to 10^-12 for one, half to even. Left out, what would have to be rounded is refused.';

@InputType()
class PriceInput implements Price {
  @Field(() => dimensionEnum)
  dimension!: Dimension;

  @Field(() => Decimal, { description: `${AMOUNT} Or as \`per\` says.` })
  amount!: string;

  @Field(() => Int, { nullable: true, description: 'How many the amount buys, such as 60 for a price of a minute.' })
  per?: number | null;

  @Field(() => Boolean, { nullable: true, description: ROUND })
  round?: boolean | null;
}

@InputType()
class ContextTierInput {
  @Field(() => Int)
  aboveInputTokens!: number;

  @Field(() => [PriceInput])
  prices!: PriceInput[];
}

@InputType()
abstract class SpecialPricesInput {
  @Field(() => Decimal, {
    nullable: true,
    description: 'Instead of prices: a ratio of what the same call costs without this, for every dimension.',
  })
  ratio?: string | null;

  @Field(() => Boolean, { nullable: true, description: ROUND })
  round?: boolean | null;

  @Field(() => [PriceInput], { defaultValue: [] })
  prices!: PriceInput[];

  @Field(() => [ContextTierInput], { defaultValue: [] })
  contextTiers!: ContextTierInput[];
}

@InputType()
class ServiceTierInput extends SpecialPricesInput {
  @Field(() => serviceTierEnum, { description: 'Not STANDARD.' })
  serviceTier!: SpecialTier;
}

@InputType()
class PriceWindowInput extends SpecialPricesInput {
  @Field(() => String, { description: 'IANA name, such as "Asia/Shanghai".' })
  timeZone!: string;

  @Field(() => [Int], { description: DAYS })
  days!: number[];

  @Field(() => String, { description: CLOCK })
  from!: string;

  @Field(() => String, { description: `${CLOCK} Exclusive; at or before \`from\` it is on the next day.` })
  to!: string;

  @Field(() => [serviceTierEnum], { defaultValue: ['standard'] })
  serviceTiers!: ServiceTier[];
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

  @Field(() => [ServiceTierInput], { defaultValue: [] })
  serviceTiers!: ServiceTierInput[];

  @Field(() => [PriceWindowInput], { defaultValue: [] })
  windows!: PriceWindowInput[];

  @Field(() => GraphQLSafeInt, { defaultValue: 0, description: 'Each tenant has them of each model; prices only.' })
  freeTokensPerMonth!: number;

  @Field(() => String, { description: 'Where the prices come from.' })
  source!: string;
}

@InputType()
export class CreateRateCardInput extends VersionInput {
  @Field(() => String)
  name!: string;

  @Field(() => RateCardPurpose)
  purpose!: RateCard['purpose'];
}

@InputType()
export class AddRateCardVersionInput extends VersionInput {
  @Field(() => ID)
  rateCardId!: string;
}

export function toRateCard({ card, versions }: RateCardWithVersions): RateCardType {
  const { id, name, purpose, baseCardId, createdAt } = card;
  return { id, name, purpose, baseCardId, createdAt, versions: versions.map(toVersion) };
}

export function toVersion(version: RateCardVersion): RateCardVersionType {
  const { id, effectiveFrom, currency, freeTokensPerMonth, derivation, source, createdAt } = version;
  return {
    ...{ id, effectiveFrom, currency, freeTokensPerMonth, source, createdAt },
    ...toTable(version),
    serviceTiers: SERVICE_TIERS.flatMap((serviceTier) => {
      const table = serviceTier === 'standard' ? undefined : version.serviceTiers[serviceTier];
      return table === undefined ? [] : [{ serviceTier, ...toTable(table) }];
    }),
    windows: version.windows.map(toWindow),
    derivation: toDerivation(derivation),
  };
}

export function toWindow(window: RateCardVersion['windows'][number]): PriceWindow {
  const { timeZone, days, fromMinute, toMinute, serviceTiers } = window;
  return { timeZone, days, from: toClock(fromMinute), to: toClock(toMinute), serviceTiers, ...toTable(window) };
}

export function toTable({ rates, contextTiers }: PriceTable): Pick<PricesType, 'prices' | 'contextTiers'> {
  return {
    prices: toPrices(rates),
    contextTiers: contextTiers.map((tier) => ({
      aboveInputTokens: tier.aboveInputTokens,
      prices: toPrices(tier.rates),
    })),
  };
}

function toDerivation(derivation: Derivation | null): PriceDerivation | null {
  if (derivation?.kind !== 'derived') return null;
  const { baseVersionId, basisPoints, exchangeRateId } = derivation;
  return { baseVersionId, basisPoints, exchangeRateId };
}
