import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { routePolicySchema } from '@pingtoken/shared/route-policy';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { routeObject } from '../publishing/config-objects.js';
import { Tenant } from '../tenants/entities.js';
import { describeGuardrail, guardrailInput, sealGuardrail, type GuardrailOptions } from './guardrails.js';
import { Model, Route, Target, type PassthroughRoute } from './entities.js';
import { createModel, setPriceCard, updateModel, type CreateModelInput, type UpdateModelInput } from './models.js';
import { createPassthroughRoute, type PassthroughInput } from './passthrough.js';
import {
  addTarget,
  createTargetRow,
  findTargetFault,
  lockRoute,
  MAX_TARGETS,
  publishRoute,
  removeTarget,
  targetInput,
  updateTarget,
  useCredential,
  type AddTargetInput,
  type UpdateTargetInput,
} from './targets.js';

const policy = routePolicySchema.shape;

const routeInput = z.object({
  modelId: z.uuid(),
  /** Null for everyone; a tenant's own route goes before it. */
  tenantId: z
    .uuid()
    .nullish()
    .transform((id) => id ?? null),
  dropsUnsupported: z.boolean().default(false),
  ...policy,
  guardrail: guardrailInput.nullish(),
  targets: z.array(targetInput).min(1).max(MAX_TARGETS),
});

/** A part that is given takes the place of the whole part; what is left out stays as it is. */
const updateRouteInput = z.object({
  id: z.uuid(),
  dropsUnsupported: z.boolean().optional(),
  position: policy.position.unwrap().optional(),
  strategy: policy.strategy.unwrap().optional(),
  tierStrategies: policy.tierStrategies.unwrap().optional(),
  conditions: policy.conditions.unwrap().optional(),
  fallbackModelIds: policy.fallbackModelIds.unwrap().optional(),
  retry: policy.retry.unwrap().optional(),
  hedging: policy.hedging.unwrap().optional(),
  cache: policy.cache.unwrap().optional(),
  /** Null for none from now on. */
  guardrail: guardrailInput.nullish(),
});

export type CreateRouteInput = z.input<typeof routeInput>;
export type UpdateRouteInput = z.input<typeof updateRouteInput>;

export interface Routes {
  createModel(scope: Scope, input: CreateModelInput): Promise<Model | Refusal>;
  /** Changes what is given and leaves the rest; calls in flight end as they began. */
  updateModel(scope: Scope, input: UpdateModelInput): Promise<Model | Refusal>;
  setPriceCard(scope: Scope, modelId: string, priceCardId: string): Promise<Model | Refusal>;
  listModels(scope: Scope): Promise<Model[]>;
  /** Models that have a route for everyone. */
  listRoutedModelIds(scope: Scope): Promise<string[]>;
  createRoute(scope: Scope, input: CreateRouteInput): Promise<Route | Refusal>;
  updateRoute(scope: Scope, input: UpdateRouteInput): Promise<Route | Refusal>;
  /** Of one model or of all; the scope's own and the general ones. */
  listRoutes(scope: Scope, modelId: string | null): Promise<Route[]>;
  listTargets(scope: Scope, routeIds: readonly string[]): Promise<Target[]>;
  addTarget(scope: Scope, input: AddTargetInput): Promise<Target | Refusal>;
  updateTarget(scope: Scope, input: UpdateTargetInput): Promise<Target | Refusal>;
  removeTarget(scope: Scope, id: string): Promise<Route | Refusal>;
  /**
   * Moves all routes of a credential's provider and owner over to it, such as from one that is to be given up.
   * @returns how many targets were moved
   */
  useCredential(scope: Scope, credentialId: string): Promise<number | Refusal>;
  createPassthroughRoute(scope: Scope, input: PassthroughInput): Promise<PassthroughRoute | Refusal>;
}

export function createRoutes({ run, ...guardrails }: { run: RunTransaction } & GuardrailOptions): Routes {
  return {
    createModel: (scope, input) => run(scope, (transaction) => createModel(transaction, input)),
    updateModel: (scope, input) => run(scope, (transaction) => updateModel(transaction, input)),
    setPriceCard: (scope, modelId, priceCardId) =>
      run(scope, (transaction) => setPriceCard(transaction, modelId, priceCardId)),
    listModels: (scope) => run(scope, ({ em }) => em.find(Model, {}, { orderBy: { name: 'asc' } })),
    listRoutedModelIds: (scope) =>
      run(scope, async ({ em }) => (await em.find(Route, { tenantId: null })).map(({ modelId }) => modelId)),
    createRoute: (scope, input) => run(scope, (transaction) => createRoute(transaction, input, guardrails)),
    updateRoute: (scope, input) => run(scope, (transaction) => updateRoute(transaction, input, guardrails)),
    listRoutes: (scope, modelId) => run(scope, (transaction) => listRoutes(transaction, modelId)),
    listTargets: (scope, routeIds) =>
      run(scope, ({ em }) =>
        em.find(Target, { routeId: { $in: [...routeIds] } }, { orderBy: { priority: 'asc', id: 'asc' } }),
      ),
    addTarget: (scope, input) => run(scope, (transaction) => addTarget(transaction, input)),
    updateTarget: (scope, input) => run(scope, (transaction) => updateTarget(transaction, input)),
    removeTarget: (scope, id) => run(scope, (transaction) => removeTarget(transaction, id)),
    useCredential: (scope, credentialId) => run(scope, (transaction) => useCredential(transaction, credentialId)),
    createPassthroughRoute: (scope, input) => run(scope, (transaction) => createPassthroughRoute(transaction, input)),
  };
}

async function listRoutes({ em }: Transaction, modelId: string | null): Promise<Route[]> {
  if (modelId !== null && !z.uuid().safeParse(modelId).success) return [];
  const where = modelId === null ? {} : { modelId };
  return em.find(Route, where, { orderBy: { modelId: 'asc', tenantId: 'asc', position: 'asc' }, limit: 10_000 });
}

/**
 * For other modules' transactions.
 * @param guardrails what a route with a guardrail needs; others need none
 */
export async function createRoute(
  transaction: Transaction,
  input: CreateRouteInput,
  guardrails?: GuardrailOptions,
): Promise<Route | Refusal> {
  const checked = checkInput(routeInput, input);
  if (checked instanceof Refusal) return checked;
  const { targets, guardrail: given = null, ...details } = checked;
  const { modelId, tenantId } = details;
  const { em } = transaction;
  if ((await em.findOne(Model, { id: modelId })) === null) return refuse('not_found', ['modelId']);
  if (tenantId !== null && (await em.findOne(Tenant, { id: tenantId })) === null)
    return refuse('not_found', ['tenantId']);
  const policyFault = await findPolicyFault(transaction, modelId, details);
  if (policyFault !== undefined) return policyFault;
  for (const [index, target] of targets.entries()) {
    const fault = await findTargetFault(transaction, target, tenantId, ['targets', String(index)]);
    if (fault !== undefined) return fault;
  }
  const id = uuidv7();
  const guardrail =
    given === null || guardrails === undefined
      ? null
      : await sealGuardrail(transaction, { routeId: id, given, before: null }, guardrails);
  if (guardrail instanceof Refusal) return guardrail;
  return refuseConflict(['position'], async () => {
    const route = em.create(Route, { ...details, guardrail, id, createdAt: new Date() });
    await em.flush();
    const rows = targets.map((target) => createTargetRow(transaction, route, target));
    await transaction.em.flush();
    const audited = guardrail === null ? {} : { details: { guardrail: describeGuardrail(guardrail) } };
    await transaction.audit({ action: 'route-created', subjectKind: 'route', subjectId: route.id, ...audited });
    await transaction.publish([routeObject(route, rows)]);
    return route;
  });
}

async function updateRoute(
  transaction: Transaction,
  input: UpdateRouteInput,
  guardrails: GuardrailOptions,
): Promise<Route | Refusal> {
  const checked = checkInput(updateRouteInput, input);
  if (checked instanceof Refusal) return checked;
  const { id, guardrail: givenGuardrail, ...given } = checked;
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const route = await lockRoute(transaction, id);
  if (route === null) return refuse('not_found', ['id']);
  const fault = await findPolicyFault(transaction, route.modelId, given);
  if (fault !== undefined) return fault;
  const guardrail =
    givenGuardrail === undefined || givenGuardrail === null
      ? givenGuardrail
      : await sealGuardrail(transaction, { routeId: id, given: givenGuardrail, before: route.guardrail }, guardrails);
  if (guardrail instanceof Refusal) return guardrail;
  return refuseConflict(['position'], async () => {
    transaction.em.assign(route, { ...changes, ...(guardrail !== undefined && { guardrail }) });
    await transaction.em.flush();
    const told = guardrail === undefined || guardrail === null ? guardrail : describeGuardrail(guardrail);
    const details = { ...changes, ...(told !== undefined && { guardrail: told }) };
    await transaction.audit({ action: 'route-updated', subjectKind: 'route', subjectId: id, details });
    await publishRoute(transaction, route);
    return route;
  });
}

/** What a policy names must be there, and what it bounds must leave something between. */
async function findPolicyFault(
  { em }: Transaction,
  modelId: string,
  { conditions, fallbackModelIds, tierStrategies }: Omit<z.output<typeof updateRouteInput>, 'id' | 'guardrail'>,
): Promise<Refusal | undefined> {
  for (const [index, id] of (fallbackModelIds ?? []).entries()) {
    const path = ['fallbackModelIds', String(index)];
    if (id === modelId) return refuse('invalid_request', path, 'A model does not fall back to itself.');
    if (fallbackModelIds?.indexOf(id) !== index) return refuse('invalid_request', path, 'It is named twice.');
    if ((await em.findOne(Model, { id })) === null) return refuse('not_found', path);
  }
  const priorities = tierStrategies?.map(({ priority }) => priority) ?? [];
  const twice = priorities.findIndex((priority, index) => priorities.indexOf(priority) !== index);
  if (twice >= 0) {
    return refuse('invalid_request', ['tierStrategies', String(twice)], 'The priority has a strategy already.');
  }
  const { minRequestBytes = null, maxRequestBytes = null, tenantIds = [] } = conditions ?? {};
  if (minRequestBytes !== null && maxRequestBytes !== null && minRequestBytes > maxRequestBytes) {
    return refuse('invalid_request', ['conditions', 'maxRequestBytes'], 'It is below the least size.');
  }
  const known = new Set((await em.find(Tenant, { id: { $in: tenantIds } })).map(({ id }) => id));
  const unknown = tenantIds.findIndex((id) => !known.has(id));
  return unknown < 0 ? undefined : refuse('not_found', ['conditions', 'tenantIds', String(unknown)]);
}
