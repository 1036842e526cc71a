import {
  leaseAnswerSchema,
  type LeaseAnswer,
  type LeaseAsk,
  type LeaseRefusal,
  type LeaseRequest,
} from '@pingtoken/shared/lease';
import { inTransaction, type Connection, type ConnectionPool } from '../database/sql.js';
import { settleCredits } from '../wallets/settle-credits.js';
import { book, lockWallet, settleWallet } from '../wallets/wallet-books.js';
import { lockBudgetWindows, storeWindows, type LockedWindow } from '../workers/budget-statements.js';
import { findHardBudgets, type HardBudget } from './hard-budgets.js';
import {
  findGrowing,
  lockOpenLeases,
  recallLeases,
  storeGrant,
  type GrantPlace,
  type OpenLease,
} from './lease-rows.js';
import { planGrant, withoutHeld, type ScopeState } from './plan-grant.js';

/** Hands out leases. Needs the `worker` login. */
export interface Allocator {
  /** @throws what the database says; nothing was granted then, or the same request finds what was */
  allocate(dataPlaneId: string, request: LeaseRequest): Promise<LeaseAnswer>;
}

export interface AllocatorOptions {
  readonly pool: ConnectionPool;
  /**
   * For how long a lease admits calls: how long calls go on without a control plane, and how long a limit that was lowered
   * can still be exceeded by what is leased.
   */
  readonly leaseMs?: number;
}

const LEASE_MS = 10 * 60_000;
/** A clock that is further off does not choose the window. */
const MAX_SKEW_MS = 5 * 60_000;
/** Who waits longer for a lock is better told to try again. */
const LOCK_TIMEOUT = '1s';

export function createAllocator({ pool, leaseMs = LEASE_MS }: AllocatorOptions): Allocator {
  return {
    allocate: (dataPlaneId, request) =>
      inTransaction(pool, async (connection) => {
        await connection.query({ text: `set local lock_timeout = '${LOCK_TIMEOUT}'` });
        const isFenced = await lockLeaseSpool(connection, request.spoolId, dataPlaneId, request.holder);
        // After the lock: of two deliveries of one request the second finds the first one's answer.
        const standing = await findAnswer(connection, request);
        if (standing !== null) return standing;
        if (isFenced) return refuseAll(request, 'fenced');
        const answer = await grantAll(connection, { request, leaseMs, now: Date.now() });
        await connection.query({
          name: 'store-lease-answer',
          text: 'insert into lease_request (id, spool_id, answer) values ($1, $2, $3)',
          values: [request.requestId, request.spoolId, answer],
        });
        return answer;
      }),
  };
}

/** @returns whether the spool is given nothing any more; one of another data plane, or of another kind, is not either */
export async function lockLeaseSpool(
  connection: Connection,
  spoolId: string,
  dataPlaneId: string,
  holder: NonNullable<LeaseRequest['holder']> = 'process',
): Promise<boolean> {
  const { rows } = await connection.query<{ data_plane_id: string; holder: string; is_fenced: boolean }>({
    name: 'lock-lease-spool',
    // The update changes nothing and locks the row, whether it was there or not.
    text: `
      insert into lease_spool (spool_id, data_plane_id, holder) values ($1, $2, $3)
      on conflict (spool_id) do update set fence_seq = lease_spool.fence_seq
      returning data_plane_id, holder, fenced_at is not null as is_fenced`,
    values: [spoolId, dataPlaneId, holder],
  });
  const [spool] = rows;
  return spool === undefined || spool.is_fenced || spool.data_plane_id !== dataPlaneId || spool.holder !== holder;
}

async function findAnswer(connection: Connection, request: LeaseRequest): Promise<LeaseAnswer | null> {
  const { rows } = await connection.query<{ answer: unknown }>({
    name: 'find-lease-answer',
    text: 'select answer from lease_request where id = $1 and spool_id = $2',
    values: [request.requestId, request.spoolId],
  });
  return rows[0] === undefined ? null : leaseAnswerSchema.parse(rows[0].answer);
}

const refuseAll = ({ requestId, asks }: LeaseRequest, refused: LeaseRefusal): LeaseAnswer => ({
  requestId,
  results: asks.map(() => ({ refused })),
});

interface Grants {
  readonly request: LeaseRequest;
  readonly leaseMs: number;
  readonly now: number;
}

type Result = LeaseAnswer['results'][number];

/** Locks in the order of all: leases, windows of budgets, accounts. */
async function grantAll(connection: Connection, { request, leaseMs, now }: Grants): Promise<LeaseAnswer> {
  const { requestId, spoolId, tenantId, currency, asks } = request;
  const at = Math.abs(request.at - now) > MAX_SKEW_MS ? now : request.at;
  const { rowCount } = await connection.query({ text: 'select 1 from tenant where id = $1', values: [tenantId] });
  if (rowCount === 0) return refuseAll(request, 'exhausted');
  const open = await lockOpenLeases(connection, { spoolId, tenantId, currency });
  const budgetIds = asks.flatMap(({ scope }) => (scope.kind === 'budget' ? [scope.budgetId] : []));
  const budgets = await findHardBudgets(connection, { tenantId, currency, budgetIds, at });
  const windows = new Map(
    (await lockBudgetWindows(connection, [...budgets.values()])).map((window) => [window.budgetId, window]),
  );
  const parts = { connection, request, open, now, admitUntil: now + leaseMs };
  const results: Result[] = [];
  for (const ask of asks) {
    if (ask.scope.kind === 'wallet') results.push(await grantOfWallet(ask, parts));
    else {
      const budget = budgets.get(ask.scope.budgetId);
      const window = windows.get(ask.scope.budgetId);
      // Each budget once: a second ask would not see what the first has taken.
      windows.delete(ask.scope.budgetId);
      if (budget === undefined || window === undefined) results.push({ refused: 'unlimited' });
      else results.push(await grantOfBudget(ask, { ...parts, budget, window }));
    }
  }
  return { requestId, results };
}

interface Parts {
  readonly connection: Connection;
  readonly request: LeaseRequest;
  readonly open: readonly OpenLease[];
  readonly now: number;
  readonly admitUntil: number;
}

async function grantOfWallet(ask: LeaseAsk, { connection, request, open, now, admitUntil }: Parts): Promise<Result> {
  const { tenantId, currency, spoolId } = request;
  const locked = await lockWallet(connection, { tenantId, currency });
  const { wallet, credits } = await settleWallet(connection, locked, now);
  const state = { available: wallet.balance + wallet.creditLimit, leased: wallet.leased };
  const owner = { scope: ask.scope, spoolId, tenantId, currency, windowFrom: null, windowTo: null };
  const placeOf = (grant: bigint): GrantPlace => {
    // Money of a credit admits no call after the credit's end.
    const drawn = settleCredits(credits, wallet.balance - grant, now).credits.filter((credit) => credit.drawn > 0n);
    const ends = drawn.flatMap(({ expiresAt }) => (expiresAt !== null && expiresAt > now ? [expiresAt] : []));
    return { ...owner, admitUntil: Math.min(admitUntil, ...ends) };
  };
  const planned = planPlacedGrant(ask, { state, placeOf, open, now });
  if (planned === 'reserved') await recallLeases(connection, owner);
  if (typeof planned === 'string') return { refused: planned };
  const { grant: amount, place } = planned;
  const granted = await storeGrant(connection, place, planned);
  const { leaseId } = granted;
  await book(connection, wallet, { debit: 'wallet', credit: 'leased', amount, kind: 'lease', leaseId });
  return granted;
}

async function grantOfBudget(
  ask: LeaseAsk,
  { connection, request, open, now, admitUntil, budget, window }: Parts & BudgetParts,
): Promise<Result> {
  const { tenantId, currency, spoolId } = request;
  const { limit, spent, leased } = window;
  const { windowFrom, windowTo } = budget;
  const ends = windowTo === null ? admitUntil : Math.min(admitUntil, windowTo);
  const place = { scope: ask.scope, spoolId, tenantId, currency, windowFrom, windowTo, admitUntil: ends };
  const state = { available: limit - spent - leased, leased };
  const planned = planPlacedGrant(ask, { state, placeOf: () => place, open, now });
  if (planned === 'reserved') await recallLeases(connection, place);
  // Calls are refused from now on, though some units may be left that none fits into.
  if (planned === 'exhausted') await storeWindows(connection, [{ ...window, isUsedUp: true }]);
  if (typeof planned === 'string') return { refused: planned };
  const granted = await storeGrant(connection, place, planned);
  await storeWindows(connection, [{ ...window, leased: leased + planned.grant }]);
  return granted;
}

interface PlacedGrant {
  readonly grant: bigint;
  readonly place: GrantPlace;
  readonly growing: OpenLease | undefined;
}

function planPlacedGrant(
  ask: LeaseAsk,
  {
    state,
    placeOf,
    open,
    now,
  }: {
    readonly state: ScopeState;
    readonly placeOf: (grant: bigint) => GrantPlace;
    readonly open: readonly OpenLease[];
    readonly now: number;
  },
): PlacedGrant | LeaseRefusal {
  const plan = planGrant(ask, state);
  if (typeof plan === 'string') return plan;
  const place = placeOf(plan.grant);
  const growing = findGrowing(open, place, now);
  if (growing !== undefined) return { ...plan, place, growing };
  const anew = planGrant(withoutHeld(ask), state);
  return typeof anew === 'string' ? anew : { ...anew, place: placeOf(anew.grant), growing };
}

interface BudgetParts {
  readonly budget: HardBudget;
  readonly window: LockedWindow;
}
