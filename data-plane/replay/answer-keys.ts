import { createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';

/** What names, tells apart and encrypts the answers of one owner. The store sees none of it. */
export interface AnswerKeys {
  /** base64url; the same for the same parts, and for one owner only. */
  name(...parts: readonly (string | Buffer)[]): string;
  /** 32 bytes that stand for a request. */
  fingerprint(...parts: readonly (string | Buffer)[]): Buffer;
  readonly encryption: KeyObject;
}

/**
 * The keys of what is kept for one API key. They come from the bearer and from a secret of its tenant, and are in no memory but
 * that of a call which has brought the bearer: when the key is revoked nobody makes them again, and when the tenant is erased
 * nobody can.
 * @returns undefined where the tenant has no secret: it came from an older control plane
 */
export function keysOfBearer(
  tenant: Pick<ConfigObjectOf<'tenant'>, 'pseudonymKey'>,
  bearer: string,
): AnswerKeys | undefined {
  return tenant.pseudonymKey === null ? undefined : deriveKeys(tenant.pseudonymKey, bearer, 'of a key');
}

/** The keys of what a tenant's API keys share. */
export function keysOfTenant({
  id,
  pseudonymKey,
}: Pick<ConfigObjectOf<'tenant'>, 'id' | 'pseudonymKey'>): AnswerKeys | undefined {
  return pseudonymKey === null ? undefined : deriveKeys(pseudonymKey, id, 'of a tenant');
}

const KEY_BYTES = 32;

/** RFC 5869; the tenant's secret is the salt, and for each use there is a key of its own. */
function deriveKeys(pseudonymKey: string, input: string, whose: string): AnswerKeys {
  const salt = Buffer.from(pseudonymKey, 'base64url');
  const bytes = Buffer.from(hkdfSync('sha256', input, salt, `pingtoken answers ${whose}`, 3 * KEY_BYTES));
  const key = (at: number): KeyObject => createSecretKey(bytes.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES));
  const [naming, telling, encryption] = [key(0), key(1), key(2)];
  return {
    name: (...parts) => digest(naming, parts).toString('base64url'),
    fingerprint: (...parts) => digest(telling, parts),
    encryption,
  };
}

/** Each part with its length before it, so that no two lists of parts are one text. */
function digest(key: KeyObject, parts: readonly (string | Buffer)[]): Buffer {
  const hmac = createHmac('sha256', key);
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    const length = Buffer.alloc(8);
    length.writeDoubleBE(bytes.length);
    hmac.update(length).update(bytes);
  }
  return hmac.digest();
}
