import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { parseAddressRanges } from '@pingtoken/shared/address-ranges';
import { createSigningPair, createSymmetricKey, type SigningPair } from '@pingtoken/shared/crypto';
import { createLeaseLink } from '../../control-plane/allocation/lease-link.js';
import { createControlPlaneApp } from '../../control-plane/graphql/server.js';
import { openPool } from '../../control-plane/database/sql.js';
import { createHealthLink } from '../../control-plane/health/health-link.js';
import { install } from '../../control-plane/installation.js';
import { createConfigLink } from '../../control-plane/publishing/config-link.js';
import { createConfigLog } from '../../control-plane/publishing/config-log.js';
import { openNotifications } from '../../control-plane/publishing/notifications.js';
import { openServices, type Services, type ServiceSettings } from '../../control-plane/services.js';
import type { Scope } from '../../control-plane/database/transaction.js';
import { createTestDatabase, type TestDatabase } from './platform-database.js';

export const OPERATOR = { email: 'operator@example.com', password: 'operator-password' };

export interface GraphqlAnswer<Data> {
  readonly data: Data;
  readonly errors?: readonly { readonly message: string; readonly extensions: { readonly code: string } }[];
}

export type Graphql = <Data>(
  query: string,
  variables?: Record<string, unknown>,
  token?: string,
) => Promise<GraphqlAnswer<Data>>;

/** A control plane in the test's own process, on a database of its own, reached over real HTTP. */
export interface TestControlPlane {
  readonly url: string;
  readonly database: TestDatabase;
  readonly settings: ServiceSettings;
  readonly services: Services;
  readonly operator: Scope;
  readonly signing: SigningPair;
  readonly graphql: Graphql;
  /** Session token of the operator. */
  signInOperator(): Promise<string>;
  /** Registers a person, whose e-mail address is `<name>@example.com`. */
  registerOwner(name: string): Promise<RegisteredOwner>;
  close(): Promise<void>;
}

export interface RegisteredOwner {
  /** Of its session. */
  readonly token: string;
  /** The tenant's. */
  readonly id: string;
}

const randomSecret = (): string => createSymmetricKey().toString('base64url');

export async function startControlPlane(
  overrides: Partial<Pick<ServiceSettings, 'REGISTRATION' | 'PRIVATE_UPSTREAMS'>> = {},
): Promise<TestControlPlane> {
  const database = await createTestDatabase();
  const logger = pino({ level: 'silent' });
  const settings: ServiceSettings = {
    API_DATABASE_URL: database.urls.api,
    PERSON_KEYS_DATABASE_URL: database.urls.personKeys,
    PERSON_KEYS_SECRET: randomSecret(),
    BLIND_INDEX_SECRET: randomSecret(),
    CONTENT_KEY_SECRET: randomSecret(),
    REGISTRATION: 'open',
    PRIVATE_UPSTREAMS: parseAddressRanges('127.0.0.0/8, ::1/128'),
    ...overrides,
  };
  const services = await openServices(settings, logger);
  const operator = await install(services, OPERATOR);
  const signing = createSigningPair();
  const pool = openPool({ url: database.urls.worker, size: 4, onError: () => undefined });
  const notifications = openNotifications({
    url: database.urls.worker,
    channels: ['config', 'spool-confirmed'],
    logger,
  });
  const configLink = createConfigLink({
    pool,
    log: createConfigLog({ pool }),
    notifications,
    signingKey: signing.privateKey,
    contentKeySecret: settings.CONTENT_KEY_SECRET,
    logger,
  });
  const { app, stop } = await createControlPlaneApp({
    services,
    dataPlaneLinks: [configLink.router, createLeaseLink({ pool, logger }), createHealthLink({ pool })],
    trustedProxies: [],
    logger,
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const graphql = createGraphql(`${url}/graphql`);
  return {
    url,
    database,
    settings,
    services,
    operator,
    signing,
    graphql,
    async signInOperator() {
      const mutation = 'mutation ($input: SignInInput!) { signIn(input: $input) { session { token } } }';
      const { data } = await graphql<{ signIn: { session: { token: string } } }>(mutation, { input: OPERATOR });
      return data.signIn.session.token;
    },
    registerOwner: (name) => registerOwner(graphql, name),
    async close() {
      configLink.close();
      server.close();
      server.closeAllConnections();
      await stop();
      await notifications.close();
      await services.close();
      await pool.end();
      await database.drop();
    },
  };
}

async function registerOwner(graphql: Graphql, name: string): Promise<RegisteredOwner> {
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

/** Calls a GraphQL endpoint over HTTP, as any client would. */
export function createGraphql(url: string): Graphql {
  return async <Data>(query: string, variables = {}, token?: string) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query, variables }),
    });
    return (await response.json()) as GraphqlAnswer<Data>;
  };
}
