import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { sha256 } from '@pingtoken/shared/crypto';
import { limitsSchema } from '@pingtoken/shared/limits';
import { createAccountTables } from './accounts.js';

const tenantId = randomUUID();
const memberId = randomUUID();
const limited = (requestsPerMinute: number) => limitsSchema.parse({ requestsPerMinute });

const key = (id: string, limits: ReturnType<typeof limited> | null): ConfigObjectOf<'api-key'> => ({
  kind: 'api-key',
  id,
  seq: 1,
  tenantId,
  memberId,
  hash: sha256(id),
  status: 'active',
  expiresAt: null,
  limits,
});
const tenant: ConfigObjectOf<'tenant'> = {
  kind: 'tenant',
  id: tenantId,
  seq: 1,
  status: 'active',
  grantedProviderIds: [],
  endUsers: 'drop',
  pseudonymKey: null,
  planId: null,
  limits: null,
  billingMode: 'postpaid',
};
const member: ConfigObjectOf<'member'> = {
  kind: 'member',
  id: memberId,
  seq: 1,
  tenantId,
  limits: null,
  sealingKey: Buffer.alloc(32, 5).toString('base64url'),
};

describe('accounts', () => {
  it('hold the limits of each whom they bound, and its plan', () => {
    const tables = createAccountTables();
    const [keyId, planId] = [randomUUID(), randomUUID()];
    tables.put({ ...tenant, planId, limits: limited(1) });
    tables.put({ ...member, limits: limited(2) });
    tables.put(key(keyId, limited(3)));
    expect(tables.find(sha256(keyId))).toMatchObject({
      tenant: { planId, limits: limited(1) },
      member: { limits: limited(2) },
      apiKey: { limits: limited(3) },
    });
    tables.put(key(keyId, null));
    tables.put(tenant);
    expect(tables.find(sha256(keyId))).toMatchObject({
      apiKey: { limits: null },
      tenant: { planId: null, limits: null },
    });
  });

  it.each([{ idempotency: true }, { cache: true }, { status: 'revoked' as const, idempotency: true, cache: true }])(
    'hold what a key has opted in to, apart from whether it is in force: %j',
    (said) => {
      const tables = createAccountTables();
      const keyId = randomUUID();
      const stated = { ...key(keyId, null), ...said };
      tables.put(tenant);
      tables.put(stated);
      expect(tables.find(sha256(keyId))?.apiKey).toEqual(stated);
      tables.put(key(keyId, null));
      expect(tables.find(sha256(keyId))?.apiKey).toEqual(key(keyId, null));
    },
  );

  it('keep limits that many keys share only once', () => {
    const tables = createAccountTables();
    const [one, other] = [randomUUID(), randomUUID()];
    tables.put(tenant);
    tables.put(member);
    tables.put(key(one, limited(3)));
    tables.put(key(other, limited(3)));
    expect(tables.find(sha256(one))?.apiKey.limits).toBe(tables.find(sha256(other))?.apiKey.limits);
  });
});
