import { createHmac, randomBytes } from 'node:crypto';
import { parse as parseUuid, stringify as stringifyUuid } from 'uuid';
import { sha256 } from '@pingtoken/shared/crypto';

/**
 * A bearer token of the control plane: `<prefix>.<tenant>.<secret>`. It names its tenant, so that it is looked up within that
 * tenant's rows and no query ever has to search across tenants. Only its hash is stored.
 */
export type TokenPrefix = 'pts' | 'ptv';

export interface NewToken {
  readonly token: string;
  readonly hash: string;
}

export function createToken(prefix: TokenPrefix, tenantId: string): NewToken {
  const tenant = Buffer.from(parseUuid(tenantId)).toString('base64url');
  const token = `${prefix}.${tenant}.${randomBytes(32).toString('base64url')}`;
  return { token, hash: sha256(token) };
}

const TOKEN = /^(pts|ptv)\.([A-Za-z0-9_-]{22})\.[A-Za-z0-9_-]{43}$/;

/** @returns null when the text is no token of that prefix */
export function readToken(prefix: TokenPrefix, token: string): { tenantId: string; hash: string } | null {
  const match = TOKEN.exec(token);
  if (match?.[1] !== prefix) return null;
  try {
    return { tenantId: stringifyUuid(Buffer.from(match[2] ?? '', 'base64url')), hash: sha256(token) };
  } catch {
    return null;
  }
}

/** A code that stands for itself, such as an invitation. */
export function createCode(): { code: string; hash: string } {
  const code = randomBytes(18).toString('base64url');
  return { code, hash: sha256(code) };
}

/**
 * Finds a sealed value without opening it: a keyed hash whose key is outside the database, so that a stolen table cannot be
 * searched by guessing addresses.
 */
export type BlindIndex = (kind: 'email' | 'address', value: string) => string;

export function createBlindIndex(secret: string): BlindIndex {
  const key = Buffer.from(secret, 'base64url');
  return (kind, value) =>
    createHmac('sha256', key)
      .update(`${kind}:${value.trim().normalize('NFC').toLowerCase()}`)
      .digest('base64url');
}
