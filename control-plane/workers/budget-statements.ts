import { crossedThresholds } from '../budgets/budget-thresholds.js';
import type { Queryable } from '../database/sql.js';
import { windowKey, type BudgetWindowKey, type HeldLease } from './charge-events.js';
import type { SettledEvent } from './settle-event.js';

interface WindowRow {
  readonly event_id: string;
  readonly budget_id: string;
  readonly window_from: Date;
}

/** The windows of budgets, hard or soft, that calls count in. @returns them by event id */
export async function findWindows(
  database: Queryable,
  settled: readonly SettledEvent[],
): Promise<ReadonlyMap<string, readonly BudgetWindowKey[]>> {
  const budgeted = await findBudgeted(database, settled);
  if (budgeted.size === 0) return new Map();
  const { rows } = await database.query<WindowRow>({
    name: 'budget-windows-of-events',
    text: `
      select call.id as event_id, budget.id as budget_id,
        budget_window_from(budget.period, budget.time_zone, call.admitted_at) as window_from
      from (
        select id, tenant_id, member_id, api_key_id, currency, to_timestamp(admitted_ms / 1000.0) as admitted_at
        from json_to_recordset($1::json) as record (
          id uuid, tenant_id uuid, member_id uuid, api_key_id uuid, currency text, admitted_ms bigint)
      ) call
        join budget on budget.tenant_id = call.tenant_id and budget.currency = call.currency and budget.status = 'active'
          and budget.starts_at <= call.admitted_at and budget.subject_id = case budget.subject
            when 'tenant' then call.tenant_id when 'member' then call.member_id else call.api_key_id end`,
    values: [
      JSON.stringify(
        settled
          .filter(({ event, amount }) => amount > 0n && budgeted.has(event.tenantId))
          .map(({ event, currency }) => ({
            ...{ id: event.eventId, tenant_id: event.tenantId, member_id: event.memberId, currency },
            ...{ api_key_id: event.apiKeyId, admitted_ms: event.admittedAt },
          })),
      ),
    ],
  });
  const found = Map.groupBy(rows, (row) => row.event_id);
  return new Map(
    [...found].map(([eventId, windows]) => [
      eventId,
      windows.map((row) => ({ budgetId: row.budget_id, windowFrom: row.window_from.getTime() })),
    ]),
  );
}

/** Most tenants have no budget: of their calls none need be told apart. */
async function findBudgeted(database: Queryable, settled: readonly SettledEvent[]): Promise<ReadonlySet<string>> {
  const { rows } = await database.query<{ tenant_id: string }>({
    name: 'tenants-with-budgets',
    text: `select distinct tenant_id from budget where tenant_id = any($1::uuid[]) and status = 'active'`,
    values: [[...new Set(settled.map(({ event }) => event.tenantId))]],
  });
  return new Set(rows.map((row) => row.tenant_id));
}

/** A window of a budget, locked. */
export interface LockedWindow extends BudgetWindowKey {
  readonly tenantId: string;
  /** Units, as are the others. */
  readonly limit: bigint;
  readonly spent: bigint;
  readonly leased: bigint;
  /** The highest percentage that was told of. */
  readonly told: number;
  /** No call fits into what is left: as good as spent to the last unit. */
  readonly isUsedUp?: boolean;
}

interface LockedRow {
  readonly budget_id: string;
  readonly tenant_id: string;
  readonly window_from: Date;
  readonly spent: string;
  readonly leased: string;
  readonly told: number;
  readonly amount: string;
}

/** Locks the windows that calls count in, making them at first sight, and those that their leases are of. */
export async function lockWindows(
  database: Queryable,
  {
    windows,
    leases,
  }: {
    readonly windows: ReadonlyMap<string, readonly BudgetWindowKey[]>;
    readonly leases: ReadonlyMap<string, HeldLease>;
  },
): Promise<readonly LockedWindow[]> {
  const ofLeases = [...leases.values()].flatMap(({ budgetId, windowFrom }) =>
    budgetId === null || windowFrom === null ? [] : [{ budgetId, windowFrom }],
  );
  const keys = new Map(
    [...windows.values()]
      .flat()
      .concat(ofLeases)
      .map((key) => [windowKey(key), key]),
  );
  return keys.size === 0 ? [] : lockBudgetWindows(database, [...keys.values()]);
}

/** @returns the windows with their budgets' limits; they stay locked until the transaction ends */
export async function lockBudgetWindows(
  database: Queryable,
  keys: readonly BudgetWindowKey[],
): Promise<readonly LockedWindow[]> {
  const { rows } = await database.query<LockedRow>({
    name: 'lock-budget-windows',
    // The update changes nothing and locks the row, whether it was there or not.
    text: `
      with wanted as (
        select budget.id, budget.tenant_id, budget.period, budget.time_zone, record.window_ms,
          to_timestamp(record.window_ms / 1000.0) as window_from
        from json_to_recordset($1::json) as record (budget_id uuid, window_ms bigint)
          join budget on budget.id = record.budget_id
      ), locked as (
        insert into budget_window (budget_id, tenant_id, window_from, window_to)
        select id, tenant_id, window_from, budget_window_to(period, time_zone, window_from) from wanted
        order by id, window_from
        on conflict (budget_id, window_from) do update set spent = budget_window.spent
        returning budget_id, tenant_id, window_from, spent, leased, told
      )
      select locked.*, budget.amount from locked join budget on budget.id = locked.budget_id`,
    values: [JSON.stringify(keys.map(({ budgetId, windowFrom }) => ({ budget_id: budgetId, window_ms: windowFrom })))],
  });
  return rows.map((row) => ({
    ...{ budgetId: row.budget_id, tenantId: row.tenant_id, windowFrom: row.window_from.getTime(), told: row.told },
    ...{ limit: BigInt(row.amount), spent: BigInt(row.spent), leased: BigInt(row.leased) },
  }));
}

export interface Spending {
  readonly windowSpends: ReadonlyMap<string, bigint>;
  readonly leaseDraws: ReadonlyMap<string, bigint>;
  readonly leases: ReadonlyMap<string, HeldLease>;
}

/** Books what was spent, and of that what had been leased; whoever crosses a threshold is told, each once. */
export async function spendWindows(
  database: Queryable,
  locked: readonly LockedWindow[],
  { windowSpends, leaseDraws, leases }: Spending,
): Promise<void> {
  const drawn = new Map<string, bigint>();
  for (const [leaseId, amount] of leaseDraws) {
    const { budgetId = null, windowFrom = null } = leases.get(leaseId) ?? {};
    if (budgetId === null || windowFrom === null) continue;
    const key = windowKey({ budgetId, windowFrom });
    drawn.set(key, (drawn.get(key) ?? 0n) + amount);
  }
  const changes = locked.flatMap((window) => {
    const spent = windowSpends.get(windowKey(window)) ?? 0n;
    const leased = drawn.get(windowKey(window)) ?? 0n;
    if (spent === 0n && leased === 0n) return [];
    return [{ ...window, spent: window.spent + spent, leased: window.leased - leased }];
  });
  await storeWindows(database, changes);
}

/** Stores locked windows, and puts a notice for each threshold that they have come to into the outbox. */
export async function storeWindows(database: Queryable, windows: readonly LockedWindow[]): Promise<void> {
  if (windows.length === 0) return;
  const rows = windows.map((window) => {
    const crossed = crossedThresholds(window);
    return { window, crossed, told: crossed.at(-1) ?? window.told };
  });
  await database.query({
    name: 'store-budget-windows',
    text: `
      update budget_window set spent = record.spent, leased = record.leased, told = record.told
      from json_to_recordset($1::json) as record (budget_id uuid, window_ms bigint, spent numeric, leased numeric, told integer)
      where budget_window.budget_id = record.budget_id
        and budget_window.window_from = to_timestamp(record.window_ms / 1000.0)`,
    values: [
      JSON.stringify(
        rows.map(({ window, told }) => ({
          ...{ budget_id: window.budgetId, window_ms: window.windowFrom, told },
          ...{ spent: String(window.spent), leased: String(window.leased) },
        })),
      ),
    ],
  });
  const notices = rows.flatMap(({ window, crossed }) =>
    crossed.map((percent) => ({
      tenant_id: window.tenantId,
      payload: { notice: 'budget-threshold', budgetId: window.budgetId, windowFrom: window.windowFrom, percent },
    })),
  );
  if (notices.length === 0) return;
  await database.query({
    name: 'tell-budget-thresholds',
    text: `
      insert into outbox (id, tenant_id, topic, payload)
      select gen_random_uuid(), tenant_id, 'tell-owners', payload
      from json_to_recordset($1::json) as record (tenant_id uuid, payload jsonb)`,
    values: [JSON.stringify(notices)],
  });
}
