import { unwrapResolverError } from '@apollo/server/errors';
import { GraphQLError, type GraphQLFormattedError } from 'graphql';
import type { Logger } from 'pino';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';

/** Codes that Apollo gives to requests that never reached a resolver. */
const REQUEST_FAULTS = new Set([
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'BAD_USER_INPUT',
  'BAD_REQUEST',
  'OPERATION_RESOLUTION_FAILURE',
  'PERSISTED_QUERY_NOT_FOUND',
  'PERSISTED_QUERY_NOT_SUPPORTED',
]);

/**
 * The control plane's one mapper of errors. What we threw on purpose passes; a fault of the request keeps its message; anything
 * else is logged and told as `internal_error`, for its message may hold what is nobody's business.
 */
export function createErrorFormatter(logger: Logger) {
  return (formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError => {
    const { message, path, locations } = formatted;
    const place = { ...(path && { path }), ...(locations && { locations }) };
    const code = formatted.extensions?.['code'];
    if (typeof code === 'string' && code in ERROR_CODES) {
      return { message, ...place, extensions: { code, retryable: ERROR_CODES[code as ErrorCode].retryable } };
    }
    const original = unwrapResolverError(error);
    const isRequestFault = typeof code === 'string' && REQUEST_FAULTS.has(code) && original instanceof GraphQLError;
    if (isRequestFault) return { message, ...place, extensions: { code: 'invalid_request', retryable: false } };
    logger.error({ error: original, path }, 'a resolver failed');
    const { message: text, retryable } = ERROR_CODES.internal_error;
    return { message: text, ...place, extensions: { code: 'internal_error', retryable } };
  };
}
