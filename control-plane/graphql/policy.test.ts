import { GraphQLObjectType } from 'graphql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { PERMISSIONS } from '../identity/permissions.js';
import { buildApiSchema } from './schema.js';

const schema = buildApiSchema();

function operations(): { name: string; kind: 'query' | 'mutation'; policy: unknown; arguments: string[] }[] {
  return (
    [
      ['query', schema.getQueryType()],
      ['mutation', schema.getMutationType()],
    ] as const
  ).flatMap(([kind, type]) => {
    if (!(type instanceof GraphQLObjectType)) throw new Error(`no ${kind} type`);
    return Object.values(type.getFields()).map((field) => ({
      name: field.name,
      kind,
      policy: field.extensions['policy'],
      arguments: field.args.map(({ name }) => name),
    }));
  });
}

/** What anybody may do: read the policy and come in. */
const PUBLIC = ['currentPolicy', 'register', 'signIn', 'verifyEmail'];

describe('every operation of the schema', () => {
  it('names its policy, and the public ones are these', () => {
    const all = operations();
    expect(all.length).toBeGreaterThan(20);
    expect(all.filter(({ policy }) => policy === undefined).map(({ name }) => name)).toEqual([]);
    expect(
      all
        .filter(({ policy }) => policy === 'public')
        .map(({ name }) => name)
        .sort(),
    ).toEqual(PUBLIC);
    for (const { policy } of all) expect(['public', ...Object.keys(PERMISSIONS)]).toContain(policy);
  });

  it('leaves no permission of the list unused', () => {
    const used = new Set(operations().map(({ policy }) => policy));
    expect(Object.keys(PERMISSIONS).filter((permission) => !used.has(permission))).toEqual([]);
  });

  it('takes one input and answers with typed user errors, if it is a mutation', () => {
    for (const field of Object.values(schema.getMutationType()?.getFields() ?? {})) {
      expect(field.args.map(({ name }) => name).filter((name) => name !== 'input')).toEqual([]);
      expect(field.type.toString()).toMatch(/Payload!$/);
    }
  });
});

describe('the check', () => {
  let controlPlane: TestControlPlane;
  beforeAll(async () => {
    controlPlane = await startControlPlane();
  });
  afterAll(() => controlPlane.close());

  it('is made before anything else, for callers who did not sign in and for roles that are not permitted', async () => {
    const register = await controlPlane.graphql<{ register: { session: { token: string } } }>(
      `mutation { register(input: { kind: PERSON, name: "A", email: "a@example.com", password: "a long password",
         consentToPolicyVersion: "2026-11" }) { session { token } } }`,
    );
    const { token } = register.data.register.session;
    const mutation = `mutation { creditWallet(input: { tenantId: "nonsense", amount: "1", currency: "USD",
      idempotencyKey: "k", reason: "r" }) { userErrors { code } } }`;
    const anonymous = await controlPlane.graphql(mutation);
    expect(anonymous.errors?.[0]?.extensions.code).toBe('UNAUTHENTICATED');
    const tenant = await controlPlane.graphql(mutation, {}, token);
    expect(tenant.errors?.[0]?.extensions.code).toBe('PERMISSION_DENIED');
  });

  it.each([
    ['malformed JSON', '{"query":', 400],
    ['a body that is no object', '[1,2]', 400],
    ['no query', '{}', 400],
    ['an unknown field', '{"query":"{ nothing }"}', 400],
    ['a wrong type', '{"query":"{ currentPolicy(x: 1) { version } }"}', 400],
    ['too deep a query', JSON.stringify({ query: `{ ${'a { '.repeat(30)} b ${'}'.repeat(31)}` }), 400],
    ['too large a body', JSON.stringify({ query: 'x'.repeat(2_000_000) }), 413],
  ])('%s is a clear error, and no stack is shown', async (_case, body, status) => {
    const response = await fetch(`${controlPlane.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const text = await response.text();
    expect(response.status).toBe(status);
    const { errors } = JSON.parse(text) as { errors: { message: string }[] };
    expect(errors[0]?.message).toMatch(/\w/);
    expect(text).not.toMatch(/node_modules|\.js:|stacktrace/);
  });

  it('an unknown path is a 404 as JSON', async () => {
    const response = await fetch(`${controlPlane.url}/nothing`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'UNKNOWN_PATH' } }] });
  });
});
