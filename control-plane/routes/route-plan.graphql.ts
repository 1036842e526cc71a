import {
  Arg,
  Ctx,
  Field,
  Float,
  ID,
  InputType,
  Int,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
} from 'type-graphql';
import { GraphQLDateTimeISO, GraphQLSafeInt } from 'graphql-scalars';
import type { Capability } from '@pingtoken/shared/config-snapshot';
import { EXCLUSIONS, type Excluded, type Exclusion } from '@pingtoken/shared/route-candidates';
import type { HealthOf } from '@pingtoken/shared/route-health';
import type { Placement } from '@pingtoken/shared/route-plan';
import type { RoutingStrategy } from '@pingtoken/shared/route-policy';
import type { Operation } from '@pingtoken/shared/usage-event';
import { CurrentViewer, orThrow, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope } from '../identity/scope.js';
import { capabilityEnum, operationEnum, toEnum } from './models.graphql.js';
import { strategyEnum } from './route-policy.graphql.js';

const exclusionEnum = toEnum(EXCLUSIONS);
registerEnumType(exclusionEnum, { name: 'RouteExclusion', description: 'Why a way to a model is not taken.' });
const placedEnum = toEnum(['in-turn', 'last-resort']);
registerEnumType(placedEnum, {
  name: 'RoutePlacement',
  description: 'LAST_RESORT: nothing that is known to be well is left.',
});
const plannedHealthEnum = toEnum(['unknown', 'well', 'cooling-down', 'breaker-open', 'credential-parked']);
registerEnumType(plannedHealthEnum, {
  name: 'TargetHealthState',
  description: 'By the last report of the data plane; UNKNOWN where it does not tell of the target.',
});

@InputType('RoutePlanInput', { description: 'A call that is not made, as far as routing looks at it.' })
class RoutePlanInputType {
  @Field(() => String)
  model!: string;

  @Field(() => ID, { nullable: true, description: 'Whose tags count; none if left out.' })
  apiKeyId?: string | null;

  @Field(() => operationEnum, { defaultValue: 'chat-completions' })
  operation!: Operation;

  @Field(() => GraphQLSafeInt, { defaultValue: 0 })
  requestBytes!: number;

  @Field(() => Int, { nullable: true, description: 'Tokens of the answer at most, where the caller says so.' })
  answerCap?: number | null;

  @Field(() => [capabilityEnum], { defaultValue: [] })
  needs!: Capability[];

  @Field(() => String, { nullable: true, description: 'Session, prompt cache key or user.' })
  stickyKey?: string | null;

  @Field(() => String, { nullable: true, description: 'Where the data plane stands; its own if left out.' })
  region?: string | null;

  @Field(() => ID, {
    nullable: true,
    description:
      'Whose health of targets counts. Left out: of the region, whichever was heard of last; without one, all are well.',
  })
  dataPlaneId?: string | null;

  @Field(() => Boolean, {
    defaultValue: false,
    description: 'Whether the answer is a stream: its latencies count then.',
  })
  streamed!: boolean;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'Now if left out.' })
  at?: Date | null;

  @Field(() => GraphQLSafeInt, {
    defaultValue: 0,
    description: 'What chance goes by, 32 bits: for a call that was made, the last eight hexadecimal digits of its id.',
  })
  seed!: number;
}

@ObjectType()
class PlannedAttempt {
  @Field(() => ID)
  targetId!: string;

  @Field(() => ID)
  routeId!: string;

  @Field(() => ID)
  providerId!: string;

  @Field(() => ID)
  credentialId!: string;

  @Field(() => String, { description: 'Another one than was asked for where the route falls back.' })
  model!: string;

  @Field(() => String)
  upstreamModel!: string;

  @Field(() => Int)
  priority!: number;

  @Field(() => strategyEnum, { description: 'What has ordered the targets of this priority.' })
  strategy!: RoutingStrategy;

  @Field(() => Float, { nullable: true, description: 'What the strategy went by; lower first. Null where not known.' })
  score!: number | null;

  @Field(() => placedEnum)
  why!: Placement['why'];

  @Field(() => plannedHealthEnum)
  health!: string;
}

@ObjectType()
class ExcludedWay {
  @Field(() => String)
  model!: string;

  @Field(() => ID, { nullable: true, description: 'Null where the whole model is left out.' })
  routeId!: string | null;

  @Field(() => ID, { nullable: true, description: 'Null where the whole route is left out.' })
  targetId!: string | null;

  @Field(() => exclusionEnum)
  why!: Exclusion;

  @Field(() => String, { nullable: true, description: 'Which condition, what is missing, or until when.' })
  detail!: string | null;
}

@ObjectType('RoutePlan')
class RoutePlanType {
  @Field(() => String)
  model!: string;

  @Field(() => ID, {
    nullable: true,
    description: 'The data plane whose report was gone by; null where there is none.',
  })
  healthFrom!: string | null;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  healthReportedAt!: Date | null;

  @Field(() => [PlannedAttempt], { description: 'In the order in which they would be tried.' })
  attempts!: PlannedAttempt[];

  @Field(() => [ExcludedWay])
  excluded!: ExcludedWay[];
}

@Resolver()
export class RoutePlanResolver {
  @Policy('model:manage')
  @Query(() => RoutePlanType, {
    description: 'Which way a call would take, and why: by the function that data planes use.',
  })
  async routePlan(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => RoutePlanInputType) input: RoutePlanInputType,
    @TenantArgument() tenantId?: string,
  ): Promise<RoutePlanType> {
    const scope = orThrow(chooseScope(viewer, tenantId));
    const plan = orThrow(await services.routePlans.plan(scope, input));
    return {
      model: plan.model,
      healthFrom: plan.healthFrom?.dataPlaneId ?? null,
      healthReportedAt: plan.healthFrom?.receivedAt ?? null,
      attempts: plan.placements.map((placement) => toAttempt(placement, plan.healthOf)),
      excluded: plan.excluded.map(toExcluded),
    };
  }
}

function toAttempt({ candidate, strategy, score, why }: Placement, healthOf: HealthOf): PlannedAttempt {
  const { target, route, provider, model } = candidate;
  const health = healthOf(target.id, target.credentialId, target.upstreamModel);
  return {
    ...{ targetId: target.id, routeId: route.id, providerId: provider.id, credentialId: target.credentialId },
    ...{ model: model.name, upstreamModel: target.upstreamModel, priority: target.priority, strategy, why },
    score: Number.isFinite(score) ? score : null,
    health: health === undefined ? 'unknown' : (health.blocked ?? 'well'),
  };
}

function toExcluded({ model, route, target, why, detail }: Excluded): ExcludedWay {
  const ids = { routeId: route?.id ?? null, targetId: target?.id ?? null };
  return { model: model.name, ...ids, why, detail: detail ?? null };
}
