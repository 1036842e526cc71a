import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { inject } from 'vitest';
import { migrate } from '../../control-plane/database/migrate.js';
import { DATABASE_LOGINS, provision, type DatabaseUrls } from '../../control-plane/database/provision.js';

export interface TestDatabase {
  readonly urls: DatabaseUrls;
  drop(): Promise<void>;
}

/** A platform database of this test's own, migrated, with its five logins. */
/** @param isEmpty without a schema, for tests of the migrations themselves */
export async function createTestDatabase({ isEmpty = false } = {}): Promise<TestDatabase> {
  const adminUrl = new URL(inject('adminUrl'));
  const name = `test_${randomBytes(6).toString('hex')}`;
  adminUrl.pathname = `/${name}`;
  const passwords = { api: 'api', worker: 'worker', owner: 'owner', personKeys: 'person-keys', queue: 'queue' };
  const urls = await provision({ adminUrl: adminUrl.href, passwords });
  if (!isEmpty) await migrate({ ownerUrl: urls.owner, personKeysUrl: urls.personKeys });
  return {
    urls,
    async drop() {
      adminUrl.pathname = '/postgres';
      const admin = new pg.Client({ connectionString: adminUrl.href });
      await admin.connect();
      await waitForDisconnects(admin, name);
      for (const suffix of ['', '_person_keys', '_queue']) {
        await admin.query(`drop database if exists ${name}${suffix} with (force)`);
      }
      for (const login of DATABASE_LOGINS) {
        const role = `${name}_${login === 'personKeys' ? 'person_keys' : login}`;
        await admin.query(`drop role if exists ${role}`);
      }
      await admin.end();
    },
  };
}

/** A pool that has ended may still be hanging up; a connection that is cut at that moment would fail the test. */
async function waitForDisconnects(admin: pg.Client, name: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const { rowCount } = await admin.query(`select 1 from pg_stat_activity where datname like $1 || '%'`, [name]);
    if (rowCount === 0) return;
    await delay(20);
  }
}
