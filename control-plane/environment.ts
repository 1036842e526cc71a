import { z } from 'zod';
import { addressRangesSchema } from '@pingtoken/shared/address-ranges';
import { portSchema, readEnvironmentOrExit } from '@pingtoken/shared/environment';

const secret = z
  .string()
  .refine(
    (text) => Buffer.from(text, 'base64url').length === 32,
    'must be 32 bytes, base64url: `openssl rand -base64 32`',
  );
const databaseUrl = z.url({ protocol: /^postgres(ql)?$/ });

const logLevel = z
  .enum(['debug', 'info', 'warn', 'error'])
  .default('info')
  .describe('Least severe log line that is written.');

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

/** Every setting of the control plane; the README's table is made from the descriptions. */
export const controlPlaneEnvironment = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address to listen on.'),
  CONTROL_PLANE_PORT: portSchema(4000).describe('Port of the GraphQL API and of the config link.'),
  API_DATABASE_URL: databaseUrl.describe("The platform's database, through the login that is held to one tenant."),
  WORKER_DATABASE_URL: databaseUrl.describe("The platform's database, through the login that works across tenants."),
  PERSON_KEYS_DATABASE_URL: databaseUrl.describe("The database of the persons' keys, backed up apart from the other."),
  ...secrets,
  REGISTRATION: z
    .enum(['open', 'invited', 'closed'])
    .default('open')
    .describe('Who may register: everyone, holders of an invitation, nobody.'),
  TRUSTED_PROXIES: z
    .string()
    .default('')
    .describe('Address ranges, separated by commas, whose `X-Forwarded-For` is believed. None by default.'),
  PRIVATE_UPSTREAMS: addressRangesSchema().describe(
    'Address ranges, not of the public internet, that providers may be saved with; the data planes need the same. None by default.',
  ),
  LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Least severe log line that is written.'),
});
export type ControlPlaneEnvironment = z.infer<typeof controlPlaneEnvironment>;

const password = z.string().min(8);

/** Settings of `migrate`, which makes databases and logins, brings the schema up to date, and makes the first operator. */
export const migrateEnvironment = z.object({
  ADMIN_DATABASE_URL: databaseUrl.describe(
    'A login that may create databases and roles; names the database of the platform.',
  ),
  API_DATABASE_PASSWORD: password.describe('Password of the login that is held to one tenant.'),
  WORKER_DATABASE_PASSWORD: password.describe('Password of the login that works across tenants.'),
  OWNER_DATABASE_PASSWORD: password.describe('Password of the login that owns the tables.'),
  PERSON_KEYS_DATABASE_PASSWORD: password.describe("Password of the login to the persons' keys."),
  QUEUE_DATABASE_PASSWORD: password.describe('Password of the login to the queue, where it is in PostgreSQL.'),
  PERSON_KEYS_SECRET: secrets.PERSON_KEYS_SECRET,
  BLIND_INDEX_SECRET: secrets.BLIND_INDEX_SECRET,
  CONTENT_KEY_SECRET: secrets.CONTENT_KEY_SECRET,
  OPERATOR_EMAIL: z.email().describe('Login of the first operator.'),
  OPERATOR_PASSWORD: z.string().min(10).describe('Password of the first operator; not changed by a second run.'),
  LOG_LEVEL: logLevel,
});

export function readControlPlaneEnvironment(): ControlPlaneEnvironment {
  return readEnvironmentOrExit(controlPlaneEnvironment, process.env);
}

export function readMigrateEnvironment(): z.infer<typeof migrateEnvironment> {
  return readEnvironmentOrExit(migrateEnvironment, process.env);
}
