import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import { openAiErrorType } from '../../openai-error-type.js';
import { isObject } from '../json.js';
import type { ChatError } from '../chat.js';

/** https://platform.openai.com/docs/guides/error-codes; in a stream it is the data of an event of its own. */
export function writeError(error: ChatError & { readonly status: number; readonly param: string | null }): unknown {
  const { status, message, param, code } = error;
  return { error: { message, type: openAiErrorType(status), param, code } };
}

/** What a provider says has gone wrong in mid-answer. Its sentence stays behind: it may quote the credential. */
export function readStreamError(error: unknown): ChatError {
  const code = codeOf(isObject(error) ? [error['code'], error['type'], error['status']] : []);
  const message = code === 'upstream_failed' ? 'The provider failed in the middle of its answer.' : undefined;
  return { code, message: message ?? ERROR_CODES[code].message };
}

const CODES: ReadonlyMap<unknown, ErrorCode> = new Map<unknown, ErrorCode>([
  [429, 'rate_limited'],
  ['rate_limit_exceeded', 'rate_limited'],
  ['rate_limit_error', 'rate_limited'],
  ['requests', 'rate_limited'],
  ['tokens', 'rate_limited'],
  [400, 'invalid_request'],
  ['invalid_request_error', 'invalid_request'],
  [503, 'upstream_overloaded'],
  ['overloaded', 'upstream_overloaded'],
  ['overloaded_error', 'upstream_overloaded'],
  [504, 'upstream_timeout'],
  ['timeout', 'upstream_timeout'],
]);

function codeOf(words: readonly unknown[]): ErrorCode {
  return CODES.get(words.find((word) => CODES.has(word))) ?? 'upstream_failed';
}
