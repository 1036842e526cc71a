import { createHash, createPublicKey, randomBytes } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { createSealingPair, createSigningPair, createSymmetricKey, readSigningKey } from '@pingtoken/shared/crypto';
import { createApiKey } from '@pingtoken/shared/key-format';
import { makePrivateFolder, readJsonFile, writeJsonAtomically, type Home } from './home.js';

const secret = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/);

const keptSecretsSchema = z.object({
  controlPlane: z.object({
    PERSON_KEYS_SECRET: secret,
    BLIND_INDEX_SECRET: secret,
    CONTENT_KEY_SECRET: secret,
    /** PKCS#8 Ed25519. */
    CONFIG_SIGNING_KEY: base64url,
  }),
  /** Of the embedded server's superuser. */
  postgresPassword: secret,
  redisPassword: secret,
  /** From these come the passwords of the database logins. */
  databasePasswordSeed: secret,
  operator: z.object({ email: z.email(), password: z.string().min(12) }),
  demoApiKey: z.string().startsWith('pt-'),
});
export type KeptSecrets = z.infer<typeof keptSecretsSchema>;

/** The distribution's secrets: made at the first start, read at every later one, so that it prints the same. */
export async function keepSecrets(home: Home): Promise<KeptSecrets> {
  const path = home.path('secrets.json');
  const kept = await readJsonFile(path, keptSecretsSchema);
  if (kept !== null) return kept;
  const made = createSecrets();
  await writeJsonAtomically(path, made);
  return made;
}

function createSecrets(): KeptSecrets {
  const create = () => createSymmetricKey().toString('base64url');
  return {
    controlPlane: {
      PERSON_KEYS_SECRET: create(),
      BLIND_INDEX_SECRET: create(),
      CONTENT_KEY_SECRET: create(),
      CONFIG_SIGNING_KEY: createSigningPair().privateKey,
    },
    postgresPassword: create(),
    redisPassword: create(),
    databasePasswordSeed: create(),
    operator: { email: 'operator@pingtoken.localhost', password: randomBytes(12).toString('base64url') },
    demoApiKey: createApiKey().secret,
  };
}

/** A password of its own for each login, always the same, so that a new kind of login needs no change of the kept file. */
export function databasePasswords<Login extends string>(
  secrets: KeptSecrets,
  logins: readonly Login[],
): Record<Login, string> {
  const derive = (login: Login) =>
    createHash('sha256').update(`${secrets.databasePasswordSeed} ${login}`).digest('base64url');
  return Object.fromEntries(logins.map((login) => [login, derive(login)])) as Record<Login, string>;
}

/** SPKI Ed25519, base64url, of a PKCS#8 private key. */
export function verifyKeyOf(signingKey: string): string {
  return createPublicKey(readSigningKey(signingKey)).export({ type: 'spki', format: 'der' }).toString('base64url');
}

const identitySchema = z.object({
  id: z.uuid(),
  region: z.string(),
  signingKey: base64url,
  sealing: z.object({ publicKey: base64url, privateKey: base64url }),
});

/** What the control plane must know of a data plane to enrol it. */
export interface DataPlaneEnrolment {
  readonly id: string;
  readonly region: string;
  /** SPKI Ed25519, base64url. */
  readonly verifyKey: string;
  /** X25519, base64url. */
  readonly sealingKey: string;
}

/** The data plane's identity, in its own folder, private halves included: it is made here because one machine is one trust. */
export async function keepDataPlaneIdentity(folder: string): Promise<DataPlaneEnrolment> {
  await makePrivateFolder(folder);
  const path = `${folder}/identity.json`;
  let identity = await readJsonFile(path, identitySchema);
  if (identity === null) {
    identity = createIdentity();
    await writeJsonAtomically(path, identity);
  }
  return {
    id: identity.id,
    region: identity.region,
    verifyKey: verifyKeyOf(identity.signingKey),
    sealingKey: identity.sealing.publicKey,
  };
}

function createIdentity(): z.infer<typeof identitySchema> {
  const sealing = createSealingPair();
  return {
    id: uuidv7(),
    region: 'local',
    signingKey: createSigningPair().privateKey,
    sealing: {
      publicKey: Buffer.from(sealing.publicKey).toString('base64url'),
      privateKey: Buffer.from(sealing.privateKey).toString('base64url'),
    },
  };
}
