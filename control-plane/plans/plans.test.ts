import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';

let controlPlane: TestControlPlane;
let database: pg.Client;
let operator: string;
let owner: { token: string; id: string };
let stranger: { token: string; id: string };

beforeAll(async () => {
  controlPlane = await startControlPlane();
  database = new pg.Client({ connectionString: controlPlane.database.urls.owner });
  await database.connect();
  operator = await controlPlane.signInOperator();
  [owner, stranger] = [await controlPlane.registerOwner('ada'), await controlPlane.registerOwner('eve')];
  await database.query('update person set email_verified_at = now()');
});

afterAll(async () => {
  await database.end();
  await controlPlane.close();
});

type Refused = readonly { readonly code: string; readonly path: readonly string[] }[];

/** @returns what one mutation answered, without its name around it */
async function mutate<Fields>(
  mutation: { readonly name: string; readonly input: string; readonly fields: string },
  input: object,
  token?: string,
): Promise<Fields & { userErrors: Refused }> {
  const { name, fields } = mutation;
  const text = `mutation ($input: ${mutation.input}!) { ${name}(input: $input) { ${fields} userErrors { code path } } }`;
  const { data } = await controlPlane.graphql<Record<string, Fields & { userErrors: Refused }>>(text, { input }, token);
  const payload = data[name];
  if (payload === undefined) throw new Error(`${name} gave nothing`);
  return payload;
}

const LIMITS = 'limits { requestsPerMinute tokensPerDay concurrentCalls modelIds operations addressRanges }';
const CREATE_PLAN = {
  name: 'createPlan',
  input: 'CreatePlanInput',
  fields: `plan { id name ${LIMITS} priceCards { modelPriceCardId planPriceCardId } }`,
};
const CHANGE_PLAN = { ...CREATE_PLAN, name: 'changePlan', input: 'ChangePlanInput' };
const SET_TERMS = { name: 'setTenantTerms', input: 'SetTenantTermsInput', fields: `tenant { planId ${LIMITS} }` };
const CREATE_KEY = { name: 'createApiKey', input: 'CreateApiKeyInput', fields: `apiKey { id memberId ${LIMITS} }` };
const UPDATE_KEY = { name: 'updateApiKey', input: 'UpdateApiKeyInput', fields: `apiKey { id name ${LIMITS} }` };
const SET_MEMBER = { name: 'setMemberLimits', input: 'SetMemberLimitsInput', fields: LIMITS };

interface PlanFields {
  readonly plan: { readonly id: string; readonly limits: object | null; readonly priceCards: readonly object[] } | null;
}
interface KeyFields {
  readonly apiKey: { readonly id: string; readonly memberId: string; readonly limits: object | null } | null;
}

async function published(kind: string, id: string): Promise<Record<string, unknown>> {
  const { rows } = await database.query<{ line: string }>(
    `select line from config_object where kind = $1 and object_id = $2`,
    [kind, id],
  );
  return JSON.parse(rows[0]?.line ?? '{}') as Record<string, unknown>;
}

async function createCard(name: string, input: string): Promise<string> {
  const { data, errors } = await controlPlane.graphql<{ createRateCard: { rateCard: { id: string } | null } }>(
    `mutation { createRateCard(input: {
      name: "${name}", purpose: PRICE, currency: "USD", source: "a test",
      prices: [{ dimension: INPUT, amount: "${input}" }]
    }) { rateCard { id } userErrors { message path } } }`,
    {},
    operator,
  );
  const id = data.createRateCard.rateCard?.id;
  if (id === undefined) throw new Error(JSON.stringify({ data, errors }));
  return id;
}

describe('limits of a key', () => {
  it('are stored, shown and published, and null where they bound nothing', async () => {
    const input = {
      name: 'bounded',
      limits: { requestsPerMinute: 5, operations: ['CHAT_COMPLETIONS'], addressRanges: ['10.0.0.0/8'] },
    };
    const { apiKey } = await mutate<KeyFields>(CREATE_KEY, input, owner.token);
    expect(apiKey?.limits).toMatchObject({ ...input.limits, tokensPerDay: null, modelIds: null });
    expect(await published('api-key', apiKey?.id ?? '')).toMatchObject({
      limits: {
        requestsPerMinute: 5,
        operations: ['chat-completions'],
        addressRanges: ['10.0.0.0/8'],
        concurrentCalls: null,
      },
    });
    const free = await mutate<KeyFields>(CREATE_KEY, { name: 'free', limits: {} }, owner.token);
    expect(free.apiKey?.limits).toBeNull();
    expect(await published('api-key', free.apiKey?.id ?? '')).toHaveProperty('limits', null);
  });

  it('change with the key, which stays the same', async () => {
    const { apiKey } = await mutate<KeyFields>(
      CREATE_KEY,
      { name: 'one', limits: { concurrentCalls: 2 } },
      owner.token,
    );
    const id = apiKey?.id ?? '';
    const updated = await mutate<KeyFields>(UPDATE_KEY, { id, name: 'two', limits: { tokensPerDay: 9 } }, owner.token);
    expect(updated.apiKey).toMatchObject({ id, name: 'two', limits: { tokensPerDay: 9, concurrentCalls: null } });
    expect(await published('api-key', id)).toMatchObject({ limits: { tokensPerDay: 9 }, status: 'active' });
  });

  it('are not for another tenant to change, and not of a revoked key', async () => {
    const { apiKey } = await mutate<KeyFields>(CREATE_KEY, { name: 'mine' }, owner.token);
    const id = apiKey?.id ?? '';
    const foreign = await mutate<KeyFields>(UPDATE_KEY, { id, name: 'theirs' }, stranger.token);
    expect(foreign).toMatchObject({ apiKey: null, userErrors: [{ code: 'NOT_FOUND', path: ['id'] }] });
    await controlPlane.graphql(
      'mutation ($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { userErrors { code } } }',
      { input: { id } },
      owner.token,
    );
    const revoked = await mutate<KeyFields>(UPDATE_KEY, { id, name: 'again' }, owner.token);
    expect(revoked.userErrors).toMatchObject([{ code: 'CONFLICT' }]);
  });

  it.each([
    [{ requestsPerMinute: 0 }, ['limits', 'requestsPerMinute']],
    [{ tokensPerDay: 1.5 }, ['limits', 'tokensPerDay']],
    [{ addressRanges: ['nowhere'] }, ['limits', 'addressRanges', '0']],
    [{ modelIds: ['gpt'] }, ['limits', 'modelIds', '0']],
  ])('are refused where they make no sense: %j', async (limits, path) => {
    const { userErrors } = await mutate<KeyFields>(CREATE_KEY, { name: 'odd', limits }, owner.token);
    expect(userErrors).toMatchObject([{ code: 'INVALID_REQUEST', path }]);
  });
});

describe('a plan', () => {
  it('is published, assigned to a tenant, and changed for all of its tenants at once', async () => {
    const [standard, reduced] = [await createCard('standard', '1'), await createCard('reduced', '0.8')];
    const priceCards = [{ modelPriceCardId: standard, planPriceCardId: reduced }];
    const { plan } = await mutate<PlanFields>(
      CREATE_PLAN,
      { name: 'team', limits: { requestsPerMinute: 100 }, priceCards },
      operator,
    );
    expect(plan).toMatchObject({ limits: { requestsPerMinute: 100 }, priceCards });
    const planId = plan?.id ?? '';
    expect(await published('plan', planId)).toMatchObject({ priceCards: { [standard]: reduced } });

    await mutate(SET_TERMS, { tenantId: owner.id, planId, limits: { concurrentCalls: 3 } }, operator);
    expect(await published('tenant', owner.id)).toMatchObject({ planId, limits: { concurrentCalls: 3 } });
    await mutate(CHANGE_PLAN, { planId }, operator);
    expect(await published('plan', planId)).toMatchObject({ limits: null, priceCards: {} });
    await mutate(SET_TERMS, { tenantId: owner.id }, operator);
    expect(await published('tenant', owner.id)).toMatchObject({ planId: null, limits: null });
  });

  it('names price cards that are there, each once, and a name of its own', async () => {
    const standard = await createCard('another', '1');
    const missing = '00000000-0000-4000-8000-000000000000';
    const unknown = { name: 'odd', priceCards: [{ modelPriceCardId: standard, planPriceCardId: missing }] };
    expect((await mutate(CREATE_PLAN, unknown, operator)).userErrors).toMatchObject([
      { code: 'NOT_FOUND', path: ['priceCards', '0', 'planPriceCardId'] },
    ]);
    const pair = { modelPriceCardId: standard, planPriceCardId: standard };
    expect((await mutate(CREATE_PLAN, { name: 'odd', priceCards: [pair, pair] }, operator)).userErrors).toMatchObject([
      { code: 'INVALID_REQUEST', path: ['priceCards'] },
    ]);
    await mutate(CREATE_PLAN, { name: 'once' }, operator);
    expect((await mutate(CREATE_PLAN, { name: 'once' }, operator)).userErrors).toMatchObject([{ code: 'CONFLICT' }]);
    expect((await mutate(SET_TERMS, { tenantId: owner.id, planId: missing }, operator)).userErrors).toMatchObject([
      { code: 'NOT_FOUND', path: ['planId'] },
    ]);
  });

  it("is the operator's to make", async () => {
    const text = 'mutation { createPlan(input: { name: "mine" }) { userErrors { code } } }';
    const { errors } = await controlPlane.graphql(text, {}, owner.token);
    expect(errors).toMatchObject([{ extensions: { code: 'PERMISSION_DENIED' } }]);
  });
});

describe('limits of a member', () => {
  it('are published with the member, and are not for another tenant to set', async () => {
    const { apiKey } = await mutate<KeyFields>(CREATE_KEY, { name: 'whose' }, owner.token);
    const memberId = apiKey?.memberId ?? '';
    const foreign = await mutate(SET_MEMBER, { memberId, limits: { tokensPerDay: 1 } }, stranger.token);
    expect(foreign.userErrors).toMatchObject([{ code: 'NOT_FOUND' }]);
    await mutate(SET_MEMBER, { memberId, limits: { tokensPerDay: 7 } }, owner.token);
    expect(await published('member', memberId)).toMatchObject({ limits: { tokensPerDay: 7 } });
  });
});
