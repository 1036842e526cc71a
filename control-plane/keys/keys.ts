import { LockMode } from '@mikro-orm/core';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { Limits } from '@pingtoken/shared/limits';
import { createApiKey, hashApiKey, hintOf, type NewApiKey } from '@pingtoken/shared/key-format';
import { keyTagSchema, MAX_KEY_TAGS } from '@pingtoken/shared/route-policy';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { limitsInput } from '../plans/plans.js';
import { Person } from '../identity/entities.js';
import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import { apiKeyObject } from '../publishing/config-objects.js';
import { ApiKey } from './entities.js';

function flag() {
  return z
    .boolean()
    .nullish()
    .transform((value) => value ?? false);
}

const createInput = z.object({
  name: z.string().trim().min(1).max(100),
  expiresAt: z
    .date()
    .refine((date) => date.getTime() > Date.now(), 'must lie in the future')
    .nullish(),
  limits: limitsInput,
  /** What it is filed under; routes may go by them. */
  tags: z
    .array(keyTagSchema)
    .max(MAX_KEY_TAGS)
    .nullish()
    .transform((tags) => [...new Set(tags ?? [])]),
  idempotency: flag(),
  cache: flag(),
});
const updateInput = createInput.extend({ id: z.uuid() });

export interface CreatedApiKey {
  readonly apiKey: ApiKey;
  /** The bearer: shown this once, stored nowhere. */
  readonly secret: string;
}

export interface Keys {
  /** A key is made by a member with a verified e-mail address only. */
  create(viewer: Viewer, input: z.input<typeof createInput>): Promise<CreatedApiKey | Refusal>;
  /** Name, expiry, limits, tags and what it has opted in to take the place of the present ones, within a second. A revoked key stays as it is. */
  update(scope: Scope, input: z.input<typeof updateInput>): Promise<ApiKey | Refusal>;
  /** Every data plane refuses the key within a second. Revoking again changes nothing. */
  revoke(scope: Scope, apiKeyId: string): Promise<ApiKey | Refusal>;
  /** Newest first. */
  list(scope: Scope): Promise<ApiKey[]>;
  /** For seeds: many keys at once, in slices of one transaction each. @returns their bearers */
  createMany(scope: Scope, memberId: string, count: number): Promise<string[]>;
  /** For installation: takes a bearer made elsewhere; one that is the tenant's already stays as it is, revoked or not. */
  ensureKey(scope: Scope, memberId: string, name: string, bearer: string): Promise<ApiKey | Refusal>;
}

export function createKeys({ run }: { run: RunTransaction }): Keys {
  return {
    async create(viewer, input) {
      const checked = checkInput(createInput, input);
      if (checked instanceof Refusal) return checked;
      const secret = createApiKey();
      const created = await run(viewerScope(viewer), async (transaction) => {
        const person = await transaction.em.findOneOrFail(Person, { id: viewer.personId });
        if (person.emailVerifiedAt === null) return refuse('email_unverified');
        return store(transaction, viewer.memberId, checked, secret);
      });
      return created instanceof Refusal ? created : { apiKey: created, secret: secret.secret };
    },

    async update(scope, input) {
      const checked = checkInput(updateInput, input);
      if (checked instanceof Refusal) return checked;
      return run(scope, (transaction) => update(transaction, checked));
    },

    revoke: (scope, apiKeyId) =>
      run(scope, async (transaction) => {
        if (!z.uuid().safeParse(apiKeyId).success) return refuse('not_found', ['id']);
        // Locked: of two revocations at once the second must find the first one's mark.
        const apiKey = await transaction.em.findOne(ApiKey, { id: apiKeyId }, { lockMode: LockMode.PESSIMISTIC_WRITE });
        if (apiKey === null) return refuse('not_found', ['id']);
        if (apiKey.status === 'revoked') return apiKey;
        apiKey.status = 'revoked';
        apiKey.revokedAt = new Date();
        await transaction.audit({ action: 'api-key-revoked', subjectKind: 'api-key', subjectId: apiKey.id });
        await transaction.publish([apiKeyObject(apiKey)]);
        return apiKey;
      }),

    list: (scope) => run(scope, ({ em }) => em.find(ApiKey, {}, { orderBy: { id: 'desc' }, limit: 500 })),

    async createMany(scope, memberId, count) {
      const bearers: string[] = [];
      while (bearers.length < count) {
        const slice = Array.from({ length: Math.min(SLICE, count - bearers.length) }, () => createApiKey());
        await run(scope, async (transaction) => {
          const keys = slice.map((key, index) =>
            createRow(transaction, memberId, { name: `seeded ${bearers.length + index + 1}` }, key),
          );
          await transaction.em.flush();
          const details = { count: keys.length };
          await transaction.audit({ action: 'api-keys-seeded', subjectKind: 'member', subjectId: memberId, details });
          await transaction.publish(keys.map(apiKeyObject));
        });
        bearers.push(...slice.map(({ secret }) => secret));
      }
      return bearers;
    },

    ensureKey: (scope, memberId, name, bearer) =>
      run(scope, async (transaction) => {
        const hash = hashApiKey(bearer);
        const standing = await transaction.em.findOne(ApiKey, { hash });
        if (standing !== null) return standing;
        const key = { hash, hint: hintOf(bearer) };
        return refuseConflict(['bearer'], () => store(transaction, memberId, { name }, key));
      }),
  };
}

const SLICE = 1000;

type StoredKey = Pick<NewApiKey, 'hash' | 'hint'>;

interface KeyTerms {
  readonly name: string;
  readonly expiresAt?: Date | null | undefined;
  readonly limits?: Limits | null;
  readonly tags?: string[];
  readonly idempotency?: boolean;
  readonly cache?: boolean;
}

async function store(transaction: Transaction, memberId: string, terms: KeyTerms, key: StoredKey): Promise<ApiKey> {
  const apiKey = createRow(transaction, memberId, terms, key);
  await transaction.em.flush();
  await transaction.audit({ action: 'api-key-created', subjectKind: 'api-key', subjectId: apiKey.id });
  await transaction.publish([apiKeyObject(apiKey)]);
  return apiKey;
}

async function update(
  transaction: Transaction,
  { id, name, expiresAt, limits, tags, idempotency, cache }: z.output<typeof updateInput>,
): Promise<ApiKey | Refusal> {
  // Locked: a revocation at the same time must not be undone.
  const apiKey = await transaction.em.findOne(ApiKey, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE });
  if (apiKey === null) return refuse('not_found', ['id']);
  if (apiKey.status === 'revoked') return refuse('conflict', ['id'], 'The key is revoked.');
  const { idempotency: wasIdempotent, cache: wasCached } = apiKey;
  const before = { expiresAt: apiKey.expiresAt, limits: apiKey.limits, tags: apiKey.tags };
  const details = { before: { ...before, idempotency: wasIdempotent, cache: wasCached } };
  apiKey.name = name;
  apiKey.expiresAt = expiresAt ?? null;
  apiKey.limits = limits;
  apiKey.tags = tags;
  apiKey.idempotency = idempotency;
  apiKey.cache = cache;
  await transaction.audit({ action: 'api-key-updated', subjectKind: 'api-key', subjectId: id, details });
  await transaction.publish([apiKeyObject(apiKey)]);
  return apiKey;
}

function createRow(
  { em, scope }: Transaction,
  memberId: string,
  { name, expiresAt = null, limits = null, tags = [], idempotency = false, cache = false }: KeyTerms,
  { hash, hint }: StoredKey,
): ApiKey {
  return em.create(ApiKey, {
    id: uuidv7(),
    tenantId: scope.tenantId,
    memberId,
    name,
    hash,
    hint,
    status: 'active',
    expiresAt,
    createdAt: new Date(),
    revokedAt: null,
    limits,
    tags,
    idempotency,
    cache,
  });
}
