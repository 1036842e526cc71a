import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import {
  findCandidates as findWays,
  isServed,
  modelPriceInForce,
  type Candidate as Way,
  type Excluded,
  type RequestFacts,
} from '@pingtoken/shared/route-candidates';
import type { RateCardVersion, Usage } from '@pingtoken/shared/rate-card';
import type { Operation, UsageEvent } from '@pingtoken/shared/usage-event';
import type { WithBody } from '../authenticate.js';
import type { CallWatch } from '../call-watch.js';
import type { AnthropicRequest } from '../dialects/anthropic-request.js';
import type { GeminiActRequest } from '../dialects/gemini-act.js';
import type { FormRequest } from '../dialects/form-request.js';
import type { GeminiRequest } from '../dialects/gemini-request.js';
import type { OpenAiRequest } from '../dialects/openai-request.js';
import type { PassthroughEndpoint } from '../endpoints.js';
import { refuse, type Refusal } from '../http-error.js';
import { boundsOf, permitsModel, permitsOperation, refuseUnpermitted } from '../limits/bounds.js';
import { RequestLook } from '../route/request-facts.js';
import { seedOf } from '../route/seed.js';
import type { Account, Catalogue } from '../snapshot.js';
import { isFineTuningPath, isMeteredPath, matchesPattern } from './passthrough-path.js';

/** A way that the tenant may use; whether it can be used is for `route` to see. */
export interface Candidate {
  readonly targetId: string | null;
  readonly provider: ConfigObjectOf<'provider'>;
  readonly credentialId: string;
  readonly upstreamModel: string;
  /** Place of its route: a tenant's own go before the general ones. */
  readonly rank: number;
  readonly priority: number;
  readonly weight: number;
  /** Whether translation may drop what the provider's dialect cannot express. */
  readonly dropsUnsupported: boolean;
  readonly costCardId: string | null;
  /** Where it stands in the config; undefined for what is passed through, which is one way by itself. */
  readonly way?: Way;
}

/** The body of a call whose use is counted, in the dialect of its caller. */
export type MeteredRequest = OpenAiRequest | FormRequest | AnthropicRequest | GeminiRequest | GeminiActRequest;

/** What a call does at the provider. */
export type Task = { readonly kind: 'metered'; readonly request: MeteredRequest } | PassthroughTask;

export interface PassthroughTask {
  readonly kind: 'passthrough';
  readonly method: string;
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
}

/** A call that may be made, with all that its record says of it at the start. */
export type Admitted = WithBody & {
  readonly operation: UsageEvent['operation'];
  readonly model: string;
  readonly streamed: boolean;
  readonly task: Task;
  readonly member: ConfigObjectOf<'member'>;
  /** Milliseconds since 1970; chooses the price versions, whenever the call ends. */
  readonly admittedAt: number;
  readonly priceCardVersionId: string;
  /** What is charged where an answer was given and reports nothing; undefined where that is to be estimated. */
  readonly assumedUsage: Usage | undefined;
  /** Never empty. */
  readonly candidates: readonly Candidate[];
  /** Undefined for what is passed through, which nothing is asked of. */
  readonly facts?: RequestLook;
  /** Who else looks on while the call is made. */
  readonly watch?: CallWatch;
};

/**
 * Decides about a call of a model. Pure: nothing but its arguments is asked. The wallet's and the budgets' part, a
 * reservation on leases, has its place at the end, after everything that refuses for nothing.
 */
export function admitModel(
  known: WithBody,
  operation: Operation,
  request: MeteredRequest,
  nowMs: number,
): Admitted | Refusal {
  const { model, streamed } = request;
  const task: Task = { kind: 'metered', request };
  const assumedUsage = request.dialect === 'openai' ? request.assumedUsage : undefined;
  return admitOperation(known, { operation, model, streamed, task, assumedUsage }, nowMs);
}

/** What is said over a connection that is a session of many calls: each is admitted by itself. */
export interface RealtimeCall {
  /** Beside the session's own model, one that writes down what the caller says. */
  readonly operation: 'realtime' | 'transcriptions';
  /** The alias that the caller named. */
  readonly model: string;
}

export function admitRealtime(known: WithBody, { operation, model }: RealtimeCall, nowMs: number): Admitted | Refusal {
  const task: Task = { kind: 'passthrough', method: 'GET', path: '/realtime', query: '' };
  return admitOperation(known, { operation, model, streamed: true, task, assumedUsage: undefined }, nowMs);
}

/** What routing may ask of the request. */
function lookInto(
  { request, body, dialect }: Pick<WithBody, 'request' | 'body' | 'dialect'>,
  { operation, model, streamed }: Pick<Admitted, 'operation' | 'model' | 'streamed'>,
  admittedAt: number,
): RequestLook {
  return new RequestLook({ operation, model, streamed, request, body, dialect, admittedAt });
}

function admitOperation(
  known: WithBody,
  asked: Pick<Admitted, 'model' | 'streamed' | 'task' | 'assumedUsage'> & { readonly operation: Operation },
  nowMs: number,
): Admitted | Refusal {
  const { account, catalogue } = known;
  if (account.member === undefined) return refuse('invalid_api_key');
  const model = catalogue.models.get(asked.model);
  const isSold = model?.status === 'active' && model.operations.includes(asked.operation);
  if (!isSold) return refuse('model_not_found', 'model');
  const unpermitted = refuseUnpermitted(known, model.id, asked.operation);
  if (unpermitted !== undefined) return unpermitted;
  const facts = lookInto(known, asked, nowMs);
  const candidates = findCandidates(model, known, { facts, seed: seedOf(known.requestId) });
  if ('refused' in candidates) return candidates;
  const price = priceInForce(known, model.priceCardId, nowMs);
  if (price === undefined) return refuse('price_missing', 'model');
  return {
    ...known,
    ...asked,
    member: account.member,
    admittedAt: nowMs,
    priceCardVersionId: price.id,
    assumedUsage: pricedPart(asked.assumedUsage, price),
    candidates,
    facts,
  };
}

/** Whoever may have an answer of a model may ask how many tokens a prompt has, and pays nothing. */
export function admitCount(known: WithBody, request: MeteredRequest, nowMs: number): Admitted | Refusal {
  const admitted = admitModel(known, 'chat-completions', request, nowMs);
  if ('refused' in admitted) return admitted;
  return { ...admitted, operation: 'count-tokens', streamed: false, assumedUsage: {} };
}

/** What the card states no rate for cannot be charged: speech that is sold by its tokens has no price by its characters. */
function pricedPart(usage: Usage | undefined, { rates }: RateCardVersion): Usage | undefined {
  if (usage === undefined) return undefined;
  const isPriced = ([dimension]: [string, number]): boolean =>
    dimension === 'request' || Object.hasOwn(rates, dimension);
  return Object.fromEntries(Object.entries(usage).filter(isPriced));
}

interface Finding {
  readonly facts: RequestFacts;
  readonly seed: number;
}

/** The ways to a model through providers that are on and that the tenant has granted. */
function findCandidates(
  model: ConfigObjectOf<'model'>,
  { account, catalogue }: Pick<WithBody, 'account' | 'catalogue'>,
  { facts, seed }: Finding,
): readonly Candidate[] | Refusal {
  const { tenant, apiKey } = account;
  const caller = { tenant, keyTags: apiKey.tags ?? NO_TAGS, planPriceCards: planPriceCardsOf(account, catalogue) };
  const question = { model, caller, tables: catalogue, facts, seed };
  const bounds = boundsOf({ account, catalogue });
  // A model that another falls back to is one that is called all the same.
  const ways = findWays(question).filter((way) => permitsModel(bounds, way.model.id));
  if (ways.length > 0) return ways.map(toCandidate);
  const excluded: Excluded[] = [];
  findWays({ ...question, onExcluded: (each) => excluded.push(each) });
  return refuseFor(excluded);
}

const NO_TAGS: readonly string[] = [];
const NO_CARDS: Readonly<Record<string, string>> = {};

/** The cards that the tenant's plan has in the place of models' own. */
export function planPriceCardsOf({ tenant }: Account, catalogue: Catalogue): Readonly<Record<string, string>> {
  const plan = tenant.planId === null ? undefined : catalogue.plans.get(tenant.planId);
  return plan?.priceCards ?? NO_CARDS;
}

function toCandidate(way: Way): Candidate {
  const { target, provider, route, rank } = way;
  const { id: targetId, credentialId, upstreamModel, priority, weight, costCardId } = target;
  const { dropsUnsupported } = route;
  return { targetId, provider, credentialId, upstreamModel, rank, priority, weight, dropsUnsupported, costCardId, way };
}

/** What the caller may know of why there is no way: its own part before ours. */
function refuseFor(excluded: readonly Excluded[]): Refusal {
  const is = (...reasons: Excluded['why'][]): boolean => excluded.some(({ why }) => reasons.includes(why));
  if (is('provider-not-granted')) return refuse('provider_not_granted', 'model');
  if (is('model-unpriced')) return refuse('price_missing', 'model');
  if (!is('target-drained')) return refuse('model_not_found', 'model');
  return refuse('upstream_failed', null, 'No provider of this model can be used at the moment.');
}

/**
 * Decides about a pass-through call. Off unless an object of the config says method and path. A path that we meter is
 * refused first, whatever the config says: it would be relayed at the price of a request and its tokens never counted.
 */
export function admitPassthrough(known: WithBody, endpoint: PassthroughEndpoint, nowMs: number): Admitted | Refusal {
  const { account, catalogue, request } = known;
  if (account.member === undefined) return refuse('invalid_api_key');
  const provider = catalogue.providersBySlug.get(endpoint.slug);
  if (provider?.status !== 'active') return refuse('unknown_path');
  if (isMeteredPath(new URL(provider.baseUrl).pathname + endpoint.path)) return refuse('metered_path');
  const method = request.method ?? '';
  const route = catalogue
    .passthroughRoutes(provider.id)
    .find((each) => each.method === method && matchesPattern(endpoint.path, each.path));
  if (route === undefined) return refuse('unknown_path');
  if (isFineTuningPath(endpoint.path) && !catalogue.isOwnCredential(route.credentialId, account.tenant.id)) {
    return refuse('permission_denied', null, 'Models are trained only with a credential of your own.');
  }
  if (!account.tenant.grantedProviderIds.includes(provider.id)) return refuse('provider_not_granted');
  const unpermitted = refuseUnpermitted(known, undefined, 'passthrough');
  if (unpermitted !== undefined) return unpermitted;
  const price = priceInForce(known, route.priceCardId, nowMs);
  if (price === undefined) return refuse('price_missing');
  return {
    ...known,
    operation: 'passthrough',
    // The pattern, not the path: what stands for a `*` may be somebody's name.
    model: route.path.slice(0, 256),
    streamed: false,
    task: { kind: 'passthrough', method, path: endpoint.path, query: endpoint.query },
    member: account.member,
    admittedAt: nowMs,
    priceCardVersionId: price.id,
    assumedUsage: { request: 1 },
    candidates: [
      {
        targetId: null,
        provider,
        credentialId: route.credentialId,
        upstreamModel: '',
        rank: 0,
        priority: 0,
        weight: 1,
        dropsUnsupported: false,
        costCardId: null,
      },
    ],
  };
}

/** By the plan's card where the tenant's plan has one of its own. */
export function priceInForce(
  { account, catalogue }: { readonly account: Account; readonly catalogue: Catalogue },
  cardId: string | null,
  nowMs: number,
): RateCardVersion | undefined {
  const caller = { planPriceCards: planPriceCardsOf(account, catalogue) };
  return modelPriceInForce(cardId, caller, { rateCards: catalogue.rateCards, at: nowMs });
}

export interface CallableModel {
  readonly model: ConfigObjectOf<'model'>;
  /** Slug of a provider that could serve it. */
  readonly owner: string;
  /** Those of the model's that could be called; never empty. */
  readonly operations: readonly Operation[];
}

/** The models that a tenant could call now, and no others: it may not know that others exist. */
export function callableModels(account: Account, catalogue: Catalogue, nowMs: number): readonly CallableModel[] {
  const found: CallableModel[] = [];
  const bounds = boundsOf({ account, catalogue });
  for (const model of catalogue.models.values()) {
    if (!permitsModel(bounds, model.id)) continue;
    if (model.status !== 'active' || priceInForce({ account, catalogue }, model.priceCardId, nowMs) === undefined)
      continue;
    const owners = model.operations.map((operation) =>
      permitsOperation(bounds, operation) ? findUsable(model, account, catalogue, operation) : undefined,
    );
    const owner = owners.find((each) => each !== undefined);
    if (owner === undefined) continue;
    found.push({ model, owner, operations: model.operations.filter((_operation, at) => owners[at] !== undefined) });
  }
  return found;
}

/**
 * Whatever the conditions of routes are, which only a request could fulfil.
 * @returns slug of the first provider whose credential can be used; undefined where there is none
 */
function findUsable(
  model: ConfigObjectOf<'model'>,
  { tenant }: Account,
  catalogue: Catalogue,
  operation: Operation,
): string | undefined {
  for (const { targets } of catalogue.routes(model.id, tenant.id)) {
    for (const { providerId, credentialId, status } of targets) {
      const provider = catalogue.providers.get(providerId);
      if (provider?.status !== 'active' || status !== 'active') continue;
      if (!isServed(operation, provider.dialect) || !tenant.grantedProviderIds.includes(providerId)) continue;
      if (catalogue.secretOf(credentialId, tenant.id, provider) !== undefined) return provider.slug;
    }
  }
  return undefined;
}
