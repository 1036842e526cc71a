import { Field, Float, ID, InputType, ObjectType, registerEnumType } from 'type-graphql';
import { RECORDED_OPERATIONS, type UsageEvent } from '@pingtoken/shared/usage-event';
import type { Limits } from '@pingtoken/shared/limits';

const LIMITED_OPERATIONS = Object.fromEntries(
  RECORDED_OPERATIONS.map((operation) => [operation.replaceAll('-', '_').toUpperCase(), operation]),
);
registerEnumType(LIMITED_OPERATIONS, { name: 'LimitedOperation' });

const PER_MINUTE = 'In any 60 seconds; null bounds nothing.';
const PER_DAY = 'In any 24 hours; null bounds nothing.';
const MODELS = 'The models that may be called; null for all.';
const OPERATIONS_HELP = 'What may be asked for; null for everything.';
const ADDRESSES = 'Where calls may come from, such as 10.0.0.0/8; null for anywhere.';

@ObjectType('Limits', {
  description: 'What bounds calls. A call has to fit into those of its key, member, tenant and plan.',
})
export class LimitsType implements Limits {
  @Field(() => Float, { nullable: true, description: PER_MINUTE })
  requestsPerMinute!: number | null;

  @Field(() => Float, { nullable: true, description: PER_DAY })
  requestsPerDay!: number | null;

  @Field(() => Float, { nullable: true, description: PER_MINUTE })
  tokensPerMinute!: number | null;

  @Field(() => Float, { nullable: true, description: PER_DAY })
  tokensPerDay!: number | null;

  @Field(() => Float, { nullable: true, description: 'On their way at the same time.' })
  concurrentCalls!: number | null;

  @Field(() => [ID], { nullable: true, description: MODELS })
  modelIds!: string[] | null;

  @Field(() => [LIMITED_OPERATIONS], { nullable: true, description: OPERATIONS_HELP })
  operations!: UsageEvent['operation'][] | null;

  @Field(() => [String], { nullable: true, description: ADDRESSES })
  addressRanges!: string[] | null;
}

@InputType()
export class LimitsInput implements Partial<Limits> {
  @Field(() => Float, { nullable: true, description: PER_MINUTE })
  requestsPerMinute?: number | null;

  @Field(() => Float, { nullable: true, description: PER_DAY })
  requestsPerDay?: number | null;

  @Field(() => Float, { nullable: true, description: PER_MINUTE })
  tokensPerMinute?: number | null;

  @Field(() => Float, { nullable: true, description: PER_DAY })
  tokensPerDay?: number | null;

  @Field(() => Float, { nullable: true, description: 'On their way at the same time.' })
  concurrentCalls?: number | null;

  @Field(() => [ID], { nullable: true, description: MODELS })
  modelIds?: string[] | null;

  @Field(() => [LIMITED_OPERATIONS], { nullable: true, description: OPERATIONS_HELP })
  operations?: UsageEvent['operation'][] | null;

  @Field(() => [String], { nullable: true, description: ADDRESSES })
  addressRanges?: string[] | null;
}
