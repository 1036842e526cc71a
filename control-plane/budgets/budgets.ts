import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { BUDGET_SUBJECTS } from '@pingtoken/shared/config-snapshot';
import { parseAmount } from '@pingtoken/shared/money';
import { isTimeZone } from '@pingtoken/shared/time-window';
import { currencySchema, idempotencyKeySchema, payableSchema, printable } from '../billing/inputs.js';
import { asQueryable } from '../database/orm-queryable.js';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { refuseWithoutRoom } from './lease-room.js';

export const PERIODS = ['day', 'month', 'total'] as const;
type Period = (typeof PERIODS)[number];
type Subject = (typeof BUDGET_SUBJECTS)[number];

const createInput = z.object({
  name: printable(100),
  subject: z.enum(BUDGET_SUBJECTS),
  /** Of the member or the key; left out for the tenant as a whole. */
  subjectId: z.uuid('is no id').nullish(),
  period: z.enum(PERIODS),
  /** In which days and months begin at midnight; IANA name. */
  timeZone: z.string().max(64).refine(isTimeZone, 'is no time zone of the IANA database').default('UTC'),
  currency: currencySchema,
  amount: payableSchema,
  /** Whether calls that would exceed it are refused; a soft one only tells. */
  isHard: z.boolean(),
  idempotencyKey: idempotencyKeySchema,
});
export type CreateBudgetInput = z.input<typeof createInput>;

const updateInput = z.object({
  id: z.uuid('is no id'),
  name: printable(100).nullish(),
  amount: payableSchema.nullish(),
  isHard: z.boolean().nullish(),
});
export type UpdateBudgetInput = z.input<typeof updateInput>;

/** A budget, and how its day or month of now stands. Amounts in units. */
export interface Budget {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly subject: Subject;
  readonly subjectId: string;
  readonly period: Period;
  readonly timeZone: string;
  readonly currency: string;
  readonly amount: bigint;
  readonly isHard: boolean;
  readonly isActive: boolean;
  readonly startsAt: Date;
  readonly spent: bigint;
  /** Set aside for calls under way and to come. */
  readonly reserved: bigint;
}

export interface Budgets {
  /** Counts calls that are admitted from `startsAt` on, some seconds later, when no worker can have missed it. */
  create(scope: Scope, input: CreateBudgetInput): Promise<Budget | Refusal>;
  /** A lower amount holds for what is leased from then on: what is leased is used up within minutes, or comes back. */
  update(scope: Scope, input: UpdateBudgetInput): Promise<Budget | Refusal>;
  /** It limits and counts nothing any more. */
  remove(scope: Scope, id: string): Promise<Budget | Refusal>;
  /** Those in force, oldest first, at most 500. */
  list(scope: Scope): Promise<Budget[]>;
}

/** For a worker that has read the budgets just before this one was committed. */
const START_DELAY = '5 seconds';

export function createBudgets({ run }: { run: RunTransaction }): Budgets {
  return {
    async create(scope, input) {
      const checked = checkInput(createInput, input);
      return checked instanceof Refusal ? checked : run(scope, (transaction) => createBudget(transaction, checked));
    },
    async update(scope, input) {
      const checked = checkInput(updateInput, input);
      if (checked instanceof Refusal) return checked;
      const { id, name, amount, isHard } = checked;
      const units = amount == null ? null : parseAmount(amount).toString();
      return run(scope, async (transaction) => {
        const full = isHard === true ? await refuseHardening(transaction, id) : undefined;
        if (full !== undefined) return full;
        return change(transaction, id, {
          action: 'budget-updated',
          text: `
            update budget set name = coalesce($3::text, name), amount = coalesce($4::numeric, amount),
              is_hard = coalesce($5::boolean, is_hard)
            where id = $1::uuid and tenant_id = $2::uuid and status = 'active' returning id`,
          values: [name ?? null, units, isHard ?? null],
        });
      });
    },
    async remove(scope, id) {
      if (!z.uuid().safeParse(id).success) return refuse('not_found', ['id']);
      return run(scope, (transaction) =>
        change(transaction, id, {
          action: 'budget-removed',
          text: `update budget set status = 'removed' where id = $1::uuid and tenant_id = $2::uuid and status = 'active'
                 returning id`,
          values: [],
        }),
      );
    },
    list: (scope) => run(scope, (transaction) => readBudgets(transaction, null)),
  };
}

async function createBudget(transaction: Transaction, input: z.output<typeof createInput>): Promise<Budget | Refusal> {
  const database = asQueryable(transaction);
  const { tenantId } = transaction.scope;
  const subjectId = input.subject === 'tenant' ? tenantId : input.subjectId;
  if (subjectId == null || !(await isOfTenant(transaction, input.subject, subjectId))) {
    return refuse('not_found', ['subjectId']);
  }
  const zones = await database.query({
    text: 'select 1 from pg_timezone_names where name = $1::text limit 1',
    values: [input.timeZone],
  });
  if (zones.rows.length === 0) return refuse('invalid_request', ['timeZone'], 'The time zone is not known.');
  if (input.isHard) {
    const { subject, currency, idempotencyKey } = input;
    const full = await refuseWithoutRoom(transaction, { own: { idempotencyKey }, subject, subjectId, currency });
    if (full !== undefined) return full;
  }
  const amount = parseAmount(input.amount);
  const id = uuidv7();
  const inserted = await database.query({
    text: `
      insert into budget (
        id, tenant_id, name, subject, subject_id, period, time_zone, currency, amount, is_hard, idempotency_key, starts_at
      ) values ($1::uuid, $2::uuid, $3::text, $4::text, $5::uuid, $6::text, $7::text, $8::text, $9::numeric, $10::boolean,
        $11::text, clock_timestamp() + interval '${START_DELAY}')
      on conflict (tenant_id, idempotency_key) do nothing returning id`,
    values: [
      ...[id, tenantId, input.name, input.subject, subjectId, input.period, input.timeZone, input.currency],
      ...[amount.toString(), input.isHard, input.idempotencyKey],
    ],
  });
  if (inserted.rows.length === 0) return findStanding(transaction, { ...input, subjectId });
  const budget = await readBudget(transaction, id);
  const details = { subject: input.subject, subjectId, amount: input.amount, currency: input.currency };
  await transaction.audit({ action: 'budget-created', subjectKind: 'budget', subjectId: id, details });
  await publish(transaction, budget);
  return budget;
}

async function refuseHardening(transaction: Transaction, id: string): Promise<Refusal | undefined> {
  const { rows } = await asQueryable(transaction).query<Pick<Budget, 'subject' | 'currency'> & { subject_id: string }>({
    text: `select subject, subject_id, currency from budget where id = $1::uuid and tenant_id = $2::uuid and status = 'active'`,
    values: [id, transaction.scope.tenantId],
  });
  const [budget] = rows;
  if (budget === undefined) return refuse('not_found', ['id']);
  const { subject, subject_id: subjectId, currency } = budget;
  return refuseWithoutRoom(transaction, { own: { id }, subject, subjectId, currency });
}

async function isOfTenant(transaction: Transaction, subject: Subject, id: string): Promise<boolean> {
  const table = { tenant: 'tenant', member: 'member', 'api-key': 'api_key' }[subject];
  const owner = subject === 'tenant' ? 'id' : 'tenant_id';
  const { rows } = await asQueryable(transaction).query({
    text: `select 1 from ${table} where id = $1::uuid and ${owner} = $2::uuid`,
    values: [id, transaction.scope.tenantId],
  });
  return rows.length > 0;
}

async function findStanding(
  transaction: Transaction,
  { idempotencyKey, ...input }: z.output<typeof createInput> & { readonly subjectId: string },
): Promise<Budget | Refusal> {
  const { rows } = await asQueryable(transaction).query<{ id: string }>({
    text: 'select id from budget where tenant_id = $1::uuid and idempotency_key = $2::text',
    values: [transaction.scope.tenantId, idempotencyKey],
  });
  const standing = await readBudget(transaction, rows[0]?.id ?? '');
  // What can be changed later may have been.
  const isSame =
    standing.subject === input.subject &&
    standing.subjectId === input.subjectId &&
    standing.period === input.period &&
    standing.timeZone === input.timeZone &&
    standing.currency === input.currency;
  return isSame ? standing : refuse('idempotency_mismatch', ['idempotencyKey']);
}

interface Change {
  readonly action: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

async function change(
  transaction: Transaction,
  id: string,
  { action, text, values }: Change,
): Promise<Budget | Refusal> {
  const changed = await asQueryable(transaction).query({ text, values: [id, transaction.scope.tenantId, ...values] });
  if (changed.rows.length === 0) return refuse('not_found', ['id']);
  const budget = await readBudget(transaction, id);
  const details = { amount: budget.amount.toString(), isHard: budget.isHard };
  await transaction.audit({ action, subjectKind: 'budget', subjectId: id, details });
  await publish(transaction, budget);
  return budget;
}

/** Data planes know of what limits calls: a soft budget, or one that is removed, is none of their concern. */
function publish(transaction: Transaction, budget: Budget): Promise<void> {
  const { id, tenantId, subject, subjectId, currency, isHard, isActive } = budget;
  return transaction.publish([
    isHard && isActive
      ? { kind: 'budget', id, tenantId, subject, subjectId, currency }
      : { kind: 'budget', id, tenantId, deleted: true },
  ]);
}

interface BudgetRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly name: string;
  readonly subject: Subject;
  readonly subject_id: string;
  readonly period: Period;
  readonly time_zone: string;
  readonly currency: string;
  readonly amount: string;
  readonly is_hard: boolean;
  readonly is_active: boolean;
  readonly starts_at: Date | string;
  readonly spent: string;
  readonly leased: string;
}

async function readBudget(transaction: Transaction, id: string): Promise<Budget> {
  const [budget] = await readBudgets(transaction, id);
  if (budget === undefined) throw new Error('the budget is not there');
  return budget;
}

async function readBudgets(transaction: Transaction, id: string | null): Promise<Budget[]> {
  const { rows } = await asQueryable(transaction).query<BudgetRow>({
    text: `
      select budget.id, budget.tenant_id, name, subject, subject_id, period, time_zone, currency, amount::text, is_hard,
        status = 'active' as is_active, starts_at, coalesce(part.spent, 0)::text as spent,
        coalesce(part.leased, 0)::text as leased
      from budget left join budget_window part
        on part.budget_id = budget.id and part.window_from = budget_window_from(period, time_zone, now())
      where budget.tenant_id = $1::uuid and case when $2::uuid is null then status = 'active' else budget.id = $2::uuid end
      order by budget.id limit 500`,
    values: [transaction.scope.tenantId, id],
  });
  return rows.map((row) => ({
    ...{ id: row.id, tenantId: row.tenant_id, name: row.name, subject: row.subject, subjectId: row.subject_id },
    ...{ period: row.period, timeZone: row.time_zone, currency: row.currency, amount: BigInt(row.amount) },
    ...{ isHard: row.is_hard, isActive: row.is_active, startsAt: new Date(row.starts_at) },
    ...{ spent: BigInt(row.spent), reserved: BigInt(row.leased) },
  }));
}
