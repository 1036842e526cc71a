import { Arg, Ctx, Field, ID, InputType, Int, Mutation, ObjectType, Resolver } from 'type-graphql';
import { targetPolicySchema, type TargetPolicy } from '@pingtoken/shared/route-policy';
import { Refusal } from '../database/refusal.js';
import { CurrentViewer, TENANT_ARGUMENT, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, viewerScope } from '../identity/scope.js';
import type { Target } from './entities.js';
import { TargetLimitsType, targetStatusEnum } from './route-policy.graphql.js';

@ObjectType('Target', { description: 'A provider’s model that serves calls of a route.' })
export class TargetType {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  routeId!: string;

  @Field(() => ID)
  providerId!: string;

  @Field(() => ID)
  credentialId!: string;

  @Field(() => String)
  upstreamModel!: string;

  @Field(() => Int, { description: 'Lower goes first.' })
  priority!: number;

  @Field(() => Int, { description: 'Share among targets of one priority.' })
  weight!: number;

  @Field(() => ID, { nullable: true })
  costCardId!: string | null;

  @Field(() => String, { nullable: true, description: 'Null for its provider’s.' })
  region!: string | null;

  @Field(() => targetStatusEnum)
  status!: TargetPolicy['status'];

  @Field(() => TargetLimitsType)
  limits!: TargetLimitsType;
}

@InputType()
export class TargetInput {
  @Field(() => ID)
  providerId!: string;

  @Field(() => ID)
  credentialId!: string;

  @Field(() => String, { description: "The provider's own name for the model." })
  upstreamModel!: string;

  @Field(() => Int, { defaultValue: 0, description: 'Lower goes first.' })
  priority!: number;

  @Field(() => Int, { defaultValue: 1, description: 'Share among targets of one priority.' })
  weight!: number;

  @Field(() => ID, { nullable: true, description: 'What the provider charges; for the margin, and the cheapest way.' })
  costCardId?: string | null;

  @Field(() => String, { nullable: true, description: 'Its provider’s if left out.' })
  region?: string | null;

  @Field(() => targetStatusEnum, { defaultValue: 'active' })
  status!: TargetPolicy['status'];

  @Field(() => TargetLimitsType, { nullable: true })
  limits?: TargetLimitsType;
}

@InputType()
class AddTargetInput extends TargetInput {
  @Field(() => ID)
  routeId!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;
}

@InputType({ description: 'What is left out stays as it is.' })
class UpdateTargetInput {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;

  @Field(() => ID, { nullable: true, description: 'Another one of the same provider.' })
  credentialId?: string;

  @Field(() => String, { nullable: true })
  upstreamModel?: string;

  @Field(() => Int, { nullable: true })
  priority?: number;

  @Field(() => Int, { nullable: true })
  weight?: number;

  @Field(() => ID, { nullable: true })
  costCardId?: string | null;

  @Field(() => String, { nullable: true })
  region?: string | null;

  @Field(() => targetStatusEnum, { nullable: true })
  status?: TargetPolicy['status'];

  @Field(() => TargetLimitsType, { nullable: true })
  limits?: TargetLimitsType;
}

@InputType()
class RemoveTargetInput {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;
}

@InputType()
class UseCredentialInput {
  @Field(() => ID)
  credentialId!: string;
}

@ObjectType()
class TargetPayload extends Payload {
  @Field(() => TargetType, { nullable: true })
  target?: TargetType;
}

@ObjectType()
class UseCredentialPayload extends Payload {
  @Field(() => Int, { nullable: true })
  movedTargets?: number;
}

@ObjectType()
class RemoveTargetPayload extends Payload {
  @Field(() => ID, { nullable: true })
  routeId?: string;
}

@Resolver()
export class TargetsResolver {
  @Policy('model:manage')
  @Mutation(() => TargetPayload)
  async addTarget(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => AddTargetInput) { tenantId, ...input }: AddTargetInput,
  ): Promise<TargetPayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.routes.addTarget(scope, input);
    return toPayload(result, (target) => ({ target: toTarget(target) }));
  }

  @Policy('model:manage')
  @Mutation(() => TargetPayload)
  async updateTarget(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateTargetInput) { tenantId, ...input }: UpdateTargetInput,
  ): Promise<TargetPayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.routes.updateTarget(scope, input);
    return toPayload(result, (target) => ({ target: toTarget(target) }));
  }

  @Policy('model:manage')
  @Mutation(() => RemoveTargetPayload, { description: 'The last target of a route stays.' })
  async removeTarget(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => RemoveTargetInput) { id, tenantId }: RemoveTargetInput,
  ): Promise<RemoveTargetPayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.routes.removeTarget(scope, id);
    return toPayload(result, ({ id: routeId }) => ({ routeId }));
  }

  @Policy('model:manage')
  @Mutation(() => UseCredentialPayload, {
    description: "Moves all routes of the credential's provider and owner over to it; pass-through routes keep theirs.",
  })
  async useCredential(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UseCredentialInput) { credentialId }: UseCredentialInput,
  ): Promise<UseCredentialPayload> {
    const result = await services.routes.useCredential(viewerScope(viewer), credentialId);
    return toPayload(result, (movedTargets) => ({ movedTargets }));
  }
}

/** With every default in its place, as data planes see it. */
export function toTarget(target: Target): TargetType {
  const { id, routeId, providerId, credentialId, upstreamModel, priority, weight, costCardId } = target;
  const shares = { priority, weight, costCardId };
  return { id, routeId, providerId, credentialId, upstreamModel, ...shares, ...targetPolicySchema.parse(target) };
}
