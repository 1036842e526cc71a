import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { createPersonVault } from './person-vault.js';
import { openPersonKeyDatabase } from '../database/orm.js';

let controlPlane: TestControlPlane;
let owner: pg.Client;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  owner = new pg.Client({ connectionString: controlPlane.database.urls.owner });
  await owner.connect();
});
afterAll(async () => {
  await owner.end();
  await controlPlane.close();
});

const REGISTER = `mutation ($input: RegisterInput!) {
  register(input: $input) { tenant { id kind } session { token } userErrors { code path message } }
}`;
const CREATE_KEY = `mutation ($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { secret apiKey { id hint } userErrors { code path } }
}`;

interface Registered {
  register: {
    tenant: { id: string; kind: string } | null;
    session: { token: string } | null;
    userErrors: { code: string; path: string[]; message: string }[];
  };
}

let accounts = 0;
function input(overrides: Record<string, unknown> = {}): Record<string, unknown> {
  accounts += 1;
  return {
    kind: 'PERSON',
    name: `Ada Lovelace ${accounts}`,
    email: `ada${accounts}@example.com`,
    password: 'a long password',
    consentToPolicyVersion: '2026-11',
    ...overrides,
  };
}

async function register(overrides: Record<string, unknown> = {}): Promise<Registered['register']> {
  const { data } = await controlPlane.graphql<Registered>(REGISTER, { input: input(overrides) });
  return data.register;
}

async function countRows(table: string): Promise<number> {
  const { rows } = await owner.query<{ count: string }>(`select count(*) from ${table}`);
  return Number(rows[0]?.count);
}

/** The token that was mailed, opened as the mailer does. */
async function mailedToken(tenantId: string): Promise<string> {
  const { rows } = await owner.query<{ payload: { personId: string; sealed: string } }>(
    `select payload from outbox where tenant_id = $1 order by id desc limit 1`,
    [tenantId],
  );
  const payload = rows[0]?.payload;
  if (payload === undefined) throw new Error('nothing was mailed');
  const orm = await openPersonKeyDatabase({ url: controlPlane.database.urls.personKeys });
  const vault = createPersonVault({ orm, secret: controlPlane.settings.PERSON_KEYS_SECRET });
  const cipher = await vault.open(payload.personId);
  const text = cipher?.decrypt('mail', Buffer.from(payload.sealed, 'base64url')) ?? '{}';
  await orm.close();
  return (JSON.parse(text) as { token: string }).token;
}

describe('registration', () => {
  it('can be preceded by reading the policy, without an account', async () => {
    const { data } = await controlPlane.graphql<{ currentPolicy: { version: string; body: string } }>(
      '{ currentPolicy { version body } }',
    );
    expect(data.currentPolicy.version).toBe('2026-11');
    expect(data.currentPolicy.body).toContain('Privacy policy');
  });

  it.each([
    ['no consent', { consentToPolicyVersion: null }, 'CONSENT_REQUIRED', 'consentToPolicyVersion'],
    ['consent to another version', { consentToPolicyVersion: '2020-01' }, 'CONSENT_REQUIRED', 'consentToPolicyVersion'],
    ['a short password', { password: 'short' }, 'INVALID_REQUEST', 'password'],
    ['a malformed address', { email: 'not an address' }, 'INVALID_REQUEST', 'email'],
    ['an enterprise without a name', { kind: 'ENTERPRISE' }, 'INVALID_REQUEST', 'organizationName'],
    ['a person with the name of an enterprise', { organizationName: 'Acme' }, 'INVALID_REQUEST', 'organizationName'],
  ])('stores nothing at all with %s', async (_case, overrides, code, field) => {
    const tables = ['tenant', 'person', 'member', 'consent', 'outbox', 'audit', 'config_object', 'email_verification'];
    const before = await Promise.all(tables.map(countRows));
    const result = await register(overrides);
    expect(result.session).toBeNull();
    expect(result.userErrors).toMatchObject([{ code, path: [field] }]);
    expect(await Promise.all(tables.map(countRows))).toEqual(before);
  });

  it('keeps no readable trace of the person in any table of the platform', async () => {
    const { tenant } = await register({
      name: 'Grace Hopper',
      email: 'grace.hopper@navy.example',
      contact: '+1 555 0100',
    });
    expect(tenant?.kind).toBe('PERSON');
    const { rows } = await owner.query<{ table_name: string }>(
      `select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'`,
    );
    for (const { table_name: table } of rows) {
      const found = await owner.query(
        `select 1 from ${table} as t where t::text ~* 'hopper' or t::text ~* 'grace' or t::text like '%555 0100%'
           or t::text ~* encode('grace.hopper@navy.example', 'hex') or t::text like '%127.0.0.1%'`,
      );
      expect({ table, rows: found.rowCount }).toEqual({ table, rows: 0 });
    }
  });

  it('refuses an address that has an account, whatever its case', async () => {
    await register({ email: 'Twice@Example.com' });
    const { userErrors } = await register({ email: 'twice@example.com' });
    expect(userErrors).toMatchObject([{ code: 'CONFLICT', path: ['email'] }]);
  });

  it('of two registrations of one address at once lets one through', async () => {
    const [first, second] = await Promise.all([
      register({ email: 'race@example.com' }),
      register({ email: 'race@example.com' }),
    ]);
    expect([first, second].filter(({ session }) => session !== null)).toHaveLength(1);
  });
});

describe('registration that is not open', () => {
  it('admits each invitation once, and nobody without one', async () => {
    const invited = await startControlPlane({ REGISTRATION: 'invited' });
    const attempt = async (overrides: Record<string, unknown>): Promise<unknown> => {
      const { data } = await invited.graphql<Registered>(REGISTER, { input: input(overrides) });
      return data.register.userErrors;
    };
    const operator = await invited.signInOperator();
    const created = await invited.graphql<{ createInvitation: { code: string } }>(
      'mutation { createInvitation { code userErrors { code } } }',
      {},
      operator,
    );
    const { code } = created.data.createInvitation;
    const refused = [{ code: 'REGISTRATION_CLOSED' }];
    expect(await attempt({})).toMatchObject(refused);
    expect(await attempt({ invitationCode: 'invented' })).toMatchObject(refused);
    // What is refused for another reason must not use the invitation up.
    expect(await attempt({ invitationCode: code, consentToPolicyVersion: 'old' })).toMatchObject([
      { code: 'CONSENT_REQUIRED' },
    ]);
    const both = await Promise.all([attempt({ invitationCode: code }), attempt({ invitationCode: code })]);
    expect(both.filter((errors) => (errors as unknown[]).length === 0)).toHaveLength(1);
    await invited.close();
  });

  it('admits nobody when it is closed', async () => {
    const closed = await startControlPlane({ REGISTRATION: 'closed' });
    const { data } = await closed.graphql<Registered>(REGISTER, { input: input() });
    expect(data.register.userErrors).toMatchObject([{ code: 'REGISTRATION_CLOSED' }]);
    await closed.close();
  });

  it('is limited for one address', async () => {
    const flooded = await startControlPlane();
    const codes: string[] = [];
    for (let attempt = 0; attempt < 25; attempt += 1) {
      const { data } = await flooded.graphql<Registered>(REGISTER, { input: input({ password: 'short' }) });
      codes.push(data.register.userErrors[0]?.code ?? '');
    }
    expect(new Set(codes)).toEqual(new Set(['INVALID_REQUEST', 'RATE_LIMITED']));
    await flooded.close();
  });
});

describe('a key', () => {
  it('is made only after the e-mail address was verified, and its secret is stored nowhere', async () => {
    const { tenant, session } = await register();
    const before = await controlPlane.graphql<{ createApiKey: { userErrors: { code: string }[] } }>(
      CREATE_KEY,
      { input: { name: 'first' } },
      session?.token,
    );
    expect(before.data.createApiKey.userErrors).toMatchObject([{ code: 'EMAIL_UNVERIFIED' }]);

    const token = await mailedToken(tenant?.id ?? '');
    const verify = 'mutation ($input: VerifyEmailInput!) { verifyEmail(input: $input) { done userErrors { code } } }';
    for (let time = 0; time < 2; time += 1) {
      const { data } = await controlPlane.graphql<{ verifyEmail: { done: boolean } }>(verify, { input: { token } });
      expect(data.verifyEmail.done).toBe(true);
    }

    const { data } = await controlPlane.graphql<{ createApiKey: { secret: string } }>(
      CREATE_KEY,
      { input: { name: 'first' } },
      session?.token,
    );
    const { secret } = data.createApiKey;
    expect(secret).toMatch(/^pt-[A-Za-z0-9_-]{48}$/);
    const { rowCount } = await owner.query(
      `select 1 from api_key where api_key::text like '%' || $1 || '%'
       union all select 1 from config_object where line like '%' || $1 || '%'
       union all select 1 from audit where entry::text like '%' || $1 || '%'`,
      [secret],
    );
    expect(rowCount).toBe(0);
  });

  it('of another tenant can be neither seen nor revoked', async () => {
    const one = await register();
    const other = await register();
    const operatorToken = await controlPlane.signInOperator();
    const created = await controlPlane.graphql<{ createApiKey: { apiKey: { id: string } } }>(
      CREATE_KEY,
      { input: { name: "the operator's" } },
      operatorToken,
    );
    const { id } = created.data.createApiKey.apiKey;
    for (const { session } of [one, other]) {
      const list = await controlPlane.graphql<{ apiKeys: { id: string }[] }>('{ apiKeys { id } }', {}, session?.token);
      expect(list.data.apiKeys).toEqual([]);
      const revoke = await controlPlane.graphql<{ revokeApiKey: { userErrors: { code: string }[] } }>(
        'mutation ($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { userErrors { code } } }',
        { input: { id } },
        session?.token,
      );
      expect(revoke.data.revokeApiKey.userErrors).toMatchObject([{ code: 'NOT_FOUND' }]);
    }
  });
});

describe('a session', () => {
  const ME = '{ me { email name role emailVerified } }';

  it('shows the person their own data in clear, and ends with sign-out', async () => {
    const { session } = await register({ name: 'Mary Jackson', email: 'mary@example.com' });
    const me = await controlPlane.graphql<{ me: unknown }>(ME, {}, session?.token);
    expect(me.data.me).toEqual({
      email: 'mary@example.com',
      name: 'Mary Jackson',
      role: 'OWNER',
      emailVerified: false,
    });
    await controlPlane.graphql('mutation { signOut { done } }', {}, session?.token);
    const after = await controlPlane.graphql(ME, {}, session?.token);
    expect(after.errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
  });

  it.each(['', 'nonsense', 'pts.AAAAAAAAAAAAAAAAAAAAAA.', `pts.${'A'.repeat(22)}.${'A'.repeat(43)}`])(
    'is not opened by the token %j',
    async (token) => {
      const { errors } = await controlPlane.graphql(ME, {}, token);
      expect(errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    },
  );

  it('says the same of a wrong password and of an unknown address', async () => {
    const { session } = await register({ email: 'known@example.com' });
    expect(session).not.toBeNull();
    const signIn = 'mutation ($input: SignInInput!) { signIn(input: $input) { userErrors { code message path } } }';
    const answers = await Promise.all(
      ['known@example.com', 'unknown@example.com'].map((email) =>
        controlPlane.graphql(signIn, { input: { email, password: 'not the password' } }),
      ),
    );
    expect(answers[0]).toEqual(answers[1]);
  });
});

describe("a person's key", () => {
  it('destroyed, leaves nothing of theirs that can be decrypted, with every other key in hand', async () => {
    const { tenant } = await register({ name: 'Katherine Johnson', email: 'katherine@example.com' });
    const { rows } = await owner.query<Record<string, unknown> & { id: string }>(
      `select p.*, (select client_sealed from consent c where c.person_id = p.id) as consent_client
       from person p where tenant_id = $1`,
      [tenant?.id],
    );
    const person = rows[0];
    if (person === undefined) throw new Error('no person was stored');
    const orm = await openPersonKeyDatabase({ url: controlPlane.database.urls.personKeys });
    const vault = createPersonVault({ orm, secret: controlPlane.settings.PERSON_KEYS_SECRET });
    const cipher = await vault.open(person.id);
    expect(cipher?.decrypt('name', person['name_sealed'] as Buffer)).toBe('Katherine Johnson');
    expect(cipher?.openClient(person['consent_client'] as never).ip).toBe('127.0.0.1');

    await vault.destroy(person.id);

    expect(await vault.open(person.id)).toBeNull();
    const personIds = await orm.em.fork().execute<{ person_id: string }[]>('select person_id from person_key');
    for (const { person_id: otherId } of personIds) {
      const other = await vault.open(otherId);
      if (other === null) continue;
      for (const field of ['email', 'name'] as const) {
        expect(() => other.decrypt(field, person[`${field}_sealed`] as Buffer)).toThrow();
      }
      expect(() => other.openClient(person['consent_client'] as never)).toThrow();
    }
    const raw = await orm.em
      .fork()
      .execute<{ sealed_data_key: unknown; sealed_private_key: unknown }[]>(
        'select sealed_data_key, sealed_private_key from person_key where person_id = ?',
        [person.id],
      );
    expect(raw).toEqual([{ sealed_data_key: null, sealed_private_key: null }]);
    await orm.close();
  });
});
