import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { parseConfigLine } from '@pingtoken/shared/config-snapshot';
import { parseJson } from '@pingtoken/shared/wire';
import { createTestDatabase, type TestDatabase } from '../../../test/kit/platform-database.js';
import { migrate } from '../migrate.js';
import { openPlatformDatabase } from '../orm.js';

let database: TestDatabase;
let owner: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase({ isEmpty: true });
  const orm = await openPlatformDatabase({ url: database.urls.owner });
  await orm.migrator.up({ to: 'Migration0001Foundations' });
  await orm.close();
  owner = new pg.Client({ connectionString: database.urls.owner });
  await owner.connect();
});

afterAll(async () => {
  await owner.end();
  await database.drop();
});

const publish = async (...drafts: object[]): Promise<void> => {
  await owner.query(`select set_config('pingtoken.operator', 'on', false)`);
  await owner.query('select publish_config($1::jsonb)', [JSON.stringify(drafts)]);
};

test('what an earlier release published is published again so that a data plane takes it, each credential bound to its provider', async () => {
  const origins = {
    'https://Api.Example/v1': 'https://api.example',
    'https://api.example:443/v1': 'https://api.example',
    'http://10.0.0.1:80': 'http://10.0.0.1',
    'http://127.0.0.1:8090/v1': 'http://127.0.0.1:8090',
    'https://[::1]:8443/v1/x': 'https://[::1]:8443',
  };
  const keyId = uuidv7();
  await owner.query(`insert into content_key values ($1, '\\x00', now())`, [keyId]);
  const bound = new Map<string, string>();
  for (const [index, [baseUrl, origin]] of Object.entries(origins).entries()) {
    const [provider, credential] = [uuidv7(), uuidv7()];
    await owner.query(
      `insert into provider (id, slug, name, base_url, dialect, terms_url, privacy_url) values ($1, $2, 'P', $3, 'openai', 'x', 'y')`,
      [provider, `p${index}`, baseUrl],
    );
    await owner.query(
      `insert into credential (id, provider_id, name, content_key_id, sealed_secret) values ($1, $2, 'c', $3, '\\x00')`,
      [credential, provider, keyId],
    );
    bound.set(credential, origin);
    await publish(
      { kind: 'provider', id: provider, slug: `p${index}`, baseUrl, dialect: 'openai', status: 'active' },
      {
        kind: 'credential',
        id: credential,
        providerId: provider,
        tenantId: null,
        contentKeyId: keyId,
        sealedSecret: 'AA',
      },
    );
  }
  const modelId = uuidv7();
  const target = {
    id: uuidv7(),
    providerId: uuidv7(),
    credentialId: uuidv7(),
    upstreamModel: 'm',
    priority: 0,
    weight: 1,
  };
  const gone = uuidv7();
  await publish(
    {
      kind: 'model',
      id: modelId,
      name: 'm',
      operations: ['embeddings'],
      status: 'active',
      createdAt: 1,
      priceCardId: null,
    },
    { kind: 'route', id: uuidv7(), modelId, tenantId: null, targets: [{ ...target, costCardId: null }] },
    { kind: 'model', id: gone, deleted: true },
  );
  const { rows: before } = await owner.query<{ seq: string }>('select seq from config_head');

  await migrate({ ownerUrl: database.urls.owner, personKeysUrl: database.urls.personKeys });

  const { rows } = await owner.query<{ line: string }>('select line from config_object order by seq');
  const lines = rows.map(({ line }) => parseConfigLine(parseJson(line)));
  const objects = lines.flatMap((line) => (line.type === 'object' ? [line.object] : []));
  expect(objects).toHaveLength(12);
  expect(lines).toContainEqual(expect.objectContaining({ type: 'deleted', id: gone }));
  for (const object of objects) {
    if (object.kind === 'credential') expect(object.origin).toBe(bound.get(object.id));
    if (object.kind === 'provider') expect(object).toMatchObject({ auth: 'bearer', region: null });
  }
  const { rows: after } = await owner.query<{ seq: string }>('select seq from config_head');
  expect(Number(after[0]?.seq) - Number(before[0]?.seq)).toBe(12);
});

test('a provider or model of impossible values cannot be stored', async () => {
  for (const [column, value] of [
    ['dialect', `'cohere'`],
    ['auth', `'basic'`],
    ['retention_days', '-1'],
  ] as const) {
    await expect(owner.query(`update provider set ${column} = ${value}`)).rejects.toThrow(/check constraint/);
  }
});
