import { Refusal } from './database/refusal.js';
import { platformScope, type Scope } from './database/transaction.js';
import { FIRST_POLICY } from './privacy/first-policy.js';
import type { Services } from './services.js';

export interface OperatorLogin {
  readonly email: string;
  readonly password: string;
}

/**
 * What every installation begins with: an operator who can sign in, and a policy to consent to. Looks before it acts: run again,
 * it changes nothing, not even a password.
 * @returns the operator's scope, for whatever else is to be set up
 */
export async function install(services: Services, login: OperatorLogin): Promise<Scope> {
  const operator = platformScope(await ensureOperator(services, login));
  if ((await services.policies.current()) === null) expectDone(await services.policies.publish(operator, FIRST_POLICY));
  return operator;
}

async function ensureOperator(services: Services, login: OperatorLogin): Promise<string> {
  const standing = await services.tenants.findOperator();
  if (standing !== null) return standing.id;
  const input = { kind: 'person', name: 'Operator', ...login } as const;
  const options = { tenantKind: 'operator', role: 'operator', emailVerified: true } as const;
  return expectDone(await services.registration.createAccount(input, options)).tenant.id;
}

/** For input that is our own: a refusal is a mistake of ours, or of the settings, and ends the installation. */
export function expectDone<T>(result: T | Refusal): T {
  if (!(result instanceof Refusal)) return result;
  throw new Error(result.errors.map(({ message, path }) => [...path, message].join(': ')).join('; '));
}
