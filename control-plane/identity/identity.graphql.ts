import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { Refusal, refuse } from '../database/refusal.js';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import { TenantType } from '../tenants/tenants.graphql.js';
import type { Viewer } from './permissions.js';
import type { NewSession } from './sign-in.js';

const AccountKind = { PERSON: 'person', ENTERPRISE: 'enterprise' } as const;
registerEnumType(AccountKind, { name: 'AccountKind' });
const Role = { OPERATOR: 'operator', OWNER: 'owner', MEMBER: 'member' } as const;
registerEnumType(Role, { name: 'Role' });

@ObjectType({ description: 'The signed-in person, as this person may see it.' })
class Me {
  @Field(() => ID)
  memberId!: string;

  @Field(() => Role)
  role!: Viewer['role'];

  @Field(() => String)
  name!: string;

  @Field(() => String)
  email!: string;

  @Field(() => String, { nullable: true })
  contact!: string | null;

  @Field(() => Boolean)
  emailVerified!: boolean;

  @Field(() => TenantType)
  tenant!: TenantType;
}

@ObjectType({ description: 'Send the token as `Authorization: Bearer …`.' })
class SessionType {
  @Field(() => String)
  token!: string;

  @Field(() => GraphQLDateTimeISO)
  expiresAt!: Date;
}

@InputType()
class RegisterInput {
  @Field(() => AccountKind)
  kind!: 'person' | 'enterprise';

  @Field(() => String)
  name!: string;

  @Field(() => String)
  email!: string;

  @Field(() => String, { nullable: true, description: 'Another way to be reached, such as a telephone number.' })
  contact?: string | null;

  @Field(() => String, { description: 'At least 10 characters.' })
  password!: string;

  @Field(() => String, { nullable: true, description: 'Of an enterprise only.' })
  organizationName?: string | null;

  @Field(() => String, {
    nullable: true,
    description: 'Explicit consent: the `version` of `currentPolicy`, which was shown. Without it nothing is stored.',
  })
  consentToPolicyVersion?: string | null;

  @Field(() => String, { nullable: true, description: 'Where registration is by invitation.' })
  invitationCode?: string | null;
}

@InputType()
class SignInInput {
  @Field(() => String)
  email!: string;

  @Field(() => String)
  password!: string;
}

@InputType()
class VerifyEmailInput {
  @Field(() => String, { description: 'As it stands in the mail.' })
  token!: string;
}

@ObjectType()
class RegisterPayload extends Payload {
  @Field(() => TenantType, { nullable: true })
  tenant?: TenantType;

  @Field(() => SessionType, { nullable: true })
  session?: SessionType;
}

@ObjectType()
class SignInPayload extends Payload {
  @Field(() => SessionType, { nullable: true })
  session?: SessionType;
}

@ObjectType()
class DonePayload extends Payload {
  @Field(() => Boolean)
  done!: boolean;
}

@Resolver()
export class IdentityResolver {
  @Policy('account:read')
  @Query(() => Me)
  async me(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<Me> {
    return services.profiles.read(viewer);
  }

  @Policy('public')
  @Mutation(() => RegisterPayload, {
    description: 'Makes a tenant with its first member, signs it in and mails a verification.',
  })
  async register(
    @Ctx() { services, client }: Context,
    @Arg('input', () => RegisterInput) input: RegisterInput,
  ): Promise<RegisterPayload> {
    if (!(await services.rateLimits.allows('register', client.ip)))
      return toPayload(refuse('rate_limited'), () => ({}));
    const account = await services.registration.register(
      input as Parameters<typeof services.registration.register>[0],
      client,
    );
    if (account instanceof Refusal) return toPayload(account, () => ({}));
    const session = await services.signIn.openSession(account.member, client);
    return { tenant: account.tenant, session, userErrors: [] };
  }

  @Policy('public')
  @Mutation(() => SignInPayload)
  async signIn(
    @Ctx() { services, client }: Context,
    @Arg('input', () => SignInInput) { email, password }: SignInInput,
  ): Promise<SignInPayload> {
    // By address and by account: neither many accounts from one place nor one account from many places.
    const allowed =
      (await services.rateLimits.allows('sign-in', client.ip)) && (await services.rateLimits.allows('sign-in', email));
    const result = allowed ? await services.signIn.signIn(email, password, client) : refuse('rate_limited');
    return toPayload(result, (session: NewSession) => ({ session }));
  }

  @Policy('account:read')
  @Mutation(() => DonePayload)
  async signOut(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<DonePayload> {
    await services.signIn.signOut(viewer);
    return { done: true, userErrors: [] };
  }

  @Policy('public')
  @Mutation(() => DonePayload, { description: 'With the token from the mail; needs no sign-in.' })
  async verifyEmail(
    @Ctx() { services }: Context,
    @Arg('input', () => VerifyEmailInput) { token }: VerifyEmailInput,
  ): Promise<DonePayload> {
    return toDone(await services.signIn.verifyEmail(token));
  }

  @Policy('account:read')
  @Mutation(() => DonePayload, { description: 'Mails a new verification.' })
  async resendVerification(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<DonePayload> {
    const allowed = await services.rateLimits.allows('resend-mail', viewer.personId);
    return toDone(allowed ? await services.signIn.resendVerification(viewer) : refuse('rate_limited'));
  }
}

function toDone(result: true | Refusal): DonePayload {
  return result instanceof Refusal ? { done: false, userErrors: result.errors } : { done: true, userErrors: [] };
}
