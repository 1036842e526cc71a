import { limitsSchema } from '@pingtoken/shared/limits';
import {
  BOUND_LENGTHS_MS,
  type BoundId,
  type ShareAnswer,
  type ShareGrant,
  type ShareReport,
  type ShareRequest,
} from '@pingtoken/shared/rate-share';
import { inTransaction, type Connection, type ConnectionPool } from '../database/sql.js';
import { planShare } from './plan-share.js';
import { boundKey, lockBounds, readShares, recallShares, storeShares, type HeldShare } from './share-rows.js';

/** A recalled share is given up within this. */
const RECALL_MS = 1_500;

/**
 * Shares limits out among data planes; see `rate-share.ts`. Needs the `worker` login.
 * @returns undefined for a turn that is over
 */
export function exchangeShares(
  pool: ConnectionPool,
  dataPlaneId: string,
  request: ShareRequest,
): Promise<ShareAnswer | undefined> {
  return inTransaction(pool, async (connection) => {
    const turn = await takeTurn(connection, dataPlaneId, request);
    if (turn === 'over') return undefined;
    if (turn === 'fenced') return { isFenced: true, isSole: false, shares: [], recalls: [], recalledLeaseIds: [] };
    const shares = request.shares.length === 0 ? [] : await share(connection, request, turn.isOtherSole);
    const { recalls, recalledLeaseIds } = await readRecalls(connection, request.spoolId);
    return { isFenced: false, isSole: turn.isSole, shares, recalls, recalledLeaseIds };
  });
}

interface Turn {
  readonly isSole: boolean;
  /** Another one may still take all limits for its own. */
  readonly isOtherSole: boolean;
}

async function takeTurn(
  connection: Connection,
  dataPlaneId: string,
  { spoolId, turn, isSole }: ShareRequest,
): Promise<Turn | 'over' | 'fenced'> {
  await connection.query({
    name: 'note-lease-spool',
    text: 'insert into lease_spool (spool_id, data_plane_id) values ($1, $2) on conflict (spool_id) do nothing',
    values: [spoolId, dataPlaneId],
  });
  const spools = await connection.query<{ is_fenced: boolean }>({
    name: 'read-share-spool',
    text: 'select fenced_at is not null as is_fenced from lease_spool where spool_id = $1 and data_plane_id = $2',
    values: [spoolId, dataPlaneId],
  });
  if (spools.rows[0]?.is_fenced !== false) return 'fenced';
  const mayBeSole = await lockSole(connection, dataPlaneId);
  const { rows } = await connection.query<{ is_sole: boolean; is_other_sole: boolean }>({
    name: 'take-share-turn',
    text: `
      insert into rate_spool (spool_id, turn, is_sole)
      select $1, $2, $3 or ($5 and not exists (select 1 from data_plane where status = 'enrolled' and id <> $4))
      on conflict (spool_id) do update set turn = excluded.turn, is_sole = excluded.is_sole, heard_at = now()
        where rate_spool.turn < excluded.turn
      returning $5 and not exists (select 1 from data_plane where status = 'enrolled' and id <> $4) as is_sole,
        exists (
          select 1 from rate_spool other join lease_spool spool using (spool_id) join data_plane on data_plane.id = data_plane_id
          where other.is_sole and spool.fenced_at is null and data_plane_id <> $4 and data_plane.status = 'enrolled'
        ) as is_other_sole`,
    values: [spoolId, turn, isSole, dataPlaneId, mayBeSole],
  });
  const [taken] = rows;
  return taken === undefined ? 'over' : { isSole: taken.is_sole, isOtherSole: taken.is_other_sole };
}

/** Whoever is told that it is alone is so for itself: nobody else is given anything until that is known. */
async function lockSole(connection: Connection, dataPlaneId: string): Promise<boolean> {
  const { rowCount } = await connection.query({
    name: 'find-other-data-plane',
    text: `select 1 from data_plane where status = 'enrolled' and id <> $1 limit 1`,
    values: [dataPlaneId],
  });
  const mayBeSole = rowCount === 0;
  const lock = mayBeSole ? 'pg_advisory_xact_lock' : 'pg_advisory_xact_lock_shared';
  await connection.query({ text: `select ${lock}(hashtextextended('sole data plane', 0))` });
  return mayBeSole;
}

async function share(
  connection: Connection,
  { spoolId, shares: reports }: ShareRequest,
  isOtherSole: boolean,
): Promise<ShareGrant[]> {
  await lockBounds(connection, reports);
  const limits = await readLimits(connection, reports);
  const held = Map.groupBy(await readShares(connection, reports), boundKey);
  const [stored, short]: [(ShareReport & { readonly granted: number })[], BoundId[]] = [[], []];
  const grants = reports.map((report): ShareGrant => {
    const key = boundKey(report);
    const limit = limits.get(key);
    if (limit === undefined) {
      stored.push({ ...report, granted: 0 });
      return { granted: null, limit: 0, free: 0, retryInMs: null };
    }
    const all = held.get(key) ?? [];
    const others = all.filter((each) => each.spoolId !== spoolId);
    const own = all.find((each) => each.spoolId === spoolId)?.amount ?? 0;
    const sum = isOtherSole ? limit : others.reduce((total, { amount }) => total + amount, 0);
    const { granted, free, isShort } = planShare(report, { limit, others: sum, own });
    stored.push({ ...report, granted });
    if (isShort) short.push(report);
    const outstanding = others.reduce((total, { amount }) => total + amount, granted);
    return { granted, limit: Math.max(limit, outstanding), free, retryInMs: isShort ? retryIn(others) : null };
  });
  await storeShares(connection, spoolId, stored);
  await recallShares(connection, spoolId, short);
  return grants;
}

/** When somebody else has some of it to give: what it does not use, at once; else what it has used longest ago. */
function retryIn(others: readonly HeldShare[]): number {
  if (others.some(({ amount, used }) => amount > used)) return RECALL_MS;
  const soonest = Math.min(...others.flatMap(({ freeInMs }) => (freeInMs === null ? [] : [freeInMs])));
  return Number.isFinite(soonest) ? soonest + RECALL_MS : RECALL_MS;
}

/** What is in force now, whatever a data plane has heard. @returns by {@link boundKey}; what is not bounded is left out */
async function readLimits(connection: Connection, bounds: readonly BoundId[]): Promise<ReadonlyMap<string, number>> {
  const idsOf = (scope: BoundId['scope']): string[] =>
    bounds.flatMap((each) => (each.scope === scope ? [each.id] : []));
  const { rows } = await connection.query<{ scope: BoundId['scope']; id: string; tenant_id: string; limits: unknown }>({
    name: 'read-shared-limits',
    text: `
      select 'key' as scope, id, tenant_id, limits from api_key where id = any($1::uuid[])
      union all select 'member', id, tenant_id, limits from member where id = any($2::uuid[])
      union all select 'tenant', id, id, limits from tenant where id = any($3::uuid[])
      union all select 'plan', plan.id, tenant.id, plan.limits from plan join tenant on tenant.plan_id = plan.id
        where plan.id = any($4::uuid[]) and tenant.id = any($5::uuid[])`,
    values: [
      ...[idsOf('key'), idsOf('member'), idsOf('tenant'), idsOf('plan')],
      bounds.flatMap(({ scope, tenantId }) => (scope === 'plan' ? [tenantId] : [])),
    ],
  });
  const found = new Map<string, number>();
  for (const { scope, id, tenant_id: tenantId, limits } of rows) {
    if (limits === null) continue;
    const parsed = limitsSchema.parse(limits);
    for (const bound of Object.keys(BOUND_LENGTHS_MS) as BoundId['bound'][]) {
      const limit = parsed[bound];
      if (limit !== null) found.set(boundKey({ scope, tenantId, id, bound }), limit);
    }
  }
  return found;
}

async function readRecalls(
  connection: Connection,
  spoolId: string,
): Promise<Pick<ShareAnswer, 'recalls' | 'recalledLeaseIds'>> {
  const shares = await connection.query<{
    scope: BoundId['scope'];
    tenant_id: string;
    id: string;
    bound: BoundId['bound'];
  }>({
    name: 'read-recalled-shares',
    text: `
      select scope, tenant_id, scope_id as id, bound from rate_share where spool_id = $1 and is_recalled limit 500`,
    values: [spoolId],
  });
  const leases = await connection.query<{ id: string }>({
    name: 'read-recalled-leases',
    text: `
      select id from lease
      where spool_id = $1 and is_recalled and closed_at is null and fence_seq is null order by id limit 500`,
    values: [spoolId],
  });
  return {
    recalls: shares.rows.map(({ scope, tenant_id: tenantId, id, bound }) => ({ scope, tenantId, id, bound })),
    recalledLeaseIds: leases.rows.map(({ id }) => id),
  };
}
