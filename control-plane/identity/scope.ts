import { validate as isUuid } from 'uuid';
import { refuse, type Refusal } from '../database/refusal.js';
import type { Scope } from '../database/transaction.js';
import type { Viewer } from './permissions.js';

/** Within the viewer's own tenant. */
export function viewerScope(viewer: Viewer): Scope {
  return { tenantId: viewer.tenantId, actorMemberId: viewer.memberId, operator: viewer.role === 'operator' };
}

/** The operator, at work within one tenant's data; the operation's policy has made sure that it is the operator. */
export function withinTenant(viewer: Viewer, tenantId: string): Scope {
  return { ...viewerScope(viewer), tenantId };
}

/**
 * The tenant that an operation is about: the viewer's own, or, for the operator, the one that is named.
 * @returns `not_found` for everyone else, who may not even know that the tenant exists
 */
export function chooseScope(viewer: Viewer, tenantId: string | null | undefined): Scope | Refusal {
  if (tenantId == null || tenantId === viewer.tenantId) return viewerScope(viewer);
  return viewer.role === 'operator' && isUuid(tenantId)
    ? withinTenant(viewer, tenantId)
    : refuse('not_found', ['tenantId']);
}
