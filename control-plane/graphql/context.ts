import { GraphQLError } from 'graphql';
import { Arg, createParameterDecorator, ID } from 'type-graphql';
import { ERROR_CODES, type ErrorCode } from '@pingtoken/shared/error-code';
import type { CallerClient } from '@pingtoken/shared/usage-event';
import { Refusal } from '../database/refusal.js';
import type { Viewer } from '../identity/permissions.js';
import type { Services } from '../services.js';
import { errorExtensions } from './errors.js';
import type { Loaders } from './loaders.js';

/** What every resolver is given. */
export interface Context {
  readonly services: Services;
  /** Null for a caller who did not sign in. */
  readonly viewer: Viewer | null;
  /** The caller's address, device and browser; sealed before it is stored anywhere. */
  readonly client: CallerClient;
  readonly loaders: Loaders;
}

/** A fault of the request as a whole; `extensions.code` is a code of the error table, as in `userErrors`. */
export function graphqlError(code: ErrorCode, message: string = ERROR_CODES[code].message): GraphQLError {
  return new GraphQLError(message, { extensions: { ...errorExtensions(code) } });
}

/** Injects who signed in. Its operation has a policy other than `public`, else there may be nobody. */
export function CurrentViewer() {
  return createParameterDecorator<Context>(({ context }) => {
    if (context.viewer === null) throw graphqlError('unauthenticated');
    return context.viewer;
  });
}

export const TENANT_ARGUMENT = 'Your own if left out; the operator may name any tenant.';

/** An argument that lets the operator work within a tenant's data; see `chooseScope`. */
export function TenantArgument() {
  return Arg('tenantId', () => ID, { nullable: true, description: TENANT_ARGUMENT });
}

/** A query has no payload to put a refusal into. */
export function orThrow<Result>(result: Result | Refusal): Result {
  if (!(result instanceof Refusal)) return result;
  const [reason] = result.errors;
  throw graphqlError(reason?.code ?? 'invalid_request', reason && [...reason.path, reason.message].join(': '));
}
