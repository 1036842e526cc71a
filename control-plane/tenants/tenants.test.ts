import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';

const UPDATE = `mutation ($input: UpdateTenantSettingsInput!) { updateTenantSettings(input: $input) {
  tenant { id endUsers } userErrors { code path }
} }`;

interface Updated {
  readonly updateTenantSettings: {
    readonly tenant: { readonly endUsers: string } | null;
    readonly userErrors: unknown;
  };
}

let controlPlane: TestControlPlane;
let database: pg.Client;
let operator: string;
let owner: { token: string; id: string };
let stranger: { token: string; id: string };

beforeAll(async () => {
  controlPlane = await startControlPlane();
  database = new pg.Client({ connectionString: controlPlane.database.urls.owner });
  await database.connect();
  operator = await controlPlane.signInOperator();
  [owner, stranger] = [await controlPlane.registerOwner('ada'), await controlPlane.registerOwner('eve')];
});

afterAll(async () => {
  await database.end();
  await controlPlane.close();
});

const update = (input: object, token?: string) => controlPlane.graphql<Updated>(UPDATE, { input }, token);

async function published(tenantId: string): Promise<{ endUsers: string; pseudonymKey: string; status: string }> {
  const { rows } = await database.query<{ line: string }>(
    `select line from config_object where kind = 'tenant' and object_id = $1`,
    [tenantId],
  );
  return JSON.parse(rows[0]?.line ?? '') as { endUsers: string; pseudonymKey: string; status: string };
}

describe('a tenant', () => {
  it('begins with pseudonyms for its end users, under a key of its own that no data plane lacks', async () => {
    const [one, other] = [await published(owner.id), await published(stranger.id)];
    expect(one).toMatchObject({ endUsers: 'pseudonym', pseudonymKey: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/) });
    expect(one.pseudonymKey).not.toBe(other.pseudonymKey);
  });

  it('chooses what providers are told of its end users; it is audited and published, the key unchanged', async () => {
    const before = await published(owner.id);
    const { data } = await update({ endUsers: 'DROP' }, owner.token);
    expect(data.updateTenantSettings).toEqual({ tenant: { id: owner.id, endUsers: 'DROP' }, userErrors: [] });
    expect(await published(owner.id)).toMatchObject({ ...before, endUsers: 'drop', seq: expect.any(Number) as number });
    const { rows } = await database.query<{ entry: string }>(
      'select entry::text from audit where tenant_id = $1 order by seq desc limit 1',
      [owner.id],
    );
    expect(rows[0]?.entry).toContain('tenant-updated');
    expect(rows[0]?.entry).not.toContain(before.pseudonymKey);
    expect((await published(stranger.id)).endUsers).toBe('pseudonym');
  });

  it('keeps the choice when it is suspended and resumed', async () => {
    await update({ endUsers: 'DROP' }, owner.token);
    const { services, operator: scope } = controlPlane;
    await services.tenants.setStatus({ ...scope, tenantId: owner.id }, 'suspended');
    expect(await published(owner.id)).toMatchObject({ endUsers: 'drop', status: 'suspended' });
    await services.tenants.setStatus({ ...scope, tenantId: owner.id }, 'active');
  });

  it('has its settings changed by the operator, and by nobody else', async () => {
    const input = { tenantId: stranger.id, endUsers: 'DROP' };
    expect((await update(input)).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    const foreign = await update(input, owner.token);
    expect(foreign.data.updateTenantSettings).toEqual({
      ...{ tenant: null, userErrors: [{ code: 'NOT_FOUND', path: ['tenantId'] }] },
    });
    expect((await published(stranger.id)).endUsers).toBe('pseudonym');
    const { data } = await update(input, operator);
    expect(data.updateTenantSettings.tenant?.endUsers).toBe('DROP');
    expect((await published(stranger.id)).endUsers).toBe('drop');
  });

  it('shows its key to nobody over the API', async () => {
    const { errors } = await controlPlane.graphql('{ tenants { nodes { pseudonymKey } } }', {}, operator);
    expect(errors?.[0]?.message).toContain('pseudonymKey');
  });
});

describe('tenants that were there before the setting', () => {
  it('have a key each, and their data planes know it', async () => {
    const { Migration0003EndUsers } = await import('../database/migrations/migration-0003-end-users.js');
    const old = `select config_object.object_id as id from config_object where kind = 'tenant'`;
    const { rows } = await database.query<{ id: string }>(old);
    // As it was: objects without the fields, rows without the columns.
    await database.query(`alter table tenant drop column end_users, drop column pseudonym_key`);
    await database.query(
      `update config_object set line = (line::jsonb - 'endUsers' - 'pseudonymKey')::text where kind = 'tenant'`,
    );
    const migration = Reflect.construct(Migration0003EndUsers, [undefined, undefined]) as InstanceType<
      typeof Migration0003EndUsers
    >;
    migration.up();
    await database.query('begin');
    for (const query of migration.getQueries()) {
      if (typeof query === 'string') await database.query(query);
    }
    await database.query('commit');
    const keys = new Set<string>();
    for (const { id } of rows) {
      const { endUsers, pseudonymKey } = await published(id);
      expect(endUsers).toBe('pseudonym');
      expect(pseudonymKey).toMatch(/^[A-Za-z0-9_-]{43}$/);
      keys.add(pseudonymKey);
    }
    expect(rows.length).toBeGreaterThan(2);
    expect(keys.size).toBe(rows.length);
  });
});
