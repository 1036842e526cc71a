import type { Logger } from 'pino';
import { inTransaction, type ConnectionPool } from '../database/sql.js';
import { createPeriodicJob, type PeriodicJob } from '../workers/periodic-job.js';
import { settleFaults } from './take-report.js';

export interface HealthKeeper extends PeriodicJob {
  /** Forgets what data planes said that are gone. @returns how many are */
  forgetSilent(): Promise<number>;
}

const INTERVAL_MS = 30_000;
/** Many times the interval of reports: a restart, or a short cut of the link, is not the end of a data plane. */
const GONE_AFTER = '5 minutes';
/** Closed faults are kept for so long. */
const FAULTS_ARE_KEPT = '400 days';

/** What a data plane has reported holds as long as it does. Any number of processes may do it at once. */
export function createHealthKeeper({
  pool,
  logger,
}: {
  readonly pool: ConnectionPool;
  readonly logger: Pick<Logger, 'warn'>;
}): HealthKeeper {
  const forgetSilent = (): Promise<number> =>
    inTransaction(pool, async (connection) => {
      const { rows } = await connection.query<{ data_plane_id: string }>({
        name: 'forget-silent-data-planes',
        text: `
          delete from health_report report using data_plane
          where data_plane.id = report.data_plane_id
            and (data_plane.status = 'revoked' or report.received_at < now() - interval '${GONE_AFTER}')
          returning report.data_plane_id`,
      });
      if (rows.length > 0) await settleFaults(connection);
      await connection.query({
        name: 'forget-old-credential-faults',
        text: `delete from credential_fault where resolved_at < now() - interval '${FAULTS_ARE_KEPT}'`,
      });
      return rows.length;
    });
  const job = createPeriodicJob({ run: forgetSilent, intervalMs: INTERVAL_MS, logger, what: 'silent data planes' });
  return { ...job, forgetSilent };
}
