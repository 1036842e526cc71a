import type { Queryable } from '../database/sql.js';

/** Keys whose owners are kept in memory, some 20 MB at most. */
const MAX_KEPT = 100_000;

export interface KeyOwner {
  readonly tenantId: string;
  readonly memberId: string;
}

export interface KeyOwners {
  /** Brings the owners of the named keys into memory; unknown keys stay unknown and are asked for again. */
  load(database: Queryable, apiKeyIds: Iterable<string>): Promise<void>;
  readonly find: (apiKeyId: string) => KeyOwner | undefined;
}

interface OwnerRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly member_id: string;
}

/**
 * Whose each API key is. A key never changes hands, so one that was read once is never read again. An event is charged to
 * nobody but the owner of its key: a data plane that mixes up tenants is noticed and does not bill a stranger.
 */
export function createKeyOwners(): KeyOwners {
  const kept = new Map<string, KeyOwner>();
  return {
    async load(database, apiKeyIds) {
      const missing = [...new Set(apiKeyIds)].filter((id) => !kept.has(id));
      if (missing.length === 0) return;
      const { rows } = await database.query<OwnerRow>({
        name: 'key-owners',
        text: 'select id, tenant_id, member_id from api_key where id = any($1::uuid[])',
        values: [missing],
      });
      if (kept.size + rows.length > MAX_KEPT) kept.clear();
      for (const row of rows) kept.set(row.id, { tenantId: row.tenant_id, memberId: row.member_id });
    },
    find: (id) => kept.get(id),
  };
}
