import { Arg, Ctx, Field, ID, InputType, Int, Mutation, ObjectType, Query, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { Refusal, refuse } from '../database/refusal.js';
import { CurrentViewer, TENANT_ARGUMENT, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Decimal, Money, Payload, toMoney, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope, viewerScope } from '../identity/scope.js';
import type { RedemptionBatch } from './redemption-codes.js';

@ObjectType('RedemptionBatch')
class RedemptionBatchType {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => Money, { description: 'What each code is worth.' })
  amount!: Money;

  @Field(() => Int)
  count!: number;

  @Field(() => Int)
  redeemed!: number;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  redeemUntil!: Date | null;

  @Field(() => GraphQLDateTimeISO)
  createdAt!: Date;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  voidedAt!: Date | null;
}

function toBatch({ amount, currency, ...batch }: RedemptionBatch): RedemptionBatchType {
  const { id, name, count, redeemed, redeemUntil, createdAt, voidedAt } = batch;
  return { id, name, amount: toMoney(amount, currency), count, redeemed, redeemUntil, createdAt, voidedAt };
}

@InputType()
class CreateRedemptionCodesInput {
  @Field(() => String)
  name!: string;

  @Field(() => Decimal, { description: 'What each code is worth, above zero.' })
  amount!: string;

  @Field(() => String, { defaultValue: 'USD', description: 'ISO 4217' })
  currency!: string;

  @Field(() => Int, { description: 'At most 10000.' })
  count!: number;

  @Field(() => Int, { defaultValue: 100, description: 'Of the credit: from 0, spent first, to 1000.' })
  priority!: number;

  @Field(() => GraphQLDateTimeISO, { nullable: true })
  redeemUntil?: Date | null;

  @Field(() => Int, { nullable: true, description: 'Days for which the credit can be spent; for ever if left out.' })
  creditDays?: number | null;

  @Field(() => String, { description: 'Makes the codes once, however often the same request is sent.' })
  idempotencyKey!: string;
}

@ObjectType()
class CreateRedemptionCodesPayload extends Payload {
  @Field(() => RedemptionBatchType, { nullable: true })
  batch?: RedemptionBatchType;

  @Field(() => [String], {
    nullable: true,
    description:
      'Keep them now: they are stored nowhere. A repeated request is not told them; void the batch if they are lost.',
  })
  codes?: readonly string[] | null;
}

@InputType()
class VoidRedemptionCodesInput {
  @Field(() => ID)
  batchId!: string;
}

@ObjectType()
class VoidRedemptionCodesPayload extends Payload {
  @Field(() => RedemptionBatchType, { nullable: true })
  batch?: RedemptionBatchType;
}

@InputType()
class RedeemCodeInput {
  @Field(() => String)
  code!: string;

  @Field(() => String, { description: 'A repeated request with the same key and code is answered alike.' })
  idempotencyKey!: string;

  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;
}

@ObjectType()
class RedeemCodePayload extends Payload {
  @Field(() => ID, { nullable: true })
  transferId?: string;

  @Field(() => Money, { nullable: true, description: 'What was credited.' })
  amount?: Money;
}

@Resolver()
export class RedemptionCodesResolver {
  @Policy('wallet:credit')
  @Query(() => [RedemptionBatchType], { description: 'Newest first.' })
  async redemptionBatches(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
  ): Promise<RedemptionBatchType[]> {
    return (await services.redemptionCodes.list(viewerScope(viewer))).map(toBatch);
  }

  @Policy('wallet:credit')
  @Mutation(() => CreateRedemptionCodesPayload)
  async createRedemptionCodes(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateRedemptionCodesInput) input: CreateRedemptionCodesInput,
  ): Promise<CreateRedemptionCodesPayload> {
    const created = await services.redemptionCodes.create(viewerScope(viewer), input);
    return toPayload(created, ({ batch, codes }) => ({ batch: toBatch(batch), codes }));
  }

  @Policy('wallet:credit')
  @Mutation(() => VoidRedemptionCodesPayload, { description: 'What was redeemed already stays credited.' })
  async voidRedemptionCodes(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => VoidRedemptionCodesInput) { batchId }: VoidRedemptionCodesInput,
  ): Promise<VoidRedemptionCodesPayload> {
    const voided = await services.redemptionCodes.void(viewerScope(viewer), batchId);
    return toPayload(voided, (batch) => ({ batch: toBatch(batch) }));
  }

  @Policy('wallet:redeem')
  @Mutation(() => RedeemCodePayload, { description: 'Credits what the code is worth. A code can be redeemed once.' })
  async redeemCode(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => RedeemCodeInput) { tenantId, ...input }: RedeemCodeInput,
  ): Promise<RedeemCodePayload> {
    const scope = chooseScope(viewer, tenantId);
    if (scope instanceof Refusal) return toPayload(scope, () => ({}));
    // Guessing is hopeless; trying is stopped all the same.
    if (!(await services.rateLimits.allows('redeem', viewer.memberId))) {
      return toPayload(refuse('rate_limited'), () => ({}));
    }
    const redeemed = await services.redemptionCodes.redeem(scope, input);
    return toPayload(redeemed, ({ transferId, amount, currency }) => ({
      transferId,
      amount: toMoney(amount, currency),
    }));
  }
}
