import { pino } from 'pino';
import { migrate } from './database/migrate.js';
import { provision } from './database/provision.js';
import { readMigrateEnvironment } from './environment.js';
import { install } from './installation.js';
import { openServices } from './services.js';

/** Run once before each release: databases, logins, tables, and at the first time an operator. Safe to repeat. */
const environment = readMigrateEnvironment();
const logger = pino({ level: environment.LOG_LEVEL, base: { process: 'migrate' } });

const urls = await provision({
  adminUrl: environment.ADMIN_DATABASE_URL,
  passwords: {
    api: environment.API_DATABASE_PASSWORD,
    worker: environment.WORKER_DATABASE_PASSWORD,
    owner: environment.OWNER_DATABASE_PASSWORD,
    personKeys: environment.PERSON_KEYS_DATABASE_PASSWORD,
    queue: environment.QUEUE_DATABASE_PASSWORD,
  },
});
await migrate({ ownerUrl: urls.owner, personKeysUrl: urls.personKeys });
logger.info('the databases have the newest schema');

const services = await openServices(
  {
    ...environment,
    API_DATABASE_URL: urls.api,
    PERSON_KEYS_DATABASE_URL: urls.personKeys,
    REGISTRATION: 'closed',
    PRIVATE_UPSTREAMS: [],
  },
  logger,
);
try {
  await install(services, { email: environment.OPERATOR_EMAIL, password: environment.OPERATOR_PASSWORD });
  logger.info('the operator can sign in');
} finally {
  await services.close();
}
