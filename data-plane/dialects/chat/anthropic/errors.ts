import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import type { ChatError, Json } from '../chat.js';
import { isObject } from '../json.js';

/** https://platform.claude.com/docs/en/api/errors#http-errors */
const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
  529: 'overloaded_error',
};

/** The vendor has no field for the parameter at fault; its own messages begin with its path, and so do these. */
export function writeAnthropicError(
  error: ChatError & { readonly status: number; readonly param: string | null },
): Json {
  const { status, param, message } = error;
  const type = TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error');
  const isNamed = param === null || message.includes(`"${param}"`);
  return { type: 'error', error: { type, message: isNamed ? message : `${param}: ${message}` } };
}

/** What is wrong with our account at the provider is none of the caller's business: it is the provider that failed. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  invalid_request_error: 'invalid_request',
  request_too_large: 'body_too_large',
  rate_limit_error: 'rate_limited',
  timeout_error: 'upstream_timeout',
  overloaded_error: 'upstream_overloaded',
};
const SHOWN = new Set(['invalid_request_error', 'request_too_large', 'overloaded_error', 'timeout_error']);
const MAX_MESSAGE_CHARACTERS = 4096;

/**
 * An `error` event inside a stream. Only of errors that concern the request or the provider's load is the text shown.
 * https://platform.claude.com/docs/en/build-with-claude/streaming#error-events
 */
export function readAnthropicErrorEvent(event: Readonly<Record<string, unknown>>): ChatError {
  const error = isObject(event['error']) ? event['error'] : {};
  const { type, message } = error;
  const code = (typeof type === 'string' ? CODES[type] : undefined) ?? 'upstream_failed';
  const isShown = typeof type === 'string' && SHOWN.has(type) && typeof message === 'string' && message !== '';
  return { code, message: isShown ? message.slice(0, MAX_MESSAGE_CHARACTERS) : ERROR_CODES[code].message };
}
