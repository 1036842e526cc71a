import type { Logger } from 'pino';
import { inTransaction, type ConnectionPool } from '../database/sql.js';
import { createPeriodicJob, type PeriodicJob } from '../workers/periodic-job.js';
import { lockWallet, settleWallet } from './wallet-books.js';

export interface CreditExpiry extends PeriodicJob {
  /** Takes what has run out from its wallets. @returns how many wallets were looked at */
  expireDue(): Promise<number>;
}

const POLL_MS = 5_000;
const WALLETS_AT_ONCE = 100;

/**
 * Credits run out on time, also those of tenants who do nothing. Each wallet is a transaction of its own, under the wallet's
 * lock: several workers at once take nothing twice. Leased money has left its credit; it runs out when it comes back.
 */
export function createCreditExpiry({
  pool,
  logger,
}: {
  readonly pool: ConnectionPool;
  readonly logger: Pick<Logger, 'warn'>;
}): CreditExpiry {
  const expireDue = async (): Promise<number> => {
    const due = await inTransaction(pool, async (connection) => {
      const { rows } = await connection.query<{ tenant_id: string; currency: string }>({
        name: 'wallets-with-expired-credits',
        text: `
          select distinct tenant_id, currency from credit
          where expires_at <= now() and drawn + expired + refunded < amount limit $1`,
        values: [WALLETS_AT_ONCE],
      });
      return rows;
    });
    for (const { tenant_id: tenantId, currency } of due) {
      await inTransaction(pool, async (connection) => {
        await settleWallet(connection, await lockWallet(connection, { tenantId, currency }), Date.now());
      });
    }
    return due.length;
  };
  const job = createPeriodicJob({ run: expireDue, intervalMs: POLL_MS, logger, what: 'expired credits' });
  return { ...job, expireDue };
}
