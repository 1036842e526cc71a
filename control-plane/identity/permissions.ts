import type { Member } from './entities.js';

/** Who signed in. Pseudonymous: the name is opened only where it is shown. */
export interface Viewer {
  readonly tenantId: string;
  readonly memberId: string;
  readonly personId: string;
  readonly sessionId: string;
  readonly role: Member['role'];
}

/**
 * Everything that can be permitted, and to whom. Closed: an operation of the API names one of these or `public`, and a test
 * walks the schema to see that it does.
 */
export const PERMISSIONS = {
  'account:read': ['operator', 'owner', 'member'],
  'api-key:read': ['operator', 'owner', 'member'],
  'api-key:create': ['operator', 'owner', 'member'],
  'api-key:update': ['operator', 'owner'],
  'api-key:revoke': ['operator', 'owner', 'member'],
  'provider:read': ['operator', 'owner', 'member'],
  'provider:grant': ['operator', 'owner'],
  'provider:manage': ['operator'],
  'credential:manage': ['operator', 'owner'],
  'model:read': ['operator', 'owner', 'member'],
  'model:manage': ['operator'],
  'rate-card:read': ['operator'],
  'rate-card:manage': ['operator'],
  'wallet:read': ['operator', 'owner', 'member'],
  'wallet:credit': ['operator'],
  'wallet:redeem': ['operator', 'owner', 'member'],
  'wallet:configure': ['operator', 'owner'],
  'budget:read': ['operator', 'owner', 'member'],
  'budget:manage': ['operator', 'owner'],
  'usage:read': ['operator', 'owner', 'member'],
  'tenant:list': ['operator'],
  'tenant:manage': ['operator'],
  'tenant:configure': ['operator', 'owner'],
  'plan:manage': ['operator'],
  'invitation:create': ['operator'],
  'policy:publish': ['operator'],
  'data-plane:manage': ['operator'],
} as const satisfies Record<string, readonly Member['role'][]>;

export type Permission = keyof typeof PERMISSIONS;

export function isPermitted(viewer: Viewer, permission: Permission): boolean {
  const roles: readonly Member['role'][] = PERMISSIONS[permission];
  return roles.includes(viewer.role);
}
