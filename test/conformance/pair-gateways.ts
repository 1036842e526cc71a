import { AUTH_OF_DIALECT, type Dialect } from '@pingtoken/shared/config-snapshot';
import type { Usage } from '@pingtoken/shared/rate-card';
import { startProviderSimulator, type RunningSimulator } from '../../control-plane/standalone/simulator/server.js';
import { eventually, startGateway, type GatewayFixture } from '../kit/gateway-fixture.js';
import { createSimulatorBooks, type SimulatorBooks } from '../kit/simulator-books.js';

/** Providers by the dialect that they speak: the base URL's path at the simulator, and its model of each. */
const PROVIDERS: Readonly<Record<Dialect, { readonly path: string; readonly upstreamModel: string }>> = {
  openai: { path: '/v1', upstreamModel: 'pingtoken-sim-small' },
  anthropic: { path: '/v1', upstreamModel: 'sim-anthropic' },
  gemini: { path: '/v1beta', upstreamModel: 'sim-gemini' },
};

/** The model whose route refuses what cannot be said, and the one whose route drops it. */
export const MODEL = 'strict-alias';
export const LENIENT_MODEL = 'lenient-alias';

type EnvironmentChange = Parameters<typeof startGateway>[1];

export interface PairGateways {
  readonly simulator: RunningSimulator;
  readonly books: SimulatorBooks;
  /** The gateway whose models are all served by a provider of that dialect. */
  readonly of: (provider: Dialect) => PairGateway;
  readonly close: () => Promise<void>;
}

export interface PairGateway extends GatewayFixture {
  /** What the last call of all was recorded to have used. */
  readonly lastUsage: () => Promise<Usage | undefined>;
}

/** Whole gateways in one process before the provider simulator, one for each dialect of a provider. */
export async function startPairGateways(change: EnvironmentChange = {}): Promise<PairGateways> {
  const simulator = await startProviderSimulator({ host: '127.0.0.1', port: 0 });
  const gateways = new Map<Dialect, PairGateway>();
  for (const dialect of Object.keys(PROVIDERS) as Dialect[])
    gateways.set(dialect, await startPairGateway(simulator.url, dialect, change));
  const of = (provider: Dialect): PairGateway => {
    const gateway = gateways.get(provider);
    if (gateway === undefined) throw new Error(`no gateway before a provider of ${provider}`);
    return gateway;
  };
  const close = async (): Promise<void> => {
    for (const gateway of gateways.values()) await gateway.close();
    await simulator.close();
  };
  return { simulator, books: createSimulatorBooks(simulator.url), of, close };
}

/** @param origin of the provider, without a path */
export async function startPairGateway(
  origin: string,
  dialect: Dialect,
  change: EnvironmentChange = {},
): Promise<PairGateway> {
  const { path, upstreamModel } = PROVIDERS[dialect];
  const fixture = await startGateway(origin + path, change);
  const { config, spool } = fixture;
  Object.assign(config.provider, { dialect, auth: AUTH_OF_DIALECT[dialect] });
  config.addModel(MODEL, 'chat-completions', upstreamModel);
  config.addModel(LENIENT_MODEL, 'chat-completions', upstreamModel);
  Object.assign(config.routeList.at(-1) ?? {}, { dropsUnsupported: true });
  return {
    ...fixture,
    lastUsage: async () => {
      await eventually(() => spool.ends.length > 0 && spool.ends.length === spool.starts.length);
      return spool.ends.at(-1)?.attempts.at(-1)?.usage;
    },
  };
}
