import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseJson } from '@pingtoken/shared/wire';
import type { Runtime } from '../../control-plane/standalone/runtime-file.js';
import { waitFor } from './wait-for.js';

/** Client of a running distribution, as an admin console is one: GraphQL over HTTP and nothing else. */
export interface Platform {
  /** @throws Error when the answer carries errors */
  query<Data>(text: string, token?: string, variables?: Record<string, unknown>): Promise<Data>;
  /**
   * @param input of the type `<Name>Input` unless `inputType` says otherwise
   * @throws MutationRefusedError when it was refused with user errors
   */
  mutate<Payload>(
    name: string,
    input: Record<string, unknown> | null,
    selection: string,
    options?: { readonly token?: string; readonly inputType?: string },
  ): Promise<Payload>;
  signIn(email: string, password: string): Promise<string>;
  /** Session token of the operator; signed in once. */
  readonly operator: () => Promise<string>;
  /** Registers with consent, verifies the mailed address and signs in: all that a newcomer does before its first key. */
  registerTenant(options?: { readonly organizationName?: string; readonly kind?: 'PERSON' }): Promise<TestTenant>;
  createKey(tenant: TestTenant, options?: { readonly expiresAt?: Date }): Promise<{ id: string; secret: string }>;
  revokeKey(tenant: TestTenant, id: string): Promise<void>;
  grant(tenant: TestTenant, providerId: string): Promise<void>;
  /** Credits the wallet, by the operator. @param amount decimal, of US dollars */
  credit(tenant: TestTenant, amount: string): Promise<void>;
  /** By its slug. */
  findProvider(slug: string): Promise<string>;
}

export interface TestTenant {
  readonly id: string;
  readonly email: string;
  readonly password: string;
  /** Session token. */
  readonly token: string;
}

interface GraphqlError {
  readonly message: string;
  readonly extensions?: { readonly code?: string };
}

/** A request that was answered with `errors`. */
export class GraphqlRefusedError extends Error {
  readonly codes: readonly string[];

  constructor(errors: readonly GraphqlError[]) {
    super(errors.map(({ message, extensions }) => `${extensions?.code ?? '?'}: ${message}`).join('; '));
    this.codes = errors.map(({ extensions }) => extensions?.code ?? '');
  }
}

/** A mutation that was answered with `userErrors`. */
export class MutationRefusedError extends Error {
  readonly codes: readonly string[];

  constructor(errors: readonly { readonly code: string; readonly message: string }[]) {
    super(errors.map(({ code, message }) => `${code}: ${message}`).join('; '));
    this.codes = errors.map(({ code }) => code);
  }
}

const PASSWORD = 'a long enough password';
const MAIL_TIMEOUT_MS = 15_000;

/** @param home `PINGTOKEN_HOME`, into which mail is delivered */
export function createPlatform(runtime: Runtime, home: string): Platform {
  const query: Platform['query'] = async <Data>(text: string, token?: string, variables = {}) => {
    const response = await fetch(runtime.graphqlUrl, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query: text, variables }),
      signal: AbortSignal.timeout(20_000),
    });
    const answer = parseJson(await response.text()) as { data?: Data | null; errors?: readonly GraphqlError[] };
    if (answer.errors !== undefined) throw new GraphqlRefusedError(answer.errors);
    return answer.data as Data;
  };

  const mutate: Platform['mutate'] = async <Payload>(
    name: string,
    input: Record<string, unknown> | null,
    selection: string,
    {
      token,
      inputType = `${name.charAt(0).toUpperCase()}${name.slice(1)}Input`,
    }: Parameters<Platform['mutate']>[3] = {},
  ) => {
    const [declared, given] = input === null ? ['', ''] : [`($input: ${inputType}!)`, '(input: $input)'];
    const text = `mutation ${declared} { ${name}${given} { ${selection} userErrors { code message path } } }`;
    const data = await query<Record<string, Payload & { userErrors: { code: string; message: string }[] }>>(
      text,
      token,
      input === null ? {} : { input },
    );
    const payload = data[name];
    if (payload === undefined) throw new Error(`no answer to ${name}`);
    if (payload.userErrors.length > 0) throw new MutationRefusedError(payload.userErrors);
    return payload;
  };

  const signIn = async (email: string, password: string): Promise<string> =>
    (await mutate<{ session: { token: string } }>('signIn', { email, password }, 'session { token }')).session.token;

  let operatorToken: Promise<string> | undefined;
  const operator = (): Promise<string> => (operatorToken ??= signIn(runtime.operator.email, runtime.operator.password));

  return {
    query,
    mutate,
    signIn,
    operator,

    async registerTenant({ organizationName, kind } = {}) {
      const { currentPolicy } = await query<{ currentPolicy: { version: string } }>('{ currentPolicy { version } }');
      const email = `${randomUUID()}@customer.example`;
      const input = {
        kind: kind ?? 'ENTERPRISE',
        name: 'A. Customer',
        email,
        password: PASSWORD,
        ...(kind !== 'PERSON' && { organizationName: organizationName ?? 'Customer Ltd.' }),
        consentToPolicyVersion: currentPolicy.version,
      };
      const { tenant } = await mutate<{ tenant: { id: string } }>('register', input, 'tenant { id }');
      await mutate('verifyEmail', { token: await readMailedToken(home, email) }, 'done');
      return { id: tenant.id, email, password: PASSWORD, token: await signIn(email, PASSWORD) };
    },

    async createKey({ token }, { expiresAt } = {}) {
      const input = { name: 'a key', ...(expiresAt !== undefined && { expiresAt: expiresAt.toISOString() }) };
      const { apiKey, secret } = await mutate<{ apiKey: { id: string }; secret: string }>(
        'createApiKey',
        input,
        'apiKey { id } secret',
        { token },
      );
      return { id: apiKey.id, secret };
    },

    async revokeKey({ token }, id) {
      await mutate('revokeApiKey', { id }, 'apiKey { status }', { token });
    },

    async grant({ token }, providerId) {
      await mutate('grantProvider', { providerId }, 'grant { id }', { token, inputType: 'ProviderIdInput' });
    },

    async credit({ id }, amount) {
      const input = { tenantId: id, amount, currency: 'USD', idempotencyKey: randomUUID(), reason: 'a test' };
      await mutate('creditWallet', input, 'transferId', { token: await operator() });
    },

    async findProvider(slug) {
      const text = '{ providers { id slug } }';
      const { providers } = await query<{ providers: { id: string; slug: string }[] }>(text, await operator());
      const found = providers.find((provider) => provider.slug === slug);
      if (found === undefined) throw new Error(`no provider ${slug}`);
      return found.id;
    },
  };
}

/** Waits for the mail to that address and takes the verification token out of it. */
async function readMailedToken(home: string, email: string): Promise<string> {
  const folder = join(home, 'mail');
  return waitFor(
    async () => {
      const names = (await readdir(folder)).filter((name) => name.endsWith('.eml'));
      for (const name of names) {
        const mail = await readFile(join(folder, name), 'utf8');
        const [token] = /\bptv\.[A-Za-z0-9_.-]+/.exec(decodeQuotedPrintable(mail)) ?? [];
        if (mail.includes(email) && token !== undefined) return token;
      }
      return undefined;
    },
    { timeoutMs: MAIL_TIMEOUT_MS, what: `mail to ${email}` },
  );
}

function decodeQuotedPrintable(text: string): string {
  return text
    .replace(/=\r?\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}
