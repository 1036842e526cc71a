import { randomUUID } from 'node:crypto';
import type { ChaosTenantName } from './chaos-load.js';
import { createCustomer, listModels, type Customer } from './customer.js';
import type { Distribution } from './distribution.js';
import { readPriceList, type PriceList } from './exact-price.js';
import { LOAD_MODELS } from './load-calls.js';
import type { TestTenant } from './platform.js';
import type { SimulatorBooks } from './simulator-books.js';
import { waitFor } from './wait-for.js';

const PROVIDERS = ['simulator', 'simulator-anthropic', 'simulator-gemini'];
/** In US dollars: some thirty reservations of a capped call, which are spent by about a hundred. */
const ALLOWANCE = 0.003;

/** Who calls in chaos rounds, with the books and prices that their calls are held against. */
export interface ChaosTenants {
  readonly books: ReadonlyMap<string, SimulatorBooks>;
  readonly prices: Readonly<Record<string, PriceList>>;
  readonly keyOf: (who: ChaosTenantName) => string;
  /** Adds an allowance to the tight wallet, and one to the hard budget. */
  allow(): Promise<void>;
}

export async function createChaosTenants(distribution: Distribution): Promise<ChaosTenants> {
  const roomy = await createCustomer(distribution);
  const { platform } = roomy;
  const tight = await createTenant(roomy);
  const limited = await createTenant(roomy);
  await platform.credit(limited.tenant, '10');
  const budget = await HardBudget.create(roomy, limited.tenant);
  const books = new Map<string, SimulatorBooks>();
  for (const slug of PROVIDERS) {
    const id = await platform.findProvider(slug);
    for (const { tenant } of [roomy, tight, limited]) await platform.grant(tenant, id);
    books.set(id, roomy.books);
  }
  const prices: Record<string, PriceList> = {};
  for (const model of LOAD_MODELS) prices[model] = await readPriceList(platform, model);
  const secrets = { roomy: roomy.key.secret, tight: tight.secret, limited: limited.secret };
  for (const secret of Object.values(secrets)) await awaitModels(distribution, secret);
  return {
    ...{ books, prices },
    keyOf: (who) => secrets[who],
    allow: async () => {
      await platform.credit(tight.tenant, String(ALLOWANCE));
      await budget.raise();
    },
  };
}

async function createTenant({ platform }: Customer): Promise<{ readonly tenant: TestTenant; readonly secret: string }> {
  const tenant = await platform.registerTenant();
  const { secret } = await platform.createKey(tenant);
  return { tenant, secret };
}

/** A hard budget of all that the tenant may ever spend, to be raised by one allowance after the other. */
class HardBudget {
  #allowances = 1;

  private constructor(
    private readonly customer: Customer,
    private readonly tenantId: string,
    private readonly id: string,
  ) {}

  static async create(customer: Customer, { id: tenantId }: TestTenant): Promise<HardBudget> {
    const { budget } = await mutate<{ budget: { id: string } }>(customer, 'createBudget', {
      ...{ tenantId, name: 'hard', amount: String(ALLOWANCE), isHard: true, period: 'TOTAL', subject: 'TENANT' },
      idempotencyKey: randomUUID(),
    });
    return new HardBudget(customer, tenantId, budget.id);
  }

  async raise(): Promise<void> {
    this.#allowances += 1;
    const amount = (ALLOWANCE * this.#allowances).toFixed(3);
    await mutate(this.customer, 'updateBudget', { tenantId: this.tenantId, id: this.id, amount });
  }
}

async function mutate<Payload>({ platform }: Customer, name: string, input: Record<string, unknown>): Promise<Payload> {
  return platform.mutate<Payload>(name, input, 'budget { id }', { token: await platform.operator() });
}

async function awaitModels({ runtime }: Distribution, secret: string): Promise<void> {
  for (const url of runtime.dataPlaneUrls) {
    const areThere = async (): Promise<boolean> => {
      const names = new Set(await listModels(`${url}/v1`, secret));
      return LOAD_MODELS.every((model) => names.has(model));
    };
    await waitFor(areThere, { timeoutMs: 15_000, what: `the models at ${url}` });
  }
}
