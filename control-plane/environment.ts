import { z } from 'zod';
import { portSchema, readEnvironment } from '@pingtoken/shared/environment';

const secret = z
  .string()
  .refine(
    (text) => Buffer.from(text, 'base64url').length === 32,
    'must be 32 bytes, base64url: `openssl rand -base64 32`',
  );
const databaseUrl = z.url({ protocol: /^postgres(ql)?$/ });

/** Settings that several entry points share. */
export const secrets = {
  PERSON_KEYS_SECRET: secret.describe('Wraps the key of each person. 32 bytes, base64url.'),
  BLIND_INDEX_SECRET: secret.describe(
    'Keys the hashes by which sealed e-mail addresses are found. 32 bytes, base64url.',
  ),
  CONTENT_KEY_SECRET: secret.describe(
    'Wraps the keys that provider credentials are encrypted under. 32 bytes, base64url.',
  ),
  CONFIG_SIGNING_KEY: z
    .string()
    .min(40)
    .describe('Ed25519 private key (PKCS#8 DER, base64url) that signs what data planes are given.'),
};

export const registration = {
  REGISTRATION: z
    .enum(['open', 'invited', 'closed'])
    .default('open')
    .describe('Who may register: everyone, holders of an invitation, nobody.'),
};

/** Every setting of the control plane; the README's table is made from the descriptions. */
export const controlPlaneEnvironment = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address to listen on.'),
  CONTROL_PLANE_PORT: portSchema(4000).describe('Port of the GraphQL API and of the config link.'),
  API_DATABASE_URL: databaseUrl.describe("The platform's database, through the login that is held to one tenant."),
  WORKER_DATABASE_URL: databaseUrl.describe("The platform's database, through the login that works across tenants."),
  PERSON_KEYS_DATABASE_URL: databaseUrl.describe("The database of the persons' keys, backed up apart from the other."),
  ...secrets,
  ...registration,
  PUBLIC_URL: z.url().default('http://127.0.0.1:4000').describe('Where users reach the control plane.'),
  TRUSTED_PROXIES: z
    .string()
    .default('')
    .describe('Address ranges, separated by commas, whose `X-Forwarded-For` is believed. None by default.'),
  LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Least severe log line that is written.'),
});
export type ControlPlaneEnvironment = z.infer<typeof controlPlaneEnvironment>;

export function readControlPlaneEnvironment(source: NodeJS.ProcessEnv): ControlPlaneEnvironment {
  return readEnvironment(controlPlaneEnvironment, source);
}
