import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '@pingtoken/shared/key-format';
import { expectDone } from '../../control-plane/installation.js';
import { platformScope, type Scope } from '../../control-plane/database/transaction.js';
import { createGateway, type Gateway } from '../../data-plane/gateway.js';
import { makeIdentityIfMissing, readIdentity } from '../../data-plane/identity.js';
import { createHttpServer } from '../../data-plane/listen.js';
import { openState, type State } from '../../data-plane/state.js';
import { startControlPlane, type TestControlPlane } from '../kit/control-plane.js';
import { openDatabaseReader, type DatabaseReader } from '../kit/database-reader.js';
import { ENVIRONMENT } from '../kit/gateway-environment.js';
import { startUpstream, type ScriptedUpstream } from '../kit/gateway-fixture.js';
import { makeTemporaryFolder } from '../kit/temporary-folder.js';
import { waitFor } from '../kit/wait-for.js';

const PATIENCE_MS = 20_000;
const logger = pino({ level: 'silent' });
const { secret: bearer } = createApiKey();
/** The only secret that the provider takes. */
let accepted = 'sk-first';
let upstream: ScriptedUpstream;
let controlPlane: TestControlPlane;
let database: DatabaseReader;
let operator: string;
let credentialId: string;
const dataPlanes: DataPlane[] = [];

interface DataPlane {
  readonly url: string;
  readonly state: State;
  readonly gateway: Gateway;
  readonly server: Server;
  readonly home: Awaited<ReturnType<typeof makeTemporaryFolder>>;
}

beforeAll(async () => {
  upstream = await startUpstream((request, response) => {
    const isAccepted = request.headers.authorization === `Bearer ${accepted}`;
    response.writeHead(isAccepted ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isAccepted ? ANSWER : { error: { message: 'No such key.', code: 'invalid_api_key' } }));
  });
  controlPlane = await startControlPlane();
  database = openDatabaseReader(controlPlane.database.urls.owner);
  operator = await controlPlane.signInOperator();
  await seed();
  for (const name of ['one', 'two']) dataPlanes.push(await startDataPlane(name));
}, 120_000);
afterAll(async () => {
  for (const { state, gateway, server, home } of dataPlanes) {
    server.close();
    server.closeAllConnections();
    await gateway.close();
    await state.close();
    await home.remove();
  }
  await database.close();
  await controlPlane.close();
  upstream.close();
});

const ANSWER = {
  ...{ id: 'a', object: 'chat.completion', model: 'm', usage: { prompt_tokens: 1, completion_tokens: 1 } },
  choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }],
};

/** A tenant that can call one model, by one credential. */
async function seed(): Promise<void> {
  const { services, operator: scope } = controlPlane;
  const account = expectDone(
    await services.registration.createAccount(
      { kind: 'person', name: 'A', email: 'a@example.com', password: 'a long password' },
      { tenantKind: 'person', role: 'owner', emailVerified: true },
    ),
  );
  const tenant: Scope = { ...platformScope(account.tenant.id), actorMemberId: account.member.id };
  expectDone(await services.keys.ensureKey(tenant, account.member.id, 'a key', bearer));
  const credit = { amount: '100', currency: 'USD', idempotencyKey: 'credit', reason: 'a test' };
  expectDone(await services.ledger.topUp(tenant, credit));
  const links = { termsUrl: 'https://vendor.example/terms', privacyUrl: 'https://vendor.example/privacy' };
  const vendor = { slug: 'vendor', name: 'Vendor', baseUrl: upstream.baseUrl, dialect: 'openai', ...links } as const;
  const provider = expectDone(await services.providers.create(scope, vendor));
  const providerId = provider.id;
  expectDone(await services.providers.grant(tenant, providerId));
  const given = { providerId, name: 'own', secret: accepted };
  credentialId = expectDone(await services.providers.createCredential(scope, given)).id;
  const prices = (['input', 'output'] as const).map((dimension) => ({ dimension, amount: '1' }));
  const card = { name: 'sold', purpose: 'price', currency: 'USD', source: 'a test', prices } as const;
  const priceCardId = expectDone(await services.rateCards.create(scope, card)).card.id;
  const named = { name: 'm', operations: ['chat-completions' as const], maxOutputTokens: 100, priceCardId };
  const model = expectDone(await services.routes.createModel(scope, named));
  const targets = [{ providerId, credentialId, upstreamModel: 'm' }];
  expectDone(await services.routes.createRoute(scope, { modelId: model.id, targets }));
}

async function startDataPlane(name: string): Promise<DataPlane> {
  const home = await makeTemporaryFolder(`data-plane-${name}`);
  const enrolment = makeIdentityIfMissing(home.path, name);
  if (enrolment === null) throw new Error('no identity was made');
  expectDone(await controlPlane.services.dataPlanes.enrol(controlPlane.operator, { name, ...enrolment }));
  const state = openState({
    ...{ home: home.path, controlPlaneUrl: controlPlane.url, identity: readIdentity(home.path), logger },
    // Nobody listens there: what was used is not what is tested here.
    queueUrl: 'redis://127.0.0.1:1',
    verifyKey: controlPlane.signing.publicKey,
    leaseTimeoutMs: PATIENCE_MS,
  });
  await state.start();
  const gateway = createGateway({ state, environment: ENVIRONMENT, region: name, logger });
  const server = createHttpServer(gateway, ENVIRONMENT);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, state, gateway, server, home };
}

async function statusAt({ url }: DataPlane): Promise<number> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', max_tokens: 10, messages: [{ role: 'user', content: 'Hello' }] }),
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  await response.arrayBuffer();
  return response.status;
}

const awaitServed = async (): Promise<void> => {
  for (const dataPlane of dataPlanes) {
    const options = { timeoutMs: PATIENCE_MS, what: `a call at ${dataPlane.url}` };
    await waitFor(async () => (await statusAt(dataPlane)) === 200, options);
  }
};

interface Fault {
  readonly credentialId: string;
  readonly providerStatus: number;
  readonly parkedAt: number;
}
async function openFaults(): Promise<readonly Fault[]> {
  const text = '{ credentialFaults { credentialId providerStatus parkedAt } }';
  return (await controlPlane.graphql<{ credentialFaults: Fault[] }>(text, {}, operator)).data.credentialFaults;
}

/** Both data planes meet the refusal, and both have told of it. */
async function park(): Promise<void> {
  for (const dataPlane of dataPlanes) {
    expect(await statusAt(dataPlane)).toBe(502);
    const before = upstream.requests.length;
    expect(await statusAt(dataPlane)).toBe(502);
    expect(upstream.requests.length).toBe(before);
  }
  const isTold = async () => (await openFaults())[0]?.parkedAt === dataPlanes.length;
  await waitFor(isTold, { timeoutMs: PATIENCE_MS, what: 'the reports of both' });
  expect(await openFaults()).toEqual([{ credentialId, providerStatus: 401, parkedAt: 2 }]);
}

const notices = () => database.rows(`select id from outbox where payload->>'notice' = 'credential-parked'`);

async function mutate(name: string, input: object): Promise<void> {
  const type = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`;
  const text = `mutation ($input: ${type}!) { ${name}(input: $input) { userErrors { code } } }`;
  expect(await controlPlane.graphql(text, { input }, operator)).toEqual({ data: { [name]: { userErrors: [] } } });
}

describe('a credential that a provider refuses, with two data planes', () => {
  it('is told once, and both take it again when the operator says that the account is in order', async () => {
    await awaitServed();
    accepted = 'sk-second';
    await park();
    expect(await notices()).toHaveLength(1);
    accepted = 'sk-first';
    await mutate('resumeCredential', { credentialId });
    await awaitServed();
    expect(await openFaults()).toEqual([]);
  });

  it('is told again when it is refused again, and taken with another secret', async () => {
    accepted = 'sk-third';
    await park();
    expect(await notices()).toHaveLength(2);
    await mutate('replaceCredentialSecret', { credentialId, secret: 'sk-third' });
    await awaitServed();
    expect(await openFaults()).toEqual([]);
    const text = '{ targetHealth(isBlocked: true) { state } }';
    const blocked = async () =>
      (await controlPlane.graphql<{ targetHealth: object[] }>(text, {}, operator)).data.targetHealth;
    const isWell = async () => (await blocked()).length === 0;
    await waitFor(isWell, { timeoutMs: 2 * PATIENCE_MS, what: 'reports that all is well' });
  });
});
