import { randomUUID } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { ApiError } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DIALECTS, type Dialect } from '@pingtoken/shared/config-snapshot';
import { parseJson } from '@pingtoken/shared/wire';
import { eventually, startUpstream } from '../kit/gateway-fixture.js';
import { MODEL, startPairGateway, startPairGateways, type PairGateway, type PairGateways } from './pair-gateways.js';
import { PAIRS, TALKERS } from './talkers.js';

/** What a client's error says, whichever client raised it. */
interface Raised {
  readonly status: number | undefined;
  /** The client's own class. */
  readonly kind: string;
  /** Its dialect's word for what is wrong. */
  readonly word: string;
  readonly message: string;
  /** The header, where the client shows it. */
  readonly retryAfter: string | undefined;
}

type ErrorWord = { readonly error?: { readonly type?: string; readonly status?: string } };

/** @throws whatever is no typed error of the client's own */
function read(caller: Dialect, error: unknown): Raised {
  if (caller === 'openai' && error instanceof OpenAI.APIError) {
    const { status, type, message } = error;
    return {
      status,
      kind: error.constructor.name,
      word: type ?? '',
      message,
      ...readAdvice(error.headers as Headers | undefined),
    };
  }
  if (caller === 'anthropic' && error instanceof Anthropic.APIError) {
    const body = error.error as { readonly error?: ErrorWord['error'] } | undefined;
    const { status, message } = error;
    const word = body?.error?.type ?? '';
    return { status, kind: error.constructor.name, word, message, ...readAdvice(error.headers as Headers | undefined) };
  }
  if (caller === 'gemini' && error instanceof ApiError) {
    const body = parseJson(error.message.slice(error.message.indexOf('{'))) as ErrorWord;
    const { status, message } = error;
    return { status, kind: 'ApiError', word: body.error?.status ?? '', message, retryAfter: undefined };
  }
  throw error;
}

function readAdvice(headers: Headers | undefined): Pick<Raised, 'retryAfter'> {
  return { retryAfter: headers?.get('retry-after') ?? undefined };
}

type Expected = Readonly<Record<Dialect, readonly [number, string, string]>>;

const BAD_REQUEST: Expected = {
  openai: [400, 'BadRequestError', 'invalid_request_error'],
  anthropic: [400, 'BadRequestError', 'invalid_request_error'],
  gemini: [400, 'ApiError', 'INVALID_ARGUMENT'],
};
const NOT_FOUND: Expected = {
  openai: [404, 'NotFoundError', 'invalid_request_error'],
  anthropic: [404, 'NotFoundError', 'not_found_error'],
  gemini: [404, 'ApiError', 'NOT_FOUND'],
};
const TOO_LARGE: Expected = {
  openai: [413, 'APIError', 'invalid_request_error'],
  anthropic: [413, 'ContentTooLargeError', 'request_too_large'],
  gemini: [413, 'ApiError', 'INVALID_ARGUMENT'],
};
const BROKEN: Expected = {
  openai: [502, 'InternalServerError', 'server_error'],
  anthropic: [502, 'InternalServerError', 'api_error'],
  gemini: [502, 'ApiError', 'UNAVAILABLE'],
};
const OVERLOADED: Expected = {
  openai: [503, 'InternalServerError', 'server_error'],
  anthropic: [529, 'OverloadedError', 'overloaded_error'],
  gemini: [503, 'ApiError', 'UNAVAILABLE'],
};
const TIMED_OUT: Expected = {
  openai: [504, 'InternalServerError', 'server_error'],
  anthropic: [504, 'GatewayTimeoutError', 'timeout_error'],
  gemini: [504, 'ApiError', 'DEADLINE_EXCEEDED'],
};

/** By the provider's status. What is about our account there is the provider's failure to a caller. */
const OF_PROVIDERS: readonly (readonly [number, Expected])[] = [
  [400, BAD_REQUEST],
  [401, BROKEN],
  [402, BROKEN],
  [403, BROKEN],
  [404, NOT_FOUND],
  [413, TOO_LARGE],
  [
    429,
    {
      // The type of OpenAI's own errors is kept where the provider speaks its dialect.
      openai: [429, 'RateLimitError', 'rate_limit_error'],
      anthropic: [429, 'RateLimitError', 'rate_limit_error'],
      gemini: [429, 'ApiError', 'RESOURCE_EXHAUSTED'],
    },
  ],
  [
    500,
    {
      openai: [500, 'InternalServerError', 'server_error'],
      anthropic: [500, 'InternalServerError', 'api_error'],
      gemini: [500, 'ApiError', 'INTERNAL'],
    },
  ],
  [503, OVERLOADED],
  [504, TIMED_OUT],
  [529, OVERLOADED],
];

let gateways: PairGateways;
beforeAll(async () => {
  gateways = await startPairGateways({ UPSTREAM_HEADERS_TIMEOUT_MS: 500 });
});
// A provider that refuses an account, or has told it to wait, is not called with it again at once.
beforeEach(() => {
  for (const dialect of DIALECTS) changeCredentials(gateways.of(dialect));
});
afterAll(() => gateways.close());

function changeCredentials({ config: { routeList } }: PairGateway): void {
  for (const [index, route] of routeList.entries()) {
    const targets = route.targets.map((target) => ({ ...target, id: randomUUID(), credentialId: randomUUID() }));
    routeList[index] = { ...route, targets };
  }
}

interface Call {
  readonly caller: Dialect;
  readonly provider: Dialect;
  readonly streamed: boolean;
  readonly text?: string;
  readonly apiKey?: string;
  readonly model?: string;
  readonly temperature?: number;
}

async function raise(call: Call, gateway: PairGateway = gateways.of(call.provider)): Promise<Raised> {
  const { caller, streamed, text = 'x', model = MODEL, apiKey = gateway.config.bearer, ...rest } = call;
  const talk = TALKERS[caller]({ origin: gateway.url, apiKey });
  const said = [{ user: text }];
  const error: unknown = await talk({ model, streamed, said, ...rest }).then(
    () => new Error('it was answered'),
    (cause: unknown) => cause,
  );
  return read(caller, error);
}

function expectRaised(raised: Raised, [status, kind, word]: readonly [number, string, string]): void {
  expect(raised).toMatchObject({ status, kind, word });
}

describe.each(PAIRS)('to a $caller client from a provider of $provider, streamed: $streamed', (pair) => {
  const { caller, provider } = pair;
  it.each(OF_PROVIDERS)('the provider’s status %i is the client’s own error', async (status, expected) => {
    const raised = await raise({ ...pair, text: `[[sim status=${status}]]` });
    const [ownStatus, kind, word] = expected[caller];
    const keepsWords = caller === 'openai' && provider === 'openai' && status === 429;
    expectRaised(raised, [ownStatus, kind, keepsWords ? 'requests' : word]);
  });

  it('errors of ours are the client’s own', async () => {
    const { config } = gateways.of(provider);
    expectRaised(
      await raise({ ...pair, apiKey: 'pt-wrong' }),
      {
        openai: [401, 'AuthenticationError', 'authentication_error'] as const,
        anthropic: [401, 'AuthenticationError', 'authentication_error'] as const,
        gemini: [401, 'ApiError', 'UNAUTHENTICATED'] as const,
      }[caller],
    );
    const suspended = config.addKey({}, { status: 'suspended' });
    expectRaised(
      await raise({ ...pair, apiKey: suspended }),
      {
        openai: [403, 'PermissionDeniedError', 'permission_error'] as const,
        anthropic: [403, 'PermissionDeniedError', 'permission_error'] as const,
        gemini: [403, 'ApiError', 'PERMISSION_DENIED'] as const,
      }[caller],
    );
    expectRaised(await raise({ ...pair, model: 'nobody-has-it' }), NOT_FOUND[caller]);
    expectRaised(await raise({ ...pair, text: 'x'.repeat(1024 * 1024) }), TOO_LARGE[caller]);
    expectRaised(await raise({ ...pair, text: '[[sim reset]]' }), BROKEN[caller]);
    expectRaised(await raise({ ...pair, text: '[[sim delay=2000]]' }), TIMED_OUT[caller]);
    const wrong: unknown = 'hot';
    if (caller !== provider) expectRaised(await raise({ ...pair, temperature: wrong as number }), BAD_REQUEST[caller]);
  });

  it('the provider’s advice on when to come again is kept', async () => {
    const { retryAfter } = await raise({ ...pair, text: '[[sim status=429 retry-after=7]]' });
    // Google's client does not show the headers of an error.
    expect(retryAfter).toBe(caller === 'gemini' ? undefined : '7');
  });
});

describe.each(PAIRS.filter(({ streamed }) => streamed))(
  'an error inside of a stream to a $caller client from a provider of $provider',
  (pair) => {
    const { caller, provider } = pair;
    it('is raised, and the call is recorded as failed', async () => {
      const gateway = gateways.of(provider);
      const before = gateway.spool.ends.length;
      const raised = await raise({ ...pair, text: '[[sim tokens=20 error-in-stream=5]]' });
      // The simulated error of OpenAI's is any, those of the others say that they are overloaded.
      const isAny = provider === 'openai';
      const words = {
        openai: { kind: 'APIError', word: 'server_error' },
        anthropic: { kind: 'APIError', word: isAny ? 'api_error' : 'overloaded_error' },
        gemini: { kind: 'ApiError', word: 'UNAVAILABLE', status: isAny ? 502 : 503 },
      };
      expect(raised).toMatchObject(words[caller]);
      await eventually(() => gateway.spool.ends.length > before);
      expect(gateway.spool.ends.at(-1)?.outcome).toBe('provider-failed');
    });
  },
);

describe('what a provider of Gemini’s dialect says in an error', () => {
  // https://ai.google.dev/gemini-api/docs/rate-limits, https://cloud.google.com/apis/design/errors
  const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '34.4s' }];
  const quota = {
    error: { code: 429, message: 'Quota of org-1234567 is used up.', status: 'RESOURCE_EXHAUSTED', details },
  };

  it.each([quota, [quota]])('of when to come again, other clients find where they look for it', async (body) => {
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(429, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    const gateway = await startPairGateway(new URL(upstream.baseUrl).origin, 'gemini');
    for (const caller of ['openai', 'anthropic'] as const) {
      const raised = await raise({ caller, provider: 'gemini', streamed: false }, gateway);
      expect(raised).toMatchObject({ kind: 'RateLimitError', word: 'rate_limit_error', retryAfter: '35' });
      expect(raised.message).toContain('Quota of *** is used up.');
    }
    await gateway.close();
    upstream.close();
  });
});

describe('a gateway that stops', () => {
  it.each(['openai', 'anthropic', 'gemini'] as const)('is overloaded to a client of %s', async (caller) => {
    const draining = gateways.of('gemini');
    draining.gateway.drain();
    const raised = await raise({ caller, provider: 'gemini', streamed: false }, draining);
    const words = { openai: 'server_error', anthropic: 'overloaded_error', gemini: 'UNAVAILABLE' };
    expect(raised).toMatchObject({ status: 503, word: words[caller] });
  });
});
