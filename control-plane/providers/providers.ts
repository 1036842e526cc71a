import { LockMode } from '@mikro-orm/core';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { AddressRange } from '@pingtoken/shared/address-ranges';
import { AUTH_OF_DIALECT, AUTH_SCHEMES, DIALECTS } from '@pingtoken/shared/config-snapshot';
import { createSymmetricKey, decrypt, encrypt } from '@pingtoken/shared/crypto';
import { upstreamUrlFault } from '@pingtoken/shared/upstream-url';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { credentialObject, providerObject, tenantObject } from '../publishing/config-objects.js';
import { Tenant } from '../tenants/entities.js';
import { ContentKey, Credential, Provider, ProviderGrant } from './entities.js';

const httpUrl = z.url({ protocol: /^https?$/, hostname: /.+/ }).max(500);

const providerFields = {
  name: z.string().trim().min(1).max(100),
  /** Up to and including the version: `https://api.openai.com/v1`. */
  baseUrl: httpUrl,
  dialect: z.enum(DIALECTS),
  auth: z.enum(AUTH_SCHEMES),
  region: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,30}$/, 'lower-case letters, digits and hyphens')
    .nullable(),
  termsUrl: httpUrl,
  privacyUrl: httpUrl,
  trainsOnData: z.boolean().nullable(),
  retentionDays: z.int().min(0).max(36_500).nullable(),
};

const providerInput = z.object({
  slug: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'lower-case letters, digits and hyphens'),
  ...providerFields,
  /** The dialect's own, where it is not given. */
  auth: providerFields.auth.nullish(),
  region: providerFields.region.default(null),
  trainsOnData: providerFields.trainsOnData.default(null),
  retentionDays: providerFields.retentionDays.default(null),
});

const updateInput = z.object({
  id: z.uuid(),
  ...z.object(providerFields).partial().shape,
  status: z.enum(['active', 'disabled']).optional(),
});

// A control character would end the header that carries it.
export const secretSchema = z.string().regex(/^[\x21-\x7e]{1,2000}$/, 'printable characters without spaces');

const credentialInput = z.object({
  providerId: z.uuid(),
  /** Null for the operator's own, which serves every tenant. */
  tenantId: z
    .uuid()
    .nullish()
    .transform((id) => id ?? null),
  name: z.string().trim().min(1).max(100),
  secret: secretSchema,
});

export type ProviderInput = z.input<typeof providerInput>;

export interface Providers {
  create(scope: Scope, input: z.input<typeof providerInput>): Promise<Provider | Refusal>;
  /** Changes what is given and leaves the rest; calls in flight end as they began. */
  update(scope: Scope, input: z.input<typeof updateInput>): Promise<Provider | Refusal>;
  list(scope: Scope): Promise<Provider[]>;
  /** The secret is encrypted before it is stored and never read back by the API. */
  createCredential(scope: Scope, input: z.input<typeof credentialInput>): Promise<Credential | Refusal>;
  listCredentials(scope: Scope): Promise<Credential[]>;
  /** Records which terms and privacy policy were shown; from then on the provider may receive the tenant's calls. */
  grant(scope: Scope, providerId: string): Promise<ProviderGrant | Refusal>;
  revokeGrant(scope: Scope, providerId: string): Promise<true | Refusal>;
  listGrants(scope: Scope): Promise<ProviderGrant[]>;
}

/**
 * @param contentKeySecret base64url, 32 bytes: wraps the content keys that credentials are encrypted under
 * @param privateUpstreams ranges that are not public and may hold a provider nonetheless
 */
export function createProviders({
  run,
  contentKeySecret,
  privateUpstreams,
}: {
  run: RunTransaction;
  contentKeySecret: string;
  privateUpstreams: readonly AddressRange[];
}): Providers {
  return {
    create: (scope, input) => run(scope, (transaction) => createProvider(transaction, input, privateUpstreams)),
    update: async (scope, input) =>
      checkBaseUrl(input.baseUrl, privateUpstreams) ??
      (await run(scope, (transaction) => updateProvider(transaction, input))),
    list: (scope) => run(scope, ({ em }) => em.find(Provider, {}, { orderBy: { slug: 'asc' } })),
    createCredential: (scope, input) =>
      run(scope, (transaction) => createCredential(transaction, input, contentKeySecret)),
    listCredentials: (scope) =>
      run(scope, ({ em }) => em.find(Credential, {}, { orderBy: { id: 'desc' }, limit: 500 })),
    grant: (scope, providerId) => run(scope, (transaction) => grant(transaction, providerId)),
    revokeGrant: (scope, providerId) => run(scope, (transaction) => revokeGrant(transaction, providerId)),
    listGrants: (scope) =>
      run(scope, ({ em }) => em.find(ProviderGrant, { revokedAt: null }, { orderBy: { id: 'asc' } })),
  };
}

/** Where the URL leads is asked again by each data plane that connects; here the one who saves it learns of it. */
function checkBaseUrl(baseUrl: string | undefined, privateUpstreams: readonly AddressRange[]): Refusal | undefined {
  const fault = baseUrl === undefined ? undefined : upstreamUrlFault(baseUrl, privateUpstreams);
  return fault === undefined ? undefined : refuse('invalid_request', ['baseUrl'], fault);
}

/** For other modules' transactions. */
export async function createProvider(
  transaction: Transaction,
  input: ProviderInput,
  privateUpstreams: readonly AddressRange[],
): Promise<Provider | Refusal> {
  const checked = checkInput(providerInput, input);
  if (checked instanceof Refusal) return checked;
  const fault = checkBaseUrl(checked.baseUrl, privateUpstreams);
  if (fault !== undefined) return fault;
  return refuseConflict(['slug'], async () => {
    const { em } = transaction;
    const auth = checked.auth ?? AUTH_OF_DIALECT[checked.dialect];
    const provider = em.create(Provider, { id: uuidv7(), ...checked, auth, status: 'active', createdAt: new Date() });
    await em.flush();
    await transaction.audit({ action: 'provider-created', subjectKind: 'provider', subjectId: provider.id });
    await transaction.publish([providerObject(provider)]);
    return provider;
  });
}

async function updateProvider(
  transaction: Transaction,
  input: z.input<typeof updateInput>,
): Promise<Provider | Refusal> {
  const checked = checkInput(updateInput, input);
  if (checked instanceof Refusal) return checked;
  const { id, ...given } = checked;
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const provider = await transaction.em.findOne(Provider, { id });
  if (provider === null) return refuse('not_found', ['id']);
  transaction.em.assign(provider, changes);
  await transaction.em.flush();
  await transaction.audit({ action: 'provider-updated', subjectKind: 'provider', subjectId: id, details: changes });
  await transaction.publish([providerObject(provider)]);
  return provider;
}

/** For other modules' transactions. */
export async function createCredential(
  transaction: Transaction,
  input: z.input<typeof credentialInput>,
  contentKeySecret: string,
): Promise<Credential | Refusal> {
  const checked = checkInput(credentialInput, input);
  if (checked instanceof Refusal) return checked;
  const { em, scope } = transaction;
  const { providerId, name, secret, tenantId } = checked;
  if (!scope.operator && tenantId !== scope.tenantId) return refuse('permission_denied', ['tenantId']);
  const provider = await em.findOne(Provider, { id: providerId });
  if (provider === null) return refuse('not_found', ['providerId']);
  if (tenantId !== null && (await em.findOne(Tenant, { id: tenantId })) === null)
    return refuse('not_found', ['tenantId']);
  const contentKey = await currentContentKey(transaction, contentKeySecret);
  const id = uuidv7();
  const credential = em.create(Credential, {
    id,
    providerId,
    tenantId,
    name,
    origin: new URL(provider.baseUrl).origin,
    contentKeyId: contentKey.id,
    sealedSecret: encrypt(contentKey.key, secret, id),
    createdAt: new Date(),
  });
  await em.flush();
  const details = { providerId, tenantId, origin: credential.origin };
  await transaction.audit({ action: 'credential-created', subjectKind: 'credential', subjectId: id, details });
  await transaction.publish([credentialObject(credential)]);
  return credential;
}

async function grant(transaction: Transaction, providerId: string): Promise<ProviderGrant | Refusal> {
  const { em, scope } = transaction;
  const provider = z.uuid().safeParse(providerId).success ? await em.findOne(Provider, { id: providerId }) : null;
  if (provider === null) return refuse('not_found', ['providerId']);
  if (scope.actorMemberId === null) return refuse('permission_denied');
  const tenant = await lockTenant(transaction);
  const standing = await em.findOne(ProviderGrant, { providerId, revokedAt: null });
  if (standing !== null) return standing;
  const { termsUrl, privacyUrl } = provider;
  const granted = em.create(ProviderGrant, {
    id: uuidv7(),
    tenantId: scope.tenantId,
    providerId,
    memberId: scope.actorMemberId,
    termsUrl,
    privacyUrl,
    grantedAt: new Date(),
    revokedAt: null,
  });
  await em.flush();
  const details = { termsUrl, privacyUrl };
  await transaction.audit({ action: 'provider-granted', subjectKind: 'provider', subjectId: providerId, details });
  await publishTenant(transaction, tenant);
  return granted;
}

async function revokeGrant(transaction: Transaction, providerId: string): Promise<true | Refusal> {
  if (!z.uuid().safeParse(providerId).success) return refuse('not_found', ['providerId']);
  const tenant = await lockTenant(transaction);
  const standing = { providerId, revokedAt: null };
  const revoked = await transaction.em.nativeUpdate(ProviderGrant, standing, { revokedAt: new Date() });
  if (revoked === 0) return refuse('not_found', ['providerId']);
  await transaction.audit({ action: 'provider-grant-revoked', subjectKind: 'provider', subjectId: providerId });
  await publishTenant(transaction, tenant);
  return true;
}

/** Grants of one tenant are published as one object: two changes at once must see each other. */
function lockTenant({ em, scope }: Transaction): Promise<Tenant> {
  return em.findOneOrFail(Tenant, { id: scope.tenantId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
}

/** Publishes a tenant with the grants in force. */
export async function publishTenant(transaction: Transaction, tenant: Tenant): Promise<void> {
  const grants = await transaction.em.find(ProviderGrant, { revokedAt: null });
  await transaction.publish([
    tenantObject(
      tenant,
      grants.map(({ providerId }) => providerId),
    ),
  ]);
}

/** Unwraps a content key, for sealing it to a data plane. */
export function openContentKey(secret: string, { id, sealedKey }: { id: string; sealedKey: Uint8Array }): Buffer {
  return decrypt(Buffer.from(secret, 'base64url'), sealedKey, id);
}

/** The newest key that secrets are encrypted under, for other modules' transactions. */
export async function currentContentKey({ em }: Transaction, secret: string): Promise<{ id: string; key: Buffer }> {
  const [newest] = await em.find(ContentKey, {}, { orderBy: { id: 'desc' }, limit: 1 });
  if (newest !== undefined) return { id: newest.id, key: openContentKey(secret, newest) };
  const id = uuidv7();
  const key = createSymmetricKey();
  em.create(ContentKey, { id, sealedKey: encrypt(Buffer.from(secret, 'base64url'), key, id), createdAt: new Date() });
  await em.flush();
  return { id, key };
}
