import type { Logger } from 'pino';
import { formatAmount } from '@pingtoken/shared/money';
import { inTransaction, type Connection, type ConnectionPool } from '../database/sql.js';
import { book, lockWallet, settleWallet } from '../wallets/wallet-books.js';
import { lockBudgetWindows, storeWindows } from '../workers/budget-statements.js';
import { forgetShares } from './share-rows.js';
import { createPeriodicJob, type PeriodicJob } from '../workers/periodic-job.js';

export interface LeaseCloser extends PeriodicJob {
  /** Closes what is drained or declared lost. @returns how many leases were closed */
  closeDue(): Promise<number>;
}

const POLL_MS = 1_000;
const LEASES_AT_ONCE = 200;
/** What is past counts for nothing, forgotten or not. */
const FORGET_SHARES_MS = 60_000;
const ANSWERS_ARE_KEPT = '1 day';

/** Brings back what is left of leases. Any number of processes may do it at once. */
export function createLeaseCloser({
  pool,
  logger,
}: {
  readonly pool: ConnectionPool;
  readonly logger: Pick<Logger, 'warn'>;
}): LeaseCloser {
  let sharesForgottenAt = 0;
  const closeDue = async (): Promise<number> => {
    const ids = await findDue(pool, null);
    for (const id of ids) await closeLease(pool, id, logger);
    await inTransaction(pool, (connection) =>
      connection.query({
        name: 'forget-lease-answers',
        text: `delete from lease_request where created_at < now() - interval '${ANSWERS_ARE_KEPT}'`,
      }),
    );
    if (Date.now() - sharesForgottenAt > FORGET_SHARES_MS) {
      sharesForgottenAt = Date.now();
      await inTransaction(pool, forgetShares);
    }
    return ids.length;
  };
  const job = createPeriodicJob({ run: closeDue, intervalMs: POLL_MS, logger, what: 'drained leases' });
  return { ...job, closeDue };
}

/** Closes what of one spool is due, at once: its data plane has just fenced it. */
export async function closeSpool(pool: ConnectionPool, spoolId: string, logger: Pick<Logger, 'warn'>): Promise<void> {
  for (const id of await findDue(pool, spoolId)) await closeLease(pool, id, logger);
}

/**
 * A lease is due when every record that could draw on it is confirmed, so that what it has left is known for good; or when an
 * operator has said that its spool will not come back.
 */
const DUE = `
  lease.closed_at is null and (
    spool.lost_at is not null
    or lease.fence_seq <= coalesce((select confirmed from usage_spool where usage_spool.id = lease.spool_id), 0)
  )`;

async function findDue(pool: ConnectionPool, spoolId: string | null): Promise<string[]> {
  return inTransaction(pool, async (connection) => {
    const { rows } = await connection.query<{ id: string }>({
      name: 'find-due-leases',
      text: `
        select lease.id from lease join lease_spool spool on spool.spool_id = lease.spool_id
        where ($1::uuid is null or lease.spool_id = $1) and ${DUE} order by lease.id limit ${LEASES_AT_ONCE}`,
      values: [spoolId],
    });
    return rows.map(({ id }) => id);
  });
}

interface DueRow {
  readonly scope: 'wallet' | 'budget';
  readonly tenant_id: string;
  readonly currency: string;
  readonly budget_id: string | null;
  readonly window_from: Date | null;
  readonly unused: string;
  readonly is_lost: boolean;
}

async function closeLease(pool: ConnectionPool, id: string, logger: Pick<Logger, 'warn'>): Promise<void> {
  await inTransaction(pool, async (connection) => {
    // Asked again under the lock: somebody else may have closed it.
    const { rows } = await connection.query<DueRow>({
      name: 'lock-due-lease',
      text: `
        select lease.scope, lease.tenant_id, lease.currency, lease.budget_id, lease.window_from,
          lease.granted - lease.used - lease.returned as unused, spool.lost_at is not null as is_lost
        from lease join lease_spool spool on spool.spool_id = lease.spool_id
        where lease.id = $1 and ${DUE} for no key update of lease`,
      values: [id],
    });
    const [lease] = rows;
    if (lease === undefined) return;
    const unused = BigInt(lease.unused);
    await connection.query({
      name: 'close-lease',
      text: 'update lease set returned = returned + $2::numeric, closed_at = now(), is_lost = $3 where id = $1',
      values: [id, lease.unused, lease.is_lost],
    });
    if (unused > 0n) await giveBack(connection, id, lease, unused);
    if (lease.is_lost) {
      const left = { amount: formatAmount(unused), currency: lease.currency };
      logger.warn({ leaseId: id, tenantId: lease.tenant_id, ...left }, 'a lease was declared lost');
    }
  });
}

async function giveBack(
  connection: Connection,
  leaseId: string,
  { scope, tenant_id: tenantId, currency, budget_id: budgetId, window_from: windowFrom }: DueRow,
  amount: bigint,
): Promise<void> {
  if (scope === 'wallet') {
    const wallet = await lockWallet(connection, { tenantId, currency });
    await book(connection, wallet, { debit: 'leased', credit: 'wallet', amount, kind: 'lease_return', leaseId });
    // What comes back to a credit that has run out meanwhile runs out now.
    await settleWallet(connection, { ...wallet, balance: wallet.balance + amount }, Date.now());
    return;
  }
  if (budgetId === null || windowFrom === null) throw new Error('a lease of a budget names no window');
  const [window] = await lockBudgetWindows(connection, [{ budgetId, windowFrom: windowFrom.getTime() }]);
  if (window !== undefined) await storeWindows(connection, [{ ...window, leased: window.leased - amount }]);
}
