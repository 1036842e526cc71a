import type { Queryable } from '../database/sql.js';
import type { BudgetWindowKey } from '../workers/charge-events.js';

/** A hard budget in force, with its window of an instant. */
export interface HardBudget extends BudgetWindowKey {
  /** Milliseconds since 1970; null for no end. */
  readonly windowTo: number | null;
}

/** @returns those of the named budgets that limit calls of the tenant in the currency at that instant, by id */
export async function findHardBudgets(
  database: Queryable,
  {
    tenantId,
    currency,
    budgetIds,
    at,
  }: {
    readonly tenantId: string;
    readonly currency: string;
    readonly budgetIds: readonly string[];
    /** Milliseconds since 1970. */
    readonly at: number;
  },
): Promise<ReadonlyMap<string, HardBudget>> {
  if (budgetIds.length === 0) return new Map();
  const { rows } = await database.query<{ id: string; window_from: Date; window_to: Date | null }>({
    name: 'find-hard-budgets',
    text: `
      select id, budget_window_from(period, time_zone, moment.at) as window_from,
        budget_window_to(period, time_zone, moment.at) as window_to
      from budget cross join (select to_timestamp($4::bigint / 1000.0) as at) moment
      where tenant_id = $1 and currency = $2 and id = any($3::uuid[]) and is_hard and status = 'active'
        and starts_at <= moment.at
      order by id`,
    values: [tenantId, currency, budgetIds, at],
  });
  return new Map(
    rows.map((row) => [
      row.id,
      {
        budgetId: row.id,
        windowFrom: row.window_from.getTime(),
        windowTo: row.window_to?.getTime() ?? null,
      },
    ]),
  );
}
