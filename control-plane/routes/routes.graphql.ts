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
import { CAPABILITIES, type Capability } from '@pingtoken/shared/config-snapshot';
import { OPERATIONS, type Operation } from '@pingtoken/shared/usage-event';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { Model, PassthroughRoute, Route } from './entities.js';

const toEnum = (values: readonly string[]): Record<string, string> =>
  Object.fromEntries(values.map((value) => [value.replaceAll('-', '_').toUpperCase(), value]));
export const operationEnum = toEnum(OPERATIONS);
registerEnumType(operationEnum, {
  name: 'ModelOperation',
  description: 'What a model can be asked for. BATCHES: its other operations may also be asked for in a batch.',
});
export const capabilityEnum = toEnum(CAPABILITIES);
registerEnumType(capabilityEnum, {
  name: 'ModelCapability',
  description: 'What a model can do beyond text in, text out.',
});
const ModelStatus = { ACTIVE: 'active', DISABLED: 'disabled' } as const;
registerEnumType(ModelStatus, { name: 'ModelStatus' });
const HttpMethod = { GET: 'GET', POST: 'POST', PUT: 'PUT', PATCH: 'PATCH', DELETE: 'DELETE' } as const;
registerEnumType(HttpMethod, { name: 'HttpMethod' });

@ObjectType('Model', { description: 'What callers name. Without a price it is refused, never free.' })
export class ModelType implements Partial<Model> {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => [operationEnum])
  operations!: Operation[];

  @Field(() => [capabilityEnum])
  capabilities!: Capability[];

  @Field(() => Int, { nullable: true, description: 'Tokens of prompt and answer together; null where not known.' })
  contextWindow!: number | null;

  @Field(() => Int, { nullable: true, description: 'Tokens of one answer; null where not known.' })
  maxOutputTokens!: number | null;

  @Field(() => ModelStatus)
  status!: Model['status'];

  @Field(() => ID, { nullable: true })
  priceCardId!: string | null;
}

@ObjectType('Route', { description: 'How calls of a model are served.' })
class RouteType implements Partial<Route> {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  modelId!: string;

  @Field(() => ID, { nullable: true, description: 'Null for everyone.' })
  tenantId!: string | null;

  @Field(() => Boolean, { description: 'Whether translation may drop what a target cannot express.' })
  dropsUnsupported!: boolean;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@ObjectType('PassthroughRoute', { description: "A provider's path that is relayed as it is, for a price per request." })
class PassthroughRouteType implements Partial<PassthroughRoute> {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  providerId!: string;

  @Field(() => HttpMethod)
  method!: PassthroughRoute['method'];

  @Field(() => String)
  path!: string;

  @Field(() => ID)
  priceCardId!: string;
}

@InputType()
class CreateModelInput {
  @Field(() => String)
  name!: string;

  @Field(() => [operationEnum])
  operations!: Operation[];

  @Field(() => [capabilityEnum], { defaultValue: [] })
  capabilities!: Capability[];

  @Field(() => Int, { nullable: true, defaultValue: null })
  contextWindow!: number | null;

  @Field(() => Int, { nullable: true, defaultValue: null })
  maxOutputTokens!: number | null;

  @Field(() => ID, { nullable: true })
  priceCardId?: string | null;
}

@InputType({ description: 'What is left out stays as it is.' })
class UpdateModelInput {
  @Field(() => ID)
  id!: string;

  @Field(() => String, { nullable: true })
  name?: string;

  @Field(() => [operationEnum], { nullable: true })
  operations?: Operation[];

  @Field(() => [capabilityEnum], { nullable: true })
  capabilities?: Capability[];

  @Field(() => Int, { nullable: true })
  contextWindow?: number | null;

  @Field(() => Int, { nullable: true })
  maxOutputTokens?: number | null;

  @Field(() => ModelStatus, { nullable: true })
  status?: Model['status'];
}

@InputType()
class SetModelPriceInput {
  @Field(() => ID)
  modelId!: string;

  @Field(() => ID)
  priceCardId!: string;
}

@InputType()
class TargetInput {
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

  @Field(() => ID, { nullable: true, description: 'What the provider charges; for the margin.' })
  costCardId?: string | null;
}

@InputType()
class CreateRouteInput {
  @Field(() => ID)
  modelId!: string;

  @Field(() => ID, { nullable: true })
  tenantId?: string | null;

  @Field(() => Boolean, {
    defaultValue: false,
    description: 'Whether translation may drop what a target cannot express; otherwise such a call is refused.',
  })
  dropsUnsupported!: boolean;

  @Field(() => [TargetInput])
  targets!: TargetInput[];
}

@InputType()
class UpdateRouteInput {
  @Field(() => ID)
  id!: string;

  @Field(() => Boolean)
  dropsUnsupported!: boolean;
}

@InputType()
class UseCredentialInput {
  @Field(() => ID)
  credentialId!: string;
}

@InputType()
class CreatePassthroughRouteInput {
  @Field(() => ID)
  providerId!: string;

  @Field(() => ID)
  credentialId!: string;

  @Field(() => HttpMethod)
  method!: PassthroughRoute['method'];

  @Field(() => String, { description: "Below the provider's base URL; `*` stands for any one segment." })
  path!: string;

  @Field(() => ID, { description: 'A card with a price per request.' })
  priceCardId!: string;
}

@ObjectType()
class ModelPayload extends Payload {
  @Field(() => ModelType, { nullable: true })
  model?: ModelType;
}

@ObjectType()
class RoutePayload extends Payload {
  @Field(() => RouteType, { nullable: true })
  route?: RouteType;
}

@ObjectType()
class UseCredentialPayload extends Payload {
  @Field(() => Int, { nullable: true })
  movedTargets?: number;
}

@ObjectType()
class CreatePassthroughRoutePayload extends Payload {
  @Field(() => PassthroughRouteType, { nullable: true })
  route?: PassthroughRouteType;
}

@Resolver()
export class RoutesResolver {
  @Policy('model:read')
  @Query(() => [ModelType])
  models(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<ModelType[]> {
    return services.routes.listModels(viewerScope(viewer));
  }

  @Policy('model:manage')
  @Mutation(() => ModelPayload)
  async createModel(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateModelInput) input: CreateModelInput,
  ): Promise<ModelPayload> {
    return toPayload(await services.routes.createModel(viewerScope(viewer), input), (model) => ({ model }));
  }

  @Policy('model:manage')
  @Mutation(() => ModelPayload)
  async updateModel(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateModelInput) input: UpdateModelInput,
  ): Promise<ModelPayload> {
    return toPayload(await services.routes.updateModel(viewerScope(viewer), input), (model) => ({ model }));
  }

  @Policy('model:manage')
  @Mutation(() => ModelPayload)
  async setModelPrice(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => SetModelPriceInput) { modelId, priceCardId }: SetModelPriceInput,
  ): Promise<ModelPayload> {
    const result = await services.routes.setPriceCard(viewerScope(viewer), modelId, priceCardId);
    return toPayload(result, (model) => ({ model }));
  }

  @Policy('model:manage')
  @Mutation(() => RoutePayload)
  async createRoute(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateRouteInput) input: CreateRouteInput,
  ): Promise<RoutePayload> {
    return toPayload(await services.routes.createRoute(viewerScope(viewer), input), (route) => ({ route }));
  }

  @Policy('model:manage')
  @Mutation(() => RoutePayload)
  async updateRoute(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateRouteInput) input: UpdateRouteInput,
  ): Promise<RoutePayload> {
    return toPayload(await services.routes.updateRoute(viewerScope(viewer), input), (route) => ({ route }));
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

  @Policy('model:manage')
  @Mutation(() => CreatePassthroughRoutePayload)
  async createPassthroughRoute(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreatePassthroughRouteInput) input: CreatePassthroughRouteInput,
  ): Promise<CreatePassthroughRoutePayload> {
    const result = await services.routes.createPassthroughRoute(viewerScope(viewer), input);
    return toPayload(result, (route) => ({ route }));
  }
}
