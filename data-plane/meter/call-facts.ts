import type { Admitted } from '../admit/admit.js';
import { readCallerClient } from '../admit/caller-client.js';
import type { AddressRange } from '../environment.js';
import type { PlannedAttempt } from '../route/route.js';
import type { ClientSealers } from './seal-client.js';
import { SharedFacts, type CallFacts } from './spool.js';

/** The calls over one connection are nearly always of one key and one model: what their records share is made once. */
export function createFactsMemo(
  clientSealers: ClientSealers,
  trusted: readonly AddressRange[],
): (call: Admitted, leaseIds?: readonly string[]) => SharedFacts {
  const last = new WeakMap<object, SharedFacts>();
  return (call, leaseIds = NO_LEASES) => {
    const { socket } = call.request;
    const facts = { ...callFacts(call, clientSealers, trusted), leaseIds: [...leaseIds] };
    const before = last.get(socket);
    if (before !== undefined && isSame(before.values, facts)) return before;
    const shared = new SharedFacts(facts);
    last.set(socket, shared);
    return shared;
  };
}

function callFacts(
  call: Admitted,
  clientSealers: ClientSealers,
  trusted: readonly AddressRange[],
): Omit<CallFacts, 'leaseIds'> {
  const { account, catalogue, member, request } = call;
  const { tags } = account.apiKey;
  return {
    tenantId: account.tenant.id,
    apiKeyId: account.apiKey.id,
    memberId: member.id,
    ...(tags !== undefined && tags.length > 0 && { tags }),
    config: catalogue.position,
    operation: call.operation,
    model: call.model,
    priceCardVersionId: call.priceCardVersionId,
    client: clientSealers.seal(member.sealingKey, readCallerClient(request, trusted), request.socket),
  };
}

const NO_LEASES: readonly string[] = [];

function isSame(one: CallFacts, other: CallFacts): boolean {
  return (
    one.apiKeyId === other.apiKeyId &&
    one.memberId === other.memberId &&
    one.tenantId === other.tenantId &&
    one.tags === other.tags &&
    one.config === other.config &&
    one.operation === other.operation &&
    one.model === other.model &&
    one.priceCardVersionId === other.priceCardVersionId &&
    // One call draws on the lease that the one before it has drawn on, until that is used up.
    one.leaseIds.length === other.leaseIds.length &&
    one.leaseIds.every((id, index) => id === other.leaseIds[index]) &&
    one.client === other.client
  );
}

/** A call that was served by a model which its own falls back to is priced, and told, as that one. */
export function factsOfServed(facts: SharedFacts, { served }: PlannedAttempt): SharedFacts {
  if (served === undefined) return facts;
  const { model, priceCardVersionId } = served;
  const { values } = facts;
  if (values.model === model && values.priceCardVersionId === priceCardVersionId) return facts;
  return new SharedFacts({ ...values, model, priceCardVersionId });
}
