import { randomUUID } from 'node:crypto';
import type { RoutePolicy } from '@pingtoken/shared/route-policy';
import { startGateway, type GatewayFixture, type ScriptedUpstream } from './gateway-fixture.js';

/** A gateway whose model is served by several providers, each a target for when those before it fail. */
export async function startRoutedGateway(
  upstreams: readonly [ScriptedUpstream, ...ScriptedUpstream[]],
  policy: Partial<RoutePolicy> = {},
  environment: Parameters<typeof startGateway>[1] = {},
): Promise<GatewayFixture> {
  const gateway = await startGateway(upstreams[0].baseUrl, environment);
  useTargets(gateway, upstreams, policy);
  return gateway;
}

/** Routes a model to these, in this order; the first is the fixture's own provider, the others get new ones. */
export function useTargets(
  { config }: Pick<GatewayFixture, 'config'>,
  [, ...others]: readonly Pick<ScriptedUpstream, 'baseUrl'>[],
  policy: Partial<RoutePolicy>,
  model = 'chat-alias',
): void {
  config.moreProviders.length = 0;
  for (const [index, { baseUrl }] of others.entries()) {
    config.moreProviders.push({ ...config.provider, id: randomUUID(), slug: `sim-${index + 2}`, baseUrl });
  }
  const grantedProviderIds = [config.provider, ...config.moreProviders].map(({ id }) => id);
  for (const [hash, account] of config.accounts) {
    config.accounts.set(hash, { ...account, tenant: { ...account.tenant, grantedProviderIds } });
  }
  const at = config.routeList.findIndex(({ modelId }) => modelId === config.models.get(model)?.id);
  const route = config.routeList[at];
  const [target] = route?.targets ?? [];
  if (route === undefined || target === undefined) throw new Error('no route');
  const more = config.moreProviders.map(({ id }, index) => ({
    ...{ ...target, id: randomUUID(), providerId: id, credentialId: randomUUID(), priority: index + 1 },
    upstreamModel: `second-${index}`,
  }));
  config.routeList[at] = { ...route, ...policy, targets: [target, ...more] };
}
