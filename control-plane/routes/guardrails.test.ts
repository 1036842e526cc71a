import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfigLine, type ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { parseJson } from '@pingtoken/shared/wire';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';

let controlPlane: TestControlPlane;
let owner: pg.Client;
let operator: string;
let targets: readonly object[];
let models = 0;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  owner = new pg.Client({ connectionString: controlPlane.database.urls.owner });
  await owner.connect();
  operator = await controlPlane.signInOperator();
  const links = { termsUrl: 'https://vendor.example/terms', privacyUrl: 'https://vendor.example/privacy' };
  const vendor = { slug: 'vendor', name: 'Vendor', baseUrl: 'https://vendor.example/v1', dialect: 'OPENAI', ...links };
  const providerId = await idOf('createProvider', 'provider', vendor);
  const credentialId = await idOf('createCredential', 'credential', { providerId, name: 'own', secret: 'sk-test' });
  targets = [{ providerId, credentialId, upstreamModel: 'm' }];
});
afterAll(async () => {
  await owner.end();
  await controlPlane.close();
});

interface Payload {
  readonly userErrors: readonly { readonly code: string; readonly path: readonly string[] }[];
  readonly route?: { readonly id: string; readonly guardrail: Record<string, unknown> | null } | null;
}

async function mutate(name: string, selection: string, input: object): Promise<Payload> {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
  const query = `mutation ($input: ${type}!) { ${name}(input: $input) { ${selection} userErrors { code path } } }`;
  const { data, errors } = await controlPlane.graphql<Record<string, Payload>>(query, { input }, operator);
  expect(errors).toBeUndefined();
  const payload = data[name];
  if (payload === undefined) throw new Error('no payload');
  return payload;
}

async function idOf(name: string, what: string, input: object): Promise<string> {
  const payload = (await mutate(name, `${what} { id }`, input)) as unknown as Record<string, { id: string } | null>;
  const id = payload[what]?.id;
  if (id === undefined) throw new Error(JSON.stringify(payload['userErrors']));
  return id;
}

const SHOWN = 'route { id guardrail { url timeoutMs onFault sends } }';
const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const OTHER_SECRET = `whsec_${Buffer.alloc(24, 2).toString('base64')}`;
const GUARDRAIL = { url: 'https://guard.example/judge', onFault: 'CLOSED', secret: SECRET };

async function createRoute(guardrail: object | null): Promise<Payload> {
  models += 1;
  const model = { name: `guarded-${models}`, operations: ['CHAT_COMPLETIONS'] };
  const modelId = await idOf('createModel', 'model', model);
  return mutate('createRoute', SHOWN, { modelId, targets, guardrail });
}

async function guarded(): Promise<string> {
  const { route, userErrors } = await createRoute(GUARDRAIL);
  if (route === undefined || route === null) throw new Error(JSON.stringify(userErrors));
  return route.id;
}

const update = (id: string, guardrail: object | null): Promise<Payload> =>
  mutate('updateRoute', SHOWN, { id, guardrail });
const faults = ({ userErrors }: Payload): string[] => userErrors.map(({ code, path }) => `${code} ${path.join('.')}`);

/** What a data plane would read. */
async function published(id: string): Promise<ConfigObjectOf<'route'>> {
  const { rows } = await owner.query<{ line: string }>('select line from config_object where object_id = $1', [id]);
  const line = parseConfigLine(parseJson(rows[0]?.line ?? ''));
  if (line.type !== 'object' || line.object.kind !== 'route') throw new Error('no route');
  return line.object;
}

describe('the guardrail of a route', () => {
  it('is published with its secret sealed, and told without it', async () => {
    const { route } = await createRoute(GUARDRAIL);
    const { url } = GUARDRAIL;
    expect(route?.guardrail).toEqual({ url, timeoutMs: 1000, onFault: 'CLOSED', sends: 'BODY' });
    const id = route?.id ?? '';
    const { guardrail } = await published(id);
    expect(guardrail).toMatchObject({ url, timeoutMs: 1000, onFault: 'closed', sends: 'body' });
    const { rows } = await owner.query<{ text: string }>(
      `select (select guardrail::text from route where id = $1)
         || (select line from config_object where object_id = $1)
         || (select string_agg(audit.entry::text, '') from audit) as text`,
      [id],
    );
    expect(rows[0]?.text).toContain('guard.example');
    for (const part of [SECRET, SECRET.slice(6, 30)]) expect(rows[0]?.text).not.toContain(part);
    const { rows: entries } = await owner.query<{ entry: string }>(
      `select entry::text from audit where entry::text like '%' || $1 || '%'`,
      [id],
    );
    expect(entries.map(({ entry }) => entry).join()).not.toContain(guardrail?.sealedSecret ?? 'sealed');
  });

  it('keeps its secret while its host stays, and needs a new one for another', async () => {
    const id = await guarded();
    const before = await published(id);
    const { url } = GUARDRAIL;
    const moved = await update(id, { url: `${url}/v2`, onFault: 'OPEN', timeoutMs: 250, sends: 'FACTS' });
    expect(moved.route?.guardrail).toEqual({ url: `${url}/v2`, timeoutMs: 250, onFault: 'OPEN', sends: 'FACTS' });
    expect((await published(id)).guardrail?.sealedSecret).toBe(before.guardrail?.sealedSecret);
    const elsewhere = { url: 'https://else.example/judge', onFault: 'OPEN' };
    expect(faults(await update(id, elsewhere))).toEqual(['INVALID_REQUEST guardrail.secret']);
    expect((await published(id)).guardrail?.url).toBe(`${url}/v2`);
    expect(faults(await update(id, { ...elsewhere, secret: OTHER_SECRET }))).toEqual([]);
    expect((await published(id)).guardrail).toMatchObject({ url: elsewhere.url });
  });

  it('stays where an update does not speak of it, and goes with null', async () => {
    const id = await guarded();
    await mutate('updateRoute', SHOWN, { id, strategy: 'LATENCY' });
    expect((await published(id)).guardrail?.url).toBe(GUARDRAIL.url);
    expect((await update(id, null)).route?.guardrail).toBeNull();
    expect(await published(id)).not.toHaveProperty('guardrail');
  });

  it.each([
    ['a private address', { url: 'http://10.0.0.1/judge' }, 'guardrail.url'],
    ['a metadata service', { url: 'http://169.254.169.254/latest' }, 'guardrail.url'],
    ['a login in the address', { url: 'https://a:b@guard.example/' }, 'guardrail.url'],
    ['a query', { url: 'https://guard.example/?to=x' }, 'guardrail.url'],
    ['no secret', { secret: null }, 'guardrail.secret'],
    ['a short secret', { secret: 'whsec_c2hvcnQ=' }, 'guardrail.secret'],
    ['a wait of an hour', { timeoutMs: 3_600_000 }, 'guardrail.timeoutMs'],
  ])('is refused with %s', async (_what, change, path) => {
    expect(faults(await createRoute({ ...GUARDRAIL, ...change }))).toEqual([`INVALID_REQUEST ${path}`]);
  });
});
