import pg from 'pg';

const BATCH = 2_000;

/** Bearer of the n-th key that {@link seedKeys} made under a prefix, from 1. */
export function seededKey(prefix: string, n: number): string {
  return `${prefix}-${n}`;
}

/**
 * Gives a member many API keys at once, past the GraphQL API, which would take minutes: rows and published objects in one
 * transaction, as the control plane writes them, so that data planes get them as they get any change.
 * @param databaseUrl a login that row-level security does not bind
 * @returns sequence number of the config that holds them all
 */
export async function seedKeys(options: {
  readonly databaseUrl: string;
  readonly tenantId: string;
  readonly memberId: string;
  readonly prefix: string;
  readonly count: number;
}): Promise<number> {
  const { databaseUrl, tenantId, memberId, prefix, count } = options;
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query('begin');
    await client.query('set local statement_timeout = 0');
    let seq = 0;
    for (let first = 1; first <= count; first += BATCH) {
      const last = Math.min(count, first + BATCH - 1);
      const { rows } = await client.query<{ seq: string }>(SEED, [tenantId, memberId, prefix, first, last]);
      seq = Number(rows[0]?.seq);
    }
    await client.query('commit');
    return seq;
  } finally {
    await client.end();
  }
}

const SEED = `
  with made as (
    insert into api_key (id, tenant_id, member_id, name, hash, hint)
    select gen_random_uuid(), $1, $2, 'seeded',
      rtrim(translate(encode(sha256(convert_to($3 || '-' || n, 'UTF8')), 'base64'), '+/', '-_'), '='), 'seeded'
    from generate_series($4::int, $5::int) n
    returning id, tenant_id, member_id, hash, status
  )
  select publish_config(jsonb_agg(jsonb_build_object('kind', 'api-key', 'id', id, 'tenantId', tenant_id,
    'memberId', member_id, 'hash', hash, 'status', status, 'expiresAt', null))) as seq
  from made`;
