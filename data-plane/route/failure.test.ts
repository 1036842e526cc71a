import { describe, expect, it } from 'vitest';
import { classifyAnswer, classifyErrorEvent, isRetryable, type Failure } from './failure.js';

const NOW = Date.UTC(2026, 10, 25, 12);

const classify = (status: number, body: unknown = '', headers: Record<string, string> = {}): Failure =>
  classifyAnswer({ status, headers, body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)) }, NOW);

describe('whose fault an answer is', () => {
  it.each<[string, number, unknown, Failure['kind']]>([
    [
      'a wrong key (OpenAI)',
      401,
      { error: { code: 'invalid_api_key', type: 'invalid_request_error' } },
      'credential-refused',
    ],
    [
      'a wrong key (Gemini)',
      400,
      { error: { code: 400, details: [{ reason: 'API_KEY_INVALID' }] } },
      'credential-refused',
    ],
    ['no payment', 402, 'Insufficient Balance', 'credential-refused'],
    ['no quota (OpenAI)', 429, { error: { code: 'insufficient_quota' } }, 'credential-refused'],
    [
      'no credit (Anthropic)',
      400,
      { error: { type: 'invalid_request_error', message: 'Your credit balance is too low to access the API.' } },
      'credential-refused',
    ],
    ['no permission', 403, { error: { type: 'permission_error' } }, 'credential-refused'],
    ['a moderated prompt', 403, { error: { code: 403, metadata: { flagged_input: 'x' } } }, 'refused'],
    ['too many requests', 429, { error: { code: 'rate_limit_exceeded' } }, 'rate-limited'],
    ['a fault', 500, '', 'server-error'],
    ['overload (Anthropic)', 529, { error: { type: 'overloaded_error' } }, 'server-error'],
    ['a redirect', 302, '', 'server-error'],
    ['a slow request', 408, '', 'timed-out'],
    ['a name of ours that it does not know', 404, { error: { code: 'model_not_found' } }, 'server-error'],
    ['something else that is not there', 404, { error: { code: 'x' } }, 'refused'],
    ['a bad request', 400, { error: { type: 'invalid_request_error', message: 'no' } }, 'refused'],
    ['a bad request that is no JSON', 422, '<html>', 'refused'],
    ['an error of an odd shape', 400, { error: { message: 7, code: { a: 1 }, details: 'x', metadata: [] } }, 'refused'],
  ])('%s', (_name, status, body, kind) => {
    expect(classify(status, body)).toMatchObject({ kind, status });
  });

  it('only what is the caller’s is not tried again', () => {
    expect(isRetryable(classify(400))).toBe(false);
    for (const status of [401, 403, 429, 500, 503]) expect(isRetryable(classify(status))).toBe(true);
  });
});

describe('how long to wait', () => {
  it.each<[Record<string, string>, number | undefined]>([
    [{}, undefined],
    [{ 'retry-after': '3' }, 3_000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': '3', 'retry-after-ms': '120' }, 120],
    [{ 'retry-after': 'Wed, 25 Nov 2026 12:00:09 GMT' }, 9_000],
    [{ 'retry-after': 'Wed, 25 Nov 2026 11:00:00 GMT' }, undefined],
    [{ 'retry-after': '-1' }, undefined],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '99999999999' }, 3_600_000],
    [{ 'retry-after-ms': 'NaN', 'retry-after': '2' }, 2_000],
  ])('%o', (headers, wait) => {
    expect(classify(429, '', headers).retryAfterMs).toBe(wait);
  });
});

describe('an error inside a stream', () => {
  it.each([
    ['Anthropic’s overload', { type: 'error', error: { type: 'overloaded_error', message: 'x' } }, 'server-error'],
    ['Anthropic’s rate limit', { type: 'error', error: { type: 'rate_limit_error', message: 'x' } }, 'rate-limited'],
    [
      'OpenAI’s quota',
      { type: 'error', error: { type: 'insufficient_quota', code: 'insufficient_quota' } },
      'credential-refused',
    ],
    ['a plain event of OpenAI’s', { type: 'error', code: 'rate_limit_exceeded', message: 'x' }, 'rate-limited'],
    ['a failed response', { type: 'response.failed', response: { error: { code: 'server_error' } } }, 'server-error'],
    [
      'a used up response',
      { type: 'response.failed', response: { error: { code: 'insufficient_quota' } } },
      'credential-refused',
    ],
    ['a number for a code', { error: { code: 429, message: 'x' } }, 'server-error'],
    ['what is no object', 3, 'server-error'],
  ])('is told by its words: %s', (_name, event, kind) => {
    expect(classifyErrorEvent(JSON.stringify(event), 200)).toEqual({ kind, status: 200, retryAfterMs: undefined });
  });

  it('is the provider’s fault where it cannot be read', () => {
    expect(classifyErrorEvent('{"error":', 200).kind).toBe('server-error');
  });
});
