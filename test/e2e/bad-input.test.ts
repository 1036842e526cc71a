import { request as httpRequest } from 'node:http';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCustomer, type Customer } from '../kit/customer.js';
import { openDatabaseReader, type DatabaseReader } from '../kit/database-reader.js';
import { startDistribution, type Distribution } from '../kit/distribution.js';
import { awaitUsage } from '../kit/usage-view.js';

const CHAT = 'pingtoken-sim-small';
const messages = [{ role: 'user' as const, content: 'Hello' }];
const GOOD = JSON.stringify({ model: CHAT, messages });

/** What no answer may show, of whatever plane: where we live, how we are built, what we know. */
const INSIDES =
  /node_modules|\.[jt]s:\d+|\bat .+\(|postgres(ql)?:\/\/|redis:\/\/|ECONN|select |insert |stack|simulator-needs/i;

interface BadCall {
  readonly what: string;
  readonly status: number;
  readonly code: string;
  readonly path?: string;
  readonly method?: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
}

const BAD_CALLS: readonly BadCall[] = [
  { what: 'no JSON', status: 400, code: 'malformed_json', body: '{"model":' },
  { what: 'an empty body', status: 400, code: 'malformed_json', body: '' },
  { what: 'an array', status: 400, code: 'malformed_json', body: '[]' },
  { what: 'null', status: 400, code: 'malformed_json', body: 'null' },
  { what: 'something behind the object', status: 400, code: 'malformed_json', body: `${GOOD}{}` },
  { what: 'bytes that are no UTF-8', status: 400, code: 'malformed_json', body: Buffer.from('7b22ff223a317d', 'hex') },
  { what: 'nesting without end', status: 400, code: 'malformed_json', body: `{"model":${'['.repeat(500_000)}` },
  { what: 'no model', status: 400, code: 'invalid_request', body: '{"messages":[]}' },
  { what: 'a model that is a number', status: 400, code: 'invalid_request', body: '{"model":7}' },
  { what: 'a stream that is a text', status: 400, code: 'invalid_request', body: '{"model":"m","stream":"yes"}' },
  { what: 'a field twice', status: 400, code: 'duplicate_field', body: `{"model":"x",${GOOD.slice(1)}` },
  { what: 'a field in capitals', status: 400, code: 'duplicate_field', body: `{"MODEL":"x",${GOOD.slice(1)}` },
  { what: 'an unknown model', status: 404, code: 'model_not_found', body: '{"model":"no-such-model","messages":[]}' },
  { what: 'a model of another use', status: 404, code: 'model_not_found', path: '/embeddings', body: GOOD },
  { what: 'an unknown key', status: 401, code: 'invalid_api_key', headers: { authorization: 'Bearer pt-unknown' } },
  { what: 'no key', status: 401, code: 'invalid_api_key', headers: { authorization: '' } },
  { what: 'another scheme', status: 401, code: 'invalid_api_key', headers: { authorization: 'Basic dTpw' } },
  { what: 'no JSON by type', status: 415, code: 'unsupported_media_type', headers: { 'content-type': 'text/plain' } },
  { what: 'a packed body', status: 415, code: 'unsupported_media_type', headers: { 'content-encoding': 'gzip' } },
  { what: 'an unknown path', status: 404, code: 'unknown_path', path: '/no-such-path' },
  { what: 'a path that we do not serve', status: 404, code: 'unknown_path', path: '/threads' },
  { what: 'another method', status: 405, code: 'method_not_allowed', method: 'GET', path: '/chat/completions' },
];

describe('bad input', () => {
  let distribution: Distribution;
  let customer: Customer;
  let database: DatabaseReader;

  beforeAll(async () => {
    distribution = await startDistribution();
    customer = await createCustomer(distribution);
    database = openDatabaseReader(distribution.runtime.databaseUrl);
  });
  afterAll(async () => {
    await database.close();
    await distribution.dispose();
  });

  /** Every table's rows but those of leasing: a data plane stocks up for its tenants when it sees fit, whatever is called. */
  async function countLastingRows(): Promise<Record<string, number>> {
    const counts = await database.countRows();
    delete counts['lease'];
    delete counts['lease_request'];
    const [moved] = await database.rows<{ count: number }>(
      `select count(*)::integer as count from transfer where kind not in ('lease', 'lease_return')`,
    );
    return { ...counts, transfer: moved?.count ?? 0 };
  }

  /** Runs what must leave no trace: no row, no call at the provider, no process less. */
  async function leavingNoTrace(work: () => Promise<void>): Promise<void> {
    const look = async () => ({
      rows: await countLastingRows(),
      calls: (await customer.books.summary()).calls,
      processes: distribution.readRuntime()?.processes,
    });
    const before = await look();
    await work();
    expect(await look()).toEqual(before);
  }

  /** The bare client: fetch would set headers and refuse some of what must be sent here. */
  function send(bad: Pick<BadCall, 'path' | 'method' | 'body' | 'headers'> & { readonly hold?: boolean }) {
    const { path = '/chat/completions', method = 'POST', body = GOOD, headers = {} } = bad;
    const { gatewayUrl } = distribution.runtime;
    const standard = { authorization: `Bearer ${customer.key.secret}`, 'content-type': 'application/json' };
    return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>((resolve, reject) => {
      const outgoing = httpRequest(gatewayUrl + path, { method, headers: { ...standard, ...headers }, agent: false });
      outgoing.on('error', reject);
      outgoing.on('response', (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        answer.on('end', () => {
          resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
          outgoing.destroy();
        });
      });
      if (bad.hold === true) outgoing.flushHeaders();
      else outgoing.end(method === 'GET' ? undefined : body);
    });
  }

  it('of a call is answered in the shape that OpenAI’s clients know, and leaves no trace', async () => {
    await leavingNoTrace(async () => {
      for (const bad of BAD_CALLS) {
        const { status, headers, text } = await send(bad);
        const { error } = JSON.parse(text) as { error: Record<string, unknown> };
        expect({ what: bad.what, status, code: error['code'] }).toEqual({
          what: bad.what,
          status: bad.status,
          code: bad.code,
        });
        expect(Object.keys(error).toSorted()).toEqual(['code', 'message', 'param', 'type']);
        expect(headers['content-type']).toBe('application/json');
        expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
        expect(text).not.toMatch(INSIDES);
        expect(text).not.toContain(customer.key.secret);
      }
    });
  });

  it('that is too long is refused before it is received, declared or not', async () => {
    await leavingNoTrace(async () => {
      const declared = await send({ headers: { 'content-length': String(33 * 1024 * 1024) }, hold: true });
      expect([declared.status, JSON.parse(declared.text)]).toMatchObject([413, { error: { code: 'body_too_large' } }]);
      const undeclared = await fetch(`${distribution.runtime.gatewayUrl}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${customer.key.secret}`, 'content-type': 'application/json' },
        body: new ReadableStream({
          start: (controller) => {
            for (let piece = 0; piece < 33; piece += 1) controller.enqueue(new Uint8Array(1024 * 1024).fill(32));
            controller.close();
          },
        }),
        duplex: 'half',
      });
      expect(undeclared.status).toBe(413);
      await undeclared.arrayBuffer();
    });
  });

  it('raises the typed errors of the official client', async () => {
    const { gatewayUrl } = distribution.runtime;
    const { client } = customer;
    const stranger = new OpenAI({ baseURL: gatewayUrl, apiKey: 'pt-nobody', maxRetries: 0 });
    const chat = (body: object) => client.chat.completions.create(body as never);
    await leavingNoTrace(async () => {
      for (const [kind, call] of [
        [OpenAI.AuthenticationError, () => stranger.models.list()],
        [OpenAI.NotFoundError, () => chat({ model: 'no-such-model', messages })],
        [OpenAI.NotFoundError, () => client.models.retrieve('no-such-model')],
        [OpenAI.NotFoundError, () => client.vectorStores.list()],
        [OpenAI.BadRequestError, () => chat({ model: 5, messages })],
        [OpenAI.BadRequestError, () => chat({ model: CHAT, messages, stream: 'yes' })],
      ] as const) {
        await expect(call()).rejects.toBeInstanceOf(kind);
      }
    });
  });

  it('that only the provider can judge is judged by it, booked, and costs nothing', async () => {
    const { client, platform, tenant } = customer;
    const refusal = client.chat.completions.create({ model: CHAT, messages: 'Hello' as never });
    const error: unknown = await refusal.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!(error instanceof OpenAI.BadRequestError)) throw new Error('not refused');
    expect(error.param).toBe('messages');
    const usage = await awaitUsage(platform, tenant.token, error.requestID ?? '');
    expect(usage).toMatchObject({ outcome: 'PROVIDER_REFUSED', status: 400, price: { amount: '0' } });
  });

  it('to GraphQL is answered with a code, and leaves no trace', async () => {
    const { tenant } = customer;
    const post = async (body: string, token?: string, contentType = 'application/json') => {
      const headers = { 'content-type': contentType, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
      const response = await fetch(distribution.runtime.graphqlUrl, { method: 'POST', headers, body });
      return { status: response.status, text: await response.text() };
    };
    const query = (text: string, variables: object = {}) => JSON.stringify({ query: text, variables });
    const create =
      'mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { secret userErrors { code } } }';
    await leavingNoTrace(async () => {
      for (const [what, body, status, code, token] of [
        ['no JSON', '{"query":', 400, 'MALFORMED_JSON', tenant.token],
        [
          'too much',
          JSON.stringify({ query: `{ me { name } } #${'x'.repeat(1_100_000)}` }),
          413,
          'BODY_TOO_LARGE',
          tenant.token,
        ],
        ['no GraphQL', query('{ me {'), 400, 'INVALID_REQUEST', tenant.token],
        ['too many words', query(`{ ${'me '.repeat(6_000)}}`), 400, 'INVALID_REQUEST', tenant.token],
        ['no query', '{}', 400, 'INVALID_REQUEST', tenant.token],
        ['an unknown field', query('{ me { passwordHash } }'), 400, 'INVALID_REQUEST', tenant.token],
        ['a wrong type', query(create, { input: { name: 7 } }), 400, 'INVALID_REQUEST', tenant.token],
        [
          'an unknown input',
          query(create, { input: { name: 'k', tenantId: 'x' } }),
          400,
          'INVALID_REQUEST',
          tenant.token,
        ],
        [
          'too deep',
          query(`{ ${'me { tenant { '.repeat(20)} id ${'} }'.repeat(20)} }`),
          400,
          'INVALID_REQUEST',
          tenant.token,
        ],
        ['nobody', query('{ me { name } }'), 200, 'UNAUTHENTICATED', undefined],
        ['a forged session', query('{ me { name } }'), 200, 'UNAUTHENTICATED', `${tenant.token}x`],
        ['not permitted', query('{ tenants { nodes { id } } }'), 200, 'PERMISSION_DENIED', tenant.token],
        ['an empty name', query(create, { input: { name: ' ' } }), 200, 'INVALID_REQUEST', tenant.token],
        [
          'a past expiry',
          query(create, { input: { name: 'k', expiresAt: '2001-01-01T00:00:00Z' } }),
          200,
          'INVALID_REQUEST',
          tenant.token,
        ],
      ] as const) {
        const answer = await post(body, token);
        expect({ what, status: answer.status, text: answer.text }).toEqual({
          what,
          status,
          text: expect.stringContaining(`"code":"${code}"`) as string,
        });
        expect(answer.text).not.toMatch(INSIDES);
        expect(answer.text).not.toContain(tenant.token);
      }
    });
  });

  it('of ids finds nothing and harms nothing', async () => {
    const { platform, tenant } = customer;
    await leavingNoTrace(async () => {
      for (const id of ['', 'x', "' or 1=1 --", '00000000-0000-0000-0000-000000000000', '\u0000']) {
        await expect(platform.revokeKey(tenant, id)).rejects.toMatchObject({ codes: ['NOT_FOUND'] });
        await expect(platform.grant(tenant, id)).rejects.toMatchObject({ codes: ['NOT_FOUND'] });
      }
    });
  });
});
