import type { Viewer } from '../identity/permissions.js';
import { viewerScope } from '../identity/scope.js';
import type { Services } from '../services.js';

/** What several fields of one request need: read once, and kept as long as the request. */
export interface Loaders {
  grantedProviderIds(): Promise<ReadonlySet<string>>;
}

export function createLoaders({ services, viewer }: { services: Services; viewer: Viewer | null }): Loaders {
  let granted: Promise<ReadonlySet<string>> | undefined;
  const load = async (): Promise<ReadonlySet<string>> => {
    if (viewer === null) return new Set();
    const grants = await services.providers.listGrants(viewerScope(viewer));
    return new Set(grants.map(({ providerId }) => providerId));
  };
  return { grantedProviderIds: () => (granted ??= load()) };
}
