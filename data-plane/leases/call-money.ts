import { dearestPriceOf } from '@pingtoken/shared/dearest-price';
import { priceOf, UnpricedDimensionError } from '@pingtoken/shared/price-of';
import type { RateCardVersion, ServiceTier, Usage } from '@pingtoken/shared/rate-card';
import type { Prepared } from '../forward/prepared-call.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { retryHeaders } from '../limits/limit-headers.js';
import type { Account, Catalogue } from '../snapshot.js';
import type { Reservation } from './lease-book.js';
import type { LeaseKeeper } from './lease-keeper.js';
import type { LeaseErrorCode } from './refusal-of.js';
import { pricedBounds, usageBoundsOf } from './usage-bounds.js';

/** What a call's tenant pays for. */
export interface Billed {
  /** Of the model that has served it. */
  readonly priceCardVersionId: string;
  readonly usage: Usage;
  readonly serviceTier: ServiceTier | undefined;
}

/** The most that one call can cost, held for it until it is over. */
export interface HeldMoney {
  readonly leaseIds: readonly string[];
  /** Units, on each of the leases. */
  readonly reserved: string;
  /** Once the call's end has its place in the spool, or when it never went out. @param billed undefined where nothing is */
  settle(billed?: Billed): void;
}

/** Wallets and hard budgets, as a call meets them. */
export interface CallMoney {
  reserve(call: Prepared): Promise<HeldMoney | Refusal>;
}

/** What waits for calls under way, or for the control plane, is tried again soon. */
const RETRY_MS = 1_000;
const RETRIED: ReadonlySet<LeaseErrorCode> = new Set(['budget_reserved', 'budget_unavailable']);

export function createCallMoney(keeper: Pick<LeaseKeeper, 'reserve' | 'settle'>): CallMoney {
  return {
    reserve: async (call) => {
      const price = dearestOf(call);
      if (isRefusal(price)) return price;
      const { account, catalogue, admittedAt: at } = call;
      const { currency, amount } = price;
      const budgetIds = budgetsOf(account, catalogue, currency);
      const tenantId = account.tenant.id;
      const reservation = await keeper.reserve({ tenantId, currency, budgetIds, amount, at });
      if (typeof reservation === 'string') return refuseFor(reservation);
      return {
        leaseIds: reservation.leaseIds,
        reserved: String(amount),
        settle: (billed) => {
          keeper.settle(reservation, billed === undefined ? 0n : costOf(billed, call, reservation));
        },
      };
    },
  };
}

function refuseFor(code: LeaseErrorCode): Refusal {
  const refusal = refuse(code);
  return RETRIED.has(code) ? { ...refusal, headers: retryHeaders(RETRY_MS) } : refusal;
}

/** The dearest of the models that may come to serve the call, in the currency of the one that was asked for. */
function dearestOf(call: Prepared): { readonly currency: string; readonly amount: bigint } | Refusal {
  const asked = versionOf(call.catalogue, call.priceCardVersionId);
  if (asked === undefined) return refuse('price_missing', 'model');
  const { currency } = asked;
  let amount = priceAtMost(call, call.model, asked);
  for (const { served } of call.attempts) {
    if (served === undefined) continue;
    const version = versionOf(call.catalogue, served.priceCardVersionId);
    if (version?.currency !== currency) continue;
    const price = priceAtMost(call, served.model, version);
    if (price > amount) amount = price;
  }
  return { currency, amount };
}

function priceAtMost(call: Prepared, modelName: string, version: RateCardVersion): bigint {
  const bounds = usageBoundsOf(call, call.catalogue.models.get(modelName));
  return dearestPriceOf(pricedBounds(bounds, version), version);
}

/** Without the free allowance, which the ledger alone keeps count of: what it takes off stays in the lease, and comes back. */
function costOf({ priceCardVersionId, usage, serviceTier }: Billed, call: Prepared, { amount }: Reservation): bigint {
  const version = versionOf(call.catalogue, priceCardVersionId);
  if (version === undefined) return amount;
  try {
    return priceOf(usage, version, { at: call.admittedAt, serviceTier });
  } catch (error) {
    // The ledger will set the record aside. Until then nobody may draw on what was held for it.
    if (error instanceof UnpricedDimensionError) return amount;
    throw error;
  }
}

const NO_BUDGETS: readonly string[] = [];

function budgetsOf({ tenant, apiKey }: Account, catalogue: Catalogue, currency: string): readonly string[] {
  const budgets = catalogue.budgets(tenant.id);
  if (budgets.length === 0) return NO_BUDGETS;
  const subjectIds = { tenant: tenant.id, member: apiKey.memberId, 'api-key': apiKey.id };
  return budgets
    .filter((budget) => budget.currency === currency && subjectIds[budget.subject] === budget.subjectId)
    .map(({ id }) => id);
}

const indexes = new WeakMap<Catalogue['rateCards'], ReadonlyMap<string, RateCardVersion>>();

/** By the id that stands in a call's record; the index is made once for each generation of the catalogue. */
function versionOf({ rateCards }: Catalogue, id: string): RateCardVersion | undefined {
  let index = indexes.get(rateCards);
  if (index === undefined) {
    index = new Map(
      [...rateCards.values()].flatMap(({ versions }) => versions.map((version) => [version.id, version])),
    );
    indexes.set(rateCards, index);
  }
  return index.get(id);
}
