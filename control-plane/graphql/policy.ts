import { Authorized, Extensions, type AuthChecker } from 'type-graphql';
import { isPermitted, type Permission } from '../identity/permissions.js';
import { graphqlError, type Context } from './context.js';

/**
 * Names what an operation needs. It is checked before the resolver runs, and stands in the schema's extensions, where a test
 * finds every operation that forgot it.
 */
export function Policy(permission: Permission | 'public'): MethodDecorator {
  return (target, key, descriptor) => {
    Extensions({ policy: permission })(target, key, descriptor);
    if (permission !== 'public') Authorized<Permission>(permission)(target, key, descriptor);
  };
}

export const checkPolicy: AuthChecker<Context, Permission> = ({ context: { viewer } }, permissions) => {
  if (viewer === null) throw graphqlError('unauthenticated');
  if (!permissions.every((permission) => isPermitted(viewer, permission))) throw graphqlError('permission_denied');
  return true;
};
