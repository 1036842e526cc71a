import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { createSealingPair, createSigningPair, readSigningKey } from '@pingtoken/shared/crypto';
import { parseJson } from '@pingtoken/shared/wire';

const base64url = z.string().regex(/^[A-Za-z0-9_-]+$/);

/** Contents of `identity.json`, which enrolment writes with mode 0600. */
const identitySchema = z.object({
  id: z.uuid(),
  region: z.string().min(1),
  /** Ed25519, PKCS#8, base64url: signs the tokens of the config link. */
  signingKey: base64url,
  /** X25519, 32 bytes base64url each: opens the content keys of config documents. */
  sealing: z.object({ publicKey: base64url.length(43), privateKey: base64url.length(43) }),
});

/** Who this data plane is. */
export interface Identity {
  readonly id: string;
  readonly region: string;
  readonly signingKey: ReturnType<typeof readSigningKey>;
  readonly sealing: { readonly publicKey: Uint8Array; readonly privateKey: Uint8Array };
}

/** What the operator enrols, with `enrolDataPlane`: public all of it. */
export interface Enrolment {
  readonly id: string;
  readonly region: string;
  /** Ed25519, SPKI, base64url. */
  readonly verifyKey: string;
  /** X25519, base64url. */
  readonly sealingKey: string;
}

/**
 * Makes an identity where there is none: the private keys begin in this folder and never leave it. The file appears whole or
 * not at all, and never replaces another.
 * @returns what is to be enrolled before the control plane gives it anything; null where an identity stood already
 */
export function makeIdentityIfMissing(home: string, region: string): Enrolment | null {
  const path = join(home, 'identity.json');
  if (existsSync(path)) return null;
  const signing = createSigningPair();
  const sealing = createSealingPair();
  const sealingKey = Buffer.from(sealing.publicKey).toString('base64url');
  const privateKey = Buffer.from(sealing.privateKey).toString('base64url');
  const file: z.input<typeof identitySchema> = {
    id: uuidv7(),
    region,
    signingKey: signing.privateKey,
    sealing: { publicKey: sealingKey, privateKey },
  };
  writeFileSync(`${path}.new`, JSON.stringify(file), { mode: 0o600, flush: true });
  linkSync(`${path}.new`, path);
  rmSync(`${path}.new`);
  return { id: file.id, region, verifyKey: signing.publicKey, sealingKey };
}

/**
 * @param home folder that holds `identity.json`
 * @throws Error naming the file, and never a value of it, when it is missing or malformed
 */
export function readIdentity(home: string): Identity {
  const path = join(home, 'identity.json');
  let fault: string;
  try {
    return parseIdentity(parseJson(readFileSync(path, 'utf8')));
  } catch (error) {
    fault = describe(error);
  }
  // Not as the cause: a syntax error quotes the text it choked on, and this text holds private keys.
  throw new Error(`${path}: ${fault}; enrol this data plane first`);
}

/** @throws Error when the value is no identity file */
function parseIdentity(value: unknown): Identity {
  const file = identitySchema.parse(value);
  return {
    id: file.id,
    region: file.region,
    signingKey: readSigningKey(file.signingKey),
    sealing: {
      publicKey: Buffer.from(file.sealing.publicKey, 'base64url'),
      privateKey: Buffer.from(file.sealing.privateKey, 'base64url'),
    },
  };
}

function describe(error: unknown): string {
  if (error instanceof z.ZodError)
    return error.issues.map((issue) => `${issue.path.join('.')} ${issue.code}`).join(', ');
  const code = (error as NodeJS.ErrnoException).code;
  return code ?? 'not readable as JSON with valid keys';
}
