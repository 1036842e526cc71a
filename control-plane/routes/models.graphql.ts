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
import { CAPABILITIES, type Capability } from '@pingtoken/shared/config-snapshot';
import { OPERATIONS, type Operation } from '@pingtoken/shared/usage-event';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { Model } from './entities.js';

export const toEnum = (values: readonly string[]): Record<string, string> =>
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

@ObjectType()
class ModelPayload extends Payload {
  @Field(() => ModelType, { nullable: true })
  model?: ModelType;
}

@Resolver()
export class ModelsResolver {
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
}
