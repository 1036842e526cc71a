import type { Refusal } from '../database/refusal.js';
import { refuse } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { RateCard } from '../pricing/entities.js';
import { Credential, Provider } from '../providers/entities.js';

/** A credential goes to its own provider only, and a tenant's own into that tenant's routes only. */
export async function findBadCredential(
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

export async function findMissingCard(
  { em }: Transaction,
  cardId: string | null,
  purpose: RateCard['purpose'],
  path: readonly string[],
): Promise<Refusal | undefined> {
  if (cardId === null || (await em.findOne(RateCard, { id: cardId, purpose })) !== null) return undefined;
  return refuse('not_found', path);
}
