import { credentialHeader, USER_AGENT } from '../provider-address.js';
import type { PlannedAttempt, Routed } from '../route/route.js';
import type { Outgoing } from './prepared-call.js';

/**
 * All that a provider is told besides the body, whichever client sends it: a list of ours. Of the caller's own head there is
 * in it what `Outgoing.headers` took over, and nothing else.
 * @returns name, value, name, value
 */
export function upstreamHeaders(
  { requestId }: Routed,
  { provider, secret }: PlannedAttempt,
  outgoing: Outgoing,
): string[] {
  const headers = [
    'accept-encoding',
    'identity',
    'user-agent',
    USER_AGENT,
    'x-request-id',
    requestId,
    ...credentialHeader(provider.auth, secret),
  ];
  for (const name in outgoing.headers) headers.push(name, outgoing.headers[name] ?? '');
  return headers;
}
