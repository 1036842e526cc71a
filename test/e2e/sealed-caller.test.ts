import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SealedClient } from '@pingtoken/shared/usage-event';
import { openPersonKeyDatabase, type Orm } from '../../control-plane/database/orm.js';
import { DATABASE_LOGINS, databaseUrls } from '../../control-plane/database/provision.js';
import { createPersonVault, type PersonVault } from '../../control-plane/identity/person-vault.js';
import { openHome } from '../../control-plane/standalone/home.js';
import { databasePasswords, keepSecrets } from '../../control-plane/standalone/kept-secrets.js';
import { createCustomer, type Customer } from '../kit/customer.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { awaitUsage } from '../kit/usage-view.js';

/** Would be found wherever it is written in clear, encoded or not. */
const BROWSER = 'TellTaleBrowser/6.28318';

describe("a caller's address, device and browser", () => {
  let distribution: Distribution;
  let customer: Customer;
  let database: pg.Client;
  let personKeys: Orm;
  let vault: PersonVault;

  beforeAll(async () => {
    distribution = await startDistribution();
    customer = await createCustomer(distribution);
    const { databaseUrl } = distribution.runtime;
    database = new pg.Client({ connectionString: databaseUrl });
    await database.connect();
    const secrets = await keepSecrets(await openHome(distribution.home));
    const passwords = databasePasswords(secrets, DATABASE_LOGINS);
    personKeys = await openPersonKeyDatabase({ url: databaseUrls({ adminUrl: databaseUrl, passwords }).personKeys });
    vault = createPersonVault({ orm: personKeys, secret: secrets.controlPlane.PERSON_KEYS_SECRET });
  });
  afterAll(async () => {
    await personKeys.close();
    await database.end();
    await distribution.dispose();
  });

  async function call(): Promise<{ sealed: SealedClient; personId: string }> {
    const response = await fetch(`${distribution.runtime.gatewayUrl}/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${customer.key.secret}`,
        'content-type': 'application/json',
        'user-agent': BROWSER,
        'sec-ch-ua-platform': '"Haiku"',
      },
      body: JSON.stringify({ model: 'pingtoken-sim-small', messages: [{ role: 'user', content: 'Hello' }] }),
    });
    expect(response.status).toBe(200);
    const id = response.headers.get('x-request-id') ?? '';
    await awaitUsage(customer.platform, customer.tenant.token, id);
    const { rows } = await database.query<{ client_sealed: SealedClient; person_id: string }>(
      `select client_sealed, person_id from usage_event e join member m on m.id = e.member_id where e.id = $1`,
      [id],
    );
    const [row] = rows;
    if (row === undefined) throw new Error('the call is in no book');
    return { sealed: row.client_sealed, personId: row.person_id };
  }

  it('can be read by the key owner, stand in clear nowhere, and are gone with the one key that opens them', async () => {
    const { sealed, personId } = await call();
    const cipher = await vault.open(personId);
    expect(cipher?.openClient(sealed)).toEqual({ ip: '127.0.0.1', device: 'Haiku', browser: BROWSER });

    for (const folder of ['data-plane-1', 'logs', 'redis', 'postgres']) {
      for (const text of await readAllFiles(join(distribution.home, folder))) {
        for (const form of [
          BROWSER,
          Buffer.from(BROWSER).toString('hex'),
          Buffer.from(BROWSER).toString('base64url'),
        ]) {
          expect(text.includes(form)).toBe(false);
        }
      }
    }

    await vault.destroy(personId);

    expect(await vault.open(personId)).toBeNull();
    const others = await personKeys.em
      .fork()
      .execute<{ person_id: string }[]>('select person_id from person_key where destroyed_at is null');
    expect(others.length).toBeGreaterThan(0);
    for (const { person_id: otherId } of others) {
      const other = await vault.open(otherId);
      expect(() => other?.openClient(sealed)).toThrow();
    }
  });
});

async function readAllFiles(folder: string): Promise<Buffer[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)).catch(() => Buffer.alloc(0))));
}
