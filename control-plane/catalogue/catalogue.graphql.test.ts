import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseJson } from '@pingtoken/shared/wire';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { CATALOGUE_MODELS, CATALOGUE_PROVIDERS } from './catalogue.js';

let controlPlane: TestControlPlane;
let owner: pg.Client;
let token: string;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  owner = new pg.Client({ connectionString: controlPlane.database.urls.owner });
  await owner.connect();
  token = await controlPlane.signInOperator();
});

afterAll(async () => {
  await owner.end();
  await controlPlane.close();
});

interface UserErrors {
  readonly userErrors: readonly { readonly code: string; readonly path: readonly string[] }[];
}

const mutate = async <Payload extends object>(
  name: string,
  input: Record<string, unknown>,
  selection: string,
): Promise<Payload & UserErrors> => {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation Do($input: ${type}!) { ${name}(input: $input) { ${selection} userErrors { code path } } }`;
  const { data, errors } = await controlPlane.graphql<Record<string, Payload & UserErrors>>(query, { input }, token);
  expect(errors).toBeUndefined();
  const payload = data[name];
  if (payload === undefined) throw new Error('no payload');
  return payload;
};

interface InstalledPayload {
  readonly provider: { readonly id: string; readonly dialect: string; readonly auth: string; readonly baseUrl: string };
  readonly credential: { readonly id: string; readonly origin: string } | null;
  readonly models: readonly { readonly id: string; readonly name: string; readonly priceCardId: string }[];
}
const install = (input: Record<string, unknown>) =>
  mutate<InstalledPayload>(
    'installCatalogueProvider',
    input,
    'provider { id dialect auth baseUrl } credential { id origin } models { id name priceCardId }',
  );

const COUNTS = `select (select count(*) from provider) as providers, (select count(*) from credential) as credentials,
  (select count(*) from rate_card) as cards, (select count(*) from rate_card_version) as versions,
  (select count(*) from model) as models, (select count(*) from route) as routes, (select count(*) from target) as targets,
  (select count(*) from audit) as audits, (select seq from config_head) as head`;
const counts = async (): Promise<Record<string, number>> => {
  const { rows } = await owner.query<Record<string, string>>(COUNTS);
  return Object.fromEntries(Object.entries(rows[0] ?? {}).map(([name, value]) => [name, Number(value)]));
};
const published = async (kind: string, id: string): Promise<unknown> => {
  const { rows } = await owner.query<{ line: string }>(
    'select line from config_object where kind = $1 and object_id = $2',
    [kind, id],
  );
  return parseJson(rows[0]?.line ?? 'null');
};

describe('the catalogue', () => {
  const readAll = async (query: string, root: string, key: string): Promise<string[]> => {
    const found: string[] = [];
    let after: string | null = null;
    for (;;) {
      interface Connection {
        readonly edges: readonly { readonly node: Record<string, string> }[];
        readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null };
      }
      const answer: { data: Record<string, Connection> } = await controlPlane.graphql(query, { after }, token);
      const connection = answer.data[root];
      found.push(...(connection?.edges ?? []).map(({ node }) => node[key] ?? ''));
      if (connection?.pageInfo.hasNextPage !== true) return found;
      after = connection.pageInfo.endCursor;
    }
  };

  it('is read page by page, each provider and each model once and in order', async () => {
    const providers = await readAll(
      'query Q($after: String) { catalogueProviders(first: 7, after: $after) { edges { node { slug } } pageInfo { hasNextPage endCursor } } }',
      'catalogueProviders',
      'slug',
    );
    expect(providers).toEqual(CATALOGUE_PROVIDERS.map(({ slug }) => slug));
    const models = await readAll(
      'query Q($after: String) { catalogueModels(first: 30, after: $after) { edges { node { name } } pageInfo { hasNextPage endCursor } } }',
      'catalogueModels',
      'name',
    );
    expect(models).toEqual(CATALOGUE_MODELS.map(({ name }) => name));
  });

  it('is filtered by what is asked, and shows exact list prices', async () => {
    const { data } = await controlPlane.graphql<{
      catalogueModels: { edges: { node: { name: string; listPrices: object[] } }[] };
      catalogueProviders: { edges: { node: { slug: string } }[] };
    }>(
      `{ catalogueModels(provider: "openai", operation: EMBEDDINGS, search: "3-LARGE") {
           edges { node { name listPrices { from currency prices { dimension amount } } } } }
         catalogueProviders(dialect: GEMINI) { edges { node { slug } } } }`,
      {},
      token,
    );
    expect(data.catalogueModels.edges.map(({ node }) => node)).toEqual([
      {
        name: 'text-embedding-3-large',
        listPrices: [{ from: null, currency: 'USD', prices: [{ dimension: 'INPUT', amount: '0.13' }] }],
      },
    ]);
    expect(data.catalogueProviders.edges.map(({ node }) => node.slug)).toEqual(['gemini']);
  });

  it.each([
    ['catalogueModels(first: 101)', 'INVALID_REQUEST'],
    ['catalogueModels(after: "no cursor")', 'INVALID_REQUEST'],
    ['catalogueModels(after: "")', 'INVALID_REQUEST'],
  ])('%s is refused', async (field, code) => {
    const { errors } = await controlPlane.graphql(`{ ${field} { edges { cursor } } }`, {}, token);
    expect(errors?.[0]?.extensions.code).toBe(code);
  });

  it('is nobody’s but the operator’s', async () => {
    for (const query of [
      '{ catalogueProviders { edges { cursor } } }',
      'mutation { installCatalogueProvider(input: { provider: "nonsense" }) { userErrors { code } } }',
    ]) {
      expect((await controlPlane.graphql(query)).errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    }
  });
});

describe('an installation', () => {
  const credential = { name: 'main', secret: 'sk-secret' };

  it('brings provider, models, cards and routes into force at list prices; a repeat changes nothing', async () => {
    const input = { provider: 'anthropic', models: ['claude-opus-5', 'claude-haiku-4-5'], credential };
    const before = await counts();
    const made = await install(input);
    expect(made.userErrors).toEqual([]);
    expect(made.provider).toMatchObject({ dialect: 'ANTHROPIC', auth: 'X_API_KEY' });
    expect(made.credential?.origin).toBe('https://api.anthropic.com');
    const after = await counts();
    const added = Object.fromEntries(Object.entries(after).map(([name, value]) => [name, value - (before[name] ?? 0)]));
    // Published: provider, credential, and for each model two cards, the model and its route.
    expect(added).toEqual({
      ...{ providers: 1, credentials: 1, cards: 4, versions: 4, models: 2, routes: 2, targets: 2 },
      ...{ audits: 10, head: 10 },
    });
    const [opus] = made.models;
    expect(await published('model', opus?.id ?? '')).toMatchObject({
      ...{ name: 'claude-opus-5', operations: ['chat-completions'], contextWindow: 1_000_000, status: 'active' },
    });
    expect(await published('rate-card', opus?.priceCardId ?? '')).toMatchObject({
      versions: [{ currency: 'USD', rates: { input: '5000000', output: '25000000', cacheWrite1h: '10000000' } }],
    });
    expect(await published('provider', made.provider.id)).toMatchObject({ dialect: 'anthropic', auth: 'x-api-key' });

    const repeated = await install(input);
    expect(repeated).toEqual(made);
    expect(await counts()).toEqual(after);
  });

  it('leaves alone what the operator has changed, and adds only what is missing', async () => {
    const first = await install({ provider: 'mistral', models: ['mistral-embed'], credential });
    const { id } = first.provider;
    await mutate('updateProvider', { id, baseUrl: 'https://proxy.example/v1', trainsOnData: true }, 'provider { id }');
    const modelId = first.models[0]?.id ?? '';
    await mutate('updateModel', { id: modelId, contextWindow: 4000, status: 'DISABLED' }, 'model { id }');
    const again = await install({ provider: 'mistral', credentialId: first.credential?.id });
    expect(again.userErrors).toEqual([]);
    expect(again.provider.baseUrl).toBe('https://proxy.example/v1');
    expect(again.models).toHaveLength(CATALOGUE_MODELS.filter(({ provider }) => provider === 'mistral').length);
    expect(await published('model', modelId)).toMatchObject({ contextWindow: 4000, status: 'disabled' });
  });

  it('of one thing twice at once makes it once', async () => {
    const input = { provider: 'cerebras', credential };
    const [one, other] = await Promise.all([install(input), install(input)]);
    expect(one).toEqual(other);
    expect(one.userErrors).toEqual([]);
  });

  it('keeps a scheduled price', async () => {
    const { models } = await install({ provider: 'gemini', models: ['gemini-3.8-flash'] });
    const card = await published('rate-card', models[0]?.priceCardId ?? '');
    const { versions } = card as { versions: { effectiveFrom: number; rates: { input: string } }[] };
    expect(versions.map(({ rates }) => rates.input)).toEqual(['750000', '1500000']);
    expect(versions[1]?.effectiveFrom).toBe(Date.UTC(2027, 0, 1));
  });

  it('takes the operator’s own address where the catalogue has but a sample', async () => {
    const sample = await install({ provider: 'azure' });
    expect(sample.userErrors).toEqual([{ code: 'INVALID_REQUEST', path: ['baseUrl'] }]);
    const baseUrl = 'https://acme.openai.azure.com/openai/v1';
    const made = await install({ provider: 'azure', baseUrl, credential });
    expect(made.provider).toMatchObject({ baseUrl, auth: 'API_KEY' });
    expect(made.credential?.origin).toBe('https://acme.openai.azure.com');
  });

  describe('that is refused stores nothing', () => {
    let before: Record<string, number>;
    beforeEach(async () => {
      before = await counts();
    });

    it.each([
      [{ provider: 'nobody' }, 'NOT_FOUND provider'],
      [{ provider: 'groq', models: ['gpt-4o'] }, 'NOT_FOUND models.0'],
      [{ provider: 'groq', models: [] }, 'INVALID_REQUEST models'],
      [{ provider: 'groq', credentialId: crypto.randomUUID() }, 'NOT_FOUND credentialId'],
      [{ provider: 'groq', credentialId: 'x' }, 'INVALID_REQUEST credentialId'],
      [{ provider: 'groq', credential, credentialId: crypto.randomUUID() }, 'INVALID_REQUEST credential'],
      [{ provider: 'groq', credential: { name: 'x', secret: 'a\nb' } }, 'INVALID_REQUEST credential.secret'],
      [{ provider: 'groq', baseUrl: 'ftp://x.example' }, 'INVALID_REQUEST baseUrl'],
      [{ provider: 'groq', baseUrl: 'http://169.254.169.254/v1' }, 'INVALID_REQUEST baseUrl'],
    ])('%o', async (input, expected) => {
      const { userErrors } = await install(input);
      expect(userErrors.map(({ code, path }) => `${code} ${path.join('.')}`)).toContain(expected);
      expect(await counts()).toEqual(before);
    });
  });
});

describe('a provider of the operator’s own', () => {
  const links = { termsUrl: 'https://own.example/terms', privacyUrl: 'https://own.example/privacy' };

  it('has the header of its dialect unless another is named, and keeps its credential to its first address', async () => {
    const create = (slug: string, more: object) =>
      mutate<{ provider: { id: string; auth: string } }>(
        'createProvider',
        { slug, name: slug, baseUrl: 'https://own.example:8443/v1', ...links, ...more },
        'provider { id auth }',
      );
    expect((await create('own-gemini', { dialect: 'GEMINI' })).provider.auth).toBe('X_GOOG_API_KEY');
    const { provider } = await create('own', { auth: 'NONE', region: 'eu', retentionDays: 7 });
    expect(provider.auth).toBe('NONE');
    const secret = { providerId: provider.id, name: 'c', secret: 's' };
    const { credential } = await mutate<{ credential: { id: string } }>(
      'createCredential',
      secret,
      'credential { id }',
    );
    await mutate('updateProvider', { id: provider.id, baseUrl: 'https://elsewhere.example/v1' }, 'provider { id }');
    expect(await published('credential', credential.id)).toMatchObject({ origin: 'https://own.example:8443' });
    expect(await published('provider', provider.id)).toMatchObject({ auth: 'none', region: 'eu' });
  });

  it('is moved to another credential with all its routes at once', async () => {
    const { provider, credential } = await install({
      ...{ provider: 'cohere', credential: { name: 'old', secret: 'old' } },
    });
    const { credential: next } = await mutate<{ credential: { id: string } }>(
      'createCredential',
      { providerId: provider.id, name: 'next', secret: 'next' },
      'credential { id }',
    );
    const move = () => mutate<{ movedTargets: number }>('useCredential', { credentialId: next.id }, 'movedTargets');
    const models = CATALOGUE_MODELS.filter((model) => model.provider === 'cohere').length;
    expect((await move()).movedTargets).toBe(models);
    expect((await move()).movedTargets).toBe(0);
    const { rows } = await owner.query<{ line: string }>(`select line from config_object where kind = 'route'`);
    const published = rows.map(({ line }) => line);
    expect(published.filter((line) => line.includes(next.id))).toHaveLength(models);
    expect(published.filter((line) => line.includes(credential?.id ?? '-'))).toEqual([]);
  });

  it('lets translation drop what a target cannot express only where a route says so', async () => {
    const { models } = await install({ provider: 'perplexity', credential: { name: 'c', secret: 's' } });
    const { rows } = await owner.query<{ id: string }>('select id from route where model_id = $1', [models[0]?.id]);
    const id = rows[0]?.id ?? '';
    expect(await published('route', id)).toMatchObject({ dropsUnsupported: false });
    await mutate('updateRoute', { id, dropsUnsupported: true }, 'route { id }');
    expect(await published('route', id)).toMatchObject({ dropsUnsupported: true });
  });

  it.each([
    ['updateModel', { id: crypto.randomUUID() }, 'model { id }', 'NOT_FOUND id'],
    ['updateModel', { id: crypto.randomUUID(), contextWindow: 0 }, 'model { id }', 'INVALID_REQUEST contextWindow'],
    ['updateModel', { id: crypto.randomUUID(), operations: [] }, 'model { id }', 'INVALID_REQUEST operations'],
    ['updateRoute', { id: crypto.randomUUID(), dropsUnsupported: true }, 'route { id }', 'NOT_FOUND id'],
    ['useCredential', { credentialId: 'x' }, 'movedTargets', 'NOT_FOUND credentialId'],
    ['updateProvider', { id: crypto.randomUUID(), region: 'E U' }, 'provider { id }', 'INVALID_REQUEST region'],
  ])('%s of %o is refused', async (name, input, selection, expected) => {
    const { userErrors } = await mutate(name, input, selection);
    expect(userErrors.map(({ code, path }) => `${code} ${path.join('.')}`)).toContain(expected);
  });
});
