import { priceOf, UnpricedDimensionError } from '@pingtoken/shared/price-of';
import type { RepeatedAnswer } from '@pingtoken/shared/usage-event';
import type { Admitted } from '../admit/admit.js';
import type { Prepared } from '../forward/prepared-call.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { retryHeaders } from '../limits/limit-headers.js';
import type { Account, Catalogue } from '../snapshot.js';
import { answerFor, answerRoomOf } from './answer-room.js';
import { priceOfCall, versionOf } from './call-price.js';
import type { Billed, HeldMoney } from './held-money.js';
import type { Reservation } from './lease-book.js';
import type { LeaseKeeper } from './lease-keeper.js';
import { providerToolsOf } from './provider-tools.js';
import type { LeaseErrorCode } from './refusal-of.js';

/** Wallets and hard budgets, as a call meets them. */
export interface CallMoney {
  reserve(call: Prepared): Promise<HeldMoney | Refusal>;
  /** Just what the call costs that is given an answer which was there already. */
  reserveRepeat(call: Admitted, repeated: RepeatedAnswer): Promise<HeldMoney | Refusal>;
}

/** What waits for calls under way, or for the control plane, is tried again soon. */
const RETRY_MS = 1_000;
const RETRIED: ReadonlySet<LeaseErrorCode> = new Set(['budget_reserved', 'budget_unavailable']);

export function createCallMoney(keeper: Pick<LeaseKeeper, 'reserve' | 'settle'>): CallMoney {
  return {
    reserveRepeat: async (call, repeated) => {
      const price = priceOfRepeat(call, repeated);
      if (isRefusal(price)) return price;
      const { account, catalogue, admittedAt: at } = call;
      const { currency, amount } = price;
      const budgetIds = budgetsOf(account, catalogue, currency);
      const reservation = await keeper.reserve({ tenantId: account.tenant.id, currency, budgetIds, amount, at });
      if (typeof reservation === 'string') return refuseFor(reservation);
      return {
        leaseIds: reservation.leaseIds,
        reserved: String(amount),
        answerCap: undefined,
        settle: (billed) => {
          keeper.settle(reservation, billed === undefined ? 0n : costOf(billed, call, reservation));
        },
      };
    },
    reserve: async (call) => {
      const price = priceOfCall(call);
      if (isRefusal(price)) return price;
      const { account, catalogue, admittedAt: at } = call;
      const { currency } = price;
      const amount = price.atMost();
      const room = answerRoomOf(call, price);
      const budgetIds = budgetsOf(account, catalogue, currency);
      const unbounded = paysInAdvance(account, budgetIds) ? refuseUnbounded(call) : undefined;
      if (unbounded !== undefined) return unbounded;
      const scopes = { tenantId: account.tenant.id, currency, budgetIds };
      const reservation = await keeper.reserve({ ...scopes, amount, least: room?.least, at });
      if (typeof reservation === 'string') return refuseFor(reservation);
      const isHeld = room !== undefined && reservation.amount < amount;
      return {
        leaseIds: reservation.leaseIds,
        reserved: String(reservation.amount),
        answerCap: isHeld ? answerFor(reservation.amount, room, price) : undefined,
        settle: (billed) => {
          keeper.settle(reservation, billed === undefined ? 0n : costOf(billed, call, reservation));
        },
      };
    },
  };
}

interface Price {
  readonly currency: string;
  readonly amount: bigint;
}

function priceOfRepeat(call: Admitted, { usage, serviceTier, priceShare: share }: RepeatedAnswer): Price | Refusal {
  const version = versionOf(call.catalogue, call.priceCardVersionId);
  if (version === undefined) return refuse('price_missing', 'model');
  try {
    return { currency: version.currency, amount: priceOf(usage, version, { at: call.admittedAt, serviceTier, share }) };
  } catch (error) {
    if (error instanceof UnpricedDimensionError) return refuse('price_missing', 'model');
    throw error;
  }
}

/** Whether what it uses has to be bounded before it is. */
export function paysInAdvance({ tenant }: Account, budgetIds: readonly string[]): boolean {
  return tenant.billingMode !== 'postpaid' || budgetIds.length > 0;
}

/** What a provider does by itself, as often as it likes, cannot be paid for in advance. */
export function refuseUnbounded({ facts, operation, session }: Prepared): Refusal | undefined {
  const hasPrompt = operation === 'chat-completions' || operation === 'completions' || operation === 'responses';
  if (facts === undefined || !hasPrompt || session !== undefined) return undefined;
  const field = providerToolsOf(facts.fields(), operation)?.unboundedField;
  if (field === undefined) return undefined;
  const message =
    `What the provider does for the field "${field}" has no limit, and this account pays in advance or has a hard budget. ` +
    'Limit it by "max_uses" (Messages) or "max_tool_calls" (Responses), or leave it out.';
  return refuse('unsupported_field', field, message);
}

export function refuseFor(code: LeaseErrorCode): Refusal {
  const refusal = refuse(code);
  return RETRIED.has(code) ? { ...refusal, headers: retryHeaders(RETRY_MS) } : refusal;
}

/** Without the free allowance, which the ledger alone keeps count of: what it takes off stays in the lease, and comes back. */
function costOf(billed: Billed, call: Admitted, { amount }: Reservation): bigint {
  const { priceCardVersionId, usage, serviceTier, priceShare: share } = billed;
  const version = versionOf(call.catalogue, priceCardVersionId);
  if (version === undefined) return amount;
  try {
    return priceOf(usage, version, { at: call.admittedAt, serviceTier, share });
  } catch (error) {
    // The ledger will set the record aside. Until then nobody may draw on what was held for it.
    if (error instanceof UnpricedDimensionError) return amount;
    throw error;
  }
}

const NO_BUDGETS: readonly string[] = [];

/** Those that limit what an account spends in a currency. */
export function budgetsOf({ tenant, apiKey }: Account, catalogue: Catalogue, currency: string): readonly string[] {
  const budgets = catalogue.budgets(tenant.id);
  if (budgets.length === 0) return NO_BUDGETS;
  const subjectIds = { tenant: tenant.id, member: apiKey.memberId, 'api-key': apiKey.id };
  return budgets
    .filter((budget) => budget.currency === currency && subjectIds[budget.subject] === budget.subjectId)
    .map(({ id }) => id);
}
