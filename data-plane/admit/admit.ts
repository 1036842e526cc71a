import type { ConfigObjectOf, Dialect } from '@pingtoken/shared/config-snapshot';
import { versionInForce, type RateCardVersion, type Usage } from '@pingtoken/shared/rate-card';
import type { Operation, UsageEvent } from '@pingtoken/shared/usage-event';
import type { WithBody } from '../authenticate.js';
import type { AnthropicRequest } from '../dialects/anthropic-request.js';
import type { GeminiActRequest } from '../dialects/gemini-act.js';
import type { FormRequest } from '../dialects/form-request.js';
import type { GeminiRequest } from '../dialects/gemini-request.js';
import type { OpenAiRequest } from '../dialects/openai-request.js';
import type { PassthroughEndpoint } from '../endpoints.js';
import { refuse, type Refusal } from '../http-error.js';
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
  const candidates = findCandidates(model, account, catalogue, asked.operation);
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

/** The ways to a model through providers that are on and that the tenant has granted. */
function findCandidates(
  model: ConfigObjectOf<'model'>,
  { tenant }: Account,
  catalogue: Catalogue,
  operation: UsageEvent['operation'],
): readonly Candidate[] | Refusal {
  const granted: Candidate[] = [];
  let hasActive = false;
  const routes = catalogue.routes(model.id, tenant.id);
  for (const [rank, route] of routes.entries()) {
    for (const target of route.targets) {
      const provider = catalogue.providers.get(target.providerId);
      if (provider?.status !== 'active') continue;
      if (!isServed(operation, provider.dialect)) continue;
      hasActive = true;
      if (!tenant.grantedProviderIds.includes(provider.id)) continue;
      const { id: targetId, credentialId, upstreamModel, priority, weight, costCardId } = target;
      const { dropsUnsupported } = route;
      granted.push({
        targetId,
        provider,
        credentialId,
        upstreamModel,
        rank,
        priority,
        weight,
        dropsUnsupported,
        costCardId,
      });
    }
  }
  if (granted.length > 0) return granted;
  return hasActive ? refuse('provider_not_granted', 'model') : refuse('model_not_found', 'model');
}

/** Chat is translated between all dialects, embeddings between the two that have them; all else is OpenAI's alone. */
function isServed(operation: UsageEvent['operation'], dialect: Dialect): boolean {
  if (operation === 'chat-completions') return true;
  return dialect === 'openai' || (dialect === 'gemini' && operation === 'embeddings');
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
  if (cardId === null) return undefined;
  const { planId } = account.tenant;
  const plan = planId === null ? undefined : catalogue.plans.get(planId);
  const card = catalogue.rateCards.get(plan?.priceCards[cardId] ?? cardId);
  return card === undefined ? undefined : versionInForce(card.versions, nowMs);
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
  for (const model of catalogue.models.values()) {
    if (model.status !== 'active' || priceInForce({ account, catalogue }, model.priceCardId, nowMs) === undefined)
      continue;
    const owners = model.operations.map((operation) => findUsable(model, account, catalogue, operation));
    const owner = owners.find((each) => each !== undefined);
    if (owner === undefined) continue;
    found.push({ model, owner, operations: model.operations.filter((_operation, at) => owners[at] !== undefined) });
  }
  return found;
}

/** @returns slug of the first provider whose credential can be used; undefined where there is none */
function findUsable(
  model: ConfigObjectOf<'model'>,
  account: Account,
  catalogue: Catalogue,
  operation: Operation,
): string | undefined {
  const candidates = findCandidates(model, account, catalogue, operation);
  if ('refused' in candidates) return undefined;
  return candidates.find(
    ({ credentialId, provider }) => catalogue.secretOf(credentialId, account.tenant.id, provider) !== undefined,
  )?.provider.slug;
}
