import { hash as hashPassword } from '@node-rs/argon2';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { createClientSealer, createSymmetricKey, sealClient, sha256 } from '@pingtoken/shared/crypto';
import type { CallerClient } from '@pingtoken/shared/usage-event';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Transaction } from '../database/transaction.js';
import { Consent } from '../privacy/entities.js';
import { findCurrentPolicy } from '../privacy/policies.js';
import { memberObject, tenantObject } from '../publishing/config-objects.js';
import { Tenant } from '../tenants/entities.js';
import { EmailVerification, Invitation, Member, Person } from './entities.js';
import type { PersonCipher, PersonVault } from './person-vault.js';
import { createToken, type BlindIndex } from './tokens.js';

const VERIFICATION_LIFETIME_MS = 24 * 3600 * 1000;

const person = {
  name: z.string().trim().min(1).max(200),
  email: z.email().max(254),
  contact: z.string().trim().min(1).max(200).nullish(),
  password: z.string().min(10, 'at least 10 characters').max(200),
  /** The version that was shown and agreed to; must be the current one. */
  consentToPolicyVersion: z.string().nullish(),
  invitationCode: z.string().max(100).nullish(),
};
const registrationInput = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('person'),
    ...person,
    organizationName: z.null('is asked of an enterprise only').optional(),
  }),
  z.object({ kind: z.literal('enterprise'), ...person, organizationName: z.string().trim().min(1).max(200) }),
]);
export type RegistrationInput = z.input<typeof registrationInput>;

export type RegistrationMode = 'open' | 'invited' | 'closed';

export interface NewAccount {
  readonly tenant: Tenant;
  readonly member: Member;
}

/** How an account begins other than by its person: the operator's own, and a demonstration's. */
interface AccountOptions {
  readonly tenantKind: Tenant['kind'];
  readonly role: Member['role'];
  /** True where the address needs no proof, because the operator itself gave it. */
  readonly emailVerified: boolean;
}

export interface Registration {
  /** Stores nothing at all unless the current policy is consented to. */
  register(input: RegistrationInput, client: CallerClient): Promise<NewAccount | Refusal>;
  /** For installation: no policy, mode or mail is asked for, everything else is the same. */
  createAccount(input: RegistrationInput, options: AccountOptions): Promise<NewAccount | Refusal>;
}

interface RegistrationOptions {
  readonly run: RunTransaction;
  readonly vault: PersonVault;
  readonly blindIndex: BlindIndex;
  readonly mode: RegistrationMode;
}

/** Until the operator says otherwise. */
const NO_TERMS = { planId: null, limits: null };

export function createRegistration({ run, vault, blindIndex, mode }: RegistrationOptions): Registration {
  /** The person's key is made first, in its own database: should the rest fail, a key is left that opens nothing. */
  const create = async (
    input: z.output<typeof registrationInput>,
    options: AccountOptions,
    admit: (transaction: Transaction, person: Person, cipher: PersonCipher) => Promise<Refusal | undefined>,
  ): Promise<NewAccount | Refusal> => {
    const tenantId = uuidv7();
    const personId = uuidv7();
    const passwordHash = await hashPassword(input.password);
    const cipher = await vault.create(personId);
    const scope = { tenantId, actorMemberId: null, operator: options.tenantKind === 'operator' };
    const result = await run(scope, (transaction) =>
      refuseConflict(['email'], async () => {
        const { em } = transaction;
        const createdAt = new Date();
        const organizationName = input.organizationName ?? null;
        const tenant = em.create(Tenant, {
          id: tenantId,
          kind: options.tenantKind,
          organizationName,
          ...({ status: 'active', billingMode: 'prepaid' } as const),
          createdAt,
          endUsers: 'pseudonym',
          pseudonymKey: createSymmetricKey(),
          ...NO_TERMS,
        });
        await em.flush();
        const row = em.create(Person, {
          id: personId,
          tenantId,
          emailIndex: blindIndex('email', input.email),
          emailSealed: cipher.encrypt('email', input.email),
          nameSealed: cipher.encrypt('name', input.name),
          contactSealed: input.contact == null ? null : cipher.encrypt('contact', input.contact),
          passwordHash,
          sealingKey: cipher.sealingKey,
          emailVerifiedAt: options.emailVerified ? createdAt : null,
          createdAt,
        });
        await em.flush();
        const memberOf = { tenantId, personId, role: options.role, createdAt, limits: null };
        const member = em.create(Member, { id: uuidv7(), ...memberOf });
        const refusal = await admit(transaction, row, cipher);
        if (refusal !== undefined) return refusal;
        await em.flush();
        await transaction.audit({ action: 'tenant-registered', subjectKind: 'tenant', subjectId: tenantId });
        await transaction.publish([tenantObject(tenant, []), memberObject(member, row)]);
        return { tenant, member };
      }),
    );
    if (result instanceof Refusal) await vault.destroy(personId);
    return result;
  };

  return {
    async register(input, client) {
      if (mode === 'closed') return refuse('registration_closed');
      const checked = checkInput(registrationInput, input);
      if (checked instanceof Refusal) return checked;
      if (checked.consentToPolicyVersion == null) return refuse('consent_required', ['consentToPolicyVersion']);
      const options = { tenantKind: checked.kind, role: 'owner', emailVerified: false } as const;
      return create(checked, options, async (transaction, row, cipher) => {
        if (mode === 'invited' && !(await redeemInvitation(transaction, checked.invitationCode ?? ''))) {
          return refuse('registration_closed', ['invitationCode'], 'A valid invitation is required.');
        }
        const policy = await findCurrentPolicy(transaction);
        if (policy === null || policy.version !== checked.consentToPolicyVersion) {
          return refuse('consent_required', ['consentToPolicyVersion']);
        }
        recordConsent(transaction, row, policy.id, client);
        requestVerification(transaction, row, cipher);
        return undefined;
      });
    },

    async createAccount(input, options) {
      const checked = checkInput(registrationInput, input);
      if (checked instanceof Refusal) return checked;
      return create(checked, options, () => Promise.resolve(undefined));
    },
  };
}

function recordConsent(
  { em }: Transaction,
  { id, tenantId, sealingKey }: Person,
  policyVersionId: string,
  client: CallerClient,
): void {
  em.create(Consent, {
    id: uuidv7(),
    tenantId,
    personId: id,
    policyVersionId,
    clientSealed: sealClient(createClientSealer(Buffer.from(sealingKey, 'base64url')), client),
    grantedAt: new Date(),
    withdrawnAt: null,
  });
}

/** Mails a new token; those sent before stay good until they expire. */
export function requestVerification(transaction: Transaction, { id, tenantId }: Person, cipher: PersonCipher): void {
  const { token, hash } = createToken('ptv', tenantId);
  const createdAt = new Date();
  transaction.em.create(EmailVerification, {
    id: uuidv7(),
    tenantId,
    personId: id,
    tokenHash: hash,
    createdAt,
    expiresAt: new Date(createdAt.getTime() + VERIFICATION_LIFETIME_MS),
    usedAt: null,
  });
  const sealed = cipher.encrypt('mail', JSON.stringify({ token })).toString('base64url');
  transaction.enqueue('send-mail', { template: 'verify-email', personId: id, sealed });
}

/** Takes the code in one statement, so that two registrations at once cannot both have it. */
async function redeemInvitation({ em }: Transaction, code: string): Promise<boolean> {
  const now = new Date();
  const redeemed = await em.nativeUpdate(
    Invitation,
    { codeHash: sha256(code), usedAt: null, expiresAt: { $gt: now } },
    { usedAt: now },
  );
  return redeemed === 1;
}
