import { BOUND_LENGTHS_MS, type BoundId, type ShareReport } from '@pingtoken/shared/rate-share';
import type { Connection, Queryable } from '../database/sql.js';

/** What a run of a data plane holds of a limit, or held when it died. */
export interface HeldShare extends BoundId {
  readonly spoolId: string;
  readonly amount: number;
  readonly used: number;
  /** Counted from now. */
  readonly freeInMs: number | null;
}

export const boundKey = ({ scope, tenantId, id, bound }: BoundId): string => `${scope} ${tenantId} ${id} ${bound}`;

/** Until the end of the transaction; in one order, so that no two wait for each other. */
export async function lockBounds(connection: Connection, bounds: readonly BoundId[]): Promise<void> {
  await connection.query({
    name: 'lock-bounds',
    text: `
      select pg_advisory_xact_lock(hash) from (
        select distinct hashtextextended(key, 1) as hash from unnest($1::text[]) key order by hash
      ) hashes`,
    values: [bounds.map(boundKey)],
  });
}

const NAMED = `json_to_recordset($1::json) as named (scope text, "tenantId" uuid, id uuid, bound text)`;
const IS_NAMED = `share.scope_id = named.id and share.tenant_id = named."tenantId" and share.scope = named.scope
  and share.bound = named.bound`;

/** For how long the use of a run that has ended still counts. */
const COUNTS_FOR = `case share.bound ${Object.entries(BOUND_LENGTHS_MS)
  .map(([bound, lengthMs]) => `when '${bound}' then interval '${lengthMs} milliseconds'`)
  .join(' ')} end`;

interface ShareRow {
  readonly scope: BoundId['scope'];
  readonly tenant_id: string;
  readonly id: string;
  readonly bound: BoundId['bound'];
  readonly spool_id: string;
  readonly amount: string;
  readonly used: string;
  readonly free_in_ms: number | null;
}

/** Of all runs, but of those whose use is past. */
export async function readShares(database: Queryable, bounds: readonly BoundId[]): Promise<readonly HeldShare[]> {
  const { rows } = await database.query<ShareRow>({
    name: 'read-shares',
    text: `
      select share.scope, share.tenant_id, share.scope_id as id, share.bound, share.spool_id, share.amount, share.used,
        greatest(0, extract(epoch from coalesce(
          share.free_at, spool.fenced_at + ${COUNTS_FOR}) - now()) * 1000)::float8 as free_in_ms
      from ${NAMED} join rate_share share on ${IS_NAMED} join lease_spool spool on spool.spool_id = share.spool_id
      where spool.fenced_at is null or spool.fenced_at + ${COUNTS_FOR} > now()`,
    values: [JSON.stringify(bounds)],
  });
  return rows.map((row) => ({
    ...{ scope: row.scope, tenantId: row.tenant_id, id: row.id, bound: row.bound, spoolId: row.spool_id },
    ...{ amount: Number(row.amount), used: Number(row.used) },
    freeInMs: row.free_in_ms === null ? null : Math.ceil(row.free_in_ms),
  }));
}

/** What of nothing is held is not kept. A report answers what was recalled. */
export async function storeShares(
  database: Queryable,
  spoolId: string,
  shares: readonly (ShareReport & { readonly granted: number })[],
): Promise<void> {
  await database.query({
    name: 'drop-shares',
    text: `
      delete from rate_share share using ${NAMED} where ${IS_NAMED} and share.spool_id = $2`,
    values: [JSON.stringify(shares.filter(({ granted }) => granted === 0)), spoolId],
  });
  await database.query({
    name: 'store-shares',
    text: `
      insert into rate_share (scope, tenant_id, scope_id, bound, spool_id, amount, used, free_at)
      select scope, "tenantId", id, bound, $2, granted, used, now() + "freeInMs" * interval '1 millisecond'
      from json_to_recordset($1::json)
        as named (scope text, "tenantId" uuid, id uuid, bound text, granted bigint, used bigint, "freeInMs" float8)
      on conflict (scope_id, tenant_id, scope, bound, spool_id) do update set
        amount = excluded.amount, used = excluded.used, free_at = excluded.free_at, is_recalled = false`,
    values: [JSON.stringify(shares.filter(({ granted }) => granted > 0)), spoolId],
  });
}

/** Asks all others for what they do not use. */
export async function recallShares(database: Queryable, spoolId: string, bounds: readonly BoundId[]): Promise<void> {
  if (bounds.length === 0) return;
  await database.query({
    name: 'recall-shares',
    text: `
      update rate_share share set is_recalled = true from ${NAMED}
      where ${IS_NAMED} and share.spool_id <> $2 and not share.is_recalled`,
    values: [JSON.stringify(bounds), spoolId],
  });
}

/** Of runs that have ended, once their use is past. */
export async function forgetShares(database: Queryable): Promise<void> {
  await database.query({
    name: 'forget-shares',
    text: `
      delete from rate_share share using lease_spool spool
      where spool.spool_id = share.spool_id and spool.fenced_at + ${COUNTS_FOR} <= now()`,
  });
}
