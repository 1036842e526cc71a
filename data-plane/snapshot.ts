import type { ConfigObjectOf, ConfigPosition } from '@pingtoken/shared/config-snapshot';

/** What the bearer of a key stands for, as it was when the call was admitted. */
export interface Account {
  readonly apiKey: ConfigObjectOf<'api-key'>;
  readonly tenant: ConfigObjectOf<'tenant'>;
  readonly member: ConfigObjectOf<'member'> | undefined;
}

/** Immutable: an in-flight call keeps the one it was admitted under. */
export interface Catalogue {
  readonly position: ConfigPosition;
  /** By the alias that callers use. */
  readonly models: ReadonlyMap<string, ConfigObjectOf<'model'>>;
  modelById(modelId: string): ConfigObjectOf<'model'> | undefined;
  /** The tenant's own first, then the general ones, each by their position; never another tenant's. */
  routes(modelId: string, tenantId: string): readonly ConfigObjectOf<'route'>[];
  readonly providers: ReadonlyMap<string, ConfigObjectOf<'provider'>>;
  readonly providersBySlug: ReadonlyMap<string, ConfigObjectOf<'provider'>>;
  readonly rateCards: ReadonlyMap<string, ConfigObjectOf<'rate-card'>>;
  readonly plans: ReadonlyMap<string, ConfigObjectOf<'plan'>>;
  /** The hard budgets of a tenant, of its members and of its keys. */
  budgets(tenantId: string): readonly ConfigObjectOf<'budget'>[];
  passthroughRoutes(providerId: string): readonly ConfigObjectOf<'passthrough-route'>[];
  /**
   * Decrypted secret for a provider; undefined where the credential is unknown, cannot be opened, is another tenant's, or is
   * bound to another host than the provider's.
   */
  secretOf(credentialId: string, tenantId: string, provider: ConfigObjectOf<'provider'>): string | undefined;
  /** The key that requests to a route's guardrail are signed with; undefined where it cannot be opened, or there is none. */
  guardrailKeyOf(route: ConfigObjectOf<'route'>): Buffer | undefined;
  /** Whether the account at the provider is the tenant's, so that nothing which is kept there is anybody else's. */
  isOwnCredential(credentialId: string, tenantId: string): boolean;
  /** Which state of a credential this is: it changes with the secret, and whenever the credential is published anew. */
  credentialSeq(credentialId: string): number | undefined;
}

/** What the stages may know of the config. */
export interface Snapshot {
  /** Undefined until a verified document is loaded. Nothing is allowed by default. */
  readonly catalogue: Catalogue | undefined;
  /**
   * @param keyHash SHA-256 of the bearer, base64url; see `hashApiKey`
   * @returns undefined for a key that is unknown or whose tenant is; status and expiry are the caller's to judge
   */
  findAccount(keyHash: string): Account | undefined;
}
