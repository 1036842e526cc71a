import { Args, ArgsType, Ctx, Field, ID, Int, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO, GraphQLSafeInt } from 'graphql-scalars';
import { CurrentViewer, orThrow, TENANT_ARGUMENT, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Money, PageInfo, toMoney } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, viewerScope } from '../identity/scope.js';
import { DimensionCount } from './billing.graphql.js';
import type { Spend, SpendPage } from './spend.js';
import { SPEND_DIMENSIONS, SPEND_INTERVALS, spendCursor } from './spend-inputs.js';
import type { SpendDimension, SpendInterval } from './spend-inputs.js';

const toEnum = (values: readonly string[]): Record<string, string> =>
  Object.fromEntries(values.map((value) => [value.replaceAll('-', '_').toUpperCase(), value]));
const spendDimensionEnum = toEnum(SPEND_DIMENSIONS);
registerEnumType(spendDimensionEnum, {
  name: 'SpendDimension',
  description:
    'REGION: of the data plane that carried the call. TAG: those that the key had when the call was admitted; a call counts under each of them.',
});
const spendIntervalEnum = toEnum(SPEND_INTERVALS);
registerEnumType(spendIntervalEnum, { name: 'SpendInterval' });

@ObjectType('Spend', { description: 'What the calls of one interval and of one key, model or the like add up to.' })
class SpendType {
  @Field(() => GraphQLDateTimeISO, { description: 'When the interval begins; `from` where none was asked for.' })
  from!: Date;

  @Field(() => String, {
    nullable: true,
    description: 'The id, name or tag that it is of; null for calls without one, and where nothing was told apart.',
  })
  key!: string | null;

  @Field(() => GraphQLSafeInt)
  calls!: number;

  @Field(() => GraphQLSafeInt, { description: 'Of them, those that neither ended well nor were left by their caller.' })
  failures!: number;

  @Field(() => Money, { description: 'What was charged. Corrections of charges stand among the wallet transactions.' })
  price!: Money;

  @Field(() => [DimensionCount], { description: 'Billed counts, dimensions that occurred only.' })
  counts!: readonly DimensionCount[];

  @Field(() => GraphQLSafeInt, { description: 'Tokens that the free allowance covered.' })
  freeTokens!: number;

  @Field(() => Money, { nullable: true, description: "What providers charge for it; the operator's to see." })
  cost!: Money | null;

  @Field(() => Money, { nullable: true, description: "What could not be charged to a tenant; the operator's to see." })
  loss!: Money | null;
}

@ObjectType()
class SpendEdge {
  @Field(() => SpendType)
  node!: SpendType;

  @Field(() => String)
  cursor!: string;
}

@ObjectType()
class SpendConnection {
  @Field(() => [SpendEdge])
  edges!: readonly SpendEdge[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@ArgsType()
class PlatformSpendArguments {
  @Field(() => spendDimensionEnum, { nullable: true, description: 'Left out, all calls are added up.' })
  by?: SpendDimension | null;

  @Field(() => spendIntervalEnum, { nullable: true, description: 'Left out, the whole time is added up.' })
  interval?: SpendInterval | null;

  @Field(() => GraphQLDateTimeISO, {
    nullable: true,
    description: 'Calls admitted then or later; a full hour of UTC. Thirty days before `to` if left out.',
  })
  from?: Date | null;

  @Field(() => GraphQLDateTimeISO, {
    nullable: true,
    description: 'Calls admitted before; a full hour. Now if left out.',
  })
  to?: Date | null;

  @Field(() => String, {
    defaultValue: 'UTC',
    description: 'Whose days and months are meant (IANA), full hours from UTC.',
  })
  timeZone!: string;

  @Field(() => ID, { nullable: true })
  apiKeyId?: string | null;

  @Field(() => ID, { nullable: true })
  memberId?: string | null;

  @Field(() => ID, { nullable: true })
  providerId?: string | null;

  @Field(() => String, { nullable: true })
  model?: string | null;

  @Field(() => String, { nullable: true })
  region?: string | null;

  @Field(() => String, { nullable: true })
  tag?: string | null;

  @Field(() => String, { nullable: true })
  currency?: string | null;

  @Field(() => Int, { defaultValue: 100, description: 'At most 1000.' })
  first!: number;

  @Field(() => String, { nullable: true, description: 'The cursor to read on from.' })
  after?: string | null;
}

@ArgsType()
class SpendArguments extends PlatformSpendArguments {
  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;
}

@Resolver()
export class SpendResolver {
  @Policy('usage:read')
  @Query(() => SpendConnection, { description: "The tenant's calls, added up by time and kind, newest first." })
  async spend(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Args(() => SpendArguments) { tenantId, ...input }: SpendArguments,
  ): Promise<SpendConnection> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    const page = orThrow(await services.ledger.listSpend(scope, { tenantId: scope.tenantId }, input));
    return toConnection(page, input.by == null, viewer.role === 'operator');
  }

  @Policy('tenant:list')
  @Query(() => SpendConnection, { description: "All tenants' calls, added up by time and kind, newest first." })
  async platformSpend(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Args(() => PlatformSpendArguments) input: PlatformSpendArguments,
  ): Promise<SpendConnection> {
    const page = orThrow(await services.ledger.listSpend(viewerScope(viewer), 'all-tenants', input));
    return toConnection(page, input.by == null, true);
  }
}

function toConnection({ rows, hasNextPage }: SpendPage, isTotal: boolean, isOperator: boolean): SpendConnection {
  const edges = rows.map((row) => ({ node: toSpend(row, isTotal, isOperator), cursor: spendCursor(row) }));
  return { edges, pageInfo: { hasNextPage, endCursor: edges.at(-1)?.cursor ?? null } };
}

function toSpend(row: Spend, isTotal: boolean, isOperator: boolean): SpendType {
  const { start, key, currency, calls, failures, amount, excess, cost, freeTokens, counts } = row;
  return {
    ...{ from: new Date(start), key: isTotal || key === '' ? null : key, calls, failures },
    price: toMoney(amount, currency),
    counts: counts.map(({ dimension, count }) => ({ dimension, count: Number(count) })),
    freeTokens: Number(freeTokens),
    cost: isOperator ? toMoney(cost, currency) : null,
    loss: isOperator ? toMoney(excess, currency) : null,
  };
}
