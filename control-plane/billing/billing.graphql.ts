import { Args, ArgsType, Ctx, Field, ID, Int, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO, GraphQLSafeInt } from 'graphql-scalars';
import { DIMENSIONS, type Dimension, type ServiceTier } from '@pingtoken/shared/rate-card';
import { outcomeSchema, RECORDED_OPERATIONS } from '@pingtoken/shared/usage-event';
import { CurrentViewer, orThrow, TENANT_ARGUMENT, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Money, PageInfo, toMoney } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope } from '../identity/scope.js';
import { dimensionEnum, serviceTierEnum } from '../pricing/rate-card-types.graphql.js';
import type { UsageEvent } from './entities.js';
import { usageCursor } from './usage.js';

const toEnum = (values: readonly string[]): Record<string, string> =>
  Object.fromEntries(values.map((value) => [value.replaceAll('-', '_').toUpperCase(), value]));
const outcomeEnum = toEnum(outcomeSchema.options);
registerEnumType(outcomeEnum, {
  name: 'CallOutcome',
  description: 'How a call ended. INTERRUPTED: the gateway process that carried it died; nothing is billed.',
});
const operationEnum = toEnum(RECORDED_OPERATIONS);
registerEnumType(operationEnum, { name: 'Operation' });
const countedByEnum = toEnum(['provider', 'estimated', 'none']);
registerEnumType(countedByEnum, { name: 'CountedBy', description: 'Who counted what is billed.' });

@ObjectType()
export class DimensionCount {
  @Field(() => dimensionEnum)
  dimension!: Dimension;

  @Field(() => GraphQLSafeInt)
  count!: number;
}

@ObjectType('UsageEvent', { description: 'One call, as it was priced.' })
class UsageEventType {
  @Field(() => ID, { description: 'The request id that the caller was given.' })
  id!: string;

  @Field(() => ID)
  apiKeyId!: string;

  @Field(() => ID)
  memberId!: string;

  @Field(() => operationEnum)
  operation!: UsageEvent['operation'];

  @Field(() => String)
  model!: string;

  @Field(() => Boolean)
  streamed!: boolean;

  @Field(() => GraphQLDateTimeISO)
  admittedAt!: Date;

  @Field(() => GraphQLDateTimeISO)
  endedAt!: Date;

  @Field(() => Int, { nullable: true, description: "Milliseconds from admission to the provider's first byte." })
  firstByteMs!: number | null;

  @Field(() => outcomeEnum)
  outcome!: UsageEvent['outcome'];

  @Field(() => Int, { nullable: true, description: 'HTTP status that the caller was given.' })
  status!: number | null;

  @Field(() => ID, { nullable: true, description: 'Who served it; null where nothing is billed.' })
  providerId!: string | null;

  @Field(() => [DimensionCount])
  counts!: readonly DimensionCount[];

  @Field(() => countedByEnum)
  countedBy!: UsageEvent['countedBy'];

  @Field(() => ID, { description: 'The prices that it went by.' })
  priceCardVersionId!: string;

  @Field(() => serviceTierEnum, { description: 'By which the provider served it.' })
  serviceTier!: ServiceTier;

  @Field(() => GraphQLSafeInt, { description: 'Tokens that the free allowance covered.' })
  freeTokens!: number;

  @Field(() => Int, {
    nullable: true,
    description:
      'What is paid of the price, in ten-thousandths, where the call was given an answer that had been made for another one.',
  })
  cacheShare!: number | null;

  @Field(() => Money)
  price!: Money;
}

@ObjectType()
class UsageEdge {
  @Field(() => UsageEventType)
  node!: UsageEventType;

  @Field(() => String)
  cursor!: string;
}

@ObjectType()
class UsageConnection {
  @Field(() => [UsageEdge])
  edges!: readonly UsageEdge[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@ObjectType('UsageSummary')
class UsageSummaryType {
  @Field(() => GraphQLSafeInt, { description: 'Every admitted call, interrupted and failed ones included.' })
  calls!: number;

  @Field(() => [Money], { description: 'One sum for each currency.' })
  amounts!: readonly Money[];

  @Field(() => [DimensionCount], { description: 'Billed counts, dimensions that occurred only.' })
  counts!: readonly DimensionCount[];
}

@ArgsType()
class UsageFilterArguments {
  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;

  @Field(() => ID, { nullable: true })
  apiKeyId?: string | null;

  @Field(() => String, { nullable: true })
  model?: string | null;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'Calls admitted then or later.' })
  from?: Date | null;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'Calls admitted before.' })
  to?: Date | null;
}

@ArgsType()
class UsageArguments extends UsageFilterArguments {
  @Field(() => Int, { defaultValue: 50, description: 'At most 100.' })
  first!: number;

  @Field(() => String, { nullable: true, description: 'The cursor to read on from.' })
  after?: string | null;
}

@Resolver()
export class BillingResolver {
  @Policy('usage:read')
  @Query(() => UsageConnection, { description: "The tenant's calls, newest first." })
  async usage(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Args(() => UsageArguments) { tenantId, ...input }: UsageArguments,
  ): Promise<UsageConnection> {
    const { events, hasNextPage } = orThrow(
      await services.ledger.listUsage(orThrow(chooseScope(viewer, tenantId)), input),
    );
    const edges = events.map((event) => ({ node: toUsageEvent(event), cursor: usageCursor(event.id) }));
    return { edges, pageInfo: { hasNextPage, endCursor: edges.at(-1)?.cursor ?? null } };
  }

  @Policy('usage:read')
  @Query(() => UsageSummaryType, { description: "The tenant's calls, added up." })
  async usageSummary(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Args(() => UsageFilterArguments) { tenantId, ...input }: UsageFilterArguments,
  ): Promise<UsageSummaryType> {
    const { calls, amounts, counts } = orThrow(
      await services.ledger.summariseUsage(orThrow(chooseScope(viewer, tenantId)), input),
    );
    return {
      calls,
      amounts: amounts.map(({ amount, currency }) => toMoney(amount, currency)),
      counts: counts.map(({ dimension, count }) => ({ dimension, count: Number(count) })),
    };
  }
}

function toUsageEvent(event: UsageEvent): UsageEventType {
  const { id, apiKeyId, memberId, operation, model, streamed, admittedAt, endedAt, firstByteMs } = event;
  const { outcome, status, providerId, countedBy, priceCardVersionId, serviceTier, freeTokens, cacheShare } = event;
  return {
    ...{ id, apiKeyId, memberId, operation, model, streamed, admittedAt, endedAt, firstByteMs },
    ...{ outcome, status, providerId, countedBy, priceCardVersionId, serviceTier, freeTokens, cacheShare },
    counts: DIMENSIONS.flatMap((dimension) => {
      const count = event.usage[dimension];
      return count === undefined ? [] : [{ dimension, count }];
    }),
    price: toMoney(event.amount, event.currency),
  };
}
