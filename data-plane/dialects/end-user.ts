import { createHmac } from 'node:crypto';
import { parseJson } from '@pingtoken/shared/wire';
import type { ConfigObjectOf } from '@pingtoken/shared/config-snapshot';
import { memberStart, nextComma, previousComma, type Range, type Splice } from './json-scanner.js';

/**
 * What a request says of the tenant's own end user. A provider needs none of it to answer, so it gets a pseudonym that only
 * the tenant can follow, or nothing. These are the fields that the vendors made for it:
 * https://platform.openai.com/docs/api-reference/chat/create, https://docs.anthropic.com/en/api/messages,
 * https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
 */
export type EndUserSetting = Pick<ConfigObjectOf<'tenant'>, 'endUsers' | 'pseudonymKey'>;

/** Replaces a value, or takes it away with `undefined`; the same bytes say that it stays. */
type Hide = (value: unknown, raw: Buffer, hidden: Hidden) => Buffer | undefined;

interface Hidden {
  /** Null where nothing but dropping is left. */
  readonly key: string | null;
  readonly drops: boolean;
}

const RULES = {
  openai: {
    user: hideValue,
    safety_identifier: hideValue,
    // What some providers that speak this dialect call it.
    user_id: hideValue,
    metadata: (value, raw, hidden) => hideMembers(value, raw, hidden, pseudonymOf),
    // Names no person by its meaning, and without it the provider's cache does not work: a pseudonym serves as well.
    prompt_cache_key: (value, raw, { key }) => hideValue(value, raw, { key, drops: false }),
  },
  anthropic: { metadata: hideAnthropicMetadata },
  gemini: { labels: (value, raw, hidden) => hideMembers(value, raw, hidden, labelPseudonymOf) },
} as const satisfies Record<string, Readonly<Record<string, Hide>>>;

export type EndUserDialect = keyof typeof RULES;

/** The top-level fields that a scan has to find for {@link endUserSplices}. */
export const END_USER_FIELDS: Readonly<Record<EndUserDialect, ReadonlySet<string>>> = {
  openai: new Set(Object.keys(RULES.openai)),
  anthropic: new Set(Object.keys(RULES.anthropic)),
  gemini: new Set(Object.keys(RULES.gemini)),
};

/** @returns of what a scan found, what says something of the end user; undefined where nothing does */
export function endUserPlaces(
  dialect: EndUserDialect,
  values: ReadonlyMap<string, Range>,
): ReadonlyMap<string, Range> | undefined {
  for (const name of values.keys()) if (END_USER_FIELDS[dialect].has(name)) return values;
  return undefined;
}

/** The pseudonym of an end user whom a provider of another dialect is to be told of; undefined where it is not told. */
export function hideEndUser(endUser: string, { endUsers, pseudonymKey }: EndUserSetting): string | undefined {
  return endUsers === 'drop' || pseudonymKey === null ? undefined : pseudonymOf(pseudonymKey, endUser);
}

/**
 * The edits that hide the end user from the provider.
 * @param bytes valid JSON, an object without equal keys
 * @param values what a scan found of {@link END_USER_FIELDS}; other fields are not looked at
 * @returns in ascending order, not overlapping, and never touching other members. An insertion at the beginning of the object
 *   goes before a splice that starts at the same place.
 */
export function endUserSplices({
  dialect,
  bytes,
  values,
  setting,
}: {
  readonly dialect: EndUserDialect;
  readonly bytes: Buffer;
  readonly values: ReadonlyMap<string, Range>;
  readonly setting: EndUserSetting;
}): readonly Splice[] {
  const key = setting.pseudonymKey;
  const hidden: Hidden = { key, drops: setting.endUsers === 'drop' || key === null };
  const rules: Readonly<Record<string, Hide>> = RULES[dialect];
  const splices: Splice[] = [];
  const dropped: Range[] = [];
  for (const [field, range] of values) {
    const hide = Object.hasOwn(rules, field) ? rules[field] : undefined;
    if (hide === undefined) continue;
    const raw = bytes.subarray(range.start, range.end);
    const put = hide(parseJson(raw.toString()), raw, hidden);
    if (put === undefined) dropped.push({ start: memberStart(bytes, range.start), end: range.end });
    else if (put !== raw) splices.push({ ...range, bytes: put });
  }
  return [...splices, ...removals(bytes, dropped)].sort((one, other) => one.start - other.start);
}

const NOTHING = Buffer.alloc(0);

/**
 * Takes members away, each with the comma behind it; the last of an object has none and takes the one before it. Where all
 * members behind a point go, that comma stands before the first of them.
 */
function removals(bytes: Buffer, members: readonly Range[]): Splice[] {
  const splices: Splice[] = [];
  for (const { start, end } of members.toSorted((one, other) => one.start - other.start)) {
    const comma = nextComma(bytes, end);
    if (comma !== undefined) {
      splices.push({ start, end: comma + 1, bytes: NOTHING });
      continue;
    }
    let from = start;
    let last = splices.at(-1);
    while (last !== undefined && previousComma(bytes, from) === last.end - 1) {
      from = last.start;
      splices.pop();
      last = splices.at(-1);
    }
    splices.push({ start: previousComma(bytes, from) ?? from, end, bytes: NOTHING });
  }
  return splices;
}

/**
 * @param key the tenant's, 32 bytes base64url: the same person at two tenants has two pseudonyms
 * @returns 34 characters, which all of these fields take
 */
export function pseudonymOf(key: string, value: string): string {
  return `u_${digest(key, value).toString('base64url').slice(0, 32)}`;
}

/** Labels take small letters only. https://cloud.google.com/resource-manager/docs/labels-overview#requirements */
function labelPseudonymOf(key: string, value: string): string {
  return `u_${digest(key, value).toString('hex').slice(0, 32)}`;
}

function digest(key: string, value: string): Buffer {
  return createHmac('sha256', Buffer.from(key, 'base64url')).update(value).digest();
}

function hideValue(value: unknown, raw: Buffer, { key, drops }: Hidden): Buffer | undefined {
  if (value === null) return raw;
  if (drops || key === null) return undefined;
  return Buffer.from(JSON.stringify(pseudonymOf(key, textOf(value, raw))));
}

/** What is no text has no business here; it is not ours to judge, but it must not pass either. */
function textOf(value: unknown, raw: Buffer | undefined): string {
  return typeof value === 'string' ? value : (raw?.toString() ?? JSON.stringify(value));
}

/** The names of the members stay: they are the words of the tenant's program. */
function hideMembers(
  value: unknown,
  raw: Buffer,
  hidden: Hidden,
  pseudonym: (key: string, value: string) => string,
): Buffer | undefined {
  const { key, drops } = hidden;
  if (value === null) return raw;
  if (drops || key === null) return undefined;
  if (typeof value !== 'object' || Array.isArray(value)) return hideValue(value, raw, hidden);
  const members = Object.entries(value).map(([name, each]: [string, unknown]) =>
    [JSON.stringify(name), JSON.stringify(pseudonym(key, textOf(each, undefined)))].join(':'),
  );
  return members.length === 0 ? raw : Buffer.from(`{${members.join(',')}}`);
}

/** Of the metadata there only `user_id` is documented, so the rest is left out. */
function hideAnthropicMetadata(value: unknown, raw: Buffer, { key, drops }: Hidden): Buffer | undefined {
  if (value === null) return raw;
  const userId = typeof value === 'object' && 'user_id' in value ? value.user_id : undefined;
  if (drops || key === null || userId == null) return undefined;
  return Buffer.from(JSON.stringify({ user_id: pseudonymOf(key, textOf(userId, undefined)) }));
}
