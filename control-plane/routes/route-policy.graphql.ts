import { Field, Float, ID, InputType, Int, ObjectType, registerEnumType } from 'type-graphql';
import { GraphQLSafeInt } from 'graphql-scalars';
import type { Capability } from '@pingtoken/shared/config-snapshot';
import { GUARDRAIL_ON_FAULT, GUARDRAIL_SENDS, type Guardrail } from '@pingtoken/shared/guardrail';
import {
  HEDGING,
  ROUTING_STRATEGIES,
  type RetryPolicy,
  type RouteCache,
  type RouteConditions,
  type RoutePolicy,
  type RoutingStrategy,
  type TargetLimits,
} from '@pingtoken/shared/route-policy';
import { capabilityEnum, toEnum } from './models.graphql.js';

/** What a route says of how its targets are used; the same shapes go in and come out. */
export const strategyEnum = toEnum(ROUTING_STRATEGIES);
registerEnumType(strategyEnum, {
  name: 'RoutingStrategy',
  description: 'Which target of one priority goes first. What a strategy does not tell apart is shared out by weight.',
});
export const hedgingEnum = toEnum(HEDGING);
registerEnumType(hedgingEnum, {
  name: 'Hedging',
  description:
    'AFTER_P95: a second attempt when the first byte is later than for 95 of 100 calls. Its loser is never billed.',
});
export const targetStatusEnum = { ACTIVE: 'active', DRAINED: 'drained' } as const;
registerEnumType(targetStatusEnum, { name: 'TargetStatus', description: 'DRAINED: gets no new calls.' });

@ObjectType('TargetLimits')
@InputType('TargetLimitsInput', {
  description: 'Counted by each data plane for itself; what is left out has no limit.',
})
export class TargetLimitsType implements Partial<TargetLimits> {
  @Field(() => Int, { nullable: true })
  requestsPerMinute?: number | null;

  @Field(() => GraphQLSafeInt, { nullable: true })
  tokensPerMinute?: number | null;

  @Field(() => Int, { nullable: true })
  concurrentCalls?: number | null;
}

@ObjectType('TierStrategy', { description: 'The strategy of one priority instead of the route’s.' })
@InputType('TierStrategyInput', { description: 'The strategy of one priority instead of the route’s.' })
export class TierStrategyType {
  @Field(() => Int)
  priority!: number;

  @Field(() => strategyEnum)
  strategy!: RoutingStrategy;
}

@ObjectType('RouteConditions')
@InputType('RouteConditionsInput', {
  description: 'A route is for the calls that fulfil all of these; what is left out asks for nothing.',
})
export class RouteConditionsType implements Partial<RouteConditions> {
  @Field(() => [ID], { nullable: true, description: 'Calls of one of these tenants.' })
  tenantIds?: string[];

  @Field(() => [String], { nullable: true, description: 'Calls with an API key that has one of these tags.' })
  keyTags?: string[];

  @Field(() => Int, { nullable: true })
  minRequestBytes?: number | null;

  @Field(() => Int, { nullable: true })
  maxRequestBytes?: number | null;

  @Field(() => Int, { nullable: true, description: 'Tokens of the prompt, estimated, and of the answer at most.' })
  minContextTokens?: number | null;

  @Field(() => [capabilityEnum], { nullable: true, description: 'Calls that need all of these.' })
  capabilities?: Capability[];

  @Field(() => Float, {
    nullable: true,
    description: 'The share of the calls that are left: a canary. 100 if left out.',
  })
  percent?: number;
}

@ObjectType('RetryPolicy')
@InputType('RetryPolicyInput', { description: 'Until the first byte of an answer has gone to the caller.' })
export class RetryPolicyType implements Partial<RetryPolicy> {
  @Field(() => Int, { nullable: true, description: 'All attempts together, hedges included; 3 if left out.' })
  maxAttempts?: number;

  @Field(() => Int, { nullable: true, description: 'Tries of one target beyond its first; none if left out.' })
  sameTargetRetries?: number;

  @Field(() => Float, {
    nullable: true,
    description: 'Attempts beyond the first, as a share of calls; 0.2 if left out.',
  })
  budgetShare?: number;

  @Field(() => Int, { nullable: true, description: 'Of one attempt, until its answer begins.' })
  perAttemptTimeoutMs?: number | null;

  @Field(() => Int, { nullable: true, description: 'Of a streamed call, until the first byte of its answer.' })
  firstByteTimeoutMs?: number | null;
}

@ObjectType('RouteCache', {
  description: 'How answers are given again to calls of one tenant that ask for the very same.',
})
@InputType('RouteCacheInput', {
  description:
    'How answers are given again to calls of one tenant that ask for the very same, with keys that opted in.',
})
export class RouteCacheType implements Partial<RouteCache> {
  @Field(() => Int, { description: 'How long an answer is kept; 0: only calls under way at the same time share one.' })
  ttlSeconds!: number;

  @Field(() => Int, { nullable: true, description: 'A longer answer is not kept; 1048576 if left out.' })
  maxAnswerBytes?: number;

  @Field(() => Int, {
    description:
      'What a call pays that is given such an answer, in ten-thousandths of the first one’s price; 0 is free.',
  })
  priceShare!: number;

  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether like calls under way at the same time share one call of the provider; not if left out.',
  })
  coalesces?: boolean;
}

const guardrailOnFaultEnum = toEnum(GUARDRAIL_ON_FAULT);
registerEnumType(guardrailOnFaultEnum, {
  name: 'GuardrailOnFault',
  description: 'Where the guardrail does not answer as it should. OPEN: the call is made; CLOSED: it is refused (503).',
});
const guardrailSendsEnum = toEnum(GUARDRAIL_SENDS);
registerEnumType(guardrailSendsEnum, {
  name: 'GuardrailSends',
  description:
    'BODY: all that the caller has said. FACTS: which model is called, and pseudonyms of tenant and API key.',
});

@ObjectType('Guardrail', { description: 'Who is asked before a call of the route is made. The secret is never told.' })
export class GuardrailType {
  @Field(() => String)
  url!: string;

  @Field(() => Int)
  timeoutMs!: number;

  @Field(() => guardrailOnFaultEnum)
  onFault!: Guardrail['onFault'];

  @Field(() => guardrailSendsEnum)
  sends!: Guardrail['sends'];
}

@InputType({
  description:
    'An HTTP service of the operator, or one that the tenants concerned have been shown: it reads what they send.',
})
class GuardrailInput {
  @Field(() => String)
  url!: string;

  @Field(() => Int, { nullable: true, description: 'Longest wait for its answer; 1000 if left out.' })
  timeoutMs?: number;

  @Field(() => guardrailOnFaultEnum)
  onFault!: Guardrail['onFault'];

  @Field(() => guardrailSendsEnum, { nullable: true, description: 'BODY if left out.' })
  sends?: Guardrail['sends'];

  @Field(() => String, {
    nullable: true,
    description:
      'What requests to it are signed with (Standard Webhooks): whsec_ and 24 to 64 bytes in base64. Write-only; left out: as it was, where the host is the same.',
  })
  secret?: string | null;
}

/** The policy's fields of a type or an input, each of them optional on the way in. */
@InputType()
export abstract class RoutePolicyInput {
  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether translation may drop what a target cannot express; otherwise such a call is refused.',
  })
  dropsUnsupported?: boolean;

  @Field(() => Int, { nullable: true, description: 'Among the routes of one owner, lower goes first; 0 if left out.' })
  position?: number;

  @Field(() => strategyEnum, { nullable: true, description: 'WEIGHTED if left out.' })
  strategy?: RoutingStrategy;

  @Field(() => [TierStrategyType], { nullable: true })
  tierStrategies?: TierStrategyType[];

  @Field(() => RouteConditionsType, { nullable: true })
  conditions?: RouteConditionsType;

  @Field(() => [ID], {
    nullable: true,
    description: 'Models whose routes are tried after the model’s own, in this order.',
  })
  fallbackModelIds?: string[];

  @Field(() => RetryPolicyType, { nullable: true })
  retry?: RetryPolicyType;

  @Field(() => hedgingEnum, { nullable: true, description: 'OFF if left out.' })
  hedging?: RoutePolicy['hedging'];

  @Field(() => RouteCacheType, {
    nullable: true,
    description: 'No answer is given twice if null, or left out at first.',
  })
  cache?: RouteCacheType | null;

  @Field(() => GuardrailInput, { nullable: true, description: 'Null for none.' })
  guardrail?: GuardrailInput | null;
}
