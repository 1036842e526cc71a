import type { LeaseFences } from '@pingtoken/shared/lease';
import { inTransaction, type ConnectionPool } from '../database/sql.js';
import { lockLeaseSpool } from './allocate.js';

/**
 * Notes up to which record leases were drawn on. What is fenced already keeps its first fence, unless the spool ends before it:
 * a power cut has taken the records between, which nobody can confirm any more. A spool that never held a lease is noted too, so
 * that a request of it that comes late is given nothing.
 */
export async function fenceLeases(
  pool: ConnectionPool,
  dataPlaneId: string,
  { spoolId, leases, lastSeq }: LeaseFences,
): Promise<void> {
  await inTransaction(pool, async (connection) => {
    await lockLeaseSpool(connection, spoolId, dataPlaneId);
    await connection.query({
      name: 'fence-leases',
      text: `
        update lease set fence_seq = record.seq
        from json_to_recordset($3::json) as record ("leaseId" uuid, seq bigint), lease_spool spool
        where lease.id = record."leaseId" and lease.spool_id = $1 and lease.fence_seq is null
          and spool.spool_id = lease.spool_id and spool.data_plane_id = $2`,
      values: [spoolId, dataPlaneId, JSON.stringify(leases)],
    });
    if (lastSeq === null) return;
    await connection.query({
      name: 'fence-spool',
      text: `
        with spool as (
          update lease_spool set fence_seq = coalesce(fence_seq, $3::bigint), fenced_at = coalesce(fenced_at, now())
          where spool_id = $1 and data_plane_id = $2 returning spool_id
        )
        update lease set fence_seq = least(coalesce(lease.fence_seq, $3::bigint), $3::bigint) from spool
        where lease.spool_id = spool.spool_id and lease.closed_at is null`,
      values: [spoolId, dataPlaneId, lastSeq],
    });
  });
}
