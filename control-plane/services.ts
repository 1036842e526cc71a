import type { Logger } from 'pino';
import { createLeases, type Leases } from './allocation/leases.js';
import { createBudgets, type Budgets } from './budgets/budgets.js';
import { createLedger, type Ledger } from './billing/ledger.js';
import { createCatalogue, type Catalogue } from './catalogue/catalogue-service.js';
import { createCatalogueImports, type CatalogueImports } from './catalogue/import-catalogue.js';
import { createHealthView, type HealthView } from './health/target-health.js';
import { openPersonKeyDatabase, openPlatformDatabase } from './database/orm.js';
import { openPool } from './database/sql.js';
import { createTransactionRunner, type RunTransaction } from './database/transaction.js';
import type { ControlPlaneEnvironment } from './environment.js';
import { createPersonVault } from './identity/person-vault.js';
import { createProfiles, type Profiles } from './identity/profiles.js';
import { createRateLimits, type RateLimits } from './identity/rate-limits.js';
import { createRegistration, type Registration } from './identity/registration.js';
import { createSignIn, type SignIn } from './identity/sign-in.js';
import { createBlindIndex } from './identity/tokens.js';
import { createKeys, type Keys } from './keys/keys.js';
import { createDerivedCards, type DerivedCards } from './pricing/derived-cards.js';
import { createExchangeRates, type ExchangeRates } from './pricing/exchange-rates.js';
import { createPriceQuotes, type PriceQuotes } from './pricing/price-quote.js';
import { createRateCards, type RateCards } from './pricing/rate-cards.js';
import { createPolicies, type Policies } from './privacy/policies.js';
import { createPlans, type Plans } from './plans/plans.js';
import { createCredentials, type Credentials } from './providers/credentials.js';
import { createProviders, type Providers } from './providers/providers.js';
import { createDataPlanes, type DataPlanes } from './publishing/data-planes.js';
import { createRoutePlans, type RoutePlans } from './routes/route-plan.js';
import { createRoutes, type Routes } from './routes/routes.js';
import { createTenants, type Tenants } from './tenants/tenants.js';
import { createRedemptionCodes, type RedemptionCodes } from './wallets/redemption-codes.js';
import { createWallets, type Wallets } from './wallets/wallets.js';

/** The control plane's modules, joined. */
export interface Services {
  readonly run: RunTransaction;
  readonly registration: Registration;
  readonly signIn: SignIn;
  readonly profiles: Profiles;
  readonly rateLimits: RateLimits;
  readonly policies: Policies;
  readonly tenants: Tenants;
  readonly keys: Keys;
  readonly plans: Plans;
  readonly providers: Providers;
  readonly credentials: Credentials;
  readonly health: HealthView;
  readonly routes: Routes;
  readonly routePlans: RoutePlans;
  readonly catalogue: Catalogue;
  readonly catalogueImports: CatalogueImports;
  readonly rateCards: RateCards;
  readonly derivedCards: DerivedCards;
  readonly exchangeRates: ExchangeRates;
  readonly priceQuotes: PriceQuotes;
  readonly ledger: Ledger;
  readonly wallets: Wallets;
  readonly leases: Leases;
  readonly budgets: Budgets;
  readonly redemptionCodes: RedemptionCodes;
  readonly dataPlanes: DataPlanes;
  close(): Promise<void>;
}

export type ServiceSettings = Pick<
  ControlPlaneEnvironment,
  | 'API_DATABASE_URL'
  | 'PERSON_KEYS_DATABASE_URL'
  | 'PERSON_KEYS_SECRET'
  | 'BLIND_INDEX_SECRET'
  | 'CONTENT_KEY_SECRET'
  | 'REGISTRATION'
  | 'PRIVATE_UPSTREAMS'
>;

export async function openServices(settings: ServiceSettings, logger: Logger): Promise<Services> {
  const orm = await openPlatformDatabase({ url: settings.API_DATABASE_URL });
  const personKeys = await openPersonKeyDatabase({ url: settings.PERSON_KEYS_DATABASE_URL });
  const pool = openPool({
    url: settings.API_DATABASE_URL,
    size: 4,
    onError: (error) => {
      logger.warn({ error: error.message }, 'an idle database connection failed');
    },
  });

  const run = createTransactionRunner(orm);
  const vault = createPersonVault({ orm: personKeys, secret: settings.PERSON_KEYS_SECRET });
  const blindIndex = createBlindIndex(settings.BLIND_INDEX_SECRET);
  return {
    run,
    registration: createRegistration({ run, vault, blindIndex, mode: settings.REGISTRATION }),
    signIn: createSignIn({ orm, run, vault, blindIndex }),
    profiles: createProfiles({ run, vault }),
    rateLimits: createRateLimits({ pool, blindIndex }),
    policies: createPolicies({ orm, run }),
    tenants: createTenants({ run }),
    keys: createKeys({ run }),
    plans: createPlans({ run }),
    providers: createProviders({
      run,
      contentKeySecret: settings.CONTENT_KEY_SECRET,
      privateUpstreams: settings.PRIVATE_UPSTREAMS,
    }),
    credentials: createCredentials({ run, contentKeySecret: settings.CONTENT_KEY_SECRET }),
    health: createHealthView({ run }),
    routes: createRoutes({
      run,
      contentKeySecret: settings.CONTENT_KEY_SECRET,
      privateUpstreams: settings.PRIVATE_UPSTREAMS,
    }),
    routePlans: createRoutePlans({ run }),
    catalogue: createCatalogue({
      run,
      contentKeySecret: settings.CONTENT_KEY_SECRET,
      privateUpstreams: settings.PRIVATE_UPSTREAMS,
    }),
    catalogueImports: createCatalogueImports({
      run,
      contentKeySecret: settings.CONTENT_KEY_SECRET,
      privateUpstreams: settings.PRIVATE_UPSTREAMS,
    }),
    rateCards: createRateCards({ run }),
    derivedCards: createDerivedCards({ run }),
    exchangeRates: createExchangeRates({ run }),
    priceQuotes: createPriceQuotes({ run }),
    ledger: createLedger({ run }),
    wallets: createWallets({ run }),
    leases: createLeases({ run }),
    budgets: createBudgets({ run }),
    redemptionCodes: createRedemptionCodes({ run }),
    dataPlanes: createDataPlanes({ run }),
    async close() {
      await orm.close();
      await personKeys.close();
      await pool.end();
    },
  };
}
