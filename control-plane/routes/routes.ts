import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { CAPABILITIES } from '@pingtoken/shared/config-snapshot';
import { OPERATIONS } from '@pingtoken/shared/usage-event';
import { checkInput, Refusal, refuse, refuseConflict } from '../database/refusal.js';
import type { RunTransaction, Scope, Transaction } from '../database/transaction.js';
import { RateCard } from '../pricing/entities.js';
import { Credential, Provider } from '../providers/entities.js';
import { modelObject, passthroughRouteObject, routeObject } from '../publishing/config-objects.js';
import { Tenant } from '../tenants/entities.js';
import { Model, PassthroughRoute, Route, Target } from './entities.js';

const tokens = z.int().positive().max(1_000_000_000).nullable();

const modelFields = {
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$/, 'letters, digits and . _ : / -'),
  operations: z
    .array(z.enum(OPERATIONS))
    .min(1)
    .transform((operations) => [...new Set(operations)]),
  capabilities: z.array(z.enum(CAPABILITIES)).transform((capabilities) => [...new Set(capabilities)]),
  contextWindow: tokens,
  maxOutputTokens: tokens,
};

const modelInput = z.object({
  ...modelFields,
  capabilities: modelFields.capabilities.default([]),
  contextWindow: tokens.default(null),
  maxOutputTokens: tokens.default(null),
  /** Without one the model is listed and refused: nothing is free by accident. */
  priceCardId: z
    .uuid()
    .nullish()
    .transform((id) => id ?? null),
});

const updateModelInput = z.object({
  id: z.uuid(),
  ...z.object(modelFields).partial().shape,
  status: z.enum(['active', 'disabled']).optional(),
});

const targetInput = z.object({
  providerId: z.uuid(),
  credentialId: z.uuid(),
  upstreamModel: z.string().trim().min(1).max(256),
  priority: z.int().min(0).max(1000).default(0),
  weight: z.int().min(1).max(1_000_000).default(1),
  costCardId: z.uuid().nullish(),
});

const routeInput = z.object({
  modelId: z.uuid(),
  /** Null for everyone; a tenant's own route goes before it. */
  tenantId: z
    .uuid()
    .nullish()
    .transform((id) => id ?? null),
  dropsUnsupported: z.boolean().default(false),
  targets: z.array(targetInput).min(1).max(50),
});

const updateRouteInput = z.object({ id: z.uuid(), dropsUnsupported: z.boolean() });

const passthroughInput = z.object({
  providerId: z.uuid(),
  credentialId: z.uuid(),
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
  path: z
    .string()
    .max(500)
    .regex(/^(\/[A-Za-z0-9._~-]+|\/\*)+$/, 'segments of plain characters, or * for any one segment'),
  priceCardId: z.uuid(),
});

export interface Routes {
  createModel(scope: Scope, input: z.input<typeof modelInput>): Promise<Model | Refusal>;
  /** Changes what is given and leaves the rest; calls in flight end as they began. */
  updateModel(scope: Scope, input: z.input<typeof updateModelInput>): Promise<Model | Refusal>;
  setPriceCard(scope: Scope, modelId: string, priceCardId: string): Promise<Model | Refusal>;
  listModels(scope: Scope): Promise<Model[]>;
  /** Models that have a route for everyone. */
  listRoutedModelIds(scope: Scope): Promise<string[]>;
  createRoute(scope: Scope, input: z.input<typeof routeInput>): Promise<Route | Refusal>;
  updateRoute(scope: Scope, input: z.input<typeof updateRouteInput>): Promise<Route | Refusal>;
  /**
   * Moves all routes of a credential's provider and owner over to it, such as from one that is to be given up.
   * @returns how many targets were moved
   */
  useCredential(scope: Scope, credentialId: string): Promise<number | Refusal>;
  createPassthroughRoute(scope: Scope, input: z.input<typeof passthroughInput>): Promise<PassthroughRoute | Refusal>;
}

export function createRoutes({ run }: { run: RunTransaction }): Routes {
  return {
    createModel: (scope, input) => run(scope, (transaction) => createModel(transaction, input)),
    updateModel: (scope, input) => run(scope, (transaction) => updateModel(transaction, input)),
    setPriceCard: (scope, modelId, priceCardId) =>
      run(scope, (transaction) => setPriceCard(transaction, modelId, priceCardId)),
    listModels: (scope) => run(scope, ({ em }) => em.find(Model, {}, { orderBy: { name: 'asc' } })),
    listRoutedModelIds: (scope) =>
      run(scope, async ({ em }) => (await em.find(Route, { tenantId: null })).map(({ modelId }) => modelId)),
    createRoute: (scope, input) => run(scope, (transaction) => createRoute(transaction, input)),
    updateRoute: (scope, input) => run(scope, (transaction) => updateRoute(transaction, input)),
    useCredential: (scope, credentialId) => run(scope, (transaction) => useCredential(transaction, credentialId)),
    createPassthroughRoute: (scope, input) => run(scope, (transaction) => createPassthroughRoute(transaction, input)),
  };
}

/** For other modules' transactions. */
export async function createModel(
  transaction: Transaction,
  input: z.input<typeof modelInput>,
): Promise<Model | Refusal> {
  const checked = checkInput(modelInput, input);
  if (checked instanceof Refusal) return checked;
  const missing = await findMissingCard(transaction, checked.priceCardId, 'price', ['priceCardId']);
  if (missing !== undefined) return missing;
  return refuseConflict(['name'], async () => {
    const model = transaction.em.create(Model, {
      id: uuidv7(),
      ...checked,
      status: 'active',
      createdAt: new Date(),
    });
    await transaction.em.flush();
    await transaction.audit({ action: 'model-created', subjectKind: 'model', subjectId: model.id });
    await transaction.publish([modelObject(model)]);
    return model;
  });
}

async function updateModel(
  transaction: Transaction,
  input: z.input<typeof updateModelInput>,
): Promise<Model | Refusal> {
  const checked = checkInput(updateModelInput, input);
  if (checked instanceof Refusal) return checked;
  const { id, ...given } = checked;
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const model = await transaction.em.findOne(Model, { id });
  if (model === null) return refuse('not_found', ['id']);
  return refuseConflict(['name'], async () => {
    transaction.em.assign(model, changes);
    await transaction.em.flush();
    await transaction.audit({ action: 'model-updated', subjectKind: 'model', subjectId: id, details: changes });
    await transaction.publish([modelObject(model)]);
    return model;
  });
}

async function setPriceCard(transaction: Transaction, modelId: string, priceCardId: string): Promise<Model | Refusal> {
  const model = z.uuid().safeParse(modelId).success ? await transaction.em.findOne(Model, { id: modelId }) : null;
  if (model === null) return refuse('not_found', ['modelId']);
  if (!z.uuid().safeParse(priceCardId).success) return refuse('not_found', ['priceCardId']);
  const missing = await findMissingCard(transaction, priceCardId, 'price', ['priceCardId']);
  if (missing !== undefined) return missing;
  model.priceCardId = priceCardId;
  await transaction.audit({
    action: 'model-price-set',
    subjectKind: 'model',
    subjectId: modelId,
    details: { priceCardId },
  });
  await transaction.publish([modelObject(model)]);
  return model;
}

/** For other modules' transactions. */
export async function createRoute(
  transaction: Transaction,
  input: z.input<typeof routeInput>,
): Promise<Route | Refusal> {
  const checked = checkInput(routeInput, input);
  if (checked instanceof Refusal) return checked;
  const { modelId, tenantId, dropsUnsupported, targets } = checked;
  const { em } = transaction;
  if ((await em.findOne(Model, { id: modelId })) === null) return refuse('not_found', ['modelId']);
  if (tenantId !== null && (await em.findOne(Tenant, { id: tenantId })) === null)
    return refuse('not_found', ['tenantId']);
  for (const [index, target] of targets.entries()) {
    const path = ['targets', String(index)];
    const fault =
      (await findBadCredential(transaction, target, tenantId, path)) ??
      (await findMissingCard(transaction, target.costCardId ?? null, 'cost', [...path, 'costCardId']));
    if (fault !== undefined) return fault;
  }
  return refuseConflict(['modelId'], async () => {
    const route = em.create(Route, { id: uuidv7(), modelId, tenantId, dropsUnsupported, createdAt: new Date() });
    await em.flush();
    const rows = targets.map((target) =>
      em.create(Target, {
        id: uuidv7(),
        routeId: route.id,
        tenantId,
        ...target,
        costCardId: target.costCardId ?? null,
      }),
    );
    await em.flush();
    await transaction.audit({ action: 'route-created', subjectKind: 'route', subjectId: route.id });
    await transaction.publish([routeObject(route, rows)]);
    return route;
  });
}

async function updateRoute(
  transaction: Transaction,
  input: z.input<typeof updateRouteInput>,
): Promise<Route | Refusal> {
  const checked = checkInput(updateRouteInput, input);
  if (checked instanceof Refusal) return checked;
  const { id, ...details } = checked;
  const route = await transaction.em.findOne(Route, { id });
  if (route === null) return refuse('not_found', ['id']);
  transaction.em.assign(route, details);
  await transaction.audit({ action: 'route-updated', subjectKind: 'route', subjectId: id, details });
  await transaction.publish([routeObject(route, await transaction.em.find(Target, { routeId: id }))]);
  return route;
}

async function useCredential(transaction: Transaction, credentialId: string): Promise<number | Refusal> {
  const { em } = transaction;
  const credential = z.uuid().safeParse(credentialId).success
    ? await em.findOne(Credential, { id: credentialId })
    : null;
  if (credential === null) return refuse('not_found', ['credentialId']);
  const { providerId, tenantId } = credential;
  const moved = await em.find(Target, { providerId, tenantId, credentialId: { $ne: credentialId } });
  if (moved.length === 0) return 0;
  for (const target of moved) target.credentialId = credentialId;
  await em.flush();
  const details = { targets: moved.map(({ id }) => id) };
  await transaction.audit({ action: 'credential-used', subjectKind: 'credential', subjectId: credentialId, details });
  const routes = await em.find(Route, { id: { $in: moved.map(({ routeId }) => routeId) } });
  const targets = Map.groupBy(
    await em.find(Target, { routeId: { $in: routes.map(({ id }) => id) } }),
    ({ routeId }) => routeId,
  );
  await transaction.publish(routes.map((route) => routeObject(route, targets.get(route.id) ?? [])));
  return moved.length;
}

async function createPassthroughRoute(
  transaction: Transaction,
  input: z.input<typeof passthroughInput>,
): Promise<PassthroughRoute | Refusal> {
  const checked = checkInput(passthroughInput, input);
  if (checked instanceof Refusal) return checked;
  const fault =
    (await findBadCredential(transaction, checked, null, [])) ??
    (await findMissingCard(transaction, checked.priceCardId, 'price', ['priceCardId']));
  if (fault !== undefined) return fault;
  return refuseConflict(['path'], async () => {
    const route = transaction.em.create(PassthroughRoute, { id: uuidv7(), ...checked, createdAt: new Date() });
    await transaction.em.flush();
    const subject = { subjectKind: 'passthrough-route', subjectId: route.id };
    await transaction.audit({ action: 'passthrough-route-created', ...subject });
    await transaction.publish([passthroughRouteObject(route)]);
    return route;
  });
}

/** A credential goes to its own provider only, and a tenant's own into that tenant's routes only. */
async function findBadCredential(
  { em }: Transaction,
  { providerId, credentialId }: { providerId: string; credentialId: string },
  tenantId: string | null,
  path: readonly string[],
): Promise<Refusal | undefined> {
  if ((await em.findOne(Provider, { id: providerId })) === null) return refuse('not_found', [...path, 'providerId']);
  const credential = await em.findOne(Credential, { id: credentialId, providerId });
  if (credential === null) return refuse('not_found', [...path, 'credentialId']);
  if (credential.tenantId !== null && credential.tenantId !== tenantId) {
    return refuse('permission_denied', [...path, 'credentialId'], 'The credential belongs to another tenant.');
  }
  return undefined;
}

async function findMissingCard(
  { em }: Transaction,
  cardId: string | null,
  purpose: RateCard['purpose'],
  path: readonly string[],
): Promise<Refusal | undefined> {
  if (cardId === null || (await em.findOne(RateCard, { id: cardId, purpose })) !== null) return undefined;
  return refuse('not_found', path);
}
