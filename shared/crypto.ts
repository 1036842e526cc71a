import * as crypto from 'node:crypto';
import sodium from 'libsodium-wrappers';
import { parseJson } from './wire.js';
import type { CallerClient, SealedClient } from './usage-event.js';

/**
 * The few forms of cryptography that the planes share. Symmetric: AES-256-GCM, 12-byte random nonce, stored as
 * nonce ‖ ciphertext ‖ tag. Sealed: libsodium's crypto_box_seal (X25519, XSalsa20-Poly1305), which anyone can make and only
 * the holder of the private key can open. Signatures: Ed25519.
 */
await sodium.ready;

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** SHA-256, base64url (43 characters). */
export function sha256(data: string | Uint8Array): string {
  return crypto.hash('sha256', data, 'base64url');
}

/** Next head of the config chain; see `config-snapshot`. */
export function nextChain(chain: string, line: string | Uint8Array): string {
  return sha256(Buffer.concat([Buffer.from(chain, 'base64url'), crypto.hash('sha256', line, 'buffer')]));
}

/** A random 32-byte key. */
export function createSymmetricKey(): Buffer {
  return crypto.randomBytes(32);
}

const POOLED_NONCES = 256;
const noncePool = Buffer.alloc(NONCE_BYTES * POOLED_NONCES);
let nextNonceAt = noncePool.length;

/** Twelve random bytes, used once. They are drawn many at a time: a draw costs microseconds whatever its size. */
function takeNonce(): Buffer {
  if (nextNonceAt === noncePool.length) {
    crypto.randomFillSync(noncePool);
    nextNonceAt = 0;
  }
  nextNonceAt += NONCE_BYTES;
  return noncePool.subarray(nextNonceAt - NONCE_BYTES, nextNonceAt);
}

/**
 * @param key 32 bytes; as a KeyObject where it is used often, for Node makes one of bytes anew each time, and slowly
 * @param context bound to the ciphertext, such as a row's id: a value moved to another row does not decrypt there
 */
export function encrypt(key: Uint8Array | crypto.KeyObject, plaintext: string | Uint8Array, context: string): Buffer {
  const nonce = takeNonce();
  const cipher = crypto.createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(context));
  const bytes = typeof plaintext === 'string' ? Buffer.from(plaintext) : plaintext;
  return Buffer.concat([nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
}

/** @throws Error when the key, the context or the bytes are not those of {@link encrypt}. */
export function decrypt(key: Uint8Array | crypto.KeyObject, sealed: Uint8Array, context: string): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new RangeError('ciphertext too short');
  const decipher = crypto
    .createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(context))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
}

/** An X25519 pair, 32 bytes each. */
export interface SealingPair {
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
}

export function createSealingPair(): SealingPair {
  const { publicKey, privateKey } = sodium.crypto_box_keypair();
  return { publicKey, privateKey };
}

/** About a quarter of a millisecond: seal a key, and use the key for the many. */
export function seal(publicKey: Uint8Array, plaintext: Uint8Array): Buffer {
  return Buffer.from(sodium.crypto_box_seal(plaintext, publicKey));
}

/** @throws Error when it was sealed to another key. */
export function unseal(pair: SealingPair, sealed: Uint8Array): Buffer {
  return Buffer.from(sodium.crypto_box_seal_open(sealed, pair.publicKey, pair.privateKey));
}

/** One symmetric key per process and person, and the same sealed to the person: what a call pays is one AES-GCM. */
export interface ClientSealer {
  readonly key: crypto.KeyObject;
  readonly sealedKey: string;
}

export function createClientSealer(publicKey: Uint8Array): ClientSealer {
  const key = createSymmetricKey();
  return { key: crypto.createSecretKey(key), sealedKey: seal(publicKey, key).toString('base64url') };
}

/** Context of a sealed client; the seal itself names the person, by being theirs alone to open. */
const CLIENT_CONTEXT = 'caller-client';

export function sealClient(sealer: ClientSealer, client: CallerClient): SealedClient {
  return {
    key: sealer.sealedKey,
    data: encrypt(sealer.key, JSON.stringify(client), CLIENT_CONTEXT).toString('base64url'),
  };
}

/** @throws Error when it was sealed to another person. */
export function openClient(pair: SealingPair, sealed: SealedClient): CallerClient {
  const key = unseal(pair, Buffer.from(sealed.key, 'base64url'));
  return parseJson(decrypt(key, Buffer.from(sealed.data, 'base64url'), CLIENT_CONTEXT).toString()) as CallerClient;
}

/** An Ed25519 pair as base64url of DER: PKCS#8 private, SPKI public. */
export interface SigningPair {
  readonly publicKey: string;
  readonly privateKey: string;
}

export function createSigningPair(): SigningPair {
  const { publicKey, privateKey } = crypto.generateKeyPairSync('ed25519');
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64url'),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64url'),
  };
}

/** @throws Error when the text is no PKCS#8 key. */
export function readSigningKey(privateKey: string): crypto.KeyObject {
  return crypto.createPrivateKey({ key: Buffer.from(privateKey, 'base64url'), format: 'der', type: 'pkcs8' });
}

/** @throws Error when the text is no SPKI key. */
export function readVerifyKey(publicKey: string): crypto.KeyObject {
  return crypto.createPublicKey({ key: Buffer.from(publicKey, 'base64url'), format: 'der', type: 'spki' });
}

export function sign(privateKey: crypto.KeyObject, text: string): string {
  return crypto.sign(null, Buffer.from(text), privateKey).toString('base64url');
}

export function verify(publicKey: crypto.KeyObject, text: string, signature: string): boolean {
  return crypto.verify(null, Buffer.from(text), publicKey, Buffer.from(signature, 'base64url'));
}
