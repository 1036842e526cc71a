import pg from 'pg';

/**
 * Databases and logins, made once by somebody who may (`adminUrl`), idempotently. Three databases: the platform's own, the
 * persons' keys (never in one backup with the former) and the queue. Five logins, one for each trust:
 * `owner` migrates, `api` and `worker` are held to row-level security, `personKeys` and `queue` reach nothing else.
 */
export const DATABASE_LOGINS = ['api', 'worker', 'owner', 'personKeys', 'queue'] as const;
export type DatabaseLogin = (typeof DATABASE_LOGINS)[number];
export type DatabaseUrls = Readonly<Record<DatabaseLogin, string>>;

/** Rights are granted to these groups by the migrations; a login has the rights of the group that it is a member of. */
const GROUPS: Partial<Record<DatabaseLogin, string>> = { api: 'pingtoken_group_api', worker: 'pingtoken_group_worker' };

export interface ProvisionOptions {
  /** A login that may create databases and roles; its database's name is the platform's. */
  readonly adminUrl: string;
  readonly passwords: Readonly<Record<DatabaseLogin, string>>;
}

export async function provision(options: ProvisionOptions): Promise<DatabaseUrls> {
  const { adminUrl, passwords } = options;
  const { databases, roleOf } = names(adminUrl);
  const admin = new pg.Client({ connectionString: withPath(adminUrl, 'postgres') });
  await admin.connect();
  try {
    // Two starts at once on one server would race for the same role.
    await admin.query(`select pg_advisory_lock(hashtext('pingtoken-provision'))`);
    for (const group of Object.values(GROUPS)) await ensureRole(admin, group, 'nologin');
    for (const login of DATABASE_LOGINS) {
      await ensureRole(admin, roleOf(login), `login password ${pg.escapeLiteral(passwords[login])}`);
      const group = GROUPS[login];
      if (group !== undefined) await admin.query(`grant ${group} to ${pg.escapeIdentifier(roleOf(login))}`);
    }
    await ensureDatabase(admin, databases.platform, roleOf('owner'));
    await ensureDatabase(admin, databases.personKeys, roleOf('personKeys'));
    await ensureDatabase(admin, databases.queue, roleOf('queue'));
    const connect = `grant connect on database ${pg.escapeIdentifier(databases.platform)} to`;
    await admin.query(`${connect} ${pg.escapeIdentifier(roleOf('api'))}, ${pg.escapeIdentifier(roleOf('worker'))}`);
  } finally {
    await admin.end();
  }
  return databaseUrls(options);
}

/** Where each login finds its database; pure. */
export function databaseUrls({ adminUrl, passwords }: ProvisionOptions): DatabaseUrls {
  const { databases, roleOf } = names(adminUrl);
  const url = (login: DatabaseLogin, database: string): string => {
    const result = new URL(withPath(adminUrl, database));
    result.username = encodeURIComponent(roleOf(login));
    result.password = encodeURIComponent(passwords[login]);
    return result.href;
  };
  return {
    api: url('api', databases.platform),
    worker: url('worker', databases.platform),
    owner: url('owner', databases.platform),
    personKeys: url('personKeys', databases.personKeys),
    queue: url('queue', databases.queue),
  };
}

function names(adminUrl: string) {
  const named = new URL(adminUrl).pathname.slice(1);
  const platform = named === '' || named === 'postgres' ? 'pingtoken' : named;
  return {
    databases: { platform, personKeys: `${platform}_person_keys`, queue: `${platform}_queue` },
    roleOf: (login: DatabaseLogin) => `${platform}_${login === 'personKeys' ? 'person_keys' : login}`,
  };
}

function withPath(adminUrl: string, database: string): string {
  const url = new URL(adminUrl);
  url.pathname = `/${database}`;
  return url.href;
}

async function ensureRole(admin: pg.Client, name: string, options: string): Promise<void> {
  const { rowCount } = await admin.query('select 1 from pg_roles where rolname = $1', [name]);
  const verb = rowCount === 0 ? 'create' : 'alter';
  await admin.query(`${verb} role ${pg.escapeIdentifier(name)} with ${options}`);
}

async function ensureDatabase(admin: pg.Client, name: string, owner: string): Promise<void> {
  const { rowCount } = await admin.query('select 1 from pg_database where datname = $1', [name]);
  if (rowCount === 0) {
    // Who administers a managed server is often no superuser and must be a member of the owner to give it a database.
    await admin.query(`grant ${pg.escapeIdentifier(owner)} to current_user`);
    await admin.query(`create database ${pg.escapeIdentifier(name)} owner ${pg.escapeIdentifier(owner)}`);
  }
  await admin.query(`revoke all on database ${pg.escapeIdentifier(name)} from public`);
}
