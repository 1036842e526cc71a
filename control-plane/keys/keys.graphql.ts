import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { Refusal } from '../database/refusal.js';
import { CurrentViewer, orThrow, TENANT_ARGUMENT, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope } from '../identity/scope.js';
import { LimitsInput, LimitsType } from '../plans/limits.graphql.js';
import type { ApiKey } from './entities.js';

const ApiKeyStatus = { ACTIVE: 'active', REVOKED: 'revoked' } as const;
registerEnumType(ApiKeyStatus, { name: 'ApiKeyStatus' });

const IDEMPOTENCY = 'Whether a call with an Idempotency-Key is answered like the first one of that name.';
const CACHE =
  'Whether its calls may be given answers that were made for like calls of the tenant, where their route keeps any.';

@ObjectType('ApiKey', { description: 'A bearer for the gateway. Its secret is shown when it is made and never again.' })
class ApiKeyType implements Partial<ApiKey> {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  memberId!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String, { description: 'Enough of the secret to recognise it.' })
  hint!: string;

  @Field(() => [String], { description: 'What it is filed under; routes may go by them.' })
  tags!: string[];

  @Field(() => Boolean, { description: IDEMPOTENCY })
  idempotency!: boolean;

  @Field(() => Boolean, { description: CACHE })
  cache!: boolean;

  @Field(() => ApiKeyStatus)
  status!: 'active' | 'revoked';

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  expiresAt!: Date | null;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  revokedAt!: Date | null;

  @Field(() => LimitsType, { nullable: true, description: 'What bounds this key by itself.' })
  limits!: LimitsType | null;
}

@InputType()
class CreateApiKeyInput {
  @Field(() => String)
  name!: string;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  expiresAt?: Date | null;

  @Field(() => LimitsInput, { nullable: true })
  limits?: LimitsInput | null;

  @Field(() => [String], { nullable: true, description: 'What it is filed under; routes may go by them.' })
  tags?: string[] | null;

  @Field(() => Boolean, { nullable: true, description: IDEMPOTENCY })
  idempotency?: boolean | null;

  @Field(() => Boolean, { nullable: true, description: CACHE })
  cache?: boolean | null;
}

@InputType({ description: 'What is not given is taken away.' })
class UpdateApiKeyInput extends CreateApiKeyInput {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;
}

@InputType()
class RevokeApiKeyInput {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;
}

@ObjectType()
class CreateApiKeyPayload extends Payload {
  @Field(() => ApiKeyType, { nullable: true })
  apiKey?: ApiKeyType;

  @Field(() => String, { nullable: true, description: 'The bearer itself. Keep it now: it is stored nowhere.' })
  secret?: string;
}

@ObjectType()
class UpdateApiKeyPayload extends Payload {
  @Field(() => ApiKeyType, { nullable: true })
  apiKey?: ApiKeyType;
}

@ObjectType()
class RevokeApiKeyPayload extends Payload {
  @Field(() => ApiKeyType, { nullable: true })
  apiKey?: ApiKeyType;
}

@Resolver()
export class KeysResolver {
  @Policy('api-key:read')
  @Query(() => [ApiKeyType], { description: "The tenant's keys, newest first." })
  apiKeys(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @TenantArgument() tenantId: string | null,
  ): Promise<ApiKeyType[]> {
    return services.keys.list(orThrow(chooseScope(viewer, tenantId)));
  }

  @Policy('api-key:create')
  @Mutation(() => CreateApiKeyPayload, { description: 'Makes a key. The e-mail address must have been verified.' })
  async createApiKey(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateApiKeyInput) input: CreateApiKeyInput,
  ): Promise<CreateApiKeyPayload> {
    return toPayload(await services.keys.create(viewer, input), ({ apiKey, secret }) => ({ apiKey, secret }));
  }

  @Policy('api-key:update')
  @Mutation(() => UpdateApiKeyPayload, { description: 'In force for calls that begin a second later.' })
  async updateApiKey(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateApiKeyInput) { tenantId, ...input }: UpdateApiKeyInput,
  ): Promise<UpdateApiKeyPayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.keys.update(scope, input);
    return toPayload(result, (apiKey) => ({ apiKey }));
  }

  @Policy('api-key:revoke')
  @Mutation(() => RevokeApiKeyPayload, {
    description: 'Every gateway refuses the key within a second. There is no way back.',
  })
  async revokeApiKey(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => RevokeApiKeyInput) { id, tenantId }: RevokeApiKeyInput,
  ): Promise<RevokeApiKeyPayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.keys.revoke(scope, id);
    return toPayload(result, (apiKey) => ({ apiKey }));
  }
}
