import 'reflect-metadata';
import type { GraphQLSchema } from 'graphql';
import { buildSchemaSync } from 'type-graphql';
import { LeasesResolver } from '../allocation/leases.graphql.js';
import { BillingResolver } from '../billing/billing.graphql.js';
import { SpendResolver } from '../billing/spend.graphql.js';
import { BudgetsResolver } from '../budgets/budgets.graphql.js';
import { CatalogueResolver } from '../catalogue/catalogue.graphql.js';
import { CatalogueImportResolver } from '../catalogue/catalogue-import.graphql.js';
import { HealthResolver } from '../health/health.graphql.js';
import { IdentityResolver } from '../identity/identity.graphql.js';
import { KeysResolver } from '../keys/keys.graphql.js';
import { PlansResolver } from '../plans/plans.graphql.js';
import { PriceQuoteResolver } from '../pricing/price-quote.graphql.js';
import { PricingResolver } from '../pricing/pricing.graphql.js';
import { PrivacyResolver } from '../privacy/privacy.graphql.js';
import { ProvidersResolver } from '../providers/providers.graphql.js';
import { DataPlanesResolver } from '../publishing/data-planes.graphql.js';
import { ModelsResolver } from '../routes/models.graphql.js';
import { PassthroughResolver } from '../routes/passthrough.graphql.js';
import { RoutePlanResolver } from '../routes/route-plan.graphql.js';
import { RoutesResolver } from '../routes/routes.graphql.js';
import { TargetsResolver } from '../routes/targets.graphql.js';
import { TenantsResolver } from '../tenants/tenants.graphql.js';
import { RedemptionCodesResolver } from '../wallets/redemption-codes.graphql.js';
import { WalletsResolver } from '../wallets/wallets.graphql.js';
import { checkPolicy } from './policy.js';

/** The whole API. Inputs are checked by the modules' own schemas, which also serve callers other than GraphQL. */
export function buildApiSchema(): GraphQLSchema {
  return buildSchemaSync({
    resolvers: [
      IdentityResolver,
      PrivacyResolver,
      TenantsResolver,
      KeysResolver,
      PlansResolver,
      ProvidersResolver,
      ModelsResolver,
      RoutesResolver,
      TargetsResolver,
      RoutePlanResolver,
      PassthroughResolver,
      CatalogueResolver,
      CatalogueImportResolver,
      PricingResolver,
      PriceQuoteResolver,
      BillingResolver,
      SpendResolver,
      WalletsResolver,
      RedemptionCodesResolver,
      LeasesResolver,
      BudgetsResolver,
      DataPlanesResolver,
      HealthResolver,
    ],
    authChecker: checkPolicy,
    validate: false,
  });
}
