import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, registerEnumType, Resolver } from 'type-graphql';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { PassthroughRoute } from './entities.js';

const HttpMethod = { GET: 'GET', POST: 'POST', PUT: 'PUT', PATCH: 'PATCH', DELETE: 'DELETE' } as const;
registerEnumType(HttpMethod, { name: 'HttpMethod' });

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
class CreatePassthroughRoutePayload extends Payload {
  @Field(() => PassthroughRouteType, { nullable: true })
  route?: PassthroughRouteType;
}

@Resolver()
export class PassthroughResolver {
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
