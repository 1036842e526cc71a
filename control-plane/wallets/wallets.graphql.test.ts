import { afterAll, beforeAll, expect, test } from 'vitest';
import { v7 as uuidv7 } from 'uuid';
import { startControlPlane, type TestControlPlane } from '../../test/kit/control-plane.js';

interface Person {
  readonly id: string;
  readonly token: string;
}

let controlPlane: TestControlPlane;
let operator: string;
let tenant: Person;
let stranger: Person;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  operator = await controlPlane.signInOperator();
  [tenant, stranger] = [await register('ada'), await register('eve')];
});
afterAll(() => controlPlane.close());

async function register(name: string): Promise<Person> {
  const { graphql } = controlPlane;
  const { data: policy } = await graphql<{ currentPolicy: { version: string } }>('{ currentPolicy { version } }');
  const input = {
    ...{ kind: 'PERSON', name, email: `${name}@example.com`, password: 'a long password' },
    consentToPolicyVersion: policy.currentPolicy.version,
  };
  const { data } = await graphql<{ register: { tenant: { id: string }; session: { token: string } } }>(
    'mutation ($input: RegisterInput!) { register(input: $input) { tenant { id } session { token } } }',
    { input },
  );
  return { token: data.register.session.token, id: data.register.tenant.id };
}

type Done = Readonly<Record<string, unknown>> & { readonly userErrors: readonly object[] };

/** Calls a mutation of one input; an error of the request as a whole is told by its code. */
async function change(name: string, fields: string, input: object, token: string): Promise<Done> {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
  const { data, errors } = await controlPlane.graphql<Record<string, Done>>(
    `mutation ($input: ${type}!) { ${name}(input: $input) { ${fields} userErrors { code path } } }`,
    { input },
    token,
  );
  const done = errors === undefined ? data[name] : undefined;
  return done ?? { userErrors: (errors ?? []).map(({ extensions }) => ({ code: extensions.code })) };
}
const ask = async (query: string, token: string): Promise<unknown> =>
  (await controlPlane.graphql(query, {}, token)).data;

test('a code of the operator is redeemed by a tenant, who sees the credit and where it came from', async () => {
  const batch = { name: 'spring', amount: '5', count: 1, priority: 1, creditDays: 30, idempotencyKey: uuidv7() };
  const made = await change('createRedemptionCodes', 'codes batch { id count }', batch, operator);
  const [code] = made['codes'] as string[];
  const input = { code, idempotencyKey: 'mine' };
  const amount = { amount: '5', currency: 'USD' };
  const redeemed = await change('redeemCode', 'amount { amount currency }', input, tenant.token);
  expect(redeemed).toEqual({ amount, userErrors: [] });
  expect(await change('redeemCode', 'amount { amount }', input, stranger.token)).toEqual({
    ...{ amount: null, userErrors: [{ code: 'NOT_FOUND', path: ['code'] }] },
  });
  const view =
    '{ walletCredits { amount remaining priority } walletTransactions { nodes { kind amount { amount } } } }';
  expect(await ask(view, tenant.token)).toEqual({
    walletCredits: [{ amount: '5', remaining: '5', priority: 1 }],
    walletTransactions: { nodes: [{ kind: 'REDEMPTION', amount: { amount: '5' } }] },
  });
  expect(await ask(view, stranger.token)).toEqual({ walletCredits: [], walletTransactions: { nodes: [] } });
  expect(await ask('{ redemptionBatches { name redeemed } }', operator)).toEqual({
    redemptionBatches: [{ name: 'spring', redeemed: 1 }],
  });
});

test('received money is paid back by the operator, once for a key', async () => {
  const credit = { tenantId: stranger.id, amount: '10', reason: 'a transfer', idempotencyKey: uuidv7() };
  await change('creditWallet', 'transferId', credit, operator);
  const { walletCredits } = (await ask('{ walletCredits { id } }', stranger.token)) as {
    walletCredits: { id: string }[];
  };
  const input = {
    tenantId: stranger.id,
    creditId: walletCredits[0]?.id,
    amount: '4',
    reason: 'closed',
    idempotencyKey: 'k',
  };
  const [one, two] = [
    await change('refundCredit', 'transactionId amount { amount }', input, operator),
    await change('refundCredit', 'transactionId amount { amount }', input, operator),
  ];
  expect(one).toEqual({ transactionId: expect.any(String), amount: { amount: '4' }, userErrors: [] });
  expect(two).toEqual(one);
  expect(await ask('{ wallet { balance available creditLimit } }', stranger.token)).toEqual({
    wallet: { balance: '6', available: '6', creditLimit: '0' },
  });
});

test('how far a tenant may owe is the operator’s to say, when it is warned its own', async () => {
  const terms = { tenantId: tenant.id, billingMode: 'POSTPAID', creditLimit: '50' };
  const fields = 'terms { billingMode creditLimit lowBalance }';
  expect((await change('setWalletTerms', fields, terms, tenant.token)).userErrors).toEqual([
    { code: 'PERMISSION_DENIED' },
  ]);
  expect(await change('setWalletTerms', fields, terms, operator)).toEqual({
    ...{ terms: { billingMode: 'POSTPAID', creditLimit: '50', lowBalance: null }, userErrors: [] },
  });
  expect(await change('setLowBalance', fields, { amount: '3' }, tenant.token)).toMatchObject({
    terms: { lowBalance: '3' },
  });
  const foreign = await change('setLowBalance', fields, { tenantId: tenant.id, amount: '9' }, stranger.token);
  expect(foreign.userErrors).toEqual([{ code: 'NOT_FOUND', path: ['tenantId'] }]);
  expect(await ask('{ wallet { creditLimit available } }', tenant.token)).toEqual({
    wallet: { creditLimit: '50', available: '55' },
  });
  const prepaid = { ...terms, billingMode: 'PREPAID' };
  expect((await change('setWalletTerms', fields, prepaid, operator)).userErrors).toEqual([
    { code: 'INVALID_REQUEST', path: ['creditLimit'] },
  ]);
});

test('a budget is made, changed and removed by its tenant, and is nobody else’s', async () => {
  const input = {
    name: 'all',
    subject: 'TENANT',
    period: 'MONTH',
    amount: '20',
    isHard: true,
    idempotencyKey: uuidv7(),
  };
  const fields = 'budget { id amount isHard timeZone spent }';
  const made = await change('createBudget', fields, input, tenant.token);
  const { id } = made['budget'] as { id: string };
  expect(made).toEqual({ budget: { id, amount: '20', isHard: true, timeZone: 'UTC', spent: '0' }, userErrors: [] });
  for (const name of ['updateBudget', 'removeBudget']) {
    const { userErrors } = await change(name, fields, { id }, stranger.token);
    expect(userErrors).toEqual([{ code: 'NOT_FOUND', path: ['id'] }]);
  }
  await change('updateBudget', fields, { id, amount: '30' }, tenant.token);
  expect(await ask('{ budgets { amount } }', tenant.token)).toEqual({ budgets: [{ amount: '30' }] });
  expect(await ask('{ budgets { amount } }', stranger.token)).toEqual({ budgets: [] });
  await change('removeBudget', fields, { id }, tenant.token);
  expect(await ask('{ budgets { amount } }', tenant.token)).toEqual({ budgets: [] });
  const unknown = { ...input, timeZone: 'Mars/Olympus', idempotencyKey: uuidv7() };
  expect((await change('createBudget', fields, unknown, tenant.token)).userErrors).toEqual([
    { code: 'INVALID_REQUEST', path: ['timeZone'] },
  ]);
});

test('leases are read by their tenant; a spool is declared lost by the operator alone', async () => {
  expect(await ask('{ leases { id } }', tenant.token)).toEqual({ leases: [] });
  const input = { spoolId: uuidv7(), reason: 'gone' };
  const lost = await change('declareSpoolLost', 'spool { spoolId }', input, tenant.token);
  expect(lost.userErrors).toEqual([{ code: 'PERMISSION_DENIED' }]);
  const { userErrors } = await change('declareSpoolLost', 'spool { spoolId }', input, operator);
  expect(userErrors).toEqual([{ code: 'NOT_FOUND', path: ['spoolId'] }]);
});
