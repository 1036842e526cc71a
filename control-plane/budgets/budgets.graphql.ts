import { Arg, Ctx, Field, ID, InputType, Mutation, ObjectType, Query, registerEnumType, Resolver } from 'type-graphql';
import { GraphQLDateTimeISO } from 'graphql-scalars';
import { BUDGET_SUBJECTS } from '@pingtoken/shared/config-snapshot';
import { formatAmount } from '@pingtoken/shared/money';
import { Refusal } from '../database/refusal.js';
import { CurrentViewer, orThrow, TENANT_ARGUMENT, TenantArgument, type Context } from '../graphql/context.js';
import { Policy } from '../graphql/policy.js';
import { Decimal, Payload, toPayload } from '../graphql/types.js';
import type { Viewer } from '../identity/permissions.js';
import { chooseScope } from '../identity/scope.js';
import { PERIODS, type Budget } from './budgets.js';

const toEnum = (values: readonly string[]): Record<string, string> =>
  Object.fromEntries(values.map((value) => [value.replaceAll('-', '_').toUpperCase(), value]));
const subjectEnum = toEnum(BUDGET_SUBJECTS);
registerEnumType(subjectEnum, { name: 'BudgetSubject', description: 'Whose calls a budget counts.' });
const periodEnum = toEnum(PERIODS);
registerEnumType(periodEnum, {
  name: 'BudgetPeriod',
  description: 'When a budget begins anew: each day, each month, by the clock of its time zone; or never.',
});

@ObjectType('Budget')
class BudgetType {
  @Field(() => ID)
  id!: string;

  @Field(() => String)
  name!: string;

  @Field(() => subjectEnum)
  subject!: Budget['subject'];

  @Field(() => ID)
  subjectId!: string;

  @Field(() => periodEnum)
  period!: Budget['period'];

  @Field(() => String, { description: 'IANA name' })
  timeZone!: string;

  @Field(() => String, { description: 'ISO 4217; calls that are charged in another currency do not count.' })
  currency!: string;

  @Field(() => Decimal)
  amount!: string;

  @Field(() => Boolean, { description: 'Calls that would exceed it are refused. A soft one only tells the owners.' })
  isHard!: boolean;

  @Field(() => GraphQLDateTimeISO, { description: 'Calls that were admitted before do not count.' })
  startsAt!: Date;

  @Field(() => Decimal, { description: 'In the day or month of now.' })
  spent!: string;

  @Field(() => Decimal, { description: 'Set aside for calls under way and to come, at the gateways.' })
  reserved!: string;
}

function toBudget({ amount, spent, reserved, ...budget }: Budget): BudgetType {
  const { id, name, subject, subjectId, period, timeZone, currency, isHard, startsAt } = budget;
  const amounts = { amount: formatAmount(amount), spent: formatAmount(spent), reserved: formatAmount(reserved) };
  return { id, name, subject, subjectId, period, timeZone, currency, isHard, startsAt, ...amounts };
}

@InputType()
class CreateBudgetInput {
  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;

  @Field(() => String)
  name!: string;

  @Field(() => subjectEnum)
  subject!: Budget['subject'];

  @Field(() => ID, { nullable: true, description: 'Of the member or the key; left out for the tenant as a whole.' })
  subjectId?: string | null;

  @Field(() => periodEnum)
  period!: Budget['period'];

  @Field(() => String, { defaultValue: 'UTC', description: 'IANA name, such as "Europe/Berlin".' })
  timeZone!: string;

  @Field(() => String, { defaultValue: 'USD', description: 'ISO 4217' })
  currency!: string;

  @Field(() => Decimal, { description: 'Above zero.' })
  amount!: string;

  @Field(() => Boolean)
  isHard!: boolean;

  @Field(() => String, { description: 'Creates once, however often the same request is sent.' })
  idempotencyKey!: string;
}

@InputType()
class UpdateBudgetInput {
  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;

  @Field(() => ID)
  id!: string;

  @Field(() => String, { nullable: true })
  name?: string | null;

  @Field(() => Decimal, { nullable: true })
  amount?: string | null;

  @Field(() => Boolean, { nullable: true })
  isHard?: boolean | null;
}

@InputType()
class RemoveBudgetInput {
  @Field(() => ID, { nullable: true, description: TENANT_ARGUMENT })
  tenantId?: string | null;

  @Field(() => ID)
  id!: string;
}

@ObjectType()
class BudgetPayload extends Payload {
  @Field(() => BudgetType, { nullable: true })
  budget?: BudgetType;
}

const toBudgetPayload = (result: Budget | Refusal) => toPayload(result, (budget) => ({ budget: toBudget(budget) }));

@Resolver()
export class BudgetsResolver {
  @Policy('budget:read')
  @Query(() => [BudgetType], { description: 'Those in force, oldest first, at most 500.' })
  async budgets(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @TenantArgument() tenantId: string | null,
  ): Promise<BudgetType[]> {
    return (await services.budgets.list(orThrow(chooseScope(viewer, tenantId)))).map(toBudget);
  }

  @Policy('budget:manage')
  @Mutation(() => BudgetPayload)
  async createBudget(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => CreateBudgetInput) { tenantId, ...input }: CreateBudgetInput,
  ): Promise<BudgetPayload> {
    const scope = chooseScope(viewer, tenantId);
    return toBudgetPayload(scope instanceof Refusal ? scope : await services.budgets.create(scope, input));
  }

  @Policy('budget:manage')
  @Mutation(() => BudgetPayload, {
    description: 'A lower amount holds for calls once what is set aside is used up, within minutes.',
  })
  async updateBudget(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => UpdateBudgetInput) { tenantId, ...input }: UpdateBudgetInput,
  ): Promise<BudgetPayload> {
    const scope = chooseScope(viewer, tenantId);
    return toBudgetPayload(scope instanceof Refusal ? scope : await services.budgets.update(scope, input));
  }

  @Policy('budget:manage')
  @Mutation(() => BudgetPayload)
  async removeBudget(
    @Ctx() { services }: Context,
    @CurrentViewer() viewer: Viewer,
    @Arg('input', () => RemoveBudgetInput) { tenantId, id }: RemoveBudgetInput,
  ): Promise<BudgetPayload> {
    const scope = chooseScope(viewer, tenantId);
    return toBudgetPayload(scope instanceof Refusal ? scope : await services.budgets.remove(scope, id));
  }
}
