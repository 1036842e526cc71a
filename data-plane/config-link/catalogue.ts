import type { ConfigObject, ConfigObjectOf, ConfigPosition } from '@pingtoken/shared/config-snapshot';
import { decrypt } from '@pingtoken/shared/crypto';
import { guardrailKey, guardrailSecretContext } from '@pingtoken/shared/guardrail';
import { mayReceive } from '../provider-address.js';
import type { Catalogue } from '../snapshot.js';

/** The small tables: read as a whole by each call, so each document makes new ones and swaps one reference. */
export type CatalogueObject = Exclude<ConfigObject, { kind: 'api-key' | 'tenant' | 'member' }>;

export interface CatalogueParts {
  readonly position: ConfigPosition;
  readonly objects: Iterable<CatalogueObject>;
  /** AES-256 keys by their id, opened. */
  readonly contentKeys: ReadonlyMap<string, Uint8Array>;
}

/** Secrets opened so far, by the object that holds them: generations share what did not change. */
const openedSecrets = new WeakMap<ConfigObjectOf<'credential'>, string>();

/** A generation of the catalogue: immutable, and complete in itself. Objects that name what is not there are inert. */
export function createCatalogue({ position, objects, contentKeys }: CatalogueParts): Catalogue {
  const models = new Map<string, ConfigObjectOf<'model'>>();
  const modelsById = new Map<string, ConfigObjectOf<'model'>>();
  const providers = new Map<string, ConfigObjectOf<'provider'>>();
  const providersBySlug = new Map<string, ConfigObjectOf<'provider'>>();
  const rateCards = new Map<string, ConfigObjectOf<'rate-card'>>();
  const plans = new Map<string, ConfigObjectOf<'plan'>>();
  const budgets = new Map<string, ConfigObjectOf<'budget'>[]>();
  const credentials = new Map<string, ConfigObjectOf<'credential'>>();
  const routes = new Map<string, ConfigObjectOf<'route'>[]>();
  const passthroughRoutes = new Map<string, ConfigObjectOf<'passthrough-route'>[]>();

  for (const object of objects) {
    if (object.kind === 'model') {
      putNewer(models, object.name, object);
      modelsById.set(object.id, object);
    } else if (object.kind === 'rate-card') rateCards.set(object.id, object);
    else if (object.kind === 'plan') plans.set(object.id, object);
    else if (object.kind === 'budget') append(budgets, object.tenantId, object);
    else if (object.kind === 'credential') credentials.set(object.id, object);
    else if (object.kind === 'route') append(routes, routeKey(object.modelId, object.tenantId), object);
    else if (object.kind === 'passthrough-route') append(passthroughRoutes, object.providerId, object);
    else {
      providers.set(object.id, object);
      putNewer(providersBySlug, object.slug, object);
    }
  }

  for (const list of routes.values()) list.sort((one, other) => one.position - other.position);
  return {
    position,
    models,
    modelById: (modelId) => modelsById.get(modelId),
    providers,
    providersBySlug,
    rateCards,
    plans,
    routes: (modelId, tenantId) => {
      const own = routes.get(routeKey(modelId, tenantId));
      const general = routes.get(routeKey(modelId, null)) ?? NONE;
      return own === undefined ? general : [...own, ...general];
    },
    budgets: (tenantId) => budgets.get(tenantId) ?? NONE,
    passthroughRoutes: (providerId) => passthroughRoutes.get(providerId) ?? NONE,
    secretOf: (credentialId, tenantId, provider) => {
      const credential = credentials.get(credentialId);
      if (credential === undefined) return undefined;
      // A tenant's own credential is money of theirs: no other tenant's call may ever be sent with it.
      if (credential.tenantId !== null && credential.tenantId !== tenantId) return undefined;
      return mayReceive(provider, credential.origin) ? openSecret(credential, contentKeys) : undefined;
    },
    guardrailKeyOf: (route) => openGuardrailKey(route, contentKeys),
    isOwnCredential: (credentialId, tenantId) => credentials.get(credentialId)?.tenantId === tenantId,
    credentialSeq: (credentialId) => credentials.get(credentialId)?.seq,
  };
}

const NONE: readonly never[] = Object.freeze([]);

function openSecret(
  credential: ConfigObjectOf<'credential'>,
  contentKeys: ReadonlyMap<string, Uint8Array>,
): string | undefined {
  const opened = openedSecrets.get(credential);
  if (opened !== undefined) return opened;
  const key = contentKeys.get(credential.contentKeyId);
  if (key === undefined) return undefined;
  try {
    const secret = decrypt(key, Buffer.from(credential.sealedSecret, 'base64url'), credential.id).toString();
    openedSecrets.set(credential, secret);
    return secret;
  } catch {
    // One credential that cannot be opened takes its own routes out of service, and nobody else's.
    return undefined;
  }
}

const openedGuardrailKeys = new WeakMap<ConfigObjectOf<'route'>, Buffer>();

function openGuardrailKey(
  route: ConfigObjectOf<'route'>,
  contentKeys: ReadonlyMap<string, Uint8Array>,
): Buffer | undefined {
  const { id, guardrail } = route;
  const opened = openedGuardrailKeys.get(route);
  if (opened !== undefined || guardrail === undefined) return opened;
  const contentKey = contentKeys.get(guardrail.contentKeyId);
  if (contentKey === undefined) return undefined;
  try {
    const sealed = Buffer.from(guardrail.sealedSecret, 'base64url');
    const key = guardrailKey(decrypt(contentKey, sealed, guardrailSecretContext(id, guardrail.url)).toString());
    openedGuardrailKeys.set(route, key);
    return key;
  } catch {
    // As where the guardrail does not answer: its route says what is done then.
    return undefined;
  }
}

function routeKey(modelId: string, tenantId: string | null): string {
  return tenantId === null ? modelId : `${modelId} ${tenantId}`;
}

function append<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

/** A name that was given up and taken again belongs to the later object, in whatever order they come. */
function putNewer<Value extends { readonly seq: number }>(map: Map<string, Value>, name: string, value: Value): void {
  const present = map.get(name);
  if (present === undefined || present.seq < value.seq) map.set(name, value);
}
