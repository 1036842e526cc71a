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

/** What a client decides by: the code as the schema's enum spells it, and whether the same request may succeed later. */
export function errorExtensions(code: ErrorCode): { readonly code: string; readonly retryable: boolean } {
  return { code: code.toUpperCase(), retryable: ERROR_CODES[code].retryable };
}

/**
 * The control plane's one mapper of errors. What we threw on purpose passes; a fault of the request keeps its message; anything
 * else is logged and told as `internal_error`, for its message may hold what is nobody's business.
 */
export function createErrorFormatter(logger: Logger) {
  return (formatted: GraphQLFormattedError, error: unknown): GraphQLFormattedError => {
    const { message, path, locations } = formatted;
    const place = { ...(path && { path }), ...(locations && { locations }) };
    const given = formatted.extensions?.['code'];
    const code = typeof given === 'string' ? given : '';
    if (code.toLowerCase() in ERROR_CODES) {
      return { message, ...place, extensions: { ...errorExtensions(code.toLowerCase() as ErrorCode) } };
    }
    const original = unwrapResolverError(error);
    if (REQUEST_FAULTS.has(code) && original instanceof GraphQLError) {
      return { message, ...place, extensions: { ...errorExtensions('invalid_request') } };
    }
    logger.error({ error: original, path }, 'a resolver failed');
    const extensions = { ...errorExtensions('internal_error') };
    return { message: ERROR_CODES.internal_error.message, ...place, extensions };
  };
}
