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
import { validate as isUuid } from 'uuid';
import { Refusal, refuse } from '../database/refusal.js';
import { CurrentViewer, TENANT_ARGUMENT, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { PageInfo, Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, viewerScope, withinTenant } from '../identity/scope.js';
import { LimitsInput, LimitsType } from '../plans/limits.graphql.js';
import type { Tenant } from './entities.js';

const TenantKind = { OPERATOR: 'operator', PERSON: 'person', ENTERPRISE: 'enterprise' } as const;
registerEnumType(TenantKind, { name: 'TenantKind' });
const TenantStatus = { ACTIVE: 'active', SUSPENDED: 'suspended' } as const;
registerEnumType(TenantStatus, { name: 'TenantStatus' });

const EndUsers = { PSEUDONYM: 'pseudonym', DROP: 'drop' } as const;
registerEnumType(EndUsers, {
  name: 'EndUsers',
  description: 'What providers are told of the end users that a tenant names in its calls.',
  valuesConfig: {
    PSEUDONYM: { description: 'A pseudonym that is the same for the same end user, and that no other tenant has.' },
    DROP: { description: 'Nothing.' },
  },
});

@ObjectType('Tenant')
export class TenantType implements Partial<Tenant> {
  @Field(() => ID)
  id!: string;

  @Field(() => TenantKind)
  kind!: Tenant['kind'];

  @Field(() => String, { nullable: true })
  organizationName!: string | null;

  @Field(() => TenantStatus)
  status!: Tenant['status'];

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;

  @Field(() => EndUsers)
  endUsers!: Tenant['endUsers'];

  @Field(() => ID, { nullable: true })
  planId!: string | null;

  @Field(() => LimitsType, { nullable: true, description: 'What bounds the tenant as a whole, besides its plan.' })
  limits!: LimitsType | null;
}

@ObjectType()
class TenantConnection {
  @Field(() => [TenantType])
  nodes!: readonly TenantType[];

  @Field(() => PageInfo)
  pageInfo!: PageInfo;
}

@InputType()
class SetTenantStatusInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => TenantStatus)
  status!: Tenant['status'];
}

@ObjectType()
class SetTenantStatusPayload extends Payload {
  @Field(() => TenantType, { nullable: true })
  tenant?: TenantType;
}

@InputType()
class UpdateTenantSettingsInput {
  @Field(() => ID, { nullable: true, description: 'For the operator; by default the own one.' })
  tenantId?: string | null;

  @Field(() => EndUsers)
  endUsers!: Tenant['endUsers'];
}

@InputType({ description: 'What is not given is taken away.' })
class SetTenantTermsInput {
  @Field(() => ID)
  tenantId!: string;

  @Field(() => ID, { nullable: true })
  planId?: string | null;

  @Field(() => LimitsInput, { nullable: true })
  limits?: LimitsInput | null;
}

@ObjectType()
class SetTenantTermsPayload extends Payload {
  @Field(() => TenantType, { nullable: true })
  tenant?: TenantType;
}

@InputType()
class SetMemberLimitsInput {
  @Field(() => ID)
  memberId!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;

  @Field(() => LimitsInput, { nullable: true, description: 'Take the place of the present ones; null for none.' })
  limits?: LimitsInput | null;
}

@ObjectType()
class SetMemberLimitsPayload extends Payload {
  @Field(() => LimitsType, { nullable: true })
  limits?: LimitsType | null;
}

@ObjectType()
class UpdateTenantSettingsPayload extends Payload {
  @Field(() => TenantType, { nullable: true })
  tenant?: TenantType;
}

@ObjectType()
class CreateInvitationPayload extends Payload {
  @Field(() => String, { nullable: true, description: 'Admits one registration; shown once.' })
  code?: string;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  expiresAt?: Date;
}

@Resolver()
export class TenantsResolver {
  @Policy('tenant:list')
  @Query(() => TenantConnection, { description: 'Every tenant, newest first.' })
  async tenants(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('first', () => Int, { defaultValue: 50, description: 'At most 100.' }) first: number,
    @Arg('after', () => String, { nullable: true }) after: string | null,
  ): Promise<TenantConnection> {
    const afterId = after != null && isUuid(after) ? after : null;
    const page = await services.tenants.list(viewerScope(viewer), Math.min(Math.max(first, 1), 100), afterId);
    return {
      nodes: page.tenants,
      pageInfo: { hasNextPage: page.hasNextPage, endCursor: page.tenants.at(-1)?.id ?? null },
    };
  }

  @Policy('tenant:manage')
  @Mutation(() => SetTenantStatusPayload, { description: "Suspends or resumes a tenant's calls, within a second." })
  async setTenantStatus(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => SetTenantStatusInput) { tenantId, status }: SetTenantStatusInput,
  ): Promise<SetTenantStatusPayload> {
    const result = isUuid(tenantId)
      ? await services.tenants.setStatus(withinTenant(viewer, tenantId), status)
      : refuse('not_found', ['tenantId']);
    return toPayload(result, (tenant) => ({ tenant }));
  }

  @Policy('tenant:configure')
  @Mutation(() => UpdateTenantSettingsPayload, { description: 'In force for calls that begin a second later.' })
  async updateTenantSettings(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateTenantSettingsInput) { tenantId, endUsers }: UpdateTenantSettingsInput,
  ): Promise<UpdateTenantSettingsPayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.tenants.updateSettings(scope, { endUsers });
    return toPayload(result, (tenant) => ({ tenant }));
  }

  @Policy('tenant:manage')
  @Mutation(() => SetTenantTermsPayload, {
    description: "A tenant's plan, and what bounds it besides. In force for calls that begin a second later.",
  })
  async setTenantTerms(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => SetTenantTermsInput) { tenantId, ...terms }: SetTenantTermsInput,
  ): Promise<SetTenantTermsPayload> {
    const result = isUuid(tenantId)
      ? await services.tenants.setTerms(withinTenant(viewer, tenantId), terms)
      : refuse('not_found', ['tenantId']);
    return toPayload(result, (tenant) => ({ tenant }));
  }

  @Policy('tenant:configure')
  @Mutation(() => SetMemberLimitsPayload, { description: "What bounds a member's keys together." })
  async setMemberLimits(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => SetMemberLimitsInput) { tenantId, ...input }: SetMemberLimitsInput,
  ): Promise<SetMemberLimitsPayload> {
    const scope = chooseScope(viewer, tenantId);
    const result = scope instanceof Refusal ? scope : await services.tenants.setMemberLimits(scope, input);
    return toPayload(result, ({ limits }) => ({ limits }));
  }

  @Policy('invitation:create')
  @Mutation(() => CreateInvitationPayload)
  async createInvitation(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
  ): Promise<CreateInvitationPayload> {
    return toPayload(await services.tenants.invite(viewerScope(viewer)), (invitation) => invitation);
  }
}
