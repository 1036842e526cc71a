import { Arg, Ctx, Field, InputType, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { PolicyVersion } from './entities.js';

@ObjectType('PolicyVersion', { description: 'A published privacy policy. Its text never changes.' })
class PolicyVersionType implements Partial<PolicyVersion> {
  @Field(() => String)
  version!: string;

  @Field(() => String)
  title!: string;

  @Field(() => String)
  body!: string;

  @Field(() => String, { description: 'SHA-256 of the body, base64url.' })
  digest!: string;

  @Field(() => GraphQLDateTimeISO)
  publishedAt!: Date;
}

@InputType()
class PublishPolicyInput {
  @Field(() => String)
  version!: string;

  @Field(() => String)
  title!: string;

  @Field(() => String)
  body!: string;
}

@ObjectType()
class PublishPolicyPayload extends Payload {
  @Field(() => PolicyVersionType, { nullable: true })
  policy?: PolicyVersionType;
}

@Resolver()
export class PrivacyResolver {
  @Policy('public')
  @Query(() => PolicyVersionType, { nullable: true, description: 'The policy that a registration consents to.' })
  currentPolicy(@Ctx() { services }: Context): Promise<PolicyVersionType | null> {
    return services.policies.current();
  }

  @Policy('policy:publish')
  @Mutation(() => PublishPolicyPayload)
  async publishPolicy(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => PublishPolicyInput) input: PublishPolicyInput,
  ): Promise<PublishPolicyPayload> {
    return toPayload(await services.policies.publish(viewerScope(viewer), input), (policy) => ({ policy }));
  }
}
