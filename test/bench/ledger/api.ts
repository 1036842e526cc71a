import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { Router } from 'express';
import { pino } from 'pino';
import { createSymmetricKey } from '@pingtoken/shared/crypto';
import { createControlPlaneApp } from '../../../control-plane/graphql/server.js';
import { install } from '../../../control-plane/installation.js';
import { openServices } from '../../../control-plane/services.js';
import type { GraphqlAnswer } from '../../kit/control-plane.js';
import type { Cleanup } from '../cleanup.js';
import type { Servers } from './servers.js';

export type Ask = <Data>(query: string, variables: Record<string, unknown>) => Promise<GraphqlAnswer<Data>>;

const OPERATOR = { email: 'operator@example.com', password: 'a password of the bench' };

/** The control plane's API over HTTP, asked as the operator. */
export async function startApi({ urls }: Servers, cleanup: Cleanup): Promise<Ask> {
  const secret = (): string => createSymmetricKey().toString('base64url');
  const logger = pino({ level: 'error' });
  const services = await openServices(
    {
      ...{ API_DATABASE_URL: urls.api, PERSON_KEYS_DATABASE_URL: urls.personKeys, PERSON_KEYS_SECRET: secret() },
      ...{ BLIND_INDEX_SECRET: secret(), CONTENT_KEY_SECRET: secret(), REGISTRATION: 'closed', PRIVATE_UPSTREAMS: [] },
    },
    logger,
  );
  cleanup.add(() => services.close());
  await install(services, OPERATOR);
  const { app, stop } = await createControlPlaneApp({
    services,
    dataPlaneLinks: [Router()],
    trustedProxies: [],
    logger,
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(async () => {
    server.close();
    server.closeAllConnections();
    await stop();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`;
  const signIn = 'mutation ($input: SignInInput!) { signIn(input: $input) { session { token } } }';
  const { data } = await post<{ signIn: { session: { token: string } } }>(url, {}, signIn, { input: OPERATOR });
  const headers = { authorization: `Bearer ${data.signIn.session.token}` };
  return (query, variables) => post(url, headers, query, variables);
}

async function post<Data>(
  url: string,
  headers: Record<string, string>,
  query: string,
  variables: Record<string, unknown>,
): Promise<GraphqlAnswer<Data>> {
  const body = JSON.stringify({ query, variables });
  const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body };
  return (await (await fetch(url, init)).json()) as GraphqlAnswer<Data>;
}
