import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import type { Limits } from '@pingtoken/shared/limits';
import type { Account } from '../snapshot.js';
import { InternedValues } from './interned-values.js';
import { PackedIndex, PackedRows, UUID_BYTES, readUuid, writeUuid } from './packed-rows.js';

/**
 * Keys, tenants and members: the large tables. A delta changes them in place; a call looks its account up once and holds
 * immutable objects from then on, so it never sees half a change.
 */
export interface AccountTables {
  put(object: AccountObject): void;
  remove(kind: string, id: string): void;
  find(keyHash: string): Account | undefined;
}

type AccountObject = ConfigObjectOf<'api-key'> | ConfigObjectOf<'tenant'> | ConfigObjectOf<'member'>;

const SHA256_BYTES = 32;
const SHA256_BASE64URL_CHARACTERS = 43;
const SEALING_KEY_BYTES = 32;

export function createAccountTables(): AccountTables {
  const limits = new InternedValues<Limits | null>(null);
  const keys = createKeyTable(limits);
  const tenants = createTenantTable(limits);
  const members = createMemberTable(limits);
  return {
    put: (object) => {
      if (object.kind === 'api-key') keys.put(object);
      else if (object.kind === 'tenant') tenants.put(object);
      else members.put(object);
    },
    remove: (kind, id) => {
      if (kind === 'api-key') keys.remove(id);
      else if (kind === 'tenant') tenants.remove(id);
      else if (kind === 'member') members.remove(id);
    },
    find: (keyHash) => {
      const apiKey = keys.find(keyHash);
      if (apiKey === undefined) return undefined;
      const tenant = tenants.find(apiKey.tenantId);
      if (tenant === undefined) return undefined;
      const member = members.find(apiKey.memberId);
      return { apiKey, tenant, member: member?.tenantId === apiKey.tenantId ? member : undefined };
    },
  };
}

/** Rows that start with an id; `put` finds the old row or makes one. */
function createTable(rowBytes: number) {
  const rows = new PackedRows(rowBytes);
  const byId = new PackedIndex(rows, 0, UUID_BYTES);
  const id = Buffer.alloc(UUID_BYTES);
  const find = (uuid: string): number => {
    writeUuid(id, 0, uuid);
    return byId.find(id);
  };
  return {
    rows,
    find,
    create: (uuid: string): number => {
      const row = rows.allocate();
      writeUuid(rows.bytes, row * rowBytes, uuid);
      byId.add(row);
      return row;
    },
    remove: (row: number): void => {
      byId.remove(row);
      rows.release(row);
    },
  };
}

const NO_EXPIRY = Number.NaN;
/** Bits of one byte. */
const ACTIVE = 1;
const IDEMPOTENCY = 2;
const CACHE = 4;

/** id 16, hash 32, tenant 16, member 16, expiry 8, seq 8, flags 1, limits 4, tags 4. */
function createKeyTable(limits: InternedValues<Limits | null>) {
  const at = { hash: 16, tenant: 48, member: 64, expiresAt: 80, seq: 88, flags: 96, limits: 97, tags: 101 };
  const rowBytes = 105;
  const table = createTable(rowBytes);
  const tags = new InternedValues<readonly string[] | undefined>(undefined);
  const byHash = new PackedIndex(table.rows, at.hash, SHA256_BYTES);
  const hash = Buffer.alloc(SHA256_BYTES);
  const seqOf = (row: number): number => table.rows.bytes.readDoubleLE(row * rowBytes + at.seq);
  // A bearer that was imported again after its first key was revoked has two keys: the later one speaks for it.
  const newer = (row: number, than: number): boolean => seqOf(row) > seqOf(than);

  function put(object: ConfigObjectOf<'api-key'>): void {
    const known = table.find(object.id);
    const row = known >= 0 ? known : table.create(object.id);
    if (known >= 0) byHash.remove(row);
    const { bytes } = table.rows;
    const start = row * rowBytes;
    bytes.write(object.hash, start + at.hash, SHA256_BYTES, 'base64url');
    writeUuid(bytes, start + at.tenant, object.tenantId);
    writeUuid(bytes, start + at.member, object.memberId);
    bytes.writeDoubleLE(object.expiresAt ?? NO_EXPIRY, start + at.expiresAt);
    bytes.writeDoubleLE(object.seq, start + at.seq);
    bytes[start + at.flags] =
      (object.status === 'active' ? ACTIVE : 0) |
      (object.idempotency === true ? IDEMPOTENCY : 0) |
      (object.cache === true ? CACHE : 0);
    bytes.writeUInt32LE(limits.numberOf(object.limits), start + at.limits);
    bytes.writeUInt32LE(object.tags === undefined ? 0 : tags.numberOf(object.tags), start + at.tags);
    byHash.add(row);
  }

  function find(keyHash: string): ConfigObjectOf<'api-key'> | undefined {
    if (keyHash.length !== SHA256_BASE64URL_CHARACTERS || hash.write(keyHash, 'base64url') !== SHA256_BYTES)
      return undefined;
    const row = byHash.find(hash, newer);
    if (row < 0) return undefined;
    const { bytes } = table.rows;
    const start = row * rowBytes;
    const expiresAt = bytes.readDoubleLE(start + at.expiresAt);
    const flags = bytes[start + at.flags] ?? 0;
    const filedUnder = tags.valueOf(bytes.readUInt32LE(start + at.tags));
    return {
      kind: 'api-key',
      id: readUuid(bytes, start),
      seq: seqOf(row),
      tenantId: readUuid(bytes, start + at.tenant),
      memberId: readUuid(bytes, start + at.member),
      hash: keyHash,
      status: (flags & ACTIVE) === 0 ? 'revoked' : 'active',
      expiresAt: Number.isNaN(expiresAt) ? null : expiresAt,
      limits: limits.valueOf(bytes.readUInt32LE(start + at.limits)),
      // Shared and frozen; the contract's type does not say so.
      ...(filedUnder !== undefined && { tags: filedUnder as string[] }),
      ...((flags & IDEMPOTENCY) !== 0 && { idempotency: true }),
      ...((flags & CACHE) !== 0 && { cache: true }),
    };
  }

  function remove(id: string): void {
    const row = table.find(id);
    if (row < 0) return;
    byHash.remove(row);
    table.remove(row);
  }
  return { put, find, remove };
}

const PSEUDONYM_KEY_BYTES = 32;
/** Bits of one byte. */
const PSEUDONYM = 1;
const HAS_KEY = 2;
const HAS_PLAN = 4;
const POSTPAID = 8;

/** id 16, seq 8, grant set 4, status 1, flags 1, pseudonym key 32, limits 4, plan 16. */
function createTenantTable(limits: InternedValues<Limits | null>) {
  const at = { seq: 16, grants: 24, status: 28, flags: 29, pseudonymKey: 30, limits: 62, plan: 66 };
  const rowBytes = 82;
  const table = createTable(rowBytes);
  // Tenants of one plan share their grants, so that there are far fewer sets than tenants.
  const grants = new InternedValues<readonly string[]>([]);

  return {
    put: (object: ConfigObjectOf<'tenant'>): void => {
      const known = table.find(object.id);
      const start = (known >= 0 ? known : table.create(object.id)) * rowBytes;
      const { bytes } = table.rows;
      bytes.writeDoubleLE(object.seq, start + at.seq);
      bytes.writeUInt32LE(grants.numberOf(object.grantedProviderIds), start + at.grants);
      bytes.writeUInt32LE(limits.numberOf(object.limits), start + at.limits);
      bytes[start + at.status] = object.status === 'active' ? 1 : 0;
      const { endUsers, pseudonymKey, planId, billingMode } = object;
      bytes[start + at.flags] =
        (endUsers === 'pseudonym' ? PSEUDONYM : 0) |
        (pseudonymKey === null ? 0 : HAS_KEY) |
        (planId === null ? 0 : HAS_PLAN) |
        (billingMode === 'postpaid' ? POSTPAID : 0);
      if (pseudonymKey !== null) bytes.write(pseudonymKey, start + at.pseudonymKey, PSEUDONYM_KEY_BYTES, 'base64url');
      if (planId !== null) writeUuid(bytes, start + at.plan, planId);
    },
    find: (id: string): ConfigObjectOf<'tenant'> | undefined => {
      const row = table.find(id);
      if (row < 0) return undefined;
      const { bytes } = table.rows;
      const start = row * rowBytes;
      const flags = bytes[start + at.flags] ?? 0;
      const keyStart = start + at.pseudonymKey;
      return {
        kind: 'tenant',
        id,
        seq: bytes.readDoubleLE(start + at.seq),
        status: bytes[start + at.status] === 1 ? 'active' : 'suspended',
        // The set is shared and frozen; the contract's type does not say so.
        grantedProviderIds: grants.valueOf(bytes.readUInt32LE(start + at.grants)) as string[],
        endUsers: (flags & PSEUDONYM) === 0 ? 'drop' : 'pseudonym',
        pseudonymKey:
          (flags & HAS_KEY) === 0 ? null : bytes.toString('base64url', keyStart, keyStart + PSEUDONYM_KEY_BYTES),
        planId: (flags & HAS_PLAN) === 0 ? null : readUuid(bytes, start + at.plan),
        limits: limits.valueOf(bytes.readUInt32LE(start + at.limits)),
        billingMode: (flags & POSTPAID) === 0 ? 'prepaid' : 'postpaid',
      };
    },
    remove: (id: string): void => {
      const row = table.find(id);
      if (row >= 0) table.remove(row);
    },
  };
}

/** id 16, tenant 16, sealing key 32, seq 8, limits 4. */
function createMemberTable(limits: InternedValues<Limits | null>) {
  const at = { tenant: 16, sealingKey: 32, seq: 64, limits: 72 };
  const rowBytes = 76;
  const table = createTable(rowBytes);
  return {
    put: (object: ConfigObjectOf<'member'>): void => {
      const known = table.find(object.id);
      const start = (known >= 0 ? known : table.create(object.id)) * rowBytes;
      const { bytes } = table.rows;
      writeUuid(bytes, start + at.tenant, object.tenantId);
      bytes.write(object.sealingKey, start + at.sealingKey, SEALING_KEY_BYTES, 'base64url');
      bytes.writeDoubleLE(object.seq, start + at.seq);
      bytes.writeUInt32LE(limits.numberOf(object.limits), start + at.limits);
    },
    find: (id: string): ConfigObjectOf<'member'> | undefined => {
      const row = table.find(id);
      if (row < 0) return undefined;
      const { bytes } = table.rows;
      const start = row * rowBytes;
      return {
        kind: 'member',
        id,
        seq: bytes.readDoubleLE(start + at.seq),
        tenantId: readUuid(bytes, start + at.tenant),
        sealingKey: bytes.toString('base64url', start + at.sealingKey, start + at.sealingKey + SEALING_KEY_BYTES),
        limits: limits.valueOf(bytes.readUInt32LE(start + at.limits)),
      };
    },
    remove: (id: string): void => {
      const row = table.find(id);
      if (row >= 0) table.remove(row);
    },
  };
}
