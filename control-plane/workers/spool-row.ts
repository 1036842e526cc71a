import type { SpoolConfirmation } from '@pingtoken/shared/lease';
import type { Queryable } from '../database/sql.js';
import type { LedgerMonths } from './ledger-periods.js';

/** Channel on which the control plane's API learns what to confirm to a data plane; JSON of {@link SpoolConfirmedNotice}. */
const SPOOL_CONFIRMED_CHANNEL = 'spool-confirmed';
export interface SpoolConfirmedNotice extends SpoolConfirmation {
  readonly dataPlaneId: string;
}

/** The batch may not be booked, now or later; nothing was stored and nothing is confirmed. */
export class BatchRefusedError extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'BatchRefusedError';
  }
}

export interface LockedSpool {
  readonly confirmedSeq: number;
  /** False for a revoked data plane: what it reports is kept for the operator to judge, and charged to nobody. */
  readonly trusted: boolean;
  /** Of the data plane. */
  readonly region: string;
  readonly months: LedgerMonths;
}

interface SpoolRow {
  readonly data_plane_id: string;
  readonly confirmed: string;
  readonly status: string;
  readonly region: string;
  readonly month: string;
  readonly closed: string | null;
}

/**
 * Locks the spool's row until commit, making it at first sight. Two workers with batches of one spool go one after the other.
 * A data plane that is not enrolled is refused, not quarantined: unconfirmed, its records stay where they are and can be
 * delivered once it is known again, and nobody fills our tables under an invented name.
 */
export async function lockSpool(connection: Queryable, spoolId: string, dataPlaneId: string): Promise<LockedSpool> {
  const { rows } = await connection.query<SpoolRow>({
    name: 'lock-spool',
    text: `
      insert into usage_spool (id, data_plane_id) select $1::uuid, id from data_plane where id = $2::uuid
      on conflict (id) do update set last_seen_at = now()
      returning data_plane_id, confirmed, (select status from data_plane where id = $2::uuid) as status,
        (select region from data_plane where id = $2::uuid) as region,
        ledger_month(now())::text as month, (select max(month)::text from ledger_period) as closed`,
    values: [spoolId, dataPlaneId],
  });
  const spool = rows[0];
  if (spool === undefined) throw new BatchRefusedError('the data plane is not enrolled');
  if (spool.data_plane_id !== dataPlaneId) throw new BatchRefusedError('the spool belongs to another data plane');
  return {
    confirmedSeq: Number(spool.confirmed),
    trusted: spool.status === 'enrolled',
    region: spool.region,
    months: { current: spool.month, closed: spool.closed },
  };
}

/** Takes effect, and is heard, at commit only. */
export async function confirmSpool(connection: Queryable, notice: SpoolConfirmedNotice): Promise<void> {
  await connection.query({
    name: 'confirm-spool',
    text: `
      with spool as (update usage_spool set confirmed = $2::bigint where id = $1::uuid and confirmed < $2::bigint)
      select pg_notify($3, $4)`,
    values: [notice.spoolId, notice.confirmedSeq, SPOOL_CONFIRMED_CHANNEL, JSON.stringify(notice)],
  });
}
