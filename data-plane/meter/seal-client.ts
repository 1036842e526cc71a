import { createClientSealer, sealClient, type ClientSealer } from '@pingtoken/shared/crypto';
import type { CallerClient, SealedClient } from '@pingtoken/shared/usage-event';

/** Seals callers' addresses, devices and browsers to the persons whose keys they used. */
export interface ClientSealers {
  /**
   * Each field is cut to 512 characters, and to fewer where they take several bytes each.
   * @param memberSealingKey X25519 public key, 32 bytes base64url
   * @param connection what the call came over: calls of one caller over one connection are sealed once and carry the same
   *   text, which tells that they shared a connection, and nothing of whose it was
   * @throws Error when the key is none
   */
  seal(memberSealingKey: string, client: CallerClient, connection: object): SealedClient;
}

const MAX_FIELD_CHARACTERS = 512;
/**
 * Of a field's JSON: three such fields, sealed and in base64, are within the 4,096 characters of the contract. A caller whose
 * user agent made its record too long for the ledger would call for nothing.
 */
const MAX_FIELD_BYTES = 1000;
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

  const last = new WeakMap<object, Sealing>();
  return {
    seal: (memberSealingKey, client, connection) => {
      const before = last.get(connection);
      // A proxy's connection carries calls of many; only the one that was sealed last is worth keeping.
      if (before !== undefined && isSame(before, memberSealingKey, client)) return before.sealed;
      const sealed = sealClient(sealerOf(memberSealingKey), {
        ip: cut(client.ip),
        device: cut(client.device),
        browser: cut(client.browser),
      });
      last.set(connection, { memberSealingKey, client, sealed });
      return sealed;
    },
  };
}

interface Sealing {
  readonly memberSealingKey: string;
  readonly client: CallerClient;
  readonly sealed: SealedClient;
}

function isSame(before: Sealing, memberSealingKey: string, { ip, device, browser }: CallerClient): boolean {
  const { client } = before;
  return (
    before.memberSealingKey === memberSealingKey &&
    client.ip === ip &&
    client.device === device &&
    client.browser === browser
  );
}

function cut(field: string): string {
  const short = field.slice(0, MAX_FIELD_CHARACTERS);
  const bytes = Buffer.byteLength(JSON.stringify(short));
  // Escapes and scripts of several bytes are spread unevenly, so that one cut in proportion may not be enough.
  return bytes <= MAX_FIELD_BYTES ? short : cut(short.slice(0, Math.floor((short.length * MAX_FIELD_BYTES) / bytes)));
}
