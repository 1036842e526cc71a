/**
 * Everything that PingToken stores or sends between its parts, field by field: why, on what legal basis (GDPR Art. 6), and for
 * how long. A field that is not here must not exist; a test compares this list with the live schema and the wire contracts.
 */

/** How near a field is to a person. */
export type Nearness =
  /** Says nothing of anybody. */
  | 'none'
  /** An id that leads to a person only together with the person's own row. */
  | 'pseudonymous'
  /** Personal, readable only with the person's own key. */
  | 'sealed'
  /** A secret, or a one-way image of one. */
  | 'secret';

export type Basis = 'contract' | 'consent' | 'legal-obligation' | 'legitimate-interest';

export type Retention =
  /** As long as the account, then erased with it. */
  | 'account'
  /** Until it has done what it is for, at most some days. */
  | 'until-used'
  /** 90 days. */
  | '90-days'
  /** Ten years after the end of the year: the longest that commercial and tax law demand. */
  | 'bookkeeping'
  /** As long as the installation: it concerns nobody. */
  | 'installation';

export interface FieldGroup {
  readonly fields: readonly string[];
  readonly nearness: Nearness;
  readonly purpose: string;
  readonly basis: Basis;
  readonly retention: Retention;
}

type Inventory = Readonly<Record<string, readonly FieldGroup[]>>;

const group = (
  fields: string,
  nearness: Nearness,
  purpose: string,
  basis: Basis = 'contract',
  retention: Retention = 'account',
): FieldGroup => ({ fields: fields.split(' '), nearness, purpose, basis, retention });

const platform = (fields: string, purpose: string, nearness: Nearness = 'none'): FieldGroup =>
  group(fields, nearness, purpose, 'legitimate-interest', 'installation');
const books = (fields: string, nearness: Nearness, purpose: string): FieldGroup =>
  group(fields, nearness, purpose, 'legal-obligation', 'bookkeeping');

/** The same of an hour as of a day. */
const ROLLUP_FIELDS =
  'tenant_id bucket series api_key_id member_id model provider_id region tags currency calls failures amount excess cost ' +
  'free_tokens input output cache_read cache_write_5m cache_write_1h reasoning audio_input audio_output image_input ' +
  'image_output image request web_search audio_seconds characters';

/** Tables of the platform's database. */
export const PLATFORM_TABLES: Inventory = {
  tenant: [
    group('id', 'pseudonymous', 'names the account everywhere else'),
    group('kind status billing_mode created_at', 'none', 'what the account is and whether it may be used'),
    group('organization_name', 'none', 'names an enterprise on its invoices; asked of enterprises only'),
    group('end_users', 'none', 'what providers are told of its end users'),
    group('plan_id limits', 'none', 'how much it may call, and by which prices it pays'),
    group('pseudonym_key', 'secret', 'makes the pseudonyms of its end users'),
  ],
  person: [
    group('id tenant_id', 'pseudonymous', 'ties the person to the account'),
    group('email_index', 'pseudonymous', 'finds the account of an e-mail address at sign-in, by a keyed hash'),
    group('email_sealed name_sealed contact_sealed', 'sealed', 'to address and to reach the person'),
    group('password_hash', 'secret', 'proves who signs in'),
    group('sealing_key', 'pseudonymous', "public half of the person's key, to which addresses and devices are sealed"),
    group('email_verified_at created_at', 'pseudonymous', 'whether the e-mail address was proven'),
  ],
  member: [
    group(
      'id tenant_id person_id role limits created_at',
      'pseudonymous',
      "the person's place and rights in the account",
    ),
  ],
  session: [
    group(
      'id tenant_id member_id created_at expires_at revoked_at',
      'pseudonymous',
      'who is signed in',
      'contract',
      '90-days',
    ),
    group('token_hash', 'secret', 'recognises the bearer of a session', 'contract', '90-days'),
    group('client_sealed', 'sealed', 'shows the person from where they signed in', 'legitimate-interest', '90-days'),
  ],
  email_verification: [
    group(
      'id tenant_id person_id created_at expires_at used_at',
      'pseudonymous',
      'proof of the address',
      'contract',
      'until-used',
    ),
    group('token_hash', 'secret', 'recognises the mailed token', 'contract', 'until-used'),
  ],
  invitation: [
    group('id created_at expires_at used_at', 'none', 'admits a registration', 'contract', 'until-used'),
    group('code_hash', 'secret', 'recognises the code', 'contract', 'until-used'),
  ],
  policy_version: [platform('id version title body digest published_at', 'the texts that consents were given to')],
  consent: [
    books('id tenant_id person_id policy_version_id granted_at withdrawn_at', 'pseudonymous', 'proof of the consent'),
    group('client_sealed', 'sealed', 'circumstances of the consent', 'legal-obligation'),
  ],
  api_key: [
    group(
      'id tenant_id member_id name hint tags status expires_at limits idempotency cache created_at revoked_at',
      'pseudonymous',
      'lists and rules keys',
    ),
    group('hash', 'secret', 'recognises the bearer'),
  ],
  rate_limit: [
    group('key points expire', 'pseudonymous', 'stops guessing; keyed hashes', 'legitimate-interest', 'until-used'),
  ],
  provider: [
    platform(
      'id slug name base_url dialect auth region terms_url privacy_url trains_on_data retention_days status created_at',
      'who can serve calls',
    ),
  ],
  content_key: [platform('id created_at', 'names a key'), platform('sealed_key', 'encrypts credentials', 'secret')],
  credential: [
    platform('id provider_id tenant_id name origin content_key_id created_at', 'which account at a provider is used'),
    platform('sealed_secret', 'authenticates to the provider', 'secret'),
  ],
  provider_grant: [
    group(
      'id tenant_id provider_id member_id terms_url privacy_url granted_at revoked_at',
      'pseudonymous',
      'proof that the provider was shown and granted',
      'consent',
    ),
  ],
  plan: [platform('id name limits price_cards created_at', 'what tenants have in common')],
  rate_card: [platform('id name purpose base_card_id created_at', 'names prices')],
  rate_card_version: [
    platform(
      'id rate_card_id effective_from currency rates context_tiers service_tiers windows free_tokens_per_month derivation source created_at',
      'prices at an instant',
    ),
  ],
  exchange_rate: [platform('id base_currency quote_currency rate effective_from source created_at', 'converts prices')],
  catalogue_import: [
    platform(
      'id idempotency_key digest source effective_from announce_at entries actor_member_id created_at',
      'which changes of list prices were approved',
      'pseudonymous',
    ),
  ],
  free_token_use: [group('tenant_id model month used', 'pseudonymous', 'how much of what is free was used')],
  model: [
    platform(
      'id name operations capabilities context_window max_output_tokens status price_card_id created_at',
      'what can be called',
    ),
  ],
  route: [
    platform(
      'id model_id tenant_id drops_unsupported position strategy tier_strategies fallback_model_ids retry hedging cache created_at',
      'how a model is served',
    ),
    platform(
      'guardrail',
      'who judges calls before they are made: the operator, or somebody the tenant was shown; is sent what the caller says, no address and no id; with the secret that we sign with, sealed',
      'secret',
    ),
    platform('conditions', 'which calls it is for, such as those of named tenants', 'pseudonymous'),
  ],
  target: [
    platform(
      'id route_id tenant_id provider_id credential_id upstream_model priority weight cost_card_id region status limits',
      'where calls of a route go',
    ),
  ],
  passthrough_route: [
    platform('id provider_id credential_id method path price_card_id created_at', 'paths that are relayed as they are'),
  ],
  account: [books('id tenant_id kind currency debits credits', 'pseudonymous', 'what is owed')],
  transfer: [
    books(
      'id tenant_id debit_account_id credit_account_id amount kind event_id rate_card_version_id credit_id lease_id corrects_transfer_id idempotency_key reason actor_member_id period created_at',
      'pseudonymous',
      'every movement of money',
    ),
  ],
  wallet_terms: [
    books('tenant_id currency credit_limit low_balance low_balance_told', 'pseudonymous', 'how far a wallet may go'),
  ],
  credit: [
    books(
      'id tenant_id currency transfer_id amount priority expires_at drawn expired refunded created_at',
      'pseudonymous',
      'what of a credit can still be spent, and until when',
    ),
  ],
  redemption_batch: [
    books(
      'id name currency amount priority redeem_until credit_days count idempotency_key actor_member_id created_at voided_at',
      'pseudonymous',
      'what codes are worth',
    ),
  ],
  redemption_code: [
    books('batch_id redeemed_by redeemed_at', 'pseudonymous', 'who was credited by a code'),
    group('code_hash', 'secret', 'recognises the code', 'legal-obligation', 'bookkeeping'),
  ],
  budget: [
    group(
      'id tenant_id name subject subject_id period time_zone currency amount is_hard status starts_at idempotency_key created_at',
      'pseudonymous',
      'how much may be spent',
    ),
  ],
  budget_window: [
    group('budget_id tenant_id window_from window_to spent leased told', 'pseudonymous', 'how much was spent'),
  ],
  lease_spool: [platform('spool_id data_plane_id holder fence_seq fenced_at lost_at created_at', 'who holds leases')],
  lease: [
    books(
      'id tenant_id spool_id scope currency budget_id window_from window_to granted used returned admit_until fence_seq closed_at is_lost is_recalled created_at',
      'pseudonymous',
      'money set aside for calls under way',
    ),
  ],
  rate_spool: [platform('spool_id turn is_sole heard_at', 'who holds shares of limits')],
  rate_share: [
    group(
      'tenant_id scope scope_id bound spool_id amount used free_at is_recalled',
      'pseudonymous',
      'how many calls a gateway may let through',
      'contract',
      'until-used',
    ),
  ],
  lease_request: [
    group('id spool_id answer created_at', 'pseudonymous', 'answers a request alike', 'contract', 'until-used'),
  ],
  usage_event: [
    books(
      'id tenant_id api_key_id member_id kind operation model streamed admitted_at ended_at first_byte_ms outcome status usage counted_by provider_id price_card_version_id amount currency cost_amount cost_currency attempts service_tier free_tokens cache_share region tags',
      'pseudonymous',
      'what was called and what it cost',
    ),
    group(
      'spool_id seq config_epoch config_seq lease_ids received_at',
      'none',
      'proves that each call is counted once',
      'legal-obligation',
      'bookkeeping',
    ),
    group('client_sealed', 'sealed', 'shows the key owner from where a key was used', 'legitimate-interest'),
  ],
  usage_by_hour: [books(ROLLUP_FIELDS, 'pseudonymous', 'what was called and what it cost, added up by hour')],
  usage_by_day: [books(ROLLUP_FIELDS, 'pseudonymous', 'the same by day')],
  ledger_period: [books('month closed_at', 'none', 'which months nothing can be booked in any more')],
  usage_spool: [platform('id data_plane_id confirmed first_seen_at last_seen_at', 'which records have arrived')],
  usage_quarantine: [
    group(
      'spool_id seq reason created_at',
      'none',
      'records that could not be processed',
      'legal-obligation',
      '90-days',
    ),
    group('record', 'pseudonymous', 'the record itself, to be repaired', 'legal-obligation', '90-days'),
  ],
  audit_head: [books('tenant_id seq hash', 'pseudonymous', 'end of the audit chain')],
  audit: [books('tenant_id seq entry hash', 'pseudonymous', 'who changed what; ids only')],
  outbox: [
    group(
      'id tenant_id topic created_at available_at attempts processed_at last_error',
      'pseudonymous',
      'what is still to be done',
      'contract',
      'until-used',
    ),
    group('payload', 'sealed', 'what to send, sealed to the person', 'contract', 'until-used'),
  ],
  config_head: [platform('only_row epoch seq chain', 'newest state of the config')],
  config_change: [platform('seq line chain', 'changes of the config; ids and hashes only', 'pseudonymous')],
  config_object: [platform('kind object_id seq line', 'the config; ids and hashes only', 'pseudonymous')],
  data_plane: [
    platform(
      'id name region verify_key sealing_key status enrolled_at last_contact_at acked_epoch acked_seq last_refusal',
      'which gateways may have the config',
    ),
  ],
  health_report: [platform('data_plane_id run_id seq received_at', 'when a gateway was heard of')],
  reported_health: [
    platform(
      'data_plane_id kind credential_id tenant_id credential_seq target_id upstream_model since blocked_until is_stated is_breaker_open provider_status outstanding latency_ms stream_latency_ms attempts failures requests_per_minute tokens_per_minute',
      "in what state the providers' targets are",
    ),
  ],
  credential_fault: [
    platform(
      'id credential_id tenant_id credential_seq provider_status opened_at resolved_at resolution',
      'which credentials were refused by their provider',
    ),
  ],
  applied_migration: [platform('id name executed_at', 'state of the schema')],
};

/** Tables of the persons' keys' database. */
export const PERSON_KEY_TABLES: Inventory = {
  person_key: [
    group('person_id created_at destroyed_at', 'pseudonymous', 'whose key, and whether it is destroyed'),
    group('sealed_data_key sealed_private_key', 'secret', "opens the person's sealed fields, and nobody else's"),
    group('sealing_key', 'pseudonymous', 'public half of the key'),
  ],
  applied_migration: [platform('id name executed_at', 'state of the schema')],
};

/** What gateways keep of answers, to give them again: in Redis or in their memory, encrypted, for as long as it is asked for. */
export const KEPT_ANSWERS: Inventory = {
  answer: [
    group('body', 'sealed', 'is given again', 'contract', 'until-used'),
    group('status headers isTooLong', 'none', 'is given again', 'contract', 'until-used'),
    group('billed', 'none', 'prices what is given again', 'contract', 'until-used'),
    group('keyHash', 'secret', 'tells whether the key whose call it was is still in force', 'contract', 'until-used'),
  ],
};

/** Fields of the contracts between the planes: usage events (upward; in spools and queue too) and config objects (downward). */
export const WIRE_CONTRACTS: Inventory = {
  'usage-event': [
    books(
      'eventId tenantId apiKeyId memberId tags kind operation model streamed admittedAt endedAt firstByteMs outcome status attempts billedAttempt repeated priceCardVersionId',
      'pseudonymous',
      'what was called, to be priced',
    ),
    group(
      'version spoolId seq config leaseIds reserved',
      'none',
      'proves that each call is counted once',
      'legal-obligation',
      'bookkeeping',
    ),
    group('client', 'sealed', 'shows the key owner from where a key was used', 'legitimate-interest'),
  ],
  'health-report': [platform('version runId seq parked coolDowns targets', "in what state the providers' targets are")],
  tenant: [
    group('id seq kind status grantedProviderIds', 'pseudonymous', 'whether and by whom calls may be served'),
    group('endUsers', 'none', 'what providers are told of its end users'),
    group('planId limits billingMode', 'none', 'how much it may call, and by which prices it pays'),
    group('pseudonymKey', 'secret', 'makes the pseudonyms of its end users'),
  ],
  budget: [group('id seq kind tenantId subject subjectId currency', 'pseudonymous', 'which calls need a lease of it')],
  plan: [platform('id seq kind limits priceCards', 'what tenants have in common')],
  member: [group('id seq kind tenantId sealingKey limits', 'pseudonymous', 'to whom addresses and devices are sealed')],
  'api-key': [
    group(
      'id seq kind tenantId memberId status expiresAt limits tags idempotency cache',
      'pseudonymous',
      'admits calls',
    ),
    group('hash', 'secret', 'recognises the bearer'),
  ],
  provider: [platform('id seq kind slug baseUrl dialect auth region status', 'who can serve calls')],
  credential: [
    platform('id seq kind providerId tenantId origin contentKeyId', 'which account at a provider is used'),
    platform('sealedSecret', 'authenticates to the provider', 'secret'),
  ],
  model: [
    platform(
      'id seq kind name operations capabilities contextWindow maxOutputTokens status createdAt priceCardId',
      'what can be called',
    ),
  ],
  route: [
    platform(
      'id seq kind modelId tenantId dropsUnsupported position strategy tierStrategies fallbackModelIds retry hedging cache targets',
      'where calls go',
    ),
    platform('guardrail', 'who judges calls before they are made, and the sealed secret that we sign with', 'secret'),
    platform('conditions', 'which calls it is for, such as those of named tenants', 'pseudonymous'),
  ],
  'passthrough-route': [
    platform('id seq kind providerId credentialId method path priceCardId', 'paths that are relayed as they are'),
  ],
  'rate-card': [platform('id seq kind versions', 'prices')],
};
