import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { CurrentViewer, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { DataPlane } from './entities.js';

const DataPlaneStatus = { ENROLLED: 'enrolled', REVOKED: 'revoked' } as const;
registerEnumType(DataPlaneStatus, { name: 'DataPlaneStatus' });

@ObjectType('DataPlane')
class DataPlaneType implements Partial<DataPlane> {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => String)
  region!: string;

  @Field(() => DataPlaneStatus)
  status!: DataPlane['status'];

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  lastContactAt!: Date | null;

  @Field(() => String, { nullable: true, description: 'The config that it has put in force, as `epoch.seq`.' })
  appliedConfig!: string | null;

  @Field(() => String, { nullable: true, description: 'Why it refused the newest config, where it did.' })
  refusal!: string | null;
}

@InputType()
class EnrolDataPlaneInput {
  @Field(() => ID, { nullable: true, description: 'The id in its identity file, where it has one.' })
  id?: string;

  @Field(() => String)
  name!: string;

  @Field(() => String)
  region!: string;

  @Field(() => String, { description: 'Ed25519 public key, SPKI DER, base64url.' })
  verifyKey!: string;

  @Field(() => String, { description: 'X25519 public key, base64url.' })
  sealingKey!: string;
}

@InputType()
class RevokeDataPlaneInput {
  @Field(() => ID)
  id!: string;
}

@ObjectType()
class DataPlanePayload extends Payload {
  @Field(() => DataPlaneType, { nullable: true })
  dataPlane?: DataPlaneType;
}

@Resolver()
export class DataPlanesResolver {
  @Policy('data-plane:manage')
  @Query(() => [DataPlaneType])
  async dataPlanes(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<DataPlaneType[]> {
    return (await services.dataPlanes.list(viewerScope(viewer))).map(toWire);
  }

  @Policy('data-plane:manage')
  @Mutation(() => DataPlanePayload, { description: 'Lets a data plane dial in with its own keys.' })
  async enrolDataPlane(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => EnrolDataPlaneInput) input: EnrolDataPlaneInput,
  ): Promise<DataPlanePayload> {
    const result = await services.dataPlanes.enrol(viewerScope(viewer), input);
    return toPayload(result, (dataPlane) => ({ dataPlane: toWire(dataPlane) }));
  }

  @Policy('data-plane:manage')
  @Mutation(() => DataPlanePayload)
  async revokeDataPlane(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => RevokeDataPlaneInput) { id }: RevokeDataPlaneInput,
  ): Promise<DataPlanePayload> {
    const result = await services.dataPlanes.revoke(viewerScope(viewer), id);
    return toPayload(result, (dataPlane) => ({ dataPlane: toWire(dataPlane) }));
  }
}

function toWire(dataPlane: DataPlane): DataPlaneType {
  const { id, name, region, status, lastContactAt, ackedEpoch, ackedSeq, lastRefusal } = dataPlane;
  const appliedConfig = ackedEpoch === null || ackedSeq === null ? null : `${ackedEpoch}.${ackedSeq}`;
  return { id, name, region, status, lastContactAt, appliedConfig, refusal: lastRefusal?.reason ?? null };
}
