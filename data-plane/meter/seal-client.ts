import { createClientSealer, sealClient, type ClientSealer } from '@pingtoken/shared/crypto';
import type { CallerClient, SealedClient } from '@pingtoken/shared/usage-event';

/** Seals callers' addresses, devices and browsers to the persons whose keys they used. */
export interface ClientSealers {
  /**
   * Each field is cut to 512 characters.
   * @param memberSealingKey X25519 public key, 32 bytes base64url
   * @throws Error when the key is none
   */
  seal(memberSealingKey: string, client: CallerClient): SealedClient;
}

const MAX_FIELD_CHARACTERS = 512;
const ROTATION_MS = 24 * 60 * 60 * 1000;

/**
 * A symmetric key per person, kept for a day at most so that one key opens one day, and forgotten least recently used first.
 * @param maxPeople bound of the memory: about 500 bytes each
 */
export function createClientSealers({
  maxPeople,
  now = Date.now,
}: {
  readonly maxPeople: number;
  readonly now?: () => number;
}): ClientSealers {
  const kept = new Map<string, { readonly sealer: ClientSealer; readonly madeAt: number }>();

  function sealerOf(memberSealingKey: string): ClientSealer {
    const found = kept.get(memberSealingKey);
    kept.delete(memberSealingKey);
    const fresh =
      found !== undefined && now() - found.madeAt < ROTATION_MS
        ? found
        : { sealer: createClientSealer(Buffer.from(memberSealingKey, 'base64url')), madeAt: now() };
    // A Map keeps insertion order: what was used last stands last, what was not used for longest stands first.
    kept.set(memberSealingKey, fresh);
    if (kept.size > maxPeople) {
      for (const oldest of kept.keys()) {
        kept.delete(oldest);
        break;
      }
    }
    return fresh.sealer;
  }

  return {
    seal: (memberSealingKey, client) =>
      sealClient(sealerOf(memberSealingKey), {
        ip: client.ip.slice(0, MAX_FIELD_CHARACTERS),
        device: client.device.slice(0, MAX_FIELD_CHARACTERS),
        browser: client.browser.slice(0, MAX_FIELD_CHARACTERS),
      }),
  };
}
