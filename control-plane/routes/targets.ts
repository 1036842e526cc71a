import { LockMode } from '@mikro-orm/core';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { targetPolicySchema } from '@pingtoken/shared/route-policy';
import { checkInput, Refusal, refuse } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { Credential } from '../providers/entities.js';
import { routeObject } from '../publishing/config-objects.js';
import { Route, Target } from './entities.js';
import { findBadCredential, findMissingCard } from './references.js';

/** Of one route. */
export const MAX_TARGETS = 50;

const policy = targetPolicySchema.shape;

const share = {
  priority: z.int().min(0).max(1000),
  weight: z.int().min(1).max(1_000_000),
};

export const targetInput = z.object({
  providerId: z.uuid(),
  credentialId: z.uuid(),
  upstreamModel: z.string().trim().min(1).max(256),
  priority: share.priority.default(0),
  weight: share.weight.default(1),
  costCardId: z.uuid().nullish(),
  ...policy,
});

const addTargetInput = targetInput.extend({ routeId: z.uuid() });

const updateTargetInput = z.object({
  id: z.uuid(),
  credentialId: z.uuid().optional(),
  upstreamModel: targetInput.shape.upstreamModel.optional(),
  priority: share.priority.optional(),
  weight: share.weight.optional(),
  costCardId: z.uuid().nullable().optional(),
  region: policy.region.unwrap().optional(),
  status: policy.status.unwrap().optional(),
  limits: policy.limits.unwrap().optional(),
});

export type AddTargetInput = z.input<typeof addTargetInput>;
export type UpdateTargetInput = z.input<typeof updateTargetInput>;

/** @returns why a target cannot be part of a route of that owner */
export async function findTargetFault(
  transaction: Transaction,
  target: z.output<typeof targetInput>,
  tenantId: string | null,
  path: readonly string[],
): Promise<Refusal | undefined> {
  return (
    (await findBadCredential(transaction, target, tenantId, path)) ??
    (await findMissingCard(transaction, target.costCardId ?? null, 'cost', [...path, 'costCardId']))
  );
}

/** Makes the row of a target that has been checked. */
export function createTargetRow(
  { em }: Transaction,
  { id: routeId, tenantId }: Route,
  target: z.output<typeof targetInput>,
): Target {
  const { costCardId = null, ...rest } = target;
  return em.create(Target, { ...rest, costCardId, id: uuidv7(), routeId, tenantId });
}

/** Publishes a route as it now stands in the database; the scope must be one that sees the route. */
export async function publishRoute(transaction: Transaction, route: Route): Promise<void> {
  await transaction.em.flush();
  const targets = await transaction.em.find(Target, { routeId: route.id }, { orderBy: { id: 'asc' } });
  await transaction.publish([routeObject(route, targets)]);
}

export async function addTarget(transaction: Transaction, input: AddTargetInput): Promise<Target | Refusal> {
  const checked = checkInput(addTargetInput, input);
  if (checked instanceof Refusal) return checked;
  const { routeId, ...details } = checked;
  const route = await lockRoute(transaction, routeId);
  if (route === null) return refuse('not_found', ['routeId']);
  if ((await transaction.em.count(Target, { routeId })) >= MAX_TARGETS) {
    return refuse('invalid_request', ['routeId'], `A route has at most ${MAX_TARGETS} targets.`);
  }
  const fault = await findTargetFault(transaction, details, route.tenantId, []);
  if (fault !== undefined) return fault;
  const target = createTargetRow(transaction, route, details);
  await transaction.audit({
    action: 'target-added',
    subjectKind: 'target',
    subjectId: target.id,
    details: { routeId },
  });
  await publishRoute(transaction, route);
  return target;
}

/** Changes what is given and leaves the rest; calls in flight end as they began. */
export async function updateTarget(transaction: Transaction, input: UpdateTargetInput): Promise<Target | Refusal> {
  const checked = checkInput(updateTargetInput, input);
  if (checked instanceof Refusal) return checked;
  const { id, ...given } = checked;
  const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const found = await findWithRoute(transaction, id);
  if (found === null) return refuse('not_found', ['id']);
  const { target, route } = found;
  const { providerId } = target;
  const fault =
    (given.credentialId === undefined
      ? undefined
      : await findBadCredential(transaction, { providerId, credentialId: given.credentialId }, route.tenantId, [])) ??
    (await findMissingCard(transaction, given.costCardId ?? null, 'cost', ['costCardId']));
  if (fault !== undefined) return fault;
  transaction.em.assign(target, changes);
  await transaction.audit({ action: 'target-updated', subjectKind: 'target', subjectId: id, details: changes });
  await publishRoute(transaction, route);
  return target;
}

/** The last target stays: a route without one is no route. */
export async function removeTarget(transaction: Transaction, id: string): Promise<Route | Refusal> {
  const found = z.uuid().safeParse(id).success ? await findWithRoute(transaction, id) : null;
  if (found === null) return refuse('not_found', ['id']);
  const { target, route } = found;
  if ((await transaction.em.count(Target, { routeId: route.id })) === 1) {
    return refuse('invalid_request', ['id'], 'It is the only target of its route; drain it instead.');
  }
  transaction.em.remove(target);
  const details = { routeId: route.id };
  await transaction.audit({ action: 'target-removed', subjectKind: 'target', subjectId: id, details });
  await publishRoute(transaction, route);
  return route;
}

/**
 * Moves all routes of a credential's provider and owner over to it, such as from one that is to be given up.
 * @returns how many targets were moved
 */
export async function useCredential(transaction: Transaction, credentialId: string): Promise<number | Refusal> {
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
  for (const route of routes) await publishRoute(transaction, route);
  return moved.length;
}

async function findWithRoute(
  transaction: Transaction,
  targetId: string,
): Promise<{ readonly target: Target; readonly route: Route } | null> {
  const found = await transaction.em.findOne(Target, { id: targetId });
  const route = found === null ? null : await lockRoute(transaction, found.routeId);
  if (route === null) return null;
  // Again, now that the route is locked: it may have been removed meanwhile.
  const target = await transaction.em.findOne(Target, { id: targetId }, { refresh: true });
  return target === null ? null : { target, route };
}

/** Changes of one route's targets come one after another: each publishes the whole route, and counts what is there. */
export function lockRoute({ em }: Transaction, id: string): Promise<Route | null> {
  return em.findOne(Route, { id }, { lockMode: LockMode.PESSIMISTIC_WRITE });
}
