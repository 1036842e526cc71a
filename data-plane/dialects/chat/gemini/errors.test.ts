import { describe, expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import { geminiChat } from './gemini.js';
import { readStreamError } from './errors.js';

// https://cloud.google.com/apis/design/errors, https://ai.google.dev/gemini-api/docs/troubleshooting
describe('an error to a Gemini client', () => {
  it('is a status of Google’s, with what went wrong and where in its details', () => {
    const error = { code: 'invalid_request', message: 'No.', status: 400, param: 'contents' } as const;
    expect(geminiChat.writeError(error)).toEqual({
      error: {
        code: 400,
        message: 'No.',
        status: 'INVALID_ARGUMENT',
        details: [
          { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'INVALID_REQUEST', domain: 'pingtoken' },
          {
            '@type': 'type.googleapis.com/google.rpc.BadRequest',
            fieldViolations: [{ field: 'contents', description: 'No.' }],
          },
        ],
      },
    });
  });

  it.each<[ErrorCode, string]>([
    ['invalid_api_key', 'UNAUTHENTICATED'],
    ['provider_not_granted', 'PERMISSION_DENIED'],
    ['model_not_found', 'NOT_FOUND'],
    ['body_too_large', 'INVALID_ARGUMENT'],
    ['rate_limited', 'RESOURCE_EXHAUSTED'],
    ['internal_error', 'INTERNAL'],
    ['upstream_failed', 'UNAVAILABLE'],
    ['not_ready', 'UNAVAILABLE'],
    ['upstream_timeout', 'DEADLINE_EXCEEDED'],
  ])('has Google’s word for %s: %s', (code, name) => {
    const { status, message } = ERROR_CODES[code];
    expect(geminiChat.writeError({ code, message, status, param: null })).toMatchObject({
      error: { code: status, status: name, message },
    });
  });
});

describe('an error inside a stream', () => {
  it('is told by its class alone, for its text could name anything', () => {
    const error = { code: 429, message: 'key AIza-secret is out of quota', status: 'RESOURCE_EXHAUSTED' };
    expect(readStreamError({ error })).toEqual({
      code: 'rate_limited',
      message: 'The provider broke off its answer: RESOURCE_EXHAUSTED.',
    });
    expect(readStreamError({ error: { status: 'AIza-secret' } })).toEqual({
      code: 'upstream_failed',
      message: 'The provider broke off its answer.',
    });
    expect(readStreamError({ candidates: [] })).toBeUndefined();
  });
});
