import { defineEntity, p, type InferEntity } from '@mikro-orm/core';
import type { Capability } from '@pingtoken/shared/config-snapshot';
import type { Guardrail } from '@pingtoken/shared/guardrail';
import type { RoutePolicy, TargetPolicy } from '@pingtoken/shared/route-policy';
import type { Operation } from '@pingtoken/shared/usage-event';
import { instant } from '../database/columns.js';

/** What callers name. Without a price card it cannot be called. */
export const Model = defineEntity({
  name: 'Model',
  properties: {
    id: p.uuid().primary(),
    name: p.text().unique(),
    operations: p.array().$type<Operation[]>(),
    capabilities: p.array().$type<Capability[]>(),
    contextWindow: p.integer().strictNullable(),
    maxOutputTokens: p.integer().strictNullable(),
    status: p.text().$type<'active' | 'disabled'>(),
    priceCardId: p.uuid().strictNullable(),
    createdAt: instant(),
  },
});
export type Model = InferEntity<typeof Model>;

/** How calls of a model are served; a tenant's own route goes before the general one (no tenant). */
export const Route = defineEntity({
  name: 'Route',
  properties: {
    id: p.uuid().primary(),
    modelId: p.uuid(),
    tenantId: p.uuid().strictNullable(),
    dropsUnsupported: p.boolean(),
    position: p.integer(),
    strategy: p.text().$type<RoutePolicy['strategy']>(),
    tierStrategies: p.json().$type<RoutePolicy['tierStrategies']>(),
    conditions: p.json().$type<Partial<RoutePolicy['conditions']>>(),
    fallbackModelIds: p.array().$type<string[]>().columnType('uuid[]'),
    retry: p.json().$type<Partial<RoutePolicy['retry']>>(),
    hedging: p.text().$type<RoutePolicy['hedging']>(),
    cache: p.json().$type<RoutePolicy['cache']>().strictNullable(),
    guardrail: p.json().$type<Guardrail>().strictNullable(),
    createdAt: instant(),
  },
});
export type Route = InferEntity<typeof Route>;

export const Target = defineEntity({
  name: 'Target',
  properties: {
    id: p.uuid().primary(),
    routeId: p.uuid(),
    tenantId: p.uuid().strictNullable(),
    providerId: p.uuid(),
    credentialId: p.uuid(),
    upstreamModel: p.text(),
    priority: p.integer(),
    weight: p.integer(),
    costCardId: p.uuid().strictNullable(),
    region: p.text().strictNullable(),
    status: p.text().$type<TargetPolicy['status']>(),
    limits: p.json().$type<Partial<TargetPolicy['limits']>>(),
  },
});
export type Target = InferEntity<typeof Target>;

/** A provider's path that is relayed as it is, for a price per request. */
export const PassthroughRoute = defineEntity({
  name: 'PassthroughRoute',
  properties: {
    id: p.uuid().primary(),
    providerId: p.uuid(),
    credentialId: p.uuid(),
    method: p.text().$type<'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'>(),
    path: p.text(),
    priceCardId: p.uuid(),
    createdAt: instant(),
  },
});
export type PassthroughRoute = InferEntity<typeof PassthroughRoute>;
