import type { Queryable } from '../database/sql.js';
import type { HeldLease } from './charge-events.js';
import type { SettledEvent } from './settle-event.js';

interface LeaseRow {
  readonly id: string;
  readonly scope: HeldLease['scope'];
  readonly tenant_id: string;
  readonly spool_id: string;
  readonly is_of_job: boolean;
  readonly currency: string;
  readonly budget_id: string | null;
  readonly window_from: Date | null;
  readonly available: string;
}

/** Locks the leases that calls were admitted on, closed ones too. @returns them by id */
export async function lockLeases(
  database: Queryable,
  settled: readonly SettledEvent[],
): Promise<ReadonlyMap<string, HeldLease>> {
  const ids = [...new Set(settled.flatMap(({ event }) => event.leaseIds.map((id) => id.toLowerCase())))];
  if (ids.length === 0) return new Map();
  const { rows } = await database.query<LeaseRow>({
    name: 'lock-leases',
    text: `
      select lease.id, scope, tenant_id, lease.spool_id, spool.holder = 'job' as is_of_job, currency, budget_id,
        window_from, granted - used - returned as available
      from lease join lease_spool spool on spool.spool_id = lease.spool_id
      where lease.id = any($1::uuid[]) order by lease.id for no key update of lease`,
    values: [ids],
  });
  return new Map(
    rows.map((row) => [
      row.id,
      {
        ...{ id: row.id, scope: row.scope, currency: row.currency, budgetId: row.budget_id },
        ...{ tenantId: row.tenant_id, spoolId: row.spool_id, windowFrom: row.window_from?.getTime() ?? null },
        isOfJob: row.is_of_job,
        available: BigInt(row.available),
      },
    ]),
  );
}

export async function drawLeases(database: Queryable, draws: ReadonlyMap<string, bigint>): Promise<void> {
  const rows = [...draws].filter(([, amount]) => amount > 0n).map(([id, amount]) => ({ id, amount: String(amount) }));
  if (rows.length === 0) return;
  await database.query({
    name: 'draw-leases',
    text: `
      update lease set used = used + record.amount
      from json_to_recordset($1::json) as record (id uuid, amount numeric) where lease.id = record.id`,
    values: [JSON.stringify(rows)],
  });
}
