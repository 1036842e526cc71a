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
  registerEnumType,
  Resolver,
  Root,
} from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { AUTH_SCHEMES, DIALECTS, type AuthScheme, type Dialect } from '@pingtoken/shared/config-snapshot';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { Credential, Provider, ProviderGrant } from './entities.js';

const toEnum = (values: readonly string[]): Record<string, string> =>
  Object.fromEntries(values.map((value) => [value.replaceAll('-', '_').toUpperCase(), value]));
export const dialectEnum = toEnum(DIALECTS);
registerEnumType(dialectEnum, { name: 'Dialect', description: 'The API that a provider speaks.' });
export const authSchemeEnum = toEnum(AUTH_SCHEMES);
registerEnumType(authSchemeEnum, {
  name: 'AuthScheme',
  description: 'The header that carries the credential; BEARER is `Authorization: Bearer …`.',
});
const TRAINS = 'Whether the vendor trains on what its API is sent, unless told otherwise; null where not known.';
const RETAINS = 'Days for which the vendor keeps what its API is sent, unless told otherwise; null where not known.';
const ProviderStatus = { ACTIVE: 'active', DISABLED: 'disabled' } as const;
registerEnumType(ProviderStatus, { name: 'ProviderStatus' });

@ObjectType('Provider', { description: 'Receives calls of those tenants only that have granted it.' })
export class ProviderType implements Partial<Provider> {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  slug!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String)
  baseUrl!: string;

  @Field(() => dialectEnum)
  dialect!: Dialect;

  @Field(() => authSchemeEnum)
  auth!: AuthScheme;

  @Field(() => String, { nullable: true, description: 'Where it serves; null where the vendor does not say.' })
  region!: string | null;

  @Field(() => String, { description: 'Read before granting.' })
  termsUrl!: string;

  @Field(() => String, { description: 'Read before granting.' })
  privacyUrl!: string;

  @Field(() => Boolean, { nullable: true, description: TRAINS })
  trainsOnData!: boolean | null;

  @Field(() => Int, { nullable: true, description: RETAINS })
  retentionDays!: number | null;

  @Field(() => ProviderStatus)
  status!: Provider['status'];
}

@ObjectType('Credential', { description: "A provider's secret; the secret itself cannot be read back." })
export class CredentialType implements Partial<Credential> {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  providerId!: string;

  @Field(() => ID, { nullable: true, description: "The tenant it belongs to; null for the operator's own." })
  tenantId!: string | null;

  @Field(() => String)
  name!: string;

  @Field(() => String, {
    description: "Where alone the secret is sent: the origin of the provider's base URL when the credential was made.",
  })
  origin!: string;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;
}

@ObjectType('ProviderGrant', {
  description: 'The tenant was shown these documents and allowed the use of the provider.',
})
class ProviderGrantType implements Partial<ProviderGrant> {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  providerId!: string;

  @Field(() => String)
  termsUrl!: string;

  @Field(() => String)
  privacyUrl!: string;

  @Field(() => GraphQLDateTimeISO)
  grantedAt!: Date;
}

@InputType()
class CreateProviderInput {
  @Field(() => String, { description: 'Stands in pass-through addresses: lower-case letters, digits, hyphens.' })
  slug!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String, { description: 'Up to and including the version, such as `https://api.openai.com/v1`.' })
  baseUrl!: string;

  @Field(() => dialectEnum, { defaultValue: 'openai' })
  dialect!: Dialect;

  @Field(() => authSchemeEnum, { nullable: true, description: "The dialect's own, where it is not given." })
  auth?: AuthScheme | null;

  @Field(() => String, { nullable: true, defaultValue: null })
  region!: string | null;

  @Field(() => String)
  termsUrl!: string;

  @Field(() => String)
  privacyUrl!: string;

  @Field(() => Boolean, { nullable: true, defaultValue: null, description: TRAINS })
  trainsOnData!: boolean | null;

  @Field(() => Int, { nullable: true, defaultValue: null, description: RETAINS })
  retentionDays!: number | null;
}

@InputType({ description: 'What is left out stays as it is.' })
class UpdateProviderInput {
  @Field(() => ID)
  id!: string;

  @Field(() => String, { nullable: true })
  name?: string;

  @Field(() => String, { nullable: true })
  baseUrl?: string;

  @Field(() => dialectEnum, { nullable: true })
  dialect?: Dialect;

  @Field(() => authSchemeEnum, { nullable: true })
  auth?: AuthScheme;

  @Field(() => String, { nullable: true })
  region?: string | null;

  @Field(() => String, { nullable: true })
  termsUrl?: string;

  @Field(() => String, { nullable: true })
  privacyUrl?: string;

  @Field(() => Boolean, { nullable: true, description: TRAINS })
  trainsOnData?: boolean | null;

  @Field(() => Int, { nullable: true, description: RETAINS })
  retentionDays?: number | null;

  @Field(() => ProviderStatus, { nullable: true })
  status?: Provider['status'];
}

@InputType()
class CreateCredentialInput {
  @Field(() => ID)
  providerId!: string;

  @Field(() => ID, { nullable: true, description: "Null for the operator's own, which serves every tenant." })
  tenantId?: string | null;

  @Field(() => String)
  name!: string;

  @Field(() => String, { description: 'Write-only.' })
  secret!: string;
}

@InputType()
class ProviderIdInput {
  @Field(() => ID)
  providerId!: string;
}

@ObjectType()
class ProviderPayload extends Payload {
  @Field(() => ProviderType, { nullable: true })
  provider?: ProviderType;
}

@ObjectType()
class CreateCredentialPayload extends Payload {
  @Field(() => CredentialType, { nullable: true })
  credential?: CredentialType;
}

@ObjectType()
class GrantProviderPayload extends Payload {
  @Field(() => ProviderGrantType, { nullable: true })
  grant?: ProviderGrantType;
}

@ObjectType()
class RevokeProviderGrantPayload extends Payload {
  @Field(() => Boolean, { nullable: true })
  revoked?: boolean;
}

@Resolver(() => ProviderType)
export class ProvidersResolver {
  @Policy('provider:read')
  @Query(() => [ProviderType], {
    description: 'Every provider, with the terms and the privacy policy to read before granting.',
  })
  providers(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<ProviderType[]> {
    return services.providers.list(viewerScope(viewer));
  }

  @FieldResolver(() => Boolean, { description: 'Whether your tenant has granted the use of this provider.' })
  async granted(@Root() { id }: ProviderType, @Ctx() context: Context): Promise<boolean> {
    const grants = await context.loaders.grantedProviderIds();
    return grants.has(id);
  }

  @Policy('provider:read')
  @Query(() => [ProviderGrantType], { description: "Your tenant's grants in force." })
  providerGrants(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<ProviderGrantType[]> {
    return services.providers.listGrants(viewerScope(viewer));
  }

  @Policy('credential:manage')
  @Query(() => [CredentialType])
  credentials(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<CredentialType[]> {
    return services.providers.listCredentials(viewerScope(viewer));
  }

  @Policy('provider:manage')
  @Mutation(() => ProviderPayload)
  async createProvider(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateProviderInput) input: CreateProviderInput,
  ): Promise<ProviderPayload> {
    return toPayload(await services.providers.create(viewerScope(viewer), input), (provider) => ({ provider }));
  }

  @Policy('provider:manage')
  @Mutation(() => ProviderPayload)
  async updateProvider(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateProviderInput) input: UpdateProviderInput,
  ): Promise<ProviderPayload> {
    return toPayload(await services.providers.update(viewerScope(viewer), input), (provider) => ({ provider }));
  }

  @Policy('credential:manage')
  @Mutation(() => CreateCredentialPayload)
  async createCredential(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateCredentialInput) input: CreateCredentialInput,
  ): Promise<CreateCredentialPayload> {
    return toPayload(await services.providers.createCredential(viewerScope(viewer), input), (credential) => ({
      credential,
    }));
  }

  @Policy('provider:grant')
  @Mutation(() => GrantProviderPayload, {
    description: 'Allows a provider to receive your calls. Granting twice changes nothing.',
  })
  async grantProvider(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => ProviderIdInput) { providerId }: ProviderIdInput,
  ): Promise<GrantProviderPayload> {
    return toPayload(await services.providers.grant(viewerScope(viewer), providerId), (grant) => ({ grant }));
  }

  @Policy('provider:grant')
  @Mutation(() => RevokeProviderGrantPayload, {
    description: 'The provider receives none of your calls from within a second on.',
  })
  async revokeProviderGrant(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => ProviderIdInput) { providerId }: ProviderIdInput,
  ): Promise<RevokeProviderGrantPayload> {
    return toPayload(await services.providers.revokeGrant(viewerScope(viewer), providerId), (revoked) => ({ revoked }));
  }
}
