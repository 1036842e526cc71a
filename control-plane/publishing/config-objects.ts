import type { ConfigObjectDraft } from '@pingtoken/shared/config-snapshot';
import { routePolicySchema, targetPolicySchema } from '@pingtoken/shared/route-policy';
import type { Member, Person } from '../identity/entities.js';
import type { ApiKey } from '../keys/entities.js';
import type { Plan } from '../plans/entities.js';
import type { RateCard, RateCardVersion } from '../pricing/entities.js';
import { toSharedVersion } from '../pricing/shared-version.js';
import type { Credential, Provider } from '../providers/entities.js';
import type { Model, PassthroughRoute, Route, Target } from '../routes/entities.js';
import type { Tenant } from '../tenants/entities.js';

/** Rows as data planes see them: pure, one function a kind, and nothing that a data plane need not know. */
type Draft<Kind extends ConfigObjectDraft['kind']> = Extract<ConfigObjectDraft, { kind: Kind }>;

export function tenantObject(tenant: Tenant, grantedProviderIds: readonly string[]): Draft<'tenant'> {
  const { id, status, endUsers, planId, limits, billingMode } = tenant;
  const pseudonymKey = tenant.pseudonymKey.toString('base64url');
  const grants = [...grantedProviderIds];
  const terms = { planId, limits, billingMode };
  return { kind: 'tenant', id, status, grantedProviderIds: grants, endUsers, pseudonymKey, ...terms };
}

export function planObject({ id, limits, priceCards }: Plan): Draft<'plan'> {
  return { kind: 'plan', id, limits, priceCards: { ...priceCards } };
}

export function memberObject(member: Member, person: Person): Draft<'member'> {
  const { id, tenantId, limits } = member;
  return { kind: 'member', id, tenantId, sealingKey: person.sealingKey, limits };
}

export function apiKeyObject(key: ApiKey): Draft<'api-key'> {
  const { id, tenantId, memberId, hash, status, limits, tags, idempotency, cache } = key;
  const expiresAt = key.expiresAt?.getTime() ?? null;
  return {
    ...{ kind: 'api-key', id, tenantId, memberId, hash, status, expiresAt, limits },
    ...(tags.length > 0 && { tags }),
    ...(idempotency && { idempotency }),
    ...(cache && { cache }),
  };
}

export function providerObject({ id, slug, baseUrl, dialect, auth, region, status }: Provider): Draft<'provider'> {
  return { kind: 'provider', id, slug, baseUrl, dialect, auth, region, status };
}

export function credentialObject(credential: Credential): Draft<'credential'> {
  const { id, providerId, tenantId, origin, contentKeyId } = credential;
  const sealedSecret = credential.sealedSecret.toString('base64url');
  return { kind: 'credential', id, providerId, tenantId, origin, contentKeyId, sealedSecret };
}

export function modelObject(model: Model): Draft<'model'> {
  const { id, name, operations, capabilities, contextWindow, maxOutputTokens, status, priceCardId } = model;
  const limits = { contextWindow, maxOutputTokens };
  const createdAt = model.createdAt.getTime();
  return { kind: 'model', id, name, operations, capabilities, ...limits, status, priceCardId, createdAt };
}

/** What the row does not state takes the contract's default. */
export function routeObject(route: Route, targets: readonly Target[]): Draft<'route'> {
  const { id, modelId, tenantId, dropsUnsupported } = route;
  return {
    kind: 'route',
    id,
    modelId,
    tenantId,
    dropsUnsupported,
    ...routePolicySchema.parse(route),
    ...(route.guardrail !== null && { guardrail: route.guardrail }),
    targets: targets.map((target) => ({
      ...targetPolicySchema.parse(target),
      id: target.id,
      providerId: target.providerId,
      credentialId: target.credentialId,
      upstreamModel: target.upstreamModel,
      priority: target.priority,
      weight: target.weight,
      costCardId: target.costCardId,
    })),
  };
}

export function passthroughRouteObject(route: PassthroughRoute): Draft<'passthrough-route'> {
  const { id, providerId, credentialId, method, path, priceCardId } = route;
  return { kind: 'passthrough-route', id, providerId, credentialId, method, path, priceCardId };
}

export function rateCardObject(card: RateCard, versions: readonly RateCardVersion[]): Draft<'rate-card'> {
  const ascending = versions.toSorted((a, b) => a.effectiveFrom.getTime() - b.effectiveFrom.getTime());
  return {
    kind: 'rate-card',
    id: card.id,
    versions: ascending.map(toSharedVersion),
  };
}
