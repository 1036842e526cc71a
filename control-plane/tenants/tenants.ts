import { LockMode } from '@mikro-orm/core';
import { NIL, v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import { platformScope, type RunTransaction, type Scope, type Transaction } from '../database/transaction.js';
import { Invitation, Member, Person } from '../identity/entities.js';
import { createCode } from '../identity/tokens.js';
import { Plan } from '../plans/entities.js';
import { limitsInput } from '../plans/plans.js';
import { memberObject } from '../publishing/config-objects.js';
import { publishTenant } from '../providers/providers.js';
import { Tenant } from './entities.js';

const INVITATION_LIFETIME_MS = 14 * 24 * 3600 * 1000;

export interface TenantPage {
  readonly tenants: readonly Tenant[];
  readonly hasNextPage: boolean;
}

export type TenantSettings = Pick<Tenant, 'endUsers'>;

const termsInput = z.object({ planId: z.uuid().nullish(), limits: limitsInput });
const memberLimitsInput = z.object({ memberId: z.uuid(), limits: limitsInput });
export type TenantTerms = z.input<typeof termsInput>;

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
  /** The operator's terms for a tenant. In force for the calls that begin a second later. */
  setTerms(scope: Scope, terms: TenantTerms): Promise<Tenant | Refusal>;
  /** What bounds a member's keys together. In force for the calls that begin a second later. */
  setMemberLimits(scope: Scope, input: z.input<typeof memberLimitsInput>): Promise<Member | Refusal>;
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

    updateSettings: (scope, settings) => run(scope, (transaction) => change(transaction, settings)),

    async setTerms(scope, terms) {
      const checked = checkInput(termsInput, terms);
      if (checked instanceof Refusal) return checked;
      const { limits, planId = null } = checked;
      return run(scope, async (transaction) => {
        if (planId !== null && (await transaction.em.count(Plan, { id: planId })) === 0) {
          return refuse('not_found', ['planId']);
        }
        return change(transaction, { limits, planId });
      });
    },

    async setMemberLimits(scope, input) {
      const checked = checkInput(memberLimitsInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => setMemberLimits(transaction, checked));
    },

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

async function change(
  transaction: Transaction,
  changes: Partial<Pick<Tenant, 'endUsers' | 'planId' | 'limits'>>,
): Promise<Tenant | Refusal> {
  const id = transaction.scope.tenantId;
  // Locked, for it is published with its grants: two changes at once must see each other.
  const tenant = await transaction.em.findOne(Tenant, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (tenant === null) return refuse('not_found', ['tenantId']);
  Object.assign(tenant, changes);
  await transaction.audit({ action: 'tenant-updated', subjectKind: 'tenant', subjectId: id, details: changes });
  await publishTenant(transaction, tenant);
  return tenant;
}

async function setMemberLimits(
  transaction: Transaction,
  { memberId: id, limits }: z.output<typeof memberLimitsInput>,
): Promise<Member | Refusal> {
  const { em } = transaction;
  const member = await em.findOne(Member, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (member === null) return refuse('not_found', ['memberId']);
  const person = await em.findOneOrFail(Person, { id: member.personId });
  member.limits = limits;
  await transaction.audit({ action: 'member-limited', subjectKind: 'member', subjectId: id, details: { limits } });
  await transaction.publish([memberObject(member, person)]);
  return member;
}
