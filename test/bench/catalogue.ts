import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseJson } from '@pingtoken/shared/wire';
import type { Distribution } from '../kit/distribution.js';
import type { WorkloadName } from './options.js';
import type { Upstream } from './upstream.js';
import { basePathOf, modelOf, WORKLOADS } from './workloads.js';

type Row = Readonly<Record<string, unknown>>;

/** Calls the control plane as a console would. */
interface Client {
  query(text: string): Promise<Row>;
  /** @returns what the payload's field holds @throws Error when the control plane refuses */
  mutate(name: string, inputType: string, field: string, input: Row): Promise<unknown>;
}

function createClient(url: string, token?: string): Client {
  async function send(query: string, variables: Row): Promise<Row> {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = parseJson(await response.text()) as { data?: Row; errors?: unknown };
    if (data === undefined || errors !== undefined) throw new Error(`${query}: ${JSON.stringify(errors)}`);
    return data;
  }
  return {
    query: (text) => send(text, {}),
    mutate: async (name, inputType, field, input) => {
      const query = `mutation ($input: ${inputType}!) { ${name}(input: $input) { userErrors { code message path } ${field} } }`;
      const payload = (await send(query, { input }))[name] as Row & { readonly userErrors: readonly unknown[] };
      if (payload.userErrors.length > 0) throw new Error(`${name}: ${JSON.stringify(payload.userErrors)}`);
      return payload[/^\w+/.exec(field)?.[0] ?? ''];
    },
  };
}

/** Who calls the gateway in the bench. */
export interface BenchTenant {
  readonly tenantId: string;
  readonly memberId: string;
  readonly apiKey: string;
}

/**
 * Everything a call needs, made the way an operator and a customer make it: a tenant that registers, confirms its address
 * and makes a key; for each workload a provider, a credential, a priced model and a route; the tenant's grants and credit.
 */
export async function prepareCatalogue(
  { runtime, home }: Distribution,
  upstream: Upstream,
  workloads: readonly WorkloadName[],
): Promise<BenchTenant> {
  const anyone = createClient(runtime.graphqlUrl);
  const session = (await anyone.mutate('signIn', 'SignInInput', 'session { token }', runtime.operator)) as Row;
  const operator = createClient(runtime.graphqlUrl, String(session['token']));
  const tenant = await register(runtime.graphqlUrl, join(home, 'mail'));
  const priceCardId = await createCard(operator, 'PRICE', { INPUT: '1.25', OUTPUT: '10' });
  const costCardId = await createCard(operator, 'COST', { INPUT: '1', OUTPUT: '8' });
  for (const workload of workloads) {
    const origin = upstream.originOf(workload);
    const providerId = await idOf(operator, 'createProvider', 'CreateProviderInput', 'provider', {
      slug: `bench-${workload}`,
      name: `Bench upstream (${workload})`,
      baseUrl: origin + basePathOf(workload),
      dialect: WORKLOADS[workload].provider.toUpperCase(),
      termsUrl: `${origin}/terms`,
      privacyUrl: `${origin}/privacy`,
    });
    const credentialId = await idOf(operator, 'createCredential', 'CreateCredentialInput', 'credential', {
      providerId,
      name: 'bench',
      secret: 'sk-bench-upstream',
    });
    const name = modelOf(workload);
    const modelInput = { name, operations: ['CHAT_COMPLETIONS'], priceCardId };
    const modelId = await idOf(operator, 'createModel', 'CreateModelInput', 'model', modelInput);
    const target = { providerId, credentialId, upstreamModel: name, costCardId };
    await idOf(operator, 'createRoute', 'CreateRouteInput', 'route', { modelId, targets: [target] });
    await tenant.client.mutate('grantProvider', 'ProviderIdInput', 'grant { id }', { providerId });
  }
  await operator.mutate('creditWallet', 'CreditWalletInput', 'transferId', {
    tenantId: tenant.tenantId,
    amount: '1000000',
    idempotencyKey: 'bench',
    reason: 'bench',
  });
  return { tenantId: tenant.tenantId, memberId: tenant.memberId, apiKey: tenant.apiKey };
}

async function idOf(client: Client, name: string, inputType: string, field: string, input: Row): Promise<string> {
  return String(((await client.mutate(name, inputType, `${field} { id }`, input)) as Row)['id']);
}

function createCard(operator: Client, purpose: 'PRICE' | 'COST', perMillion: Record<string, string>): Promise<string> {
  return idOf(operator, 'createRateCard', 'CreateRateCardInput', 'rateCard', {
    name: `bench ${purpose.toLowerCase()}`,
    purpose,
    currency: 'USD',
    prices: Object.entries(perMillion).map(([dimension, amount]) => ({ dimension, amount })),
    source: 'bench',
  });
}

const EMAIL = 'bench@example.com';

async function register(url: string, mailFolder: string): Promise<BenchTenant & { readonly client: Client }> {
  const anyone = createClient(url);
  const { currentPolicy } = await anyone.query('{ currentPolicy { version } }');
  const query = `mutation ($input: RegisterInput!) {
    register(input: $input) { userErrors { code message path } session { token } tenant { id } } }`;
  const input = {
    kind: 'PERSON',
    name: 'Bench',
    email: EMAIL,
    password: 'a-password-of-the-bench',
    consentToPolicyVersion: (currentPolicy as Row)['version'],
  };
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables: { input } }),
  });
  const { data } = parseJson(await response.text()) as {
    data: { register: { session: Row | null; tenant: Row | null } };
  };
  const { session, tenant } = data.register;
  if (session === null || tenant === null) throw new Error(`register: ${JSON.stringify(data)}`);
  await anyone.mutate('verifyEmail', 'VerifyEmailInput', 'done', { token: await waitForToken(mailFolder) });
  const client = createClient(url, String(session['token']));
  const key = await client.mutate('createApiKey', 'CreateApiKeyInput', 'secret', { name: 'bench' });
  const { me } = await client.query('{ me { memberId } }');
  return {
    tenantId: String(tenant['id']),
    memberId: String((me as Row)['memberId']),
    apiKey: String(key),
    client,
  };
}

const MAIL_TIMEOUT_MS = 20_000;

/** The code from the mail, which stands on a line of its own. */
async function waitForToken(mailFolder: string): Promise<string> {
  const deadline = Date.now() + MAIL_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const names = (await readdir(mailFolder).catch(() => [])).filter((name) => name.endsWith('.eml'));
    for (const name of names) {
      const mail = await readFile(join(mailFolder, name), 'utf8');
      const token = /24 hours:\s+(\S+)/.exec(mail)?.[1];
      if (mail.includes(EMAIL) && token !== undefined) return token;
    }
    await sleep(100);
  }
  throw new Error(`no mail with a code came to ${mailFolder}`);
}
