import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { formatAmount } from '@pingtoken/shared/money';
import { CurrentViewer, orThrow, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Decimal, Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, viewerScope } from '../identity/scope.js';
import type { Lease } from './leases.js';

@ObjectType('Lease', { description: 'A slice of a wallet or a budget that a gateway holds, or held.' })
class LeaseType {
  @Field(() => ID)
  id!: string;

  @Field(() => ID, { description: 'The run of a gateway that it was given to.' })
  spoolId!: string;

  @Field(() => ID, { nullable: true, description: "Null for the wallet's." })
  budgetId!: string | null;

  @Field(() => String)
  currency!: string;

  @Field(() => Decimal)
  granted!: string;

  @Field(() => Decimal, { description: 'By calls that are in the ledger.' })
  used!: string;

  @Field(() => Decimal)
  returned!: string;

  @Field(() => GraphQLDateTimeISO, { description: 'No call is admitted on it from then on.' })
  admitUntil!: Date;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  closedAt!: Date | null;

  @Field(() => Boolean)
  isLost!: boolean;
}

@ObjectType('LeaseSpool', { description: "A run of a gateway's process, as far as it held leases." })
class LeaseSpoolType {
  @Field(() => ID)
  spoolId!: string;

  @Field(() => ID)
  dataPlaneId!: string;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;

  @Field(() => GraphQLDateTimeISO, { nullable: true, description: 'It is given nothing from then on.' })
  fencedAt!: Date | null;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  lostAt!: Date | null;
}

@InputType()
class DeclareSpoolLostInput {
  @Field(() => ID)
  spoolId!: string;

  @Field(() => String, { description: 'Kept in the audit.' })
  reason!: string;
}

@ObjectType()
class DeclareSpoolLostPayload extends Payload {
  @Field(() => LeaseSpoolType, { nullable: true })
  spool?: LeaseSpoolType;
}

function toLease({ granted, used, returned, ...lease }: Lease): LeaseType {
  const { id, spoolId, budgetId, currency, admitUntil, closedAt, isLost } = lease;
  const amounts = { granted: formatAmount(granted), used: formatAmount(used), returned: formatAmount(returned) };
  return { id, spoolId, budgetId, currency, ...amounts, admitUntil, closedAt, isLost };
}

@Resolver()
export class LeasesResolver {
  @Policy('wallet:read')
  @Query(() => [LeaseType], { description: "The tenant's, newest first, at most 500." })
  async leases(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('isOpen', () => Boolean, { defaultValue: true, description: 'Only what is not closed yet.' }) isOpen: boolean,
    @TenantArgument() tenantId: string | null,
  ): Promise<LeaseType[]> {
    return (await services.leases.list(orThrow(chooseScope(viewer, tenantId)), isOpen)).map(toLease);
  }

  @Policy('data-plane:manage')
  @Query(() => [LeaseSpoolType], { description: 'Newest first, at most 500.' })
  leaseSpools(@Ctx() { services }: Context, @CurrentViewer() viewer: Viewer): Promise<LeaseSpoolType[]> {
    return services.leases.spools(viewerScope(viewer));
  }

  @Policy('data-plane:manage')
  @Mutation(() => DeclareSpoolLostPayload, {
    description:
      'Says that the records of a gateway will not come: what its leases have left returns to their tenants, and what is reported on them after all is your loss.',
  })
  async declareSpoolLost(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => DeclareSpoolLostInput) input: DeclareSpoolLostInput,
  ): Promise<DeclareSpoolLostPayload> {
    return toPayload(await services.leases.declareLost(viewerScope(viewer), input), (spool) => ({ spool }));
  }
}
