import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfigLine, type ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { DEFAULT_ROUTE_POLICY, DEFAULT_TARGET_POLICY } from '@pingtoken/shared/route-policy';
import { parseJson } from '@pingtoken/shared/wire';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';

let controlPlane: TestControlPlane;
let owner: pg.Client;
let operator: string;
let tenant: { token: string; id: string };
let providerId: string;
let credentialId: string;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  owner = new pg.Client({ connectionString: controlPlane.database.urls.owner });
  await owner.connect();
  operator = await controlPlane.signInOperator();
  tenant = await register('ada');
  const links = { termsUrl: 'https://vendor.example/terms', privacyUrl: 'https://vendor.example/privacy' };
  const vendor = { slug: 'vendor', name: 'Vendor', baseUrl: 'https://vendor.example/v1', ...links };
  providerId = await idOf('createProvider', 'provider', vendor);
  credentialId = await idOf('createCredential', 'credential', { providerId, name: 'own', secret: 'sk-test' });
});

afterAll(async () => {
  await owner.end();
  await controlPlane.close();
});

async function register(name: string): Promise<{ token: string; id: string }> {
  const policy = await controlPlane.graphql<{ currentPolicy: { version: string } }>('{ currentPolicy { version } }');
  const input = {
    ...{ kind: 'PERSON', name, email: `${name}@example.com`, password: 'a long password' },
    consentToPolicyVersion: policy.data.currentPolicy.version,
  };
  const { data } = await controlPlane.graphql<{ register: { tenant: { id: string }; session: { token: string } } }>(
    'mutation ($input: RegisterInput!) { register(input: $input) { tenant { id } session { token } } }',
    { input },
  );
  return { token: data.register.session.token, id: data.register.tenant.id };
}

interface Done {
  readonly userErrors: readonly { readonly code: string; readonly path: readonly string[] }[];
}

async function mutate<Fields extends object>(
  name: string,
  selection: string,
  input: object,
  token = operator,
): Promise<Fields & Done> {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${name}(input: $input) { ${selection} userErrors { code path } } }`;
  const { data, errors } = await controlPlane.graphql<Record<string, Fields & Done>>(query, { input }, token);
  expect(errors).toBeUndefined();
  const payload = data[name];
  if (payload === undefined) throw new Error('no payload');
  return payload;
}

async function idOf(name: string, what: string, input: object): Promise<string> {
  const payload = await mutate<Record<string, { id: string } | null>>(name, `${what} { id }`, input);
  const id = payload[what]?.id;
  if (id === undefined) throw new Error(JSON.stringify(payload.userErrors));
  return id;
}

const errorsOf = async (name: string, selection: string, input: object): Promise<string[]> =>
  (await mutate(name, selection, input)).userErrors.map(({ code, path }) => `${code} ${path.join('.')}`);

const newModel = (name: string): Promise<string> =>
  idOf('createModel', 'model', { name, operations: ['CHAT_COMPLETIONS'] });
const target = (change: object = {}): object => ({ providerId, credentialId, upstreamModel: 'm', ...change });

/** What a data plane would read. */
async function published(id: string): Promise<ConfigObjectOf<'route'>> {
  const { rows } = await owner.query<{ line: string }>('select line from config_object where object_id = $1', [id]);
  const line = parseConfigLine(parseJson(rows[0]?.line ?? ''));
  if (line.type !== 'object' || line.object.kind !== 'route') throw new Error('no route');
  return line.object;
}

const SHOWN = `id position strategy fallbackModelIds hedging tierStrategies { priority strategy }
  cache { ttlSeconds maxAnswerBytes priceShare coalesces }
  conditions { percent keyTags capabilities minRequestBytes } retry { maxAttempts budgetShare firstByteTimeoutMs }
  targets { id weight status region limits { requestsPerMinute tokensPerMinute } }`;

describe('a route', () => {
  it('that states nothing is published as one of an earlier release is read', async () => {
    const id = await idOf('createRoute', 'route', { modelId: await newModel('plain'), targets: [target()] });
    const route = await published(id);
    expect(route).toMatchObject(DEFAULT_ROUTE_POLICY);
    expect(route.targets).toMatchObject([{ ...DEFAULT_TARGET_POLICY, weight: 1, priority: 0 }]);
  });

  it('says how its targets are used, for whom, and what comes after it', async () => {
    const [modelId, other] = [await newModel('full'), await newModel('other')];
    const policy = {
      ...{ position: 2, strategy: 'LATENCY', hedging: 'AFTER_P95', fallbackModelIds: [other] },
      tierStrategies: [{ priority: 1, strategy: 'CHEAPEST' }],
      conditions: { percent: 2.5, keyTags: ['team:a'], capabilities: ['VISION'], tenantIds: [tenant.id] },
      retry: { maxAttempts: 5, firstByteTimeoutMs: 4000 },
      cache: { ttlSeconds: 60, priceShare: 2500 },
    };
    const targets = [target({ region: 'eu', limits: { requestsPerMinute: 60, tokensPerMinute: 5_000_000_000 } })];
    const payload = await mutate<{ route: { id: string } }>('createRoute', `route { ${SHOWN} }`, {
      ...{ modelId, targets },
      ...policy,
    });
    const shown = {
      ...{ position: 2, strategy: 'LATENCY', hedging: 'AFTER_P95', fallbackModelIds: [other] },
      conditions: { percent: 2.5, keyTags: ['team:a'], capabilities: ['VISION'], minRequestBytes: null },
      retry: { maxAttempts: 5, budgetShare: 0.2, firstByteTimeoutMs: 4000 },
      cache: { ttlSeconds: 60, maxAnswerBytes: 1_048_576, priceShare: 2500, coalesces: false },
      targets: [{ region: 'eu', status: 'ACTIVE', limits: { requestsPerMinute: 60, tokensPerMinute: 5_000_000_000 } }],
    };
    expect(payload.route).toMatchObject(shown);
    expect(await published(payload.route.id)).toMatchObject({
      ...{ position: 2, strategy: 'latency', hedging: 'after-p95', fallbackModelIds: [other] },
      tierStrategies: [{ priority: 1, strategy: 'cheapest' }],
      conditions: { percent: 2.5, keyTags: ['team:a'], capabilities: ['vision'], tenantIds: [tenant.id] },
      retry: { maxAttempts: 5, sameTargetRetries: 0, firstByteTimeoutMs: 4000, perAttemptTimeoutMs: null },
      cache: { ttlSeconds: 60, maxAnswerBytes: 1_048_576, priceShare: 2500, coalesces: false },
      targets: [{ limits: { requestsPerMinute: 60, tokensPerMinute: 5_000_000_000, concurrentCalls: null } }],
    });
  });

  it('stands beside others of the model, each in a position of its own', async () => {
    const modelId = await newModel('several');
    const first = await idOf('createRoute', 'route', { modelId, targets: [target()] });
    expect(await errorsOf('createRoute', 'route { id }', { modelId, targets: [target()] })).toEqual([
      'CONFLICT position',
    ]);
    const second = await idOf('createRoute', 'route', { modelId, position: 1, targets: [target()] });
    expect(await errorsOf('updateRoute', 'route { id }', { id: second, position: 0 })).toEqual(['CONFLICT position']);
    await idOf('updateRoute', 'route', { id: first, position: 7 });
    const { data } = await controlPlane.graphql<{ routes: { id: string; position: number }[] }>(
      'query ($modelId: ID) { routes(modelId: $modelId) { id position } }',
      { modelId },
      operator,
    );
    expect(data.routes.map(({ id }) => id)).toEqual([second, first]);
  });

  it('keeps what a change leaves out', async () => {
    const modelId = await newModel('kept');
    const conditions = { percent: 10, maxRequestBytes: 100 };
    const id = await idOf('createRoute', 'route', { modelId, conditions, strategy: 'STICKY', targets: [target()] });
    await idOf('updateRoute', 'route', { id, retry: { maxAttempts: 1 } });
    expect(await published(id)).toMatchObject({ strategy: 'sticky', conditions, retry: { maxAttempts: 1 } });
    await idOf('updateRoute', 'route', { id, conditions: {} });
    expect(await published(id)).toMatchObject({
      conditions: DEFAULT_ROUTE_POLICY.conditions,
      retry: { maxAttempts: 1 },
    });
  });

  it('keeps answers until it is told not to', async () => {
    const cache = { ttlSeconds: 60, priceShare: 0, coalesces: true };
    const id = await idOf('createRoute', 'route', { modelId: await newModel('cached'), cache, targets: [target()] });
    await idOf('updateRoute', 'route', { id, position: 3 });
    expect(await published(id)).toMatchObject({ cache });
    await idOf('updateRoute', 'route', { id, cache: null });
    expect((await published(id)).cache).toBeNull();
  });

  it('refuses what it cannot hold', async () => {
    const modelId = await newModel('refused');
    const refused = (change: object): Promise<string[]> =>
      errorsOf('createRoute', 'route { id }', { modelId, targets: [target()], ...change });
    const nobody = crypto.randomUUID();
    expect(await refused({ fallbackModelIds: [modelId] })).toEqual(['INVALID_REQUEST fallbackModelIds.0']);
    expect(await refused({ fallbackModelIds: [nobody] })).toEqual(['NOT_FOUND fallbackModelIds.0']);
    expect(await refused({ conditions: { tenantIds: [nobody] } })).toEqual(['NOT_FOUND conditions.tenantIds.0']);
    expect(await refused({ conditions: { percent: 0 } })).toEqual(['INVALID_REQUEST conditions.percent']);
    expect(await refused({ conditions: { keyTags: ['a b'] } })).toEqual(['INVALID_REQUEST conditions.keyTags.0']);
    expect(await refused({ conditions: { minRequestBytes: 9, maxRequestBytes: 8 } })).toEqual([
      'INVALID_REQUEST conditions.maxRequestBytes',
    ]);
    expect(await refused({ cache: { ttlSeconds: 1, priceShare: 10_001 } })).toEqual([
      'INVALID_REQUEST cache.priceShare',
    ]);
    expect(await refused({ retry: { maxAttempts: 17 } })).toEqual(['INVALID_REQUEST retry.maxAttempts']);
    expect(await refused({ targets: [target({ limits: { requestsPerMinute: 0 } })] })).toEqual([
      'INVALID_REQUEST targets.0.limits.requestsPerMinute',
    ]);
    const twice = ['LATENCY', 'REGION'].map((strategy) => ({ priority: 0, strategy }));
    expect(await refused({ tierStrategies: twice })).toEqual(['INVALID_REQUEST tierStrategies.1']);
  });

  it('of a tenant is changed within the tenant, and seen by no other', async () => {
    const modelId = await newModel('own');
    const id = await idOf('createRoute', 'route', { modelId, tenantId: tenant.id, targets: [target()] });
    expect((await published(id)).targets).toHaveLength(1);
    expect(await errorsOf('updateRoute', 'route { id }', { id, position: 3 })).toEqual(['NOT_FOUND id']);
    await idOf('updateRoute', 'route', { id, position: 3, tenantId: tenant.id });
    await idOf('addTarget', 'target', { ...target(), routeId: id, tenantId: tenant.id });
    expect(await published(id)).toMatchObject({ position: 3, tenantId: tenant.id, targets: [{}, {}] });
    const { errors } = await controlPlane.graphql('{ routes { id } }', {}, tenant.token);
    expect(errors?.[0]?.extensions.code).toBe('PERMISSION_DENIED');
  });
});

describe('a target', () => {
  it('is added, changed, drained and taken away; the last one stays', async () => {
    const routeId = await idOf('createRoute', 'route', { modelId: await newModel('targets'), targets: [target()] });
    const added = await idOf('addTarget', 'target', { ...target({ upstreamModel: 'two' }), routeId });
    await idOf('updateTarget', 'target', { id: added, weight: 5, status: 'DRAINED', limits: { concurrentCalls: 3 } });
    const { targets } = await published(routeId);
    const [first = { id: '' }] = targets;
    expect(targets).toMatchObject([
      { upstreamModel: 'm', status: 'active' },
      { id: added, upstreamModel: 'two', weight: 5, status: 'drained', limits: { concurrentCalls: 3 } },
    ]);
    await mutate('removeTarget', 'routeId', { id: first.id });
    expect((await published(routeId)).targets).toMatchObject([{ id: added }]);
    expect(await errorsOf('removeTarget', 'routeId', { id: added })).toEqual(['INVALID_REQUEST id']);
  });

  it('of two that are taken away at once, one stays', async () => {
    const routeId = await idOf('createRoute', 'route', {
      modelId: await newModel('race'),
      targets: [target(), target()],
    });
    const { targets } = await published(routeId);
    const answers = await Promise.all(targets.map(({ id }) => errorsOf('removeTarget', 'routeId', { id })));
    expect(answers.flat()).toEqual(['INVALID_REQUEST id']);
    expect((await published(routeId)).targets).toHaveLength(1);
  });

  it('takes a credential of its own provider only', async () => {
    const routeId = await idOf('createRoute', 'route', { modelId: await newModel('credential'), targets: [target()] });
    const { targets } = await published(routeId);
    const change = { id: targets[0]?.id, credentialId: crypto.randomUUID() };
    expect(await errorsOf('updateTarget', 'target { id }', change)).toEqual(['NOT_FOUND credentialId']);
  });
});

describe('the plan of a route', () => {
  const PLAN = `query ($input: RoutePlanInput!, $tenantId: ID) { routePlan(input: $input, tenantId: $tenantId) {
    attempts { targetId upstreamModel priority strategy why health } excluded { targetId routeId why detail } } }`;
  interface Planned {
    readonly routePlan: {
      readonly attempts: readonly {
        readonly upstreamModel: string;
        readonly health: string;
        readonly strategy: string;
      }[];
      readonly excluded: readonly { readonly why: string; readonly detail: string | null }[];
    };
  }
  const planOf = async (input: object): Promise<Planned['routePlan']> => {
    const { data, errors } = await controlPlane.graphql<Planned>(PLAN, { input, tenantId: tenant.id }, operator);
    expect(errors).toBeUndefined();
    return data.routePlan;
  };

  it('says which way a tenant’s call takes, and why each other is not taken', async () => {
    const card = { name: 'sold', purpose: 'PRICE', currency: 'USD', source: 'a test' };
    const prices = ['INPUT', 'OUTPUT'].map((dimension) => ({ dimension, amount: '1' }));
    const priceCardId = await idOf('createRateCard', 'rateCard', { ...card, prices });
    const operations = ['CHAT_COMPLETIONS'];
    const modelId = await idOf('createModel', 'model', { name: 'planned', operations, priceCardId });
    const first = await idOf('createRoute', 'route', {
      ...{ modelId, strategy: 'REGION', conditions: { capabilities: ['VISION'] } },
      targets: [target({ upstreamModel: 'sees' })],
    });
    await idOf('createRoute', 'route', {
      ...{ modelId, position: 1, strategy: 'REGION' },
      targets: [
        target({ upstreamModel: 'far', region: 'us' }),
        target({ upstreamModel: 'near', region: 'eu' }),
        target({ upstreamModel: 'going', status: 'DRAINED' }),
      ],
    });
    expect((await planOf({ model: 'planned' })).excluded).toMatchObject([
      { why: 'CONDITION_NOT_MET', detail: 'capabilities', routeId: first },
      ...['PROVIDER_NOT_GRANTED', 'PROVIDER_NOT_GRANTED', 'PROVIDER_NOT_GRANTED'].map((why) => ({ why })),
    ]);
    const grant = 'mutation ($input: ProviderIdInput!) { grantProvider(input: $input) { userErrors { code } } }';
    const granted = await controlPlane.graphql(grant, { input: { providerId } }, tenant.token);
    expect(granted).toMatchObject({ data: { grantProvider: { userErrors: [] } } });
    const plan = await planOf({ model: 'planned', region: 'eu' });
    expect(plan.attempts).toMatchObject([
      { upstreamModel: 'near', strategy: 'REGION', why: 'IN_TURN', health: 'UNKNOWN' },
      { upstreamModel: 'far' },
    ]);
    expect(plan.excluded.map(({ why }) => why)).toEqual(['CONDITION_NOT_MET', 'TARGET_DRAINED']);
    const seeing = await planOf({ model: 'planned', region: 'us', needs: ['VISION'] });
    expect(seeing.attempts.map(({ upstreamModel }) => upstreamModel)).toEqual(['sees', 'far', 'near']);
  });

  it('is the operator’s to see', async () => {
    const { errors } = await controlPlane.graphql(PLAN, { input: { model: 'planned' } }, tenant.token);
    expect(errors?.[0]?.extensions.code).toBe('PERMISSION_DENIED');
  });
});

describe('what an API key has opted in to', () => {
  it('reaches the data planes, and is taken away by what does not say it', async () => {
    const id = await newKey();
    const update = (change: object) =>
      mutate('updateApiKey', 'apiKey { idempotency cache }', { id, name: 'k', ...change }, tenant.token);
    expect(await update({ idempotency: true, cache: true })).toMatchObject({
      apiKey: { idempotency: true, cache: true },
    });
    const line = async () =>
      (await owner.query<{ line: string }>('select line from config_object where object_id = $1', [id])).rows[0]?.line;
    expect(parseJson((await line()) ?? '')).toMatchObject({ kind: 'api-key', idempotency: true, cache: true });
    expect(await update({})).toMatchObject({ apiKey: { idempotency: false, cache: false } });
    expect(await line()).not.toContain('idempotency');
  });
});

async function newKey(): Promise<string> {
  const { rows } = await owner.query<{ id: string }>(
    `insert into api_key (id, tenant_id, member_id, name, hash, hint)
     select gen_random_uuid(), tenant_id, id, 'k', encode(sha256(uuid_send(gen_random_uuid())), 'hex'), 'h'
     from member where tenant_id = $1 limit 1 returning id`,
    [tenant.id],
  );
  return rows[0]?.id ?? '';
}

describe('an API key’s tags', () => {
  it('reach the data planes, each once', async () => {
    const id = await newKey();
    const input = { id, name: 'k', tags: ['team:a', 'batch', 'team:a'] };
    const { apiKey } = await mutate<{ apiKey: { tags: string[] } }>(
      'updateApiKey',
      'apiKey { tags }',
      input,
      tenant.token,
    );
    expect(apiKey.tags).toEqual(['team:a', 'batch']);
    const { rows } = await owner.query<{ line: string }>('select line from config_object where object_id = $1', [id]);
    expect(parseJson(rows[0]?.line ?? '')).toMatchObject({ kind: 'api-key', tags: ['team:a', 'batch'] });
  });

  it('are plain words, and only of one’s own keys', async () => {
    const id = await newKey();
    const wrong = await mutate('updateApiKey', 'apiKey { id }', { id, name: 'k', tags: ['a,b'] }, tenant.token);
    expect(wrong.userErrors).toMatchObject([{ code: 'INVALID_REQUEST', path: ['tags', '0'] }]);
    const stranger = await register('bob');
    const foreign = await mutate('updateApiKey', 'apiKey { id }', { id, name: 'k', tags: [] }, stranger.token);
    expect(foreign.userErrors).toMatchObject([{ code: 'NOT_FOUND', path: ['id'] }]);
  });
});
