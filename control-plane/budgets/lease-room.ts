import type { BUDGET_SUBJECTS } from '@pingtoken/shared/config-snapshot';
import { MAX_LEASES } from '@pingtoken/shared/lease';
import { asQueryable } from '../database/orm-queryable.js';
import { refuse, type Refusal } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';

/** Beside the wallet's. */
const MAX_BUDGETS = MAX_LEASES - 1;

/** What is to be a hard budget. */
export interface HardBudgetDraft {
  /** Not counted beside itself: the budget, or what was made of the same request. */
  readonly own: { readonly id: string } | { readonly idempotencyKey: string };
  readonly subject: (typeof BUDGET_SUBJECTS)[number];
  readonly subjectId: string;
  readonly currency: string;
}

/**
 * A call draws on a lease of each hard budget that limits it, and there is room for so many: with more, none could be made.
 * Of two that are made at once the second sees the first.
 */
export async function refuseWithoutRoom(
  transaction: Transaction,
  { own, subject, subjectId, currency }: HardBudgetDraft,
): Promise<Refusal | undefined> {
  const database = asQueryable(transaction);
  const { tenantId } = transaction.scope;
  await database.query({
    text: `select pg_advisory_xact_lock(hashtextextended('hard budgets ' || $1::text, 0))`,
    values: [tenantId],
  });
  const { rows } = await database.query<{ most: string }>({
    text: `
      with hard as (
        select subject, subject_id from budget
        where tenant_id = $1::uuid and currency = $2::text and is_hard and status = 'active'
          and id is distinct from $5::uuid and idempotency_key is distinct from $6::text
        union all select $3::text, $4::uuid
      ),
      counted as (select subject, subject_id, count(*) as budgets from hard group by subject, subject_id),
      of_keys as (
        select api_key.member_id, max(coalesce(counted.budgets, 0)) as budgets
        from api_key left join counted on counted.subject = 'api-key' and counted.subject_id = api_key.id
        where api_key.tenant_id = $1::uuid group by api_key.member_id
      ),
      of_members as (select subject_id as member_id, budgets from counted where subject = 'member')
      select (
        coalesce((select sum(budgets) from counted where subject = 'tenant'), 0)
        + coalesce((
          select max(coalesce(of_keys.budgets, 0) + coalesce(of_members.budgets, 0))
          from of_keys full join of_members using (member_id)
        ), 0)
      )::text as most`,
    values: [
      ...[tenantId, currency, subject, subjectId],
      ...['id' in own ? own.id : null, 'idempotencyKey' in own ? own.idempotencyKey : null],
    ],
  });
  if (Number(rows[0]?.most ?? 0) <= MAX_BUDGETS) return undefined;
  const message = `At most ${MAX_BUDGETS} hard budgets of one currency can limit a call: those of its tenant, its member and its key.`;
  return refuse('invalid_request', ['isHard'], message);
}
