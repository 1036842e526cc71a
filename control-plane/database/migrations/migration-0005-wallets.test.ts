import { afterAll, beforeAll, expect, test } from 'vitest';
import pg from 'pg';
import { v7 as uuidv7 } from 'uuid';
import { createTestDatabase, type TestDatabase } from '../../../test/kit/platform-database.js';
import { verifyLedger } from '../../billing/verify-ledger.js';
import { createWallets } from '../../wallets/wallets.js';
import { migrate } from '../migrate.js';
import { openPlatformDatabase } from '../orm.js';
import { openPool } from '../sql.js';
import { createTransactionRunner } from '../transaction.js';

let database: TestDatabase;
let owner: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase({ isEmpty: true });
  const orm = await openPlatformDatabase({ url: database.urls.owner });
  await orm.migrator.up({ to: 'Migration0004Prices' });
  await orm.close();
  owner = new pg.Client({ connectionString: database.urls.owner });
  await owner.connect();
});
afterAll(async () => {
  await owner.end();
  await database.drop();
});

test('what was credited before is a credit that never expires, and its tenant pays beforehand', async () => {
  const tenantId = uuidv7();
  await owner.query(`insert into tenant (id, kind) values ($1, 'person')`, [tenantId]);
  await owner.query(`select set_config('pingtoken.operator', 'on', false)`);
  const account = async (kind: string): Promise<string> => {
    const { rows } = await owner.query<{ id: string }>(`select ledger_account($1, $2, 'USD') as id`, [tenantId, kind]);
    return rows[0]?.id ?? '';
  };
  const [funding, wallet] = [await account('funding'), await account('wallet')];
  const ids = [uuidv7(), uuidv7()];
  for (const [index, id] of ids.entries()) {
    await owner.query(
      `insert into transfer (id, tenant_id, debit_account_id, credit_account_id, amount, kind, idempotency_key, reason)
       values ($1::uuid, $2, $3, $4, 100, 'top_up', $5, 'before')`,
      [id, tenantId, funding, wallet, String(index)],
    );
  }

  await migrate({ ownerUrl: database.urls.owner, personKeysUrl: database.urls.personKeys });

  const orm = await openPlatformDatabase({ url: database.urls.api });
  const wallets = createWallets({ run: createTransactionRunner(orm) });
  const credits = await wallets.credits({ tenantId, actorMemberId: null, operator: false }, 'USD');
  await orm.close();
  expect(credits).toMatchObject(ids.map((id) => ({ id, amount: 100n, expiresAt: null, drawn: 0n })));
  const pool = openPool({ url: database.urls.worker, size: 1, onError: () => undefined });
  expect((await verifyLedger({ pool })).differences).toEqual([]);
  await pool.end();
  const { rows } = await owner.query('select billing_mode from tenant where id = $1', [tenantId]);
  expect(rows).toEqual([{ billing_mode: 'prepaid' }]);
});
