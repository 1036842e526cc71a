import type { Operation } from '@pingtoken/shared/usage-event';
import { versionInForce, type Usage } from '@pingtoken/shared/rate-card';
import { admitModel, priceInForce, type Admitted, type Candidate } from '../admit/admit.js';
import type { Authenticated, WithBody } from '../authenticate.js';
import { readOpenAiRequest } from '../dialects/openai-request.js';
import type { Prepared } from '../forward/prepared-call.js';
import { refuseUnguardable } from '../guardrail/guarded-routes.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { refuseUnpermitted } from '../limits/bounds.js';
import type { PlannedAttempt } from '../route/route.js';
import type { KeptThing } from './sealed-id.js';

/** A call about what a provider keeps, with the one way that it can take. */
export type PlannedCall = Prepared & { readonly attempts: readonly [PlannedAttempt] };

/** Which account a thing is, or is to be, kept in, and by the name of which model it is dealt with there. */
export type AccountOf = Pick<KeptThing, 'providerId' | 'credentialId' | 'model'>;

/**
 * Plans a call by a model's name: the first of its ways that can be used, and always the same while the configuration is,
 * so that a tenant finds again what it has put there.
 */
export function planByModel(
  known: WithBody,
  { model, operation }: { readonly model: string; readonly operation: Operation },
  nowMs: number,
): PlannedCall | Refusal {
  const admitted = admitBatch(known, { model, operation }, nowMs);
  if (isRefusal(admitted)) return admitted;
  for (const candidate of admitted.candidates.filter(isBatching).sort(compareCandidates)) {
    const secret = secretOf(admitted, candidate);
    if (secret !== undefined) return planned({ ...admitted, operation: 'batches' }, candidate, secret);
  }
  return refuse('upstream_failed', null, 'No provider of this model can be used at the moment.');
}

/**
 * Plans the submission of a batch whose input is kept already: the file has the model's name at its provider in it, so it
 * can go nowhere else, and what the batch will cost follows from the way that leads there now.
 */
export function planBatch(
  known: WithBody,
  { providerId, credentialId, model }: AccountOf,
  operation: Operation,
  nowMs: number,
): PlannedCall | Refusal {
  const admitted = admitBatch(known, { model, operation }, nowMs);
  if (isRefusal(admitted)) return admitted;
  const candidate = admitted.candidates.find(
    (each) => isBatching(each) && each.provider.id === providerId && each.credentialId === credentialId,
  );
  const secret = candidate === undefined ? undefined : secretOf(admitted, candidate);
  if (candidate === undefined || secret === undefined) return refuse('not_found', 'input_file_id', MOVED);
  return planned(admitted, candidate, secret);
}

const MOVED = 'The model is no longer served by the provider that has the file; upload it again.';

function admitBatch(
  known: WithBody,
  { model, operation }: { readonly model: string; readonly operation: Operation },
  nowMs: number,
): Admitted | Refusal {
  // A batch's provider, and a file's, is found by the same rules as a call's.
  const request = readOpenAiRequest(Buffer.from(JSON.stringify({ model })), 'chat-completions');
  if (isRefusal(request)) return refuse('model_not_found', 'model');
  const admitted = admitModel(known, operation, request, nowMs);
  const unguardable = isRefusal(admitted) ? undefined : refuseUnguardable(admitted.candidates);
  if (unguardable !== undefined) return unguardable;
  if (isRefusal(admitted) || known.catalogue.models.get(model)?.operations.includes('batches') === true)
    return admitted;
  return refuse('model_not_found', 'model', 'The model cannot be used in batches.');
}

/** Other dialects have files and batches of other kinds. */
function isBatching({ provider }: Candidate): boolean {
  return provider.dialect === 'openai';
}

function compareCandidates(one: Candidate, other: Candidate): number {
  return (
    one.rank - other.rank ||
    one.priority - other.priority ||
    other.weight - one.weight ||
    one.credentialId.localeCompare(other.credentialId)
  );
}

/** @returns a plan for each account that the tenant's batches can be in, in the order of the models */
export function planEverywhere(known: WithBody, nowMs: number): readonly [PlannedCall, ...PlannedCall[]] | Refusal {
  const plans = new Map<string, PlannedCall>();
  for (const { name, operations } of known.catalogue.models.values()) {
    const [operation] = operations;
    if (operation === undefined || !operations.includes('batches')) continue;
    const plan = planByModel(known, { model: name, operation }, nowMs);
    if (isRefusal(plan)) continue;
    const [{ provider, credentialId }] = plan.attempts;
    const account = `${provider.id} ${credentialId}`;
    if (!plans.has(account)) plans.set(account, plan);
  }
  const [first, ...others] = plans.values();
  return first === undefined ? refuse('model_not_found', null, NO_MODEL) : [first, ...others];
}

const NO_MODEL = 'None of the models that you have access to can be used in batches.';

/**
 * Plans a call about a thing that is kept already: it goes to the very account that has it, as long as the tenant may use
 * that, whatever the routes have become. Where the model's name has gone the price of another stands in the record, and
 * nothing is charged by it.
 */
export function planByAccount(
  known: WithBody,
  { providerId, credentialId, model }: AccountOf,
  operation: Operation,
  nowMs: number,
): PlannedCall | Refusal {
  const { account, catalogue } = known;
  const provider = catalogue.providers.get(providerId);
  if (account.member === undefined) return refuse('invalid_api_key');
  if (provider?.status !== 'active') return refuse('not_found');
  if (!account.tenant.grantedProviderIds.includes(providerId)) return refuse('provider_not_granted');
  const secret = catalogue.secretOf(credentialId, account.tenant.id, provider);
  if (secret === undefined) return refuse('not_found');
  const unpermitted = refuseUnpermitted(known, undefined, operation);
  if (unpermitted !== undefined) return unpermitted;
  const priceCardVersionId = priceOf(known, model, nowMs) ?? anyPrice(known, nowMs);
  if (priceCardVersionId === undefined) return refuse('price_missing');
  const candidate = {
    targetId: null,
    provider,
    credentialId,
    upstreamModel: '',
    rank: 0,
    priority: 0,
    weight: 1,
    dropsUnsupported: false,
    costCardId: null,
  };
  const admitted: Admitted = {
    ...known,
    operation,
    model,
    streamed: false,
    task: { kind: 'passthrough', method: '', path: '', query: '' },
    member: account.member,
    admittedAt: nowMs,
    priceCardVersionId,
    assumedUsage: NOTHING,
    candidates: [candidate],
  };
  return planned(admitted, candidate, secret);
}

/** Such calls are recorded, and cost nothing by themselves. */
const NOTHING: Usage = {};

function planned(admitted: Admitted, candidate: Candidate, secret: string): PlannedCall {
  const { catalogue, admittedAt } = admitted;
  const costCard = candidate.costCardId === null ? undefined : catalogue.rateCards.get(candidate.costCardId);
  const costCardVersionId = costCard === undefined ? null : (versionInForce(costCard.versions, admittedAt)?.id ?? null);
  const { method = '', url = '' } = admitted.request;
  return {
    ...admitted,
    streamed: false,
    assumedUsage: NOTHING,
    task: { kind: 'passthrough', method, path: url, query: '' },
    attempts: [{ ...candidate, secret, costCardVersionId }],
    outgoing: undefined,
  };
}

function secretOf({ catalogue, account }: Authenticated, candidate: Candidate): string | undefined {
  return catalogue.secretOf(candidate.credentialId, account.tenant.id, candidate.provider);
}

function priceOf(known: Authenticated, model: string, nowMs: number): string | undefined {
  return priceInForce(known, known.catalogue.models.get(model)?.priceCardId ?? null, nowMs)?.id;
}

function anyPrice(known: Authenticated, nowMs: number): string | undefined {
  for (const name of known.catalogue.models.keys()) {
    const price = priceOf(known, name, nowMs);
    if (price !== undefined) return price;
  }
  return undefined;
}
