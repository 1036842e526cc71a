import {
  Arg,
  Ctx,
  Field,
  Float,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  registerEnumType,
  Resolver,
} from 'type-graphql';
import { GraphQLDateTimeISO, GraphQLSafeInt } from 'graphql-scalars';
import { CurrentViewer, orThrow, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, viewerScope } from '../identity/scope.js';
import { CredentialType } from '../providers/providers.graphql.js';
import { TARGET_STATES, type CredentialFault, type TargetHealthReport, type TargetState } from './target-health.js';

const targetStateEnum = Object.fromEntries(
  TARGET_STATES.map((state) => [state.replaceAll('-', '_').toUpperCase(), state]),
);
registerEnumType(targetStateEnum, {
  name: 'TargetState',
  description:
    'HALF_OPEN: one call at a time is let through, and its end decides. BREAKER_OPEN: it failed too often. COOLING_DOWN: its ' +
    'model was asked too often. CREDENTIAL_PARKED: the provider refuses the credential.',
});
const FaultResolution = { RECOVERED: 'recovered', CHANGED: 'changed', RESUMED: 'resumed' } as const;
registerEnumType(FaultResolution, {
  name: 'CredentialFaultResolution',
  description:
    'RECOVERED: a call with it went well, or no data plane uses it any more. CHANGED: it has another secret.',
});

@ObjectType('TargetHealth', { description: 'How a target does, seen from one data plane, by its last report.' })
class TargetHealthType {
  @Field(() => ID)
  dataPlaneId!: string;

  @Field(() => String, { nullable: true, description: "The data plane's; null for tenants." })
  region!: string | null;

  @Field(() => GraphQLDateTimeISO)
  reportedAt!: Date;

  @Field(() => ID)
  targetId!: string;

  @Field(() => ID)
  routeId!: string;

  @Field(() => ID)
  credentialId!: string;

  @Field(() => String)
  upstreamModel!: string;

  @Field(() => targetStateEnum)
  state!: TargetState;

  @Field(() => GraphQLDateTimeISO, {
    nullable: true,
    description: 'Until it is tried again; null where it may be now.',
  })
  until!: Date | null;

  @Field(() => Int, { description: 'Open calls.' })
  outstanding!: number;

  @Field(() => Int, { description: 'Of the last 30 seconds.' })
  attempts!: number;

  @Field(() => Int, { description: 'Those of them that failed by its fault.' })
  failures!: number;

  @Field(() => Float, {
    nullable: true,
    description: 'To the head of an answer, slow ones first; null where not known.',
  })
  latencyMs!: number | null;

  @Field(() => Float, { nullable: true, description: 'To the first byte of a stream.' })
  streamLatencyMs!: number | null;

  @Field(() => GraphQLSafeInt)
  requestsPerMinute!: number;

  @Field(() => GraphQLSafeInt)
  tokensPerMinute!: number;
}

@ObjectType('CredentialFault', {
  description: 'A provider refuses a credential (401, 402, 403, or an empty account): no data plane uses it meanwhile.',
})
class CredentialFaultType implements CredentialFault {
  @Field(() => ID)
  id!: string;

  @Field(() => ID)
  credentialId!: string;

  @Field(() => Int, { nullable: true, description: "The provider's." })
  providerStatus!: number | null;

  @Field(() => GraphQLDateTimeISO)
  openedAt!: Date;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  resolvedAt!: Date | null;

  @Field(() => FaultResolution, { nullable: true })
  resolution!: CredentialFault['resolution'];

  @Field(() => Int, { description: 'Data planes that have it parked now.' })
  parkedAt!: number;
}

@InputType()
class ResumeCredentialInput {
  @Field(() => ID)
  credentialId!: string;
}

@InputType()
class ReplaceCredentialSecretInput {
  @Field(() => ID)
  credentialId!: string;

  @Field(() => String, { description: 'Write-only; of the same account, where files and batches are kept.' })
  secret!: string;
}

@ObjectType()
class CredentialPayload extends Payload {
  @Field(() => CredentialType, { nullable: true })
  credential?: CredentialType;
}

@Resolver()
export class HealthResolver {
  @Policy('credential:manage')
  @Query(() => [TargetHealthType], {
    description:
      'Targets of your own credentials; for the operator its own, and those of the tenant that it names. What is blocked ' +
      'first, at most 1,000.',
  })
  async targetHealth(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('dataPlaneId', () => ID, { nullable: true }) dataPlaneId: string | undefined,
    @Arg('region', () => String, { nullable: true, description: 'Of data planes.' }) region: string | undefined,
    @Arg('credentialId', () => ID, { nullable: true }) credentialId: string | undefined,
    @Arg('isBlocked', () => Boolean, { defaultValue: false, description: 'Leaves out what is well.' })
    isBlocked: boolean,
    @TenantArgument() tenantId?: string,
  ): Promise<TargetHealthType[]> {
    const question = { dataPlaneId, region, credentialId, isBlocked };
    const scope = orThrow(chooseScope(viewer, tenantId));
    return orThrow(await services.health.targets(scope, question)).map(toWire);
  }

  @Policy('credential:manage')
  @Query(() => [CredentialFaultType], {
    description: 'Of your own credentials; for the operator, of all. Newest first, at most 500.',
  })
  credentialFaults(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('isOpen', () => Boolean, { defaultValue: true, description: 'Only those that are not resolved.' })
    isOpen: boolean,
  ): Promise<CredentialFaultType[]> {
    return services.health.faults(viewerScope(viewer), isOpen);
  }

  @Policy('credential:manage')
  @Mutation(() => CredentialPayload, {
    description:
      'Every data plane uses it again, within a second. For when the account at the provider is in order again.',
  })
  async resumeCredential(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => ResumeCredentialInput) input: ResumeCredentialInput,
  ): Promise<CredentialPayload> {
    return toPayload(await services.credentials.resume(viewerScope(viewer), input), (credential) => ({ credential }));
  }

  @Policy('credential:manage')
  @Mutation(() => CredentialPayload, {
    description: 'Another secret of the same account, used within a second by every data plane.',
  })
  async replaceCredentialSecret(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => ReplaceCredentialSecretInput) input: ReplaceCredentialSecretInput,
  ): Promise<CredentialPayload> {
    const result = await services.credentials.replaceSecret(viewerScope(viewer), input);
    return toPayload(result, (credential) => ({ credential }));
  }
}

function toWire({ target, counts, ...report }: TargetHealthReport): TargetHealthType {
  const { id: targetId, routeId, credentialId, upstreamModel } = target;
  const { dataPlaneId, region, reportedAt, state, until } = report;
  return {
    ...{ dataPlaneId, region, reportedAt, targetId, routeId, credentialId, upstreamModel, state, until },
    outstanding: counts?.outstanding ?? 0,
    attempts: counts?.attempts ?? 0,
    failures: counts?.failures ?? 0,
    latencyMs: counts?.latencyMs ?? null,
    streamLatencyMs: counts?.streamLatencyMs ?? null,
    requestsPerMinute: counts?.requestsPerMinute ?? 0,
    tokensPerMinute: counts?.tokensPerMinute ?? 0,
  };
}
