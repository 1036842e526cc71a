import { MikroORM } from '@mikro-orm/postgresql';
import { Migrator } from '@mikro-orm/migrations';
import { Account, Transfer, UsageEvent } from '../billing/entities.js';
import { EmailVerification, Invitation, Member, Person, Session } from '../identity/entities.js';
import { ApiKey } from '../keys/entities.js';
import { Plan } from '../plans/entities.js';
import { ExchangeRate, RateCard, RateCardVersion } from '../pricing/entities.js';
import { Consent, PolicyVersion } from '../privacy/entities.js';
import { ContentKey, Credential, Provider, ProviderGrant } from '../providers/entities.js';
import { DataPlane, OutboxMessage } from '../publishing/entities.js';
import { Model, PassthroughRoute, Route, Target } from '../routes/entities.js';
import { Tenant } from '../tenants/entities.js';
import { PersonKey } from '../identity/person-key-entity.js';
import { Migration0001Foundations } from './migrations/migration-0001-foundations.js';
import { Migration0002Catalogue } from './migrations/migration-0002-catalogue.js';
import { Migration0003EndUsers } from './migrations/migration-0003-end-users.js';
import { Migration0004Prices } from './migrations/migration-0004-prices.js';
import { Migration0005Wallets } from './migrations/migration-0005-wallets.js';
import { Migration0006Routes } from './migrations/migration-0006-routes.js';
import { Migration0007Plans } from './migrations/migration-0007-plans.js';
import { Migration0008Answers } from './migrations/migration-0008-answers.js';
import { Migration0009Guardrails } from './migrations/migration-0009-guardrails.js';
import { Migration0010Health } from './migrations/migration-0010-health.js';
import { Migration0011CatalogueImports } from './migrations/migration-0011-catalogue-imports.js';
import { Migration0012Rollups } from './migrations/migration-0012-rollups.js';
import { Migration0013RateShares } from './migrations/migration-0013-rate-shares.js';
import { Migration0014JobLeases } from './migrations/migration-0014-job-leases.js';
import { Migration0001PersonKeys } from './person-key-migrations/migration-0001-person-keys.js';

export type Orm = Awaited<ReturnType<typeof open>>;

/** Everything that lives in the platform's database. */
const ENTITIES = [
  ...[Tenant, Person, Member, Session, EmailVerification, Invitation, PolicyVersion, Consent, ApiKey],
  ...[
    Provider,
    ContentKey,
    Credential,
    ProviderGrant,
    RateCard,
    RateCardVersion,
    ExchangeRate,
    Plan,
    Model,
    Route,
    Target,
    PassthroughRoute,
  ],
  ...[Account, Transfer, UsageEvent, DataPlane, OutboxMessage],
];

export interface OpenOptions {
  readonly url: string;
  /** Connections at most. */
  readonly poolSize?: number;
}

/** In the order in which they are run. */
const PLATFORM_MIGRATIONS = [
  Migration0001Foundations,
  Migration0002Catalogue,
  Migration0003EndUsers,
  Migration0004Prices,
  Migration0005Wallets,
  Migration0006Routes,
  Migration0007Plans,
  Migration0008Answers,
  Migration0009Guardrails,
  Migration0010Health,
  Migration0011CatalogueImports,
  Migration0012Rollups,
  Migration0013RateShares,
  Migration0014JobLeases,
];

/** The platform's database, reached through whichever login the URL names. */
export function openPlatformDatabase({ url, poolSize = 10 }: OpenOptions): Promise<Orm> {
  return open({ url, poolSize, entities: ENTITIES, migrations: PLATFORM_MIGRATIONS });
}

/** The database of the persons' keys. */
export function openPersonKeyDatabase({ url, poolSize = 4 }: OpenOptions): Promise<Orm> {
  return open({ url, poolSize, entities: [PersonKey], migrations: [Migration0001PersonKeys] });
}

interface Definition extends Required<OpenOptions> {
  readonly entities: NonNullable<NonNullable<Parameters<typeof MikroORM.init>[0]>['entities']>;
  readonly migrations: readonly ((typeof PLATFORM_MIGRATIONS)[number] | typeof Migration0001PersonKeys)[];
}

function open({ url, poolSize, entities, migrations }: Definition) {
  return MikroORM.init({
    clientUrl: url,
    entities,
    extensions: [Migrator],
    pool: { min: 0, max: poolSize },
    // A statement that waits this long has lost its reader; the lock that it holds up is worth more.
    driverOptions: { statement_timeout: 30_000, application_name: 'pingtoken' },
    timezone: 'UTC',
    migrations: {
      tableName: 'applied_migration',
      transactional: true,
      snapshot: false,
      silent: true,
      migrationsList: migrations.map((migration) => ({ name: migration.name, class: migration })),
    },
  });
}
