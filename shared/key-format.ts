import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { sha256 } from './crypto.js';

/**
 * An API key: `pt-`, 32 random bytes and a CRC-32 of them, base64url. The prefix and the checksum let secret scanners find
 * leaked keys without false alarms; the gateway itself accepts a bearer of any form, for it only looks up its hash.
 */
const PREFIX = 'pt-';

export interface NewApiKey {
  /** Shown once and kept nowhere. */
  readonly secret: string;
  /** SHA-256 of the secret, base64url. */
  readonly hash: string;
  /** Enough to recognise a key in a list: `pt-Ab3…x9Zk`. */
  readonly hint: string;
}

export function createApiKey(): NewApiKey {
  const random = randomBytes(32);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(random));
  const secret = PREFIX + Buffer.concat([random, checksum]).toString('base64url');
  return { secret, hash: hashApiKey(secret), hint: hintOf(secret) };
}

/** Plain SHA-256: the bearer of a key of our own has 256 random bits, and keys made elsewhere can be imported. */
export function hashApiKey(bearer: string): string {
  return sha256(bearer);
}

export function hintOf(bearer: string): string {
  return `${bearer.slice(0, 6)}…${bearer.slice(-4)}`;
}
