import { z } from 'zod';
import type { AddressRange } from '@pingtoken/shared/address-ranges';
import { encrypt } from '@pingtoken/shared/crypto';
import {
  guardrailPolicyShape,
  guardrailSecretContext,
  guardrailSecretSchema,
  type Guardrail,
} from '@pingtoken/shared/guardrail';
import { upstreamUrlFault } from '@pingtoken/shared/upstream-url';
import { refuse, type Refusal } from '../database/refusal.js';
import type { Transaction } from '../database/transaction.js';
import { currentContentKey } from '../providers/providers.js';

/** What guardrails need of the platform. */
export interface GuardrailOptions {
  /** base64url, 32 bytes: wraps the content keys that secrets are encrypted under. */
  readonly contentKeySecret: string;
  /** Ranges that are not public and may hold a guardrail nonetheless: those of providers. */
  readonly privateUpstreams: readonly AddressRange[];
}

export const guardrailInput = z.object({
  ...guardrailPolicyShape,
  /** Write-only. May be left out where the route has one for the same origin already. */
  secret: guardrailSecretSchema.nullish(),
});
export type GuardrailInput = z.output<typeof guardrailInput>;

/** What may be told of a guardrail, and goes into the audit log. */
export function describeGuardrail(guardrail: Guardrail): Omit<Guardrail, 'contentKeyId' | 'sealedSecret'> {
  const { url, timeoutMs, onFault, sends } = guardrail;
  return { url, timeoutMs, onFault, sends };
}

/** Checks where it would be asked, and encrypts its secret. */
export async function sealGuardrail(
  transaction: Transaction,
  { routeId, given, before }: { routeId: string; given: GuardrailInput; before: Guardrail | null },
  { contentKeySecret, privateUpstreams }: GuardrailOptions,
): Promise<Guardrail | Refusal> {
  const { secret, ...policy } = given;
  const fault = upstreamUrlFault(policy.url, privateUpstreams);
  if (fault !== undefined) return refuse('invalid_request', ['guardrail', 'url'], fault);
  if (secret === undefined || secret === null) {
    if (before === null || new URL(before.url).origin !== new URL(policy.url).origin) {
      return refuse('invalid_request', ['guardrail', 'secret'], 'A secret is needed for this address.');
    }
    return { ...policy, contentKeyId: before.contentKeyId, sealedSecret: before.sealedSecret };
  }
  const contentKey = await currentContentKey(transaction, contentKeySecret);
  const sealed = encrypt(contentKey.key, secret, guardrailSecretContext(routeId, policy.url));
  return { ...policy, contentKeyId: contentKey.id, sealedSecret: sealed.toString('base64url') };
}
