import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture } from '../../test/kit/billing-fixture.js';
import { startControlPlane, type GraphqlAnswer, type TestControlPlane } from '../../test/kit/control-plane.js';
import { createUsageIngest } from '../workers/ingest-usage.js';
import { openPool } from '../database/sql.js';

let controlPlane: TestControlPlane;
let fixture: BillingFixture;
let operator: string;
let tenant: { token: string; id: string };
let stranger: { token: string; id: string };

beforeAll(async () => {
  controlPlane = await startControlPlane();
  fixture = createBillingFixture(controlPlane.database.urls.owner);
  operator = await controlPlane.signInOperator();
  [tenant, stranger] = [await register('ada'), await register('eve')];
});

afterAll(async () => {
  await fixture.close();
  await controlPlane.close();
});

async function register(name: string): Promise<{ token: string; id: string }> {
  const { data: policy } = await ask<{ currentPolicy: { version: string } }>('{ currentPolicy { version } }');
  const input = {
    ...{ kind: 'PERSON', name, email: `${name}@example.com`, password: 'a long password' },
    consentToPolicyVersion: policy.currentPolicy.version,
  };
  const { data } = await ask<{ register: { tenant: { id: string }; session: { token: string } } }>(
    'mutation ($input: RegisterInput!) { register(input: $input) { tenant { id } session { token } } }',
    { input },
  );
  return { token: data.register.session.token, id: data.register.tenant.id };
}

const ask = <Data>(query: string, variables?: Record<string, unknown>, token?: string): Promise<GraphqlAnswer<Data>> =>
  controlPlane.graphql<Data>(query, variables, token);

const WALLET = '{ wallet { balance reserved available currency } wallets { currency balance } }';
const CREDIT = `mutation ($input: CreditWalletInput!) { creditWallet(input: $input) {
  transferId wallet { available } userErrors { code path }
} }`;
const CREATE_CARD = `mutation ($input: CreateRateCardInput!) { createRateCard(input: $input) {
  rateCard { id purpose versions { prices { dimension amount } contextTiers { aboveInputTokens } } }
  userErrors { code path message }
} }`;
const ADD_VERSION = `mutation ($input: AddRateCardVersionInput!) { addRateCardVersion(input: $input) {
  rateCard { versions { prices { dimension amount } } } userErrors { code path }
} }`;

const credit = (overrides: object = {}) => ({
  input: { tenantId: tenant.id, amount: '100.00', idempotencyKey: uuidv7(), reason: 'bank transfer', ...overrides },
});
const version = { currency: 'USD', source: 'a test', prices: [{ dimension: 'CACHE_WRITE_5M', amount: '3.75' }] };

describe('a wallet', () => {
  test('is credited by the operator and read by its tenant alone', async () => {
    const { data } = await ask(CREDIT, credit(), operator);
    expect(data).toEqual({
      creditWallet: { transferId: expect.any(String), wallet: { available: '100' }, userErrors: [] },
    });
    const full = { balance: '100', reserved: '0', available: '100', currency: 'USD' };
    expect((await ask(WALLET, {}, tenant.token)).data).toEqual({
      ...{ wallet: full, wallets: [{ currency: 'USD', balance: '100' }] },
    });
    const empty = { ...full, balance: '0', available: '0' };
    expect((await ask(WALLET, {}, stranger.token)).data).toEqual({ wallet: empty, wallets: [] });
  });

  test('is credited by nobody else', async () => {
    for (const [token, code] of [
      [tenant.token, 'PERMISSION_DENIED'],
      [undefined, 'UNAUTHENTICATED'],
    ] as const) {
      const { errors } = await ask(CREDIT, credit(), token);
      expect(errors?.map(({ extensions }) => extensions.code)).toEqual([code]);
    }
  });

  test('answers a fault of the input with typed errors and books nothing', async () => {
    for (const [fault, code, path] of [
      [{ amount: '-1' }, 'INVALID_REQUEST', ['amount']],
      [{ currency: 'usd' }, 'INVALID_REQUEST', ['currency']],
      [{ tenantId: uuidv7() }, 'NOT_FOUND', ['tenantId']],
      [{ tenantId: "'; drop table transfer" }, 'NOT_FOUND', ['tenantId']],
    ] as const) {
      const { data } = await ask<{ creditWallet: { userErrors: unknown } }>(CREDIT, credit(fault), operator);
      expect(data.creditWallet.userErrors).toEqual([{ code, path }]);
    }
  });
});

describe('usage', () => {
  beforeAll(async () => {
    const [row] = await fixture.query<{ id: string }>('select id from member where tenant_id = $1', [tenant.id]);
    const owner = { tenantId: tenant.id, memberId: row?.id ?? '', apiKeyId: uuidv7() };
    await fixture.query(
      `insert into api_key (id, tenant_id, member_id, name, hash, hint) values ($1::uuid, $2, $3, 'k', $1::text, 'h')`,
      [owner.apiKeyId, owner.tenantId, owner.memberId],
    );
    const price = await fixture.createVersion({ input: '2500000', output: '10000000' });
    const cost = await fixture.createVersion({ input: '1', output: '1' });
    const attempts = [makeAttempt({ costCardVersionId: cost.id })];
    const pool = openPool({ url: controlPlane.database.urls.worker, size: 1, onError: () => undefined });
    const spool = new TestSpool(await fixture.createDataPlane());
    await createUsageIngest({ pool })(
      spool.append(
        ...Array.from({ length: 5 }, () => makeEvent(owner, price.id, { attempts })),
        makeEvent(owner, price.id, { kind: 'interrupted', outcome: 'interrupted', status: null, billedAttempt: null }),
      ),
    );
    await pool.end();
  });

  const PAGE = `query ($first: Int, $after: String) { usage(first: $first, after: $after) {
    edges { cursor node { id model outcome price { amount currency } counts { dimension count } } }
    pageInfo { hasNextPage endCursor }
  } }`;
  interface Page {
    usage: {
      edges: { cursor: string; node: { id: string; outcome: string; price: object; counts: object[] } }[];
      pageInfo: { hasNextPage: boolean; endCursor: string | null };
    };
  }

  test('is paged to its end, each call once', async () => {
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const { data }: GraphqlAnswer<Page> = await ask<Page>(PAGE, { first: 2, after }, tenant.token);
      seen.push(...data.usage.edges.map(({ node }) => node.id));
      after = data.usage.pageInfo.hasNextPage ? data.usage.pageInfo.endCursor : null;
    } while (after !== null);
    expect(new Set(seen).size).toBe(6);
    expect(seen).toEqual(seen.toSorted().reverse());
  });

  test('shows what was counted and charged, and nothing of what the operator pays', async () => {
    const { data } = await ask<Page>(PAGE, {}, tenant.token);
    expect(data.usage.edges.map(({ node }) => node.outcome).sort()).toEqual([
      ...Array.from({ length: 5 }, () => 'COMPLETED'),
      'INTERRUPTED',
    ]);
    expect(data.usage.edges.find(({ node }) => node.outcome === 'COMPLETED')?.node).toMatchObject({
      price: { amount: '0.00075', currency: 'USD' },
      counts: [
        { dimension: 'INPUT', count: 100 },
        { dimension: 'OUTPUT', count: 50 },
      ],
    });
    expect((await ask<Page>(PAGE, {}, stranger.token)).data.usage.edges).toEqual([]);
  });

  test('is added up', async () => {
    const query = '{ usageSummary { calls amounts { amount currency } counts { dimension count } } }';
    expect((await ask(query, {}, tenant.token)).data).toEqual({
      usageSummary: {
        calls: 6,
        amounts: [{ amount: '0.00375', currency: 'USD' }],
        counts: [
          { dimension: 'INPUT', count: 500 },
          { dimension: 'OUTPUT', count: 250 },
        ],
      },
    });
  });

  test('refuses a forged cursor and too large a page', async () => {
    for (const variables of [{ after: 'AAAA' }, { first: 101 }]) {
      const { errors } = await ask(PAGE, variables, tenant.token);
      expect(errors?.map(({ extensions }) => extensions.code)).toEqual(['INVALID_REQUEST']);
    }
  });
});

describe('rate cards', () => {
  test('are made, superseded and listed by the operator', async () => {
    const name = uuidv7();
    const made = await ask<{ createRateCard: { rateCard: { id: string; versions: object[] } } }>(
      CREATE_CARD,
      { input: { ...version, name, purpose: 'PRICE' } },
      operator,
    );
    const { id, versions } = made.data.createRateCard.rateCard;
    expect(versions).toEqual([{ prices: [{ dimension: 'CACHE_WRITE_5M', amount: '3.75' }], contextTiers: [] }]);
    const effectiveFrom = new Date(Date.now() + 60_000).toISOString();
    const { data } = await ask<{ addRateCardVersion: { rateCard: { versions: object[] } } }>(
      ADD_VERSION,
      { input: { ...version, rateCardId: id, effectiveFrom } },
      operator,
    );
    expect(data.addRateCardVersion.rateCard.versions).toHaveLength(2);
    const list = await ask<{ rateCards: { name: string }[] }>('{ rateCards { name } }', {}, operator);
    expect(list.data.rateCards.map((card) => card.name)).toContain(name);
  });

  test('answer a bad price with the place where it stands', async () => {
    const prices = [{ dimension: 'INPUT', amount: '0.00000001' }];
    const { data } = await ask<{ createRateCard: { userErrors: object[] } }>(
      CREATE_CARD,
      { input: { ...version, prices, name: uuidv7(), purpose: 'COST' } },
      operator,
    );
    expect(data.createRateCard.userErrors).toMatchObject([
      { code: 'INVALID_REQUEST', path: ['prices', '0', 'amount'] },
    ]);
  });

  test('are not a tenant’s to read or make', async () => {
    for (const query of ['{ rateCards { name } }', CREATE_CARD]) {
      const input = { ...version, name: uuidv7(), purpose: 'PRICE' };
      const { errors } = await ask(query, { input }, tenant.token);
      expect(errors?.map(({ extensions }) => extensions.code)).toEqual(['PERMISSION_DENIED']);
    }
  });
});
