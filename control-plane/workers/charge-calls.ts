import type { Queryable } from '../database/sql.js';
import { chargeEvents, type Charge } from './charge-events.js';
import { bookTransfers, lockAccounts, tellLowBalances } from './charge-transfers.js';
import { drawLeases, lockLeases } from './lease-statements.js';
import { findWindows, lockWindows, spendWindows } from './budget-statements.js';
import type { SettledEvent } from './settle-event.js';

/**
 * Charges new events in the caller's transaction: leases are drawn on, budgets spent, transfers booked, and what is to be told
 * of it goes into the outbox.
 */
export async function chargeCalls(database: Queryable, settled: readonly SettledEvent[]): Promise<readonly Charge[]> {
  const costly = settled.filter(({ amount, costs }) => amount > 0n || costs.some((cost) => cost.amount > 0n));
  if (costly.length === 0) return [];
  const leases = await lockLeases(database, costly);
  const windows = await findWindows(database, costly);
  const locked = await lockWindows(database, { windows, leases });
  const accounts = await lockAccounts(database, costly, leases);
  const { charges, leaseDraws, windowSpends } = chargeEvents(costly, {
    leases,
    windowsOf: (eventId) => windows.get(eventId) ?? [],
    findWallet: accounts.findWallet,
  });
  await drawLeases(database, leaseDraws);
  await spendWindows(database, locked, { windowSpends, leaseDraws, leases });
  await bookTransfers(database, charges, accounts);
  await tellLowBalances(database, charges);
  return charges;
}
