import type { Dialect } from '@pingtoken/shared/config-snapshot';

/** One row of the table in data-plane/dialects/README.md: what a provider of another dialect cannot be told. */
export interface Gap {
  readonly caller: Dialect;
  readonly providers: readonly Dialect[];
  /** As the caller is told it, a place in a list as `N`. */
  readonly field: string;
  readonly when: string;
  readonly reason: string;
  /** The fields of a request that say it, over a request that says no more than hello. */
  readonly asks: Readonly<Record<string, unknown>>;
  /** What the provider must not have been sent where the route drops it. */
  readonly gone: RegExp;
  /** Name of the model at the provider, where it matters. */
  readonly upstreamModel?: string;
}

/** What names something that a provider keeps is not there, whatever it is, on a credential that tenants share. */
export const STORED = 'on a credential of the tenant’s own; 404 on any other';

const OTHERS: Readonly<Record<Dialect, readonly Dialect[]>> = {
  openai: ['anthropic', 'gemini'],
  anthropic: ['openai', 'gemini'],
  gemini: ['openai', 'anthropic'],
};

type Row = readonly [
  providers: readonly Dialect[] | 'others',
  field: string,
  when: string,
  reason: string,
  asks: Readonly<Record<string, unknown>>,
  gone: RegExp,
  upstreamModel?: string,
];

export function gapsOf(caller: Dialect, rows: readonly Row[]): Gap[] {
  return rows.map(([providers, field, when, reason, asks, gone, upstreamModel]) => ({
    caller,
    providers: providers === 'others' ? OTHERS[caller] : providers,
    field,
    when,
    reason,
    asks,
    gone,
    ...(upstreamModel !== undefined && { upstreamModel }),
  }));
}
