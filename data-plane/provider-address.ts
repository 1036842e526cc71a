import type { AuthScheme, ConfigObjectOf } from '@pingtoken/shared/config-snapshot';

export interface ProviderAddress {
  /** `https://host:port` */
  readonly origin: string;
  /** Path of the base URL without a slash at its end; what is called goes behind it. */
  readonly basePath: string;
}

const known = new WeakMap<ConfigObjectOf<'provider'>, ProviderAddress>();

/** Takes a base URL apart, once for each generation of the config. */
export function addressOf(provider: ConfigObjectOf<'provider'>): ProviderAddress {
  const found = known.get(provider);
  if (found !== undefined) return found;
  const { origin, pathname } = new URL(provider.baseUrl);
  const address = { origin, basePath: pathname.replace(/\/+$/, '') };
  known.set(provider, address);
  return address;
}

/**
 * Whether a credential may go to a provider. A credential is bound to the origin it was saved for: were a provider's base URL
 * changed afterwards, by mistake or by somebody who wants the key, it would not be sent to the new host.
 * @param credentialOrigin `https://host:port`, as {@link ProviderAddress} has it
 */
export function mayReceive(provider: ConfigObjectOf<'provider'>, credentialOrigin: string): boolean {
  return addressOf(provider).origin === credentialOrigin;
}

/** How we present ourselves: the same for every caller, so that a provider learns nothing of who calls. */
export const USER_AGENT = 'PingToken';

/** @returns the name and the value of the one header that carries a credential, as a flat list; empty where none is sent */
export function credentialHeader(auth: AuthScheme, secret: string): readonly string[] {
  if (auth === 'none') return [];
  return auth === 'bearer' ? ['authorization', `Bearer ${secret}`] : [auth, secret];
}
