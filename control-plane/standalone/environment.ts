import { z } from 'zod';
import { areAddressRanges } from '@pingtoken/shared/address-ranges';
import { portSchema, readEnvironment } from '@pingtoken/shared/environment';

const port = (defaultPort: number, serves: string) =>
  portSchema(defaultPort).describe(`Port of ${serves}; 0 picks a free one and keeps it.`);
const providerKey = (provider: string) =>
  z.string().optional().describe(`Seeds ${provider} beside the provider simulator, with this key.`);

/** Settings of `npm start`; the README's table is made from the descriptions. */
export const launcherEnvironmentSchema = z.object({
  PINGTOKEN_HOME: z
    .string()
    .default('.pingtoken')
    .describe('Folder of everything that is kept: data, secrets, logs, runtime.json.'),
  HOST: z
    .string()
    .default('127.0.0.1')
    .describe('Address that the control plane and the data planes listen on; the rest never leaves 127.0.0.1.'),
  CONTROL_PLANE_PORT: port(4000, 'the GraphQL API'),
  DATA_PLANE_PORT: port(8080, 'the gateway, shared by all data planes'),
  PROVIDER_SIMULATOR_PORT: port(8090, 'the provider simulator'),
  REGISTRATION: z
    .enum(['open', 'invited', 'closed'])
    .default('open')
    .describe('Who may register a tenant: anyone (open), who holds an invitation (invited), nobody (closed).'),
  PRIVATE_UPSTREAMS: z
    .string()
    .default('')
    .refine(areAddressRanges, 'must be address ranges such as 10.0.0.0/8, separated by commas')
    .describe(
      'Address ranges of your own network, separated by commas, that providers may be in besides this machine.',
    ),
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/, error: 'must be a postgres:// URL' })
    .optional()
    .describe('A PostgreSQL server to use instead of the embedded one; its login must be able to create databases.'),
  REDIS_URL: z
    .url({ protocol: /^rediss?$/, error: 'must be a redis:// URL' })
    .optional()
    .describe('A Redis server for the queue; it must run with maxmemory-policy noeviction.'),
  OPENAI_API_KEY: providerKey('OpenAI'),
  ANTHROPIC_API_KEY: providerKey('Anthropic'),
  GEMINI_API_KEY: providerKey('Google Gemini'),
  DEEPSEEK_API_KEY: providerKey('DeepSeek'),
});

export type LauncherEnvironment = z.infer<typeof launcherEnvironmentSchema>;

/** @throws Error fit for a terminal that names every faulty variable, never a value. */
export function readLauncherEnvironment(source: NodeJS.ProcessEnv): LauncherEnvironment {
  return readEnvironment(launcherEnvironmentSchema, source);
}

/**
 * What every child may see besides its own settings. Nothing else of the launcher's environment is handed on: a data plane
 * must not learn the database's address, nor a simulator a provider's key.
 */
export function inheritedEnvironment(source: NodeJS.ProcessEnv): Record<string, string> {
  const inherited: Record<string, string> = {};
  for (const [name, value] of Object.entries(source)) {
    if (value !== undefined && (INHERITED.has(name) || name.startsWith('NODE_'))) inherited[name] = value;
  }
  return inherited;
}

const INHERITED = new Set(['PATH', 'HOME', 'TZ', 'LANG', 'TMPDIR', 'LEASE_TIMEOUT_MS']);
