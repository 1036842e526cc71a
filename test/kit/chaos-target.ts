import type { FaultRule } from '../../control-plane/standalone/simulator/directives.js';
import { startProviderSimulator } from '../../control-plane/standalone/simulator/server.js';
import type { Customer } from './customer.js';
import { openSeverablePort, type SeverablePort } from './severable-port.js';
import { createSimulatorBooks, type SimulatorBooks } from './simulator-books.js';

/** A provider of its own behind one of a route's targets, with a wire that can be cut. */
export interface ChaosTarget {
  readonly providerId: string;
  readonly credentialId: string;
  readonly books: SimulatorBooks;
  readonly wire: SeverablePort;
  /** What goes wrong with every call from now on; nothing if left out. */
  ail(rule?: FaultRule): Promise<void>;
  close(): Promise<void>;
}

/** Of the route. */
export interface ChaosPolicy {
  readonly retry: Readonly<Record<string, number>>;
  readonly hedging?: 'OFF' | 'AFTER_P95';
}

const UPSTREAM_MODEL = 'pingtoken-sim-small';

/** Starts a simulator and tells the platform of it, as an operator would; the tenant grants it. */
export async function startChaosTarget({ platform, tenant }: Customer, slug: string): Promise<ChaosTarget> {
  const simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  const wire = await openSeverablePort(simulator.port);
  const create = await creator(platform);
  const links = { termsUrl: 'https://chaos.example/terms', privacyUrl: 'https://chaos.example/privacy' };
  const baseUrl = `http://127.0.0.1:${wire.port}/v1`;
  const providerId = await create('createProvider', { slug, name: slug, baseUrl, dialect: 'OPENAI', ...links });
  const credentialId = await create('createCredential', { providerId, name: 'ours', secret: `sk-${slug}` });
  await platform.grant(tenant, providerId);
  return {
    providerId,
    credentialId,
    books: createSimulatorBooks(simulator.url),
    wire,
    ail: async (rule) => {
      const body = JSON.stringify(rule === undefined ? [] : [rule]);
      const response = await fetch(`${simulator.url}/faults`, { method: 'PUT', body });
      if (!response.ok) throw new Error(await response.text());
    },
    close: async () => {
      await wire.close();
      await simulator.close();
    },
  };
}

/** A dollar for each million tokens, whatever they are of: what a provider charges can be told from the counts. */
export const COST_OF_TOKEN = 1_000_000n;

/** Sells a model by a route to all of these, each as good as the others. @param retry of the route */
export async function sellChaosModel(
  { platform }: Customer,
  { name, targets, ...policy }: { name: string; targets: readonly ChaosTarget[] } & ChaosPolicy,
): Promise<void> {
  const create = await creator(platform);
  const prices = [
    { dimension: 'INPUT', amount: '0.5' },
    { dimension: 'OUTPUT', amount: '1.5' },
  ];
  const card = { name, purpose: 'PRICE', currency: 'USD', prices, source: 'a test' };
  const priceCardId = await create('createRateCard', card);
  const modelId = await create('createModel', { name, operations: ['CHAT_COMPLETIONS'], priceCardId });
  const costs = prices.map(({ dimension }) => ({ dimension, amount: '1' }));
  const costCard = { name: `${name} costs`, purpose: 'COST', currency: 'USD', prices: costs, source: 'a test' };
  const costCardId = await create('createRateCard', costCard);
  const listed = targets.map(({ providerId, credentialId }) => ({
    providerId,
    credentialId,
    costCardId,
    upstreamModel: UPSTREAM_MODEL,
  }));
  await create('createRoute', { modelId, targets: listed, ...policy });
}

/** @returns a mutation by the operator that makes something and answers with its id */
async function creator(platform: Customer['platform']) {
  const token = await platform.operator();
  return async (mutation: string, input: Record<string, unknown>): Promise<string> => {
    const what = mutation.slice('create'.length);
    const member = what.charAt(0).toLowerCase() + what.slice(1);
    const made = await platform.mutate<Record<string, { id: string }>>(mutation, input, `${member} { id }`, { token });
    const id = made[member]?.id;
    if (id === undefined) throw new Error(`${mutation} made nothing`);
    return id;
  };
}
