import { z } from 'zod';
import { readEnvironmentOrExit } from '@pingtoken/shared/environment';
import { secrets } from '../environment.js';

const databaseUrl = z.url({ protocol: /^postgres(ql)?$/ });

/** Every setting of the worker; the README's table is made from the descriptions. */
export const workerEnvironment = z.object({
  WORKER_DATABASE_URL: databaseUrl.describe("The platform's database, through the login that works across tenants."),
  QUEUE_URL: z
    .url({ protocol: /^(rediss?|postgres(ql)?)$/ })
    .describe('The queue that gateways put usage into: Redis (noeviction, append-only file) or PostgreSQL.'),
  WORKER_CONCURRENCY: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('Batches of usage at work at once in one worker process.'),
  LEDGER_GRACE_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(60)
    .default(5)
    .describe('Days after its end for which a month stays open for calls that are reported late.'),
  LOG_CALLS: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true')
    .describe('Whether a line is logged for each settled call; under load some are summed up.'),
  PERSON_KEYS_DATABASE_URL: databaseUrl.describe("The database of the persons' keys, to open addresses for mails."),
  PERSON_KEYS_SECRET: secrets.PERSON_KEYS_SECRET,
  MAIL_URL: z
    .url({ protocol: /^(file|smtps?)$/ })
    .optional()
    .describe(
      'Where mails go: `smtp://user:password@host:587`, `smtps://…`, or `file:///folder` for files. Unset, they wait.',
    ),
  MAIL_FROM: z.string().default('PingToken <no-reply@localhost>').describe('The sender of mails.'),
  LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Least severe log line that is written.'),
});
export type WorkerEnvironment = z.infer<typeof workerEnvironment>;

export function readWorkerEnvironment(source: NodeJS.ProcessEnv = process.env): WorkerEnvironment {
  return readEnvironmentOrExit(workerEnvironment, source);
}
