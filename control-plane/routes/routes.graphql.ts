import {
  Arg,
  Ctx,
  Field,
  FieldResolver,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  Root,
} from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { routePolicySchema, type RoutePolicy } from '@pingtoken/shared/route-policy';
import { Refusal } from '../database/refusal.js';
import { CurrentViewer, orThrow, TENANT_ARGUMENT, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, viewerScope } from '../identity/scope.js';
import type { Route } from './entities.js';
import { describeGuardrail } from './guardrails.js';
import {
  GuardrailType,
  hedgingEnum,
  RetryPolicyType,
  RouteCacheType,
  RouteConditionsType,
  RoutePolicyInput,
  strategyEnum,
  TierStrategyType,
} from './route-policy.graphql.js';
import { TargetInput, TargetType, toTarget } from './targets.graphql.js';

@ObjectType('Route', { description: 'How calls of a model are served.' })
class RouteType {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  modelId!: string;

  @Field(() => ID, { nullable: true, description: 'Null for everyone.' })
  tenantId!: string | null;

  @Field(() => Boolean, { description: 'Whether translation may drop what a target cannot express.' })
  dropsUnsupported!: boolean;

  @Field(() => Int, { description: 'Among the routes of one owner, lower goes first.' })
  position!: number;

  @Field(() => strategyEnum)
  strategy!: RoutePolicy['strategy'];

  @Field(() => [TierStrategyType])
  tierStrategies!: TierStrategyType[];

  @Field(() => RouteConditionsType)
  conditions!: RouteConditionsType;

  @Field(() => [ID])
  fallbackModelIds!: string[];

  @Field(() => RetryPolicyType)
  retry!: RetryPolicyType;

  @Field(() => hedgingEnum)
  hedging!: RoutePolicy['hedging'];

  @Field(() => RouteCacheType, { nullable: true, description: 'Null where no answer is given twice.' })
  cache!: RouteCacheType | null;

  @Field(() => GuardrailType, { nullable: true })
  guardrail!: GuardrailType | null;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@InputType()
class CreateRouteInput extends RoutePolicyInput {
  @Field(() => ID)
  modelId!: string;

  @Field(() => ID, { nullable: true })
  tenantId?: string | null;

  @Field(() => [TargetInput])
  targets!: TargetInput[];
}

@InputType({ description: 'What is left out stays as it is; a part that is given takes the place of the whole part.' })
class UpdateRouteInput extends RoutePolicyInput {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;
}

@ObjectType()
class RoutePayload extends Payload {
  @Field(() => RouteType, { nullable: true })
  route?: RouteType;
}

@Resolver(() => RouteType)
export class RoutesResolver {
  @Policy('model:manage')
  @Query(() => [RouteType], {
    description: 'The general routes and, of the tenant that is named, its own; in the order in which they are tried.',
  })
  async routes(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('modelId', () => ID, { nullable: true }) modelId: string | null,
    @TenantArgument() tenantId: string | null,
  ): Promise<RouteType[]> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    return (await services.routes.listRoutes(scope, modelId ?? null)).map(toRoute);
  }

  @FieldResolver(() => [TargetType])
  async targets(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Root() { id, tenantId }: RouteType,
  ): Promise<TargetType[]> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    return (await services.routes.listTargets(scope, [id])).map(toTarget);
  }

  @Policy('model:manage')
  @Mutation(() => RoutePayload)
  async createRoute(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateRouteInput) input: CreateRouteInput,
  ): Promise<RoutePayload> {
    const result = await services.routes.createRoute(viewerScope(viewer), input);
    return toPayload(result, (route) => ({ route: toRoute(route) }));
  }

  @Policy('model:manage')
  @Mutation(() => RoutePayload)
  async updateRoute(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateRouteInput) { tenantId, ...input }: UpdateRouteInput,
  ): Promise<RoutePayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.routes.updateRoute(scope, input);
    return toPayload(result, (route) => ({ route: toRoute(route) }));
  }
}

/** With every default in its place, as data planes see it. */
function toRoute(route: Route): RouteType {
  const { id, modelId, tenantId, dropsUnsupported, createdAt } = route;
  const guardrail = route.guardrail === null ? null : describeGuardrail(route.guardrail);
  return { id, modelId, tenantId, dropsUnsupported, createdAt, guardrail, ...routePolicySchema.parse(route) };
}
