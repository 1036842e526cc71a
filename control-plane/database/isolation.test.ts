import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '@pingtoken/shared/key-format';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { expectDone } from '../installation.js';
import { ApiKey } from '../keys/entities.js';
import { openPlatformDatabase, type Orm } from './orm.js';
import { platformScope, type Scope } from './transaction.js';

let controlPlane: TestControlPlane;
let orm: Orm;
let api: pg.Client;
let first: Scope;
let second: Scope;

/** Tables in which a tenant's rows lie. */
const OWNED = [
  'tenant',
  'person',
  'member',
  'api_key',
  'provider_grant',
  'account',
  'transfer',
  'audit',
  'usage_event',
];

async function makeTenant(name: string): Promise<Scope> {
  const { services } = controlPlane;
  const account = expectDone(
    await services.registration.createAccount(
      { kind: 'enterprise', organizationName: name, name, email: `${name}@example.com`, password: 'a long password' },
      { tenantKind: 'enterprise', role: 'owner', emailVerified: true },
    ),
  );
  const scope = { ...platformScope(account.tenant.id), actorMemberId: account.member.id };
  expectDone(await services.keys.ensureKey(scope, account.member.id, name, createApiKey().secret));
  const credit = { amount: '5', currency: 'USD', idempotencyKey: name, reason: 'test' };
  expectDone(await services.ledger.topUp(scope, credit));
  const provider = expectDone(
    await services.providers.create(controlPlane.operator, {
      slug: name,
      name,
      baseUrl: 'https://provider.example/v1',
      dialect: 'openai',
      termsUrl: 'https://provider.example/terms',
      privacyUrl: 'https://provider.example/privacy',
    }),
  );
  expectDone(await services.providers.grant(scope, provider.id));
  return { ...scope, operator: false };
}

beforeAll(async () => {
  controlPlane = await startControlPlane();
  first = await makeTenant('first');
  second = await makeTenant('second');
  orm = await openPlatformDatabase({ url: controlPlane.database.urls.api });
  api = new pg.Client({ connectionString: controlPlane.database.urls.api });
  await api.connect();
});
afterAll(async () => {
  await orm.close();
  await api.end();
  await controlPlane.close();
});

async function asTenant<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
  await api.query('begin');
  try {
    await api.query(`select set_config('pingtoken.tenant_id', $1, true)`, [tenantId]);
    return await work();
  } finally {
    await api.query('rollback');
  }
}

describe('row-level security', () => {
  it.each(OWNED)('shows no row of %s to a transaction that names no tenant', async (table) => {
    expect((await api.query(`select 1 from ${table}`)).rowCount).toBe(0);
  });

  it.each(OWNED)('shows of %s only the rows of the tenant that is named', async (table) => {
    const column = table === 'tenant' ? 'id' : 'tenant_id';
    const seen = await asTenant(first.tenantId, () =>
      api.query<{ owner: string }>(`select ${column} as owner from ${table}`),
    );
    expect(new Set(seen.rows.map(({ owner }) => owner))).toEqual(
      new Set(table === 'usage_event' ? [] : [first.tenantId]),
    );
  });

  it('leaks nothing where the ORM filter was forgotten', async () => {
    const em = orm.em.fork();
    em.setSessionContext({ variables: { 'pingtoken.tenant_id': first.tenantId } });
    const keys = await em.find(ApiKey, {}, { filters: false });
    expect(keys.map(({ tenantId }) => tenantId)).toEqual([first.tenantId]);
    const raw = await em.transactional((inner) => inner.execute<unknown[]>('select * from api_key'));
    expect(raw).toHaveLength(1);
  });

  it('leaks nothing on a connection that served another tenant before', async () => {
    await asTenant(first.tenantId, () => api.query('select 1 from api_key'));
    expect((await api.query('select 1 from api_key')).rowCount).toBe(0);
  });

  it("writes no row into another tenant, moves none there, and changes none of another's", async () => {
    await asTenant(first.tenantId, async () => {
      await expect(
        api.query(
          `insert into api_key (id, tenant_id, member_id, name, hash, hint) values ($1, $2, $3, 'x', 'x', 'x')`,
          [uuidv7(), second.tenantId, second.actorMemberId],
        ),
      ).rejects.toThrow(/row-level security/);
    });
    await asTenant(first.tenantId, async () => {
      await expect(api.query('update api_key set tenant_id = $1', [second.tenantId])).rejects.toThrow(
        /row-level security/,
      );
    });
    const changed = await asTenant(first.tenantId, () =>
      api.query(`update api_key set name = 'taken' where tenant_id = $1`, [second.tenantId]),
    );
    expect(changed.rowCount).toBe(0);
  });

  it('lets no function write for another tenant what the tables refuse', async () => {
    const calls = [
      `select append_audit('${second.tenantId}', null, 'x', 'x', '${uuidv7()}', '{}')`,
      `select ledger_account('${second.tenantId}', 'wallet', 'EUR')`,
      `select publish_config('[{"kind":"tenant","id":"${second.tenantId}","status":"suspended"}]')`,
      `select publish_config('[{"kind":"api-key","id":"${uuidv7()}","tenantId":"${second.tenantId}"}]')`,
      `select publish_config('[{"kind":"provider","id":"${uuidv7()}"}]')`,
    ];
    for (const call of calls) {
      await asTenant(first.tenantId, () => expect(api.query(call)).rejects.toThrow(/insufficient_privilege/));
    }
  });

  it("keeps the operator's earnings and other tenants' credentials from tenants", async () => {
    const accounts = await asTenant(first.tenantId, () => api.query<{ kind: string }>('select kind from account'));
    expect(accounts.rows.map(({ kind }) => kind).sort()).toEqual(['adjustment', 'leased', 'wallet']);
    const [provider] = await controlPlane.services.providers.list(controlPlane.operator);
    expectDone(
      await controlPlane.services.providers.createCredential(controlPlane.operator, {
        providerId: provider?.id ?? '',
        name: 'of the operator',
        secret: 'sk-secret',
      }),
    );
    const seen = await asTenant(first.tenantId, () => api.query('select 1 from credential'));
    expect(seen.rowCount).toBe(0);
  });

  it('is on for every table that carries a tenant', async () => {
    const owner = new pg.Client({ connectionString: controlPlane.database.urls.owner });
    await owner.connect();
    const { rows } = await owner.query<{ relname: string }>(`
      select c.relname from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity
        and c.relname <> 'applied_migration'`);
    await owner.end();
    expect(rows).toEqual([]);
  });
});

describe('the logins', () => {
  const APPEND_ONLY = ['transfer', 'usage_event', 'audit', 'rate_card_version', 'policy_version'];

  it.each(['api', 'worker'] as const)('%s may neither change nor remove what was recorded', async (login) => {
    const client = new pg.Client({ connectionString: controlPlane.database.urls[login] });
    await client.connect();
    for (const table of APPEND_ONLY) {
      const { rows } = await client.query<{ may: boolean }>(
        `select has_table_privilege($1, 'update, delete, truncate') or has_any_column_privilege($1, 'update') as may`,
        [table],
      );
      expect({ table, ...rows[0] }).toEqual({ table, may: false });
    }
    await client.end();
  });

  it('that owns the tables is stopped by triggers', async () => {
    const owner = new pg.Client({ connectionString: controlPlane.database.urls.owner });
    await owner.connect();
    const id = uuidv7();
    await owner.query(
      `insert into usage_event select (jsonb_populate_record(null::usage_event, jsonb_build_object(
         'id', $1::text, 'tenant_id', $2::text, 'api_key_id', $1::text, 'member_id', $1::text, 'spool_id', $1::text, 'seq', 1,
         'kind', 'usage', 'operation', 'embeddings', 'model', 'm', 'streamed', false, 'admitted_at', now(), 'ended_at', now(),
         'outcome', 'completed', 'usage', '{}'::jsonb, 'counted_by', 'none', 'price_card_version_id', $1::text, 'amount', 0,
         'currency', 'USD', 'attempts', '[]'::jsonb, 'config_epoch', 1, 'config_seq', 1, 'lease_ids', '[]'::jsonb,
         'service_tier', 'standard', 'free_tokens', 0, 'region', 'test', 'tags', '{}'::text[], 'received_at', now()))).*`,
      [id, second.tenantId],
    );
    await owner.query(`insert into rate_card (id, name, purpose) values ($1, 'x', 'cost')`, [id]);
    await owner.query(
      `insert into rate_card_version (id, rate_card_id, effective_from, currency, rates, source)
       values ($1, $1, now(), 'USD', '{}', 'test')`,
      [id],
    );
    for (const table of APPEND_ONLY) {
      const { rows } = await owner.query<{ column_name: string }>(
        `select column_name from information_schema.columns where table_name = $1 and column_name in ('id', 'seq')`,
        [table],
      );
      const column = rows[0]?.column_name ?? '';
      await expect(owner.query(`update ${table} set ${column} = ${column}`)).rejects.toThrow(/append-only/);
      await expect(owner.query(`delete from ${table}`)).rejects.toThrow(/append-only/);
    }
    await owner.end();
  });

  it("that serve calls reach neither the persons' keys nor the queue", async () => {
    for (const [login, database] of [
      ['api', 'personKeys'],
      ['worker', 'personKeys'],
      ['queue', 'worker'],
      ['personKeys', 'worker'],
    ] as const) {
      const url = new URL(controlPlane.database.urls[login]);
      url.pathname = new URL(controlPlane.database.urls[database]).pathname;
      const client = new pg.Client({ connectionString: url.href });
      await expect(client.connect()).rejects.toThrow(/permission denied/);
    }
  });
});

describe('the audit', () => {
  it('forms a chain per tenant that any change breaks', async () => {
    const { rows } = await asTenant(first.tenantId, () =>
      api.query<{ fault: string | null }>('select audit_fault($1) as fault', [first.tenantId]),
    );
    expect(rows).toEqual([{ fault: null }]);
    const owner = new pg.Client({ connectionString: controlPlane.database.urls.owner });
    await owner.connect();
    // A superuser or a restored backup is beyond every privilege: then the chain tells.
    await owner.query(`select set_config('pingtoken.tenant_id', $1, false)`, [first.tenantId]);
    for (const damage of [
      `update audit set entry = entry || '{"action":"forged"}' where tenant_id = $1 and seq = 2`,
      `delete from audit where tenant_id = $1 and seq = 2`,
      `delete from audit where tenant_id = $1 and seq = (select max(seq) from audit where tenant_id = $1)`,
    ]) {
      await owner.query('begin');
      await owner.query('alter table audit disable trigger audit_append_only');
      await owner.query(damage, [first.tenantId]);
      const after = await owner.query<{ fault: string | null }>('select audit_fault($1) as fault', [first.tenantId]);
      expect(after.rows[0]?.fault).not.toBeNull();
      await owner.query('rollback');
    }
    await owner.end();
  });

  it('and the change it tells of are stored together or not at all', async () => {
    const { rows: before } = await asTenant(first.tenantId, () => api.query('select * from audit'));
    const failing = controlPlane.services.run(first, async (transaction) => {
      await transaction.audit({ action: 'x', subjectKind: 'x', subjectId: first.tenantId });
      throw new Error('the change failed');
    });
    await expect(failing).rejects.toThrow('the change failed');
    const { rows: after } = await asTenant(first.tenantId, () => api.query('select * from audit'));
    expect(after).toEqual(before);
  });
});
