import type { ErrorCode } from '@pingtoken/shared/error-code';
import type { ChatDialect, ChatError, Json } from '../chat.js';
import { isObject } from '../json.js';

/**
 * Google's error: a `google.rpc.Status` with the HTTP status for its code. What went wrong exactly stands in the details, as
 * Google's own reasons do. https://cloud.google.com/apis/design/errors
 */
export const writeError: ChatDialect['writeError'] = ({ code, message, status, param }): Json => ({
  error: {
    code: status,
    message,
    status: statusName(status),
    details: [
      { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: code.toUpperCase(), domain: 'pingtoken' },
      ...(param === null ? [] : [writeViolation(param, message)]),
    ],
  },
});

function writeViolation(field: string, description: string): Json {
  return { '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ field, description }] };
}

/** https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto */
function statusName(status: number): string {
  const name = STATUS_NAMES[status];
  if (name !== undefined) return name;
  return status >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT';
}

const STATUS_NAMES: Readonly<Partial<Record<number, string>>> = {
  401: 'UNAUTHENTICATED',
  402: 'RESOURCE_EXHAUSTED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  408: 'DEADLINE_EXCEEDED',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

/**
 * The error that a provider sends inside a stream. Its text is not passed on, for it could name anything; its status is a
 * word of a closed list.
 * @returns undefined when the event is none
 */
export function readStreamError(chunk: unknown): ChatError | undefined {
  const error = isObject(chunk) ? chunk['error'] : undefined;
  if (!isObject(error)) return undefined;
  const { status } = error;
  const code = typeof status === 'string' ? ERROR_CODES_BY_STATUS[status] : undefined;
  const reason = code === undefined ? '' : `: ${String(status)}`;
  return { code: code ?? 'upstream_failed', message: `The provider broke off its answer${reason}.` };
}

/** What is about the operator's account with the provider is a failure of the provider to the caller. */
const ERROR_CODES_BY_STATUS: Readonly<Partial<Record<string, ErrorCode>>> = {
  INVALID_ARGUMENT: 'invalid_request',
  FAILED_PRECONDITION: 'invalid_request',
  OUT_OF_RANGE: 'invalid_request',
  RESOURCE_EXHAUSTED: 'rate_limited',
  DEADLINE_EXCEEDED: 'upstream_timeout',
  UNAUTHENTICATED: 'upstream_failed',
  PERMISSION_DENIED: 'upstream_failed',
  NOT_FOUND: 'upstream_failed',
  UNAVAILABLE: 'upstream_overloaded',
  INTERNAL: 'upstream_failed',
  ABORTED: 'upstream_failed',
  CANCELLED: 'upstream_failed',
};
