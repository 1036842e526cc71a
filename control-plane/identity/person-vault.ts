import type { CallerClient, SealedClient } from '@pingtoken/shared/usage-event';
import { createSealingPair, createSymmetricKey, decrypt, encrypt, openClient } from '@pingtoken/shared/crypto';
import type { Orm } from '../database/orm.js';
import { PersonKey } from './person-key-entity.js';

/** Columns that are sealed under a person's key; the name is bound into the ciphertext. */
export type PersonField = 'email' | 'name' | 'contact' | 'mail';

/** One person's key, unwrapped; lives as long as the request that asked for it. */
export interface PersonCipher {
  /** X25519 public key, base64url: what may be sealed to the person by those who must not read it. */
  readonly sealingKey: string;
  encrypt(field: PersonField, text: string): Buffer;
  /** @throws Error when the bytes are not this person's, or another field's. */
  decrypt(field: PersonField, sealed: Uint8Array): string;
  openClient(sealed: SealedClient): CallerClient;
}

export interface PersonVault {
  create(personId: string): Promise<PersonCipher>;
  /** @returns null when the key was destroyed or never was: what it sealed is gone */
  open(personId: string): Promise<PersonCipher | null>;
  /** For good: the key exists nowhere else but in backups of its own database. */
  destroy(personId: string): Promise<void>;
}

/**
 * @param orm the database of the persons' keys
 * @param secret base64url, 32 bytes, outside every database: wraps each key, so that the key database alone opens nothing
 */
export function createPersonVault({ orm, secret }: { orm: Orm; secret: string }): PersonVault {
  const wrappingKey = Buffer.from(secret, 'base64url');
  const wrap = (personId: string, part: string, key: Uint8Array): Buffer =>
    encrypt(wrappingKey, key, `${personId}:${part}`);
  const unwrap = (personId: string, part: string, sealed: Uint8Array): Buffer =>
    decrypt(wrappingKey, sealed, `${personId}:${part}`);

  return {
    async create(personId) {
      const dataKey = createSymmetricKey();
      const pair = createSealingPair();
      const em = orm.em.fork();
      em.create(PersonKey, {
        personId,
        sealedDataKey: wrap(personId, 'data', dataKey),
        sealingKey: Buffer.from(pair.publicKey).toString('base64url'),
        sealedPrivateKey: wrap(personId, 'private', pair.privateKey),
        createdAt: new Date(),
        destroyedAt: null,
      });
      await em.flush();
      return createCipher(personId, dataKey, pair.publicKey, pair.privateKey);
    },

    async open(personId) {
      const row = await orm.em.fork().findOne(PersonKey, { personId });
      if (row?.sealedDataKey == null || row.sealedPrivateKey == null) return null;
      return createCipher(
        personId,
        unwrap(personId, 'data', row.sealedDataKey),
        Buffer.from(row.sealingKey, 'base64url'),
        unwrap(personId, 'private', row.sealedPrivateKey),
      );
    },

    async destroy(personId) {
      await orm.em
        .fork()
        .nativeUpdate(
          PersonKey,
          { personId, destroyedAt: null },
          { sealedDataKey: null, sealedPrivateKey: null, destroyedAt: new Date() },
        );
    },
  };
}

function createCipher(personId: string, dataKey: Buffer, publicKey: Uint8Array, privateKey: Uint8Array): PersonCipher {
  return {
    sealingKey: Buffer.from(publicKey).toString('base64url'),
    encrypt: (field, text) => encrypt(dataKey, text, `${personId}:${field}`),
    decrypt: (field, sealed) => decrypt(dataKey, sealed, `${personId}:${field}`).toString(),
    openClient: (sealed) => openClient({ publicKey, privateKey }, sealed),
  };
}
