import { v7 as uuidv7 } from 'uuid';
import type { LeaseGrant, LeaseScope } from '@pingtoken/shared/lease';
import type { Queryable } from '../database/sql.js';

/** A lease that may still grow: neither fenced nor closed. */
export interface OpenLease {
  readonly id: string;
  readonly budgetId: string | null;
  readonly windowFrom: number | null;
  readonly windowTo: number | null;
  readonly granted: bigint;
  /** Milliseconds since 1970. */
  readonly admitUntil: number;
}

interface LeaseRow {
  readonly id: string;
  readonly budget_id: string | null;
  readonly window_from: Date | null;
  readonly window_to: Date | null;
  readonly granted: string;
  readonly admit_until: Date;
}

export interface LeaseOwner {
  readonly spoolId: string;
  readonly tenantId: string;
  readonly currency: string;
}

/** Locks what the spool holds of a tenant's. */
export async function lockOpenLeases(
  database: Queryable,
  { spoolId, tenantId, currency }: LeaseOwner,
): Promise<readonly OpenLease[]> {
  const { rows } = await database.query<LeaseRow>({
    name: 'lock-open-leases',
    text: `
      select id, budget_id, window_from, window_to, granted, admit_until from lease
      where spool_id = $1 and tenant_id = $2 and currency = $3 and closed_at is null and fence_seq is null
      order by id for no key update`,
    values: [spoolId, tenantId, currency],
  });
  return rows.map((row) => ({
    ...{ id: row.id, budgetId: row.budget_id, granted: BigInt(row.granted), admitUntil: row.admit_until.getTime() },
    ...{ windowFrom: row.window_from?.getTime() ?? null, windowTo: row.window_to?.getTime() ?? null },
  }));
}

/** What a grant is of. */
export interface GrantPlace extends LeaseOwner {
  readonly scope: LeaseScope;
  readonly windowFrom: number | null;
  readonly windowTo: number | null;
  /** Milliseconds since 1970: no lease that money of this grant is in may admit calls for longer. */
  readonly admitUntil: number;
}

/** A lease that admits calls for less than this part of a new one's time is followed by a new one. */
const GROWS_WHILE = 1 / 3;

/** The lease that the spool has of the scope, if it lasts: an older one is used up, or fenced by its data plane. */
export function findGrowing(open: readonly OpenLease[], place: GrantPlace, now: number): OpenLease | undefined {
  const budgetId = place.scope.kind === 'budget' ? place.scope.budgetId : null;
  return open.findLast(
    (lease) =>
      lease.budgetId === budgetId &&
      lease.windowFrom === place.windowFrom &&
      lease.admitUntil <= place.admitUntil &&
      lease.admitUntil - now > (place.admitUntil - now) * GROWS_WHILE,
  );
}

/** Adds to a lease, or makes a new one. */
export async function storeGrant(
  database: Queryable,
  place: GrantPlace,
  { growing, grant }: { readonly growing: OpenLease | undefined; readonly grant: bigint },
): Promise<LeaseGrant> {
  const budgetId = place.scope.kind === 'budget' ? place.scope.budgetId : null;
  const { windowFrom, windowTo } = place;
  if (growing !== undefined) {
    await database.query({
      name: 'grow-lease',
      text: 'update lease set granted = granted + $2::numeric where id = $1',
      values: [growing.id, grant.toString()],
    });
    const granted = String(growing.granted + grant);
    return { leaseId: growing.id, granted, admitUntil: growing.admitUntil, windowFrom, windowTo };
  }
  const leaseId = uuidv7();
  await database.query({
    name: 'insert-lease',
    text: `
      insert into lease (
        id, tenant_id, spool_id, scope, currency, budget_id, window_from, window_to, granted, admit_until
      ) values ($1, $2, $3, $4, $5, $6, to_timestamp($7::bigint / 1000.0), to_timestamp($8::bigint / 1000.0), $9,
        to_timestamp($10::bigint / 1000.0))`,
    values: [
      ...[leaseId, place.tenantId, place.spoolId, place.scope.kind, place.currency, budgetId, windowFrom, windowTo],
      ...[grant.toString(), place.admitUntil],
    ],
  });
  return { leaseId, granted: grant.toString(), admitUntil: place.admitUntil, windowFrom, windowTo };
}

/** Asks all other runs of data planes for what they do not draw on; they hear of it within a second. */
export async function recallLeases(
  database: Queryable,
  { spoolId, tenantId, currency, scope }: Omit<GrantPlace, 'admitUntil'>,
): Promise<void> {
  await database.query({
    name: 'recall-leases',
    text: `
      update lease set is_recalled = true
      where id in (
        select id from lease
        where tenant_id = $1 and currency = $2 and budget_id is not distinct from $3 and spool_id <> $4
          and closed_at is null and fence_seq is null and not is_recalled
        order by id for no key update skip locked
      )`,
    values: [tenantId, currency, scope.kind === 'budget' ? scope.budgetId : null, spoolId],
  });
}
