import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { checkInput, Refusal, refuseConflict } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { passthroughRouteObject } from '../publishing/config-objects.js';
import { PassthroughRoute } from './entities.js';
import { findBadCredential, findMissingCard } from './references.js';

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

export type PassthroughInput = z.input<typeof passthroughInput>;

export async function createPassthroughRoute(
  transaction: Transaction,
  input: PassthroughInput,
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
