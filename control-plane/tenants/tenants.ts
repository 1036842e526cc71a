import { LockMode } from '@mikro-orm/core';
import { NIL, v7 as uuidv7 } from 'uuid';
import { refuse, type Refusal } from '../database/refusal.js';
import { platformScope, type RunTransaction, type Scope } from '../database/transaction.js';
import { Invitation } from '../identity/entities.js';
import { createCode } from '../identity/tokens.js';
import { publishTenant } from '../providers/providers.js';
import { Tenant } from './entities.js';

const INVITATION_LIFETIME_MS = 14 * 24 * 3600 * 1000;

export interface TenantPage {
  readonly tenants: readonly Tenant[];
  readonly hasNextPage: boolean;
}

export type TenantSettings = Pick<Tenant, 'endUsers'>;

export interface Tenants {
  find(scope: Scope): Promise<Tenant>;
  /** The operator's own tenant; null before installation. */
  findOperator(): Promise<Tenant | null>;
  /** Newest first, after the given tenant. */
  list(scope: Scope, first: number, afterId: string | null): Promise<TenantPage>;
  /** Every call of a suspended tenant is refused within a second. */
  setStatus(scope: Scope, status: Tenant['status']): Promise<Tenant | Refusal>;
  /** Takes effect with the calls that begin a second later. */
  updateSettings(scope: Scope, settings: TenantSettings): Promise<Tenant | Refusal>;
  /** @returns a code that admits one registration within 14 days, shown once */
  invite(scope: Scope): Promise<{ code: string; expiresAt: Date }>;
}

export function createTenants({ run }: { run: RunTransaction }): Tenants {
  return {
    find: (scope) => run(scope, ({ em }) => em.findOneOrFail(Tenant, { id: scope.tenantId })),

    findOperator: () => run(platformScope(NIL), ({ em }) => em.findOne(Tenant, { kind: 'operator' })),

    list: (scope, first, afterId) =>
      run(scope, async ({ em }) => {
        const where = afterId === null ? {} : { id: { $lt: afterId } };
        const rows = await em.find(Tenant, where, { orderBy: { id: 'desc' }, limit: first + 1 });
        return { tenants: rows.slice(0, first), hasNextPage: rows.length > first };
      }),

    setStatus: (scope, status) =>
      run(scope, async (transaction) => {
        const tenant = await transaction.em.findOne(Tenant, { id: scope.tenantId });
        if (tenant === null || tenant.kind === 'operator') return refuse('not_found', ['tenantId']);
        tenant.status = status;
        const action = status === 'active' ? 'tenant-resumed' : 'tenant-suspended';
        await transaction.audit({ action, subjectKind: 'tenant', subjectId: tenant.id });
        await publishTenant(transaction, tenant);
        return tenant;
      }),

    updateSettings: (scope, { endUsers }) =>
      run(scope, async (transaction) => {
        // Locked, for it is published with its grants: two changes at once must see each other.
        const lockMode = LockMode.PESSIMISTIC_WRITE;
        const tenant = await transaction.em.findOne(Tenant, { id: scope.tenantId }, { lockMode });
        if (tenant === null) return refuse('not_found', ['tenantId']);
        tenant.endUsers = endUsers;
        const details = { endUsers };
        await transaction.audit({ action: 'tenant-updated', subjectKind: 'tenant', subjectId: tenant.id, details });
        await publishTenant(transaction, tenant);
        return tenant;
      }),

    invite: (scope) =>
      run(scope, async (transaction) => {
        const { code, hash } = createCode();
        const createdAt = new Date();
        const expiresAt = new Date(createdAt.getTime() + INVITATION_LIFETIME_MS);
        const invitation = transaction.em.create(Invitation, {
          id: uuidv7(),
          codeHash: hash,
          createdAt,
          expiresAt,
          usedAt: null,
        });
        await transaction.em.flush();
        await transaction.audit({ action: 'invitation-created', subjectKind: 'invitation', subjectId: invitation.id });
        return { code, expiresAt };
      }),
  };
}
