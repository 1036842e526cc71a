import type { Limits } from '@pingtoken/shared/limits';
import type { BoundId, BoundScope } from '@pingtoken/shared/rate-share';
import type { UsageEvent } from '@pingtoken/shared/usage-event';
import { refuse, type Refusal } from '../http-error.js';
import type { Account, Catalogue } from '../snapshot.js';
import type { Bounded } from './limiter.js';
import { ownIdOf } from './share-book.js';

/** Limits that hold for a call, and whose they are. */
export interface Bound extends Bounded {
  readonly scope: BoundScope;
  readonly of: Omit<BoundId, 'bound'>;
}

interface Known {
  readonly account: Account;
  readonly catalogue: Catalogue;
}

const NONE: readonly Bound[] = Object.freeze([]);

/** All that bounds a call; nearly every call is bounded by nothing, and costs nothing here. */
export function boundsOf({ account: { apiKey, member, tenant }, catalogue }: Known): readonly Bound[] {
  const plan = tenant.planId === null ? undefined : catalogue.plans.get(tenant.planId);
  if (apiKey.limits === null && tenant.limits === null && !member?.limits && !plan?.limits) return NONE;
  const bounds: Bound[] = [];
  const tenantId = tenant.id;
  const add = (scope: BoundScope, id: string, limits: Limits | null | undefined): void => {
    if (limits) bounds.push({ scope, id: ownIdOf({ scope, tenantId, id }), limits, of: { scope, tenantId, id } });
  };
  add('key', apiKey.id, apiKey.limits);
  add('member', apiKey.memberId, member?.limits);
  add('tenant', tenant.id, tenant.limits);
  add('plan', tenant.planId ?? '', plan?.limits);
  return bounds;
}

/** @returns whether everybody who bounds the call lets the model be called */
export function permitsModel(bounds: readonly Bound[], modelId: string): boolean {
  return bounds.every(({ limits: { modelIds } }) => modelIds === null || modelIds.includes(modelId));
}

export function permitsOperation(bounds: readonly Bound[], operation: UsageEvent['operation']): boolean {
  return bounds.every(({ limits: { operations } }) => operations === null || operations.includes(operation));
}

/** @returns why a call may not be made, however few were made before */
export function refuseUnpermitted(
  known: Known,
  modelId: string | undefined,
  operation: UsageEvent['operation'],
): Refusal | undefined {
  const bounds = boundsOf(known);
  // Whoever may not call a model need not know that there is one.
  if (modelId !== undefined && !permitsModel(bounds, modelId)) return refuse('model_not_found', 'model');
  if (permitsOperation(bounds, operation)) return undefined;
  return refuse('permission_denied', null, 'This key may not be used for such a call.');
}
