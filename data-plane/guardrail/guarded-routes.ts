import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import type { Guardrail } from '@pingtoken/shared/guardrail';
import type { Candidate } from '../admit/admit.js';
import { refuse, type Refusal } from '../http-error.js';

export type GuardedRoute = ConfigObjectOf<'route'> & { readonly guardrail: Guardrail };

/**
 * Of a session and of a batch a guardrail would see the beginning only, so what is guarded cannot be had that way.
 * @returns undefined where nothing is guarded
 */
export function refuseUnguardable(candidates: readonly Candidate[]): Refusal | undefined {
  if (guardedRoutes(candidates) === undefined) return undefined;
  return refuse('guardrail_blocked', 'model', 'This model is guarded: it serves no sessions and no batches.');
}

/** @returns undefined for none, which nearly every call has */
export function guardedRoutes(candidates: readonly Candidate[]): readonly GuardedRoute[] | undefined {
  let found: GuardedRoute[] | undefined;
  for (const { way } of candidates) {
    const route = way?.route;
    if (route === undefined || !isGuarded(route) || found?.includes(route) === true) continue;
    (found ??= []).push(route);
  }
  return found;
}

function isGuarded(route: ConfigObjectOf<'route'>): route is GuardedRoute {
  return route.guardrail !== undefined;
}
