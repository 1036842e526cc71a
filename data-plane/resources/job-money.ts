import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { dearestSumOf } from '@pingtoken/shared/dearest-price';
import type { LeaseAnswer, LeaseAsk, LeaseScope } from '@pingtoken/shared/lease';
import { refuse, type Refusal } from '../http-error.js';
import { budgetsOf, paysInAdvance, refuseFor } from '../leases/call-money.js';
import { versionOf } from '../leases/call-price.js';
import type { LeaseClient } from '../leases/lease-keeper.js';
import { pricedBounds } from '../leases/usage-bounds.js';
import type { PlannedCall } from './accounts.js';
import type { BatchReach } from './batch-reach.js';

/** What a job's tenant is to have for it. */
export interface JobCost {
  /** The leases are its own, and no process's. */
  readonly jobId: string;
  readonly tenantId: string;
  readonly currency: string;
  readonly budgetIds: readonly string[];
  /** The most that it can cost, in units. */
  readonly amount: bigint;
  /** Milliseconds since 1970, when all of it is admitted. */
  readonly at: number;
}

/**
 * The most that a batch can cost: at the price version in force when it is submitted, by the batch tier where the card has
 * one, as its lines will be billed.
 */
export function batchCostOf(plan: PlannedCall, reach: BatchReach): JobCost | Refusal {
  const { account, catalogue, admittedAt: at, requestId: jobId } = plan;
  const version = versionOf(catalogue, plan.priceCardVersionId);
  if (version === undefined) return refuse('price_missing', 'model');
  const { currency } = version;
  const { lines: requests, longestInputTokens, unboundedLines, ...bounds } = reach;
  const sum = pricedBounds({ ...bounds, requests }, version);
  const amount = dearestSumOf({ sum, longestInputTokens, serviceTier: 'batch', at }, version);
  const budgetIds = budgetsOf(account, catalogue, currency);
  if (unboundedLines > 0 && paysInAdvance(account, budgetIds)) {
    return refuse('unsupported_field', 'input_file_id', UNBOUNDED);
  }
  return { jobId, tenantId: account.tenant.id, currency, budgetIds, amount, at };
}

const UNBOUNDED =
  'What the provider does by itself for some of the lines has no limit, and this account pays in advance or has a hard ' +
  'budget. Limit it by "max_tool_calls", or leave it out.';

/**
 * Wallets and hard budgets, as jobs meet them. Leases of calls die with their process, and a batch lives for a day; so a job's
 * money is leased under its own id, whatever becomes of this process, and whichever spool it is reported in.
 */
export interface JobMoney {
  /** Asks once. @returns ids of its leases; a refusal may leave some to be released */
  reserve(cost: JobCost): Promise<readonly string[] | Refusal>;
  /**
   * Brings back what it has not used; what it has is in the ledger already. Said again, it changes nothing.
   * @throws where the control plane has not taken it
   */
  release(jobId: string, signal: AbortSignal): Promise<void>;
}

/** Nobody waits for the first byte of a job. */
const TIMEOUT_MS = 5_000;

export function createJobMoney({
  client,
  logger,
}: {
  readonly client: LeaseClient;
  readonly logger: Pick<Logger, 'warn'>;
}): JobMoney {
  return {
    reserve: async (cost) => {
      if (cost.amount === 0n) return [];
      const { jobId: spoolId, tenantId, currency, at } = cost;
      const asks = scopesOf(cost).map((scope) => askFor(scope, cost.amount));
      const request = { requestId: uuidv7(), spoolId, tenantId, currency, at, holder: 'job' as const, asks };
      try {
        const answers = await client.requestLeases([request], AbortSignal.timeout(TIMEOUT_MS));
        return leasesOf(answers[0]);
      } catch (error) {
        logger.warn({ job: spoolId, reason: String(error) }, 'the allocator does not answer');
        return refuseFor('budget_unavailable');
      }
    },
    release: (jobId, signal) =>
      client.sendFences(
        { spoolId: jobId, leases: [], lastSeq: 0 },
        AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      ),
  };
}

function scopesOf({ budgetIds }: JobCost): readonly LeaseScope[] {
  return [{ kind: 'wallet' }, ...budgetIds.map((budgetId) => ({ kind: 'budget', budgetId }) as const)];
}

/** All of it or nothing, and no stock. */
function askFor(scope: LeaseScope, amount: bigint): LeaseAsk {
  const units = String(amount);
  return { scope, held: '0', unit: units, needed: units, desired: units };
}

function leasesOf(answer: LeaseAnswer | undefined): readonly string[] | Refusal {
  const leaseIds: string[] = [];
  let reserved = false;
  for (const result of answer?.results ?? [{ refused: 'fenced' as const }]) {
    if (!('refused' in result)) leaseIds.push(result.leaseId);
    else if (result.refused === 'exhausted') return refuseFor('insufficient_funds');
    else if (result.refused === 'fenced') return refuseFor('budget_unavailable');
    // There is no such budget any more.
    else if (result.refused === 'reserved') reserved = true;
  }
  return reserved ? refuseFor('budget_reserved') : leaseIds;
}
