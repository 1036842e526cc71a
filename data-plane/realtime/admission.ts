import type { Usage } from '@pingtoken/shared/rate-card';
import { admitRealtime, type RealtimeCall } from '../admit/admit.js';
import { authenticate } from '../authenticate.js';
import { CallTiming } from '../call-timing.js';
import type { Prepared } from '../forward/prepared-call.js';
import { refuseUnguardable } from '../guardrail/guarded-routes.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { Meter, MeteredCall } from '../meter/meter.js';
import { createRequestId } from '../receive.js';
import { route, type PlannedAttempt, type RouteOptions } from '../route/route.js';
import { seedOf } from '../route/seed.js';
import type { Snapshot } from '../snapshot.js';
import type { SessionRequest } from './receive-upgrade.js';

/** A handshake has no body. */
const NOTHING = Buffer.alloc(0);

/** The first stages of a session: who calls, may it, and which way. */
export function admitSession(
  request: SessionRequest,
  snapshot: Snapshot,
  known: Pick<RouteOptions, 'health' | 'region'>,
): Prepared | Refusal {
  const nowMs = Date.now();
  const caller = authenticate(request, snapshot, nowMs);
  if (isRefusal(caller)) return caller;
  const call: RealtimeCall = { operation: 'realtime', model: request.model };
  const admitted = admitRealtime({ ...caller, body: NOTHING }, call, nowMs);
  if (isRefusal(admitted)) return admitted;
  const unguardable = refuseUnguardable(admitted.candidates);
  if (unguardable !== undefined) return unguardable;
  const routed = route(admitted, { seed: seedOf(admitted.requestId), ...known });
  return isRefusal(routed) ? routed : { ...routed, outgoing: undefined, session: 'opening' };
}

/** Where a session has gone; all of its calls go the same way. */
export interface SessionWay {
  readonly request: SessionRequest;
  readonly attempt: PlannedAttempt;
  readonly snapshot: Snapshot;
}

/**
 * The same stages again, for one more call of a session that is under way: as of now, by the config in force and its prices,
 * for an hour may have passed. What has been taken away since (key, grant, model) is refused.
 */
export function readmit({ request, attempt, snapshot }: SessionWay, call: RealtimeCall): Prepared | Refusal {
  const nowMs = Date.now();
  const known = authenticate(request, snapshot, nowMs);
  if (isRefusal(known)) return known;
  const admitted = admitRealtime({ ...known, body: NOTHING }, call, nowMs);
  if (isRefusal(admitted)) return admitted;
  const candidate = admitted.candidates.find(
    ({ provider, credentialId, targetId }) =>
      provider.id === attempt.provider.id &&
      provider.baseUrl === attempt.provider.baseUrl &&
      credentialId === attempt.credentialId &&
      (call.operation !== 'realtime' || targetId === attempt.targetId),
  );
  if (candidate === undefined) return refuse('model_not_found', 'model');
  const routed = route({ ...admitted, candidates: [candidate] }, { seed: 0 });
  if (isRefusal(routed)) return routed;
  return {
    ...routed,
    requestId: createRequestId(),
    timing: new CallTiming(),
    outgoing: undefined,
    session: 'turn',
  };
}

/** @returns what the session's provider calls a model that the caller may have its words written down by */
export function findTranscriber(way: SessionWay, model: string): string | Refusal {
  const admitted = readmit(way, { operation: 'transcriptions', model });
  return isRefusal(admitted) ? admitted : admitted.attempts[0].upstreamModel;
}

/**
 * Admits one more call and writes its start record.
 * @param assumed what is charged where nothing is reported: asked for when the call ends
 */
export async function beginCall(
  way: SessionWay,
  meter: Meter,
  { call, assumed }: { readonly call: RealtimeCall; readonly assumed: () => Usage },
): Promise<MeteredCall | Refusal> {
  const admitted = readmit(way, call);
  if (isRefusal(admitted)) return admitted;
  return meter.begin({
    ...admitted,
    get assumedUsage() {
      return assumed();
    },
  });
}
