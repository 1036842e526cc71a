import { pino } from 'pino';
import { parseAddressRanges } from '@pingtoken/shared/address-ranges';
import type { DatabaseUrls } from '../database/provision.js';
import { migrate } from '../database/migrate.js';
import { platformScope, type Scope } from '../database/transaction.js';
import { expectDone, install } from '../installation.js';
import { openServices, type Services, type ServiceSettings } from '../services.js';
import type { RealProvider } from './real-providers.js';
import { seedProvider, seedSimulator } from './seed-providers.js';

/** A data plane of this machine, as the control plane must know it. */
export interface LocalDataPlane {
  readonly id: string;
  readonly region: string;
  /** Ed25519 public key, SPKI, base64url. */
  readonly verifyKey: string;
  /** X25519 public key, base64url. */
  readonly sealingKey: string;
}

export interface PrepareOptions {
  readonly urls: DatabaseUrls;
  readonly secrets: Pick<ServiceSettings, 'PERSON_KEYS_SECRET' | 'BLIND_INDEX_SECRET' | 'CONTENT_KEY_SECRET'>;
  readonly operator: { readonly email: string; readonly password: string };
  /** Bearer of the demonstration tenant's key. */
  readonly demoApiKey: string;
  /** Base URL of the simulator, with its version path. */
  readonly simulatorUrl: string;
  readonly dataPlanes: readonly LocalDataPlane[];
  readonly providerKeys: Partial<Record<RealProvider, string>>;
  readonly onProgress: (line: string) => void;
}

export interface Prepared {
  readonly tenantId: string;
  readonly apiKey: string;
  readonly model: string;
}

const DEMO_EMAIL = 'demo@pingtoken.example';
const DEMO_CREDIT_USD = '100';
/** The demonstration is never to stop for want of money, and has a limit all the same. */
const DEMO_CREDIT_LIMIT_USD = '10000';

/**
 * Brings the databases of a one-machine installation to where its first call can be made: schema, operator, policy, data planes,
 * the simulator with prices, and a demonstration tenant with a key and credit. Every step looks before it acts, so that it can
 * be run at each start and go on where it was cut off.
 */
export async function prepare(options: PrepareOptions): Promise<Prepared> {
  const { urls, secrets, onProgress } = options;
  onProgress('Preparing the databases');
  await migrate({ ownerUrl: urls.owner, personKeysUrl: urls.personKeys });
  const services = await openServices(
    {
      API_DATABASE_URL: urls.api,
      PERSON_KEYS_DATABASE_URL: urls.personKeys,
      ...secrets,
      REGISTRATION: 'closed',
      // For the simulator, which is on this machine.
      PRIVATE_UPSTREAMS: parseAddressRanges('127.0.0.0/8'),
    },
    pino({ level: 'silent' }),
  );
  try {
    const operator = await install(services, options.operator);
    await ensureDataPlanes(services, operator, options.dataPlanes);
    onProgress('Preparing the provider simulator and its prices');
    const simulator = await seedSimulator(services, operator, options.simulatorUrl);
    const demo = await ensureDemoTenant(services, options.demoApiKey);
    for (const providerId of simulator.providerIds) expectDone(await services.providers.grant(demo, providerId));
    for (const [provider, secret] of Object.entries(options.providerKeys) as [RealProvider, string][]) {
      onProgress(`Preparing ${provider}: its models and their prices`);
      expectDone(await services.providers.grant(demo, await seedProvider(services, operator, provider, secret)));
    }
    return { tenantId: demo.tenantId, apiKey: options.demoApiKey, model: simulator.model };
  } finally {
    await services.close();
  }
}

async function ensureDataPlanes(
  services: Services,
  operator: Scope,
  dataPlanes: readonly LocalDataPlane[],
): Promise<void> {
  const enrolled = new Set((await services.dataPlanes.list(operator)).map(({ id }) => id));
  for (const dataPlane of dataPlanes) {
    if (enrolled.has(dataPlane.id)) continue;
    expectDone(await services.dataPlanes.enrol(operator, { ...dataPlane, name: `local-${dataPlane.id}` }));
  }
}

async function ensureDemoTenant(services: Services, apiKey: string): Promise<Scope> {
  let account = await services.signIn.findAccount(DEMO_EMAIL);
  if (account === null) {
    // Nobody signs in as the demonstration: its password is thrown away with this line.
    const input = { kind: 'person', name: 'Demo', email: DEMO_EMAIL, password: crypto.randomUUID() } as const;
    const options = { tenantKind: 'person', role: 'owner', emailVerified: true } as const;
    const { tenant, member } = expectDone(await services.registration.createAccount(input, options));
    account = { tenantId: tenant.id, memberId: member.id };
  }
  const scope = { ...platformScope(account.tenantId), actorMemberId: account.memberId };
  expectDone(await services.keys.ensureKey(scope, account.memberId, 'demo', apiKey));
  const credit = {
    amount: DEMO_CREDIT_USD,
    currency: 'USD',
    idempotencyKey: 'demo-credit',
    reason: 'demonstration credit',
  };
  expectDone(await services.ledger.topUp(scope, credit));
  const { billingMode } = expectDone(await services.wallets.terms(scope, 'USD'));
  const terms = { billingMode: 'postpaid', currency: 'USD', creditLimit: DEMO_CREDIT_LIMIT_USD } as const;
  if (billingMode !== 'postpaid') expectDone(await services.wallets.setTerms(scope, terms));
  return scope;
}
