/** Reads a provider's report leniently: what is missing or malformed is not there. */

export function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

export function countOf(value: unknown, name: string): number | undefined {
  const count = memberOf(value, name);
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : undefined;
}

export function listOf(value: unknown, name: string): readonly unknown[] | undefined {
  const list = memberOf(value, name);
  return Array.isArray(list) ? list : undefined;
}

/** A body or an event that is an error, or holds one that is not null. */
export function isError(value: unknown): boolean {
  return memberOf(value, 'type') === 'error' || (memberOf(value, 'error') ?? null) !== null;
}
