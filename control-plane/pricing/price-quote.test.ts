import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { createBillingFixture, makeAttempt, makeEvent, TestSpool } from '../../test/kit/billing-fixture.js';
import type { BillingFixture, Customer } from '../../test/kit/billing-fixture.js';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';
import { openPool } from '../database/sql.js';
import { expectDone } from '../installation.js';
import { createUsageIngest } from '../workers/ingest-usage.js';

let controlPlane: TestControlPlane;
let fixture: BillingFixture;
let operator: string;
let tenant: { token: string; id: string };

const CREATE = `mutation ($input: CreateRateCardInput!) { createRateCard(input: $input) {
  rateCard { id versions { id freeTokensPerMonth
    serviceTiers { serviceTier prices { dimension amount } contextTiers { aboveInputTokens prices { amount } } }
    windows { timeZone days from to serviceTiers prices { dimension amount } }
  } } userErrors { code path message } } }`;
const QUOTE = `query ($input: PriceQuoteInput!, $tenantId: ID) { priceQuote(input: $input, tenantId: $tenantId) {
  model serviceTier priceCardVersionId price { amount currency } freeTokensLeft
  lines { dimension count freeCount rate price { amount } billedAs serviceTier aboveInputTokens window { from timeZone } }
  costs { upstreamModel cost { amount currency } margin { amount } }
} }`;

interface Created {
  readonly createRateCard: {
    readonly rateCard: { readonly id: string; readonly versions: readonly { readonly id: string }[] };
    readonly userErrors: readonly unknown[];
  };
}
interface Quoted {
  readonly priceQuote: {
    readonly priceCardVersionId: string;
    readonly price: { readonly amount: string; readonly currency: string };
    readonly lines: readonly Record<string, unknown>[];
    readonly freeTokensLeft: number;
    readonly costs: readonly Record<string, unknown>[] | null;
  } | null;
}

const CARD = {
  ...{ purpose: 'PRICE', currency: 'USD', source: 'a test', freeTokensPerMonth: 100 },
  prices: [
    { dimension: 'INPUT', amount: '2' },
    { dimension: 'OUTPUT', amount: '10' },
    { dimension: 'AUDIO_SECONDS', amount: '0.006', per: 60 },
  ],
  contextTiers: [{ aboveInputTokens: 1000, prices: [{ dimension: 'INPUT', amount: '4' }] }],
  serviceTiers: [{ serviceTier: 'BATCH', ratio: '0.5' }],
  windows: [
    {
      timeZone: 'Asia/Shanghai',
      days: [1, 2, 3, 4, 5, 6, 7],
      from: '00:30',
      to: '08:30',
      prices: [{ dimension: 'OUTPUT', amount: '5' }],
    },
  ],
};
const NOON = '2026-11-25T12:00:00.000Z';
const NIGHT = '2026-11-25T17:00:00.000Z';

beforeAll(async () => {
  controlPlane = await startControlPlane();
  fixture = createBillingFixture(controlPlane.database.urls.owner);
  operator = await controlPlane.signInOperator();
  tenant = await register('ada');
  const { services, operator: scope } = controlPlane;
  const priceCardId = (await createCard({ ...CARD, name: 'sold', effectiveFrom: '2026-01-01T00:00:00Z' })).id;
  const cost = { ...CARD, purpose: 'COST', freeTokensPerMonth: 0, effectiveFrom: '2026-01-01T00:00:00Z' };
  const costs = [
    {
      ...cost,
      name: 'cost',
      serviceTiers: [],
      windows: [],
      prices: ['INPUT', 'OUTPUT'].map((dimension) => ({ dimension, amount: '1' })),
    },
    { ...cost, name: 'euros', currency: 'EUR' },
    { ...cost, name: 'input only', prices: [{ dimension: 'INPUT', amount: '1' }], windows: [] },
  ];
  const provider = expectDone(
    await services.providers.create(scope, {
      ...{ slug: 'vendor', name: 'Vendor', baseUrl: 'https://vendor.example/v1', dialect: 'openai' },
      ...{ termsUrl: 'https://vendor.example/terms', privacyUrl: 'https://vendor.example/privacy' },
    }),
  );
  const credential = expectDone(
    await services.providers.createCredential(scope, { providerId: provider.id, name: 'own', secret: 'sk-test' }),
  );
  const model = expectDone(
    await services.routes.createModel(scope, { name: 'sold-model', operations: ['chat-completions'], priceCardId }),
  );
  expectDone(await services.routes.createModel(scope, { name: 'unsold-model', operations: ['chat-completions'] }));
  const targets = [];
  for (const [priority, input] of costs.entries()) {
    const costCardId = (await createCard(input)).id;
    targets.push({
      providerId: provider.id,
      credentialId: credential.id,
      upstreamModel: input.name,
      priority,
      costCardId,
    });
  }
  expectDone(await services.routes.createRoute(scope, { modelId: model.id, targets }));
});
afterAll(async () => {
  await fixture.close();
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

async function createCard(input: object): Promise<Created['createRateCard']['rateCard']> {
  const { data, errors } = await controlPlane.graphql<Created>(CREATE, { input }, operator);
  expect(errors).toBeUndefined();
  expect(data.createRateCard.userErrors).toEqual([]);
  return data.createRateCard.rateCard;
}

const counts = (usage: Record<string, number>): object[] =>
  Object.entries(usage).map(([dimension, count]) => ({ dimension, count }));

async function quote(
  usage: Record<string, number>,
  overrides: object = {},
  { token = tenant.token, tenantId }: { token?: string; tenantId?: string } = {},
) {
  const input = { model: 'sold-model', usage: counts(usage), at: NOON, ...overrides };
  const { data, errors } = await controlPlane.graphql<Quoted | null>(QUOTE, { input, tenantId }, token);
  return { quote: data?.priceQuote ?? undefined, error: errors?.[0] };
}

describe('a rate card through the API', () => {
  test('is shown as it was stated: ratios as the prices that they made, hours as times of the day', async () => {
    const { versions } = await createCard({ ...CARD, name: uuidv7() });
    expect(versions[0]).toMatchObject({
      freeTokensPerMonth: 100,
      serviceTiers: [
        {
          serviceTier: 'BATCH',
          prices: [
            { dimension: 'INPUT', amount: '1' },
            { dimension: 'OUTPUT', amount: '5' },
            { dimension: 'AUDIO_SECONDS', amount: '0.00005' },
          ],
          contextTiers: [{ aboveInputTokens: 1000, prices: [{ amount: '2' }, { amount: '5' }, { amount: '0.00005' }] }],
        },
      ],
      windows: [{ timeZone: 'Asia/Shanghai', from: '00:30', to: '08:30', serviceTiers: ['STANDARD'] }],
    });
  });

  test('answers faults with their places', async () => {
    const input = { ...CARD, name: uuidv7(), purpose: 'COST', windows: [{ ...CARD.windows[0], timeZone: 'Moon' }] };
    const { data } = await controlPlane.graphql<{ createRateCard: { userErrors: { path: string[] }[] } }>(
      ...([CREATE, { input }, operator] as const),
    );
    expect(data.createRateCard.userErrors.map(({ path }) => path.join('.'))).toEqual([
      'windows.0.timeZone',
      'freeTokensPerMonth',
    ]);
  });
});

describe('a quote', () => {
  test('names the version, and each line with its rate and where that comes from', async () => {
    const { quote: quoted } = await quote({ INPUT: 1001, CACHE_READ: 100, OUTPUT: 10, AUDIO_SECONDS: 90 });
    expect(quoted).toMatchObject({
      price: { amount: '0.013104', currency: 'USD' },
      freeTokensLeft: 100,
      costs: null,
      lines: [
        {
          dimension: 'INPUT',
          count: 1001,
          freeCount: 100,
          rate: '0.000004',
          price: { amount: '0.003604' },
          aboveInputTokens: 1000,
        },
        { dimension: 'OUTPUT', rate: '0.00001', price: { amount: '0.0001' }, aboveInputTokens: null, window: null },
        { dimension: 'CACHE_READ', rate: '0.000004', billedAs: 'INPUT', price: { amount: '0.0004' } },
        { dimension: 'AUDIO_SECONDS', count: 90, rate: '0.0001', price: { amount: '0.009' }, serviceTier: 'STANDARD' },
      ],
    });
  });

  test('goes by the hour and the service tier of the call', async () => {
    const night = await quote({ OUTPUT: 1_000_100 }, { at: NIGHT });
    expect(night.quote).toMatchObject({
      price: { amount: '5' },
      lines: [{ window: { from: '00:30', timeZone: 'Asia/Shanghai' } }],
    });
    const batch = await quote({ OUTPUT: 1_000_100 }, { at: NIGHT, serviceTier: 'BATCH' });
    expect(batch.quote).toMatchObject({ price: { amount: '5' }, lines: [{ window: null, serviceTier: 'BATCH' }] });
    const flex = await quote({ OUTPUT: 1_000_100 }, { serviceTier: 'FLEX' });
    expect(flex.quote).toMatchObject({ price: { amount: '10' }, lines: [{ serviceTier: 'STANDARD' }] });
  });

  test('shows cost and margin to the operator alone, where they are known and of one currency', async () => {
    const { quote: quoted } = await quote(
      { INPUT: 100, OUTPUT: 1_000_000 },
      {},
      { token: operator, tenantId: tenant.id },
    );
    expect(quoted?.costs).toEqual([
      { upstreamModel: 'cost', cost: { amount: '1.0001', currency: 'USD' }, margin: { amount: '8.9999' } },
      { upstreamModel: 'euros', cost: { amount: '10.0002', currency: 'EUR' }, margin: null },
    ]);
    expect((await quote({}, {}, { tenantId: uuidv7() })).error?.extensions.code).toBe('NOT_FOUND');
  });

  test('of what has no price is refused: a model, a dimension, an instant before the first price', async () => {
    expect((await quote({ INPUT: 1 }, { model: 'unsold-model' })).error?.extensions.code).toBe('PRICE_MISSING');
    expect((await quote({ INPUT: 1 }, { model: 'no-model' })).error?.extensions.code).toBe('MODEL_NOT_FOUND');
    expect((await quote({ WEB_SEARCH: 1 })).error?.message).toContain('webSearch');
    expect((await quote({ INPUT: 1 }, { at: '2025-12-31T23:59:59Z' })).error?.extensions.code).toBe('PRICE_MISSING');
    const twice = { usage: [...counts({ INPUT: 1 }), ...counts({ INPUT: 1 })] };
    expect((await quote({}, twice)).error?.extensions.code).toBe('INVALID_REQUEST');
  });

  test('is what the call is then charged, its free tokens included', async () => {
    const [member] = await fixture.query<{ id: string }>('select id from member where tenant_id = $1', [tenant.id]);
    const caller: Customer = { tenantId: tenant.id, personId: '', memberId: member?.id ?? '', apiKeyId: uuidv7() };
    await fixture.query(
      `insert into api_key (id, tenant_id, member_id, name, hash, hint) values ($1::uuid, $2, $3, 'k', $1::text, 'h')`,
      [caller.apiKeyId, caller.tenantId, caller.memberId],
    );
    const pool = openPool({ url: controlPlane.database.urls.worker, size: 2, onError: () => undefined });
    const ingest = createUsageIngest({ pool });
    const spool = new TestSpool(await fixture.createDataPlane());
    for (const usage of [{ input: 60, output: 3 }, { input: 70, output: 2000 }, { input: 2000 }]) {
      const asked = Object.fromEntries(
        Object.entries(usage).map(([dimension, count]) => [dimension.toUpperCase(), count]),
      );
      const { quote: quoted } = await quote(asked, { at: NIGHT });
      const event = makeEvent(caller, quoted?.priceCardVersionId ?? '', {
        ...{ model: 'sold-model', admittedAt: Date.parse(NIGHT), attempts: [makeAttempt({ usage })] },
      });
      const { settled } = await ingest(spool.append(event));
      const { data } = await controlPlane.graphql<{
        usage: { edges: { node: { price: unknown; freeTokens: number } }[] };
      }>(
        '{ usage(first: 100) { edges { node { id price { amount currency } freeTokens serviceTier } } } }',
        ...([{}, tenant.token] as const),
      );
      const booked = data.usage.edges.map(({ node }) => node).find((node) => 'id' in node && node.id === event.eventId);
      expect(booked).toMatchObject({
        price: quoted?.price,
        freeTokens: settled[0]?.freeTokens,
        serviceTier: 'STANDARD',
      });
    }
    expect((await quote({}, { at: NIGHT })).quote?.freeTokensLeft).toBe(0);
    expect((await quote({}, { at: '2026-12-01T00:00:00Z' })).quote?.freeTokensLeft).toBe(100);
    await pool.end();
  });
});
