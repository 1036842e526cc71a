import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { Plan } from './entities.js';
import { LimitsInput, LimitsType } from './limits.graphql.js';

@ObjectType({ description: "A plan's price in the place of a model's." })
class PlanPriceCard {
  @Field(() => ID, { description: 'The card that the model has.' })
  modelPriceCardId!: string;

  @Field(() => ID, { description: 'The card that tenants of the plan pay by.' })
  planPriceCardId!: string;
}

@ObjectType('Plan', {
  description: 'What tenants have in common: how much they may call, and by which prices they pay.',
})
export class PlanType {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => LimitsType, { nullable: true, description: 'Each tenant of the plan has them for itself.' })
  limits!: LimitsType | null;

  @Field(() => [PlanPriceCard])
  priceCards!: readonly PlanPriceCard[];

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@InputType()
class PlanPriceCardInput {
  @Field(() => ID)
  modelPriceCardId!: string;

  @Field(() => ID, { description: 'A derived card, or any other price card.' })
  planPriceCardId!: string;
}

@InputType()
class CreatePlanInput {
  @Field(() => String)
  name!: string;

  @Field(() => LimitsInput, { nullable: true })
  limits?: LimitsInput | null;

  @Field(() => [PlanPriceCardInput], { defaultValue: [] })
  priceCards!: PlanPriceCardInput[];
}

@InputType()
class ChangePlanInput {
  @Field(() => ID)
  planId!: string;

  @Field(() => LimitsInput, { nullable: true, description: 'Take the place of the present ones; null for none.' })
  limits?: LimitsInput | null;

  @Field(() => [PlanPriceCardInput], { defaultValue: [], description: 'Take the place of the present ones.' })
  priceCards!: PlanPriceCardInput[];
}

@ObjectType()
class PlanPayload extends Payload {
  @Field(() => PlanType, { nullable: true })
  plan?: PlanType;
}

@Resolver()
export class PlansResolver {
  @Policy('plan:manage')
  @Query(() => [PlanType], { description: 'By name.' })
  async plans(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<PlanType[]> {
    const plans = await services.plans.list(viewerScope(viewer));
    return plans.map(toPlanType);
  }

  @Policy('plan:manage')
  @Mutation(() => PlanPayload)
  async createPlan(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreatePlanInput) input: CreatePlanInput,
  ): Promise<PlanPayload> {
    return toPayload(await services.plans.create(viewerScope(viewer), input), (plan) => ({ plan: toPlanType(plan) }));
  }

  @Policy('plan:manage')
  @Mutation(() => PlanPayload, {
    description: 'In force for the calls that its tenants begin a second later; calls before keep their prices.',
  })
  async changePlan(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => ChangePlanInput) input: ChangePlanInput,
  ): Promise<PlanPayload> {
    return toPayload(await services.plans.change(viewerScope(viewer), input), (plan) => ({ plan: toPlanType(plan) }));
  }
}

function toPlanType({ id, name, limits, priceCards, createdAt }: Plan): PlanType {
  const cards = Object.entries(priceCards).map(([modelPriceCardId, planPriceCardId]) => ({
    modelPriceCardId,
    planPriceCardId,
  }));
  return { id, name, limits, priceCards: cards, createdAt };
}
