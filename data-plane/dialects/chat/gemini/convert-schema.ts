import type { Json } from '../chat.js';
import { isObject, parseJsonExactly } from '../json.js';
import { nameInCamelCase } from './proto-json.js';

/** Bounds that are 64-bit integers there, which protocol-buffer JSON writes as strings. */
const BOUNDS = ['minItems', 'maxItems', 'minLength', 'maxLength', 'minProperties', 'maxProperties'];

/**
 * Google's `Schema`, a dialect of OpenAPI 3.0's, as JSON Schema: types in lower case, `nullable` as one type more, and the
 * order of `propertyOrdering` as that of the properties themselves. What both have in common stays as it is.
 * https://ai.google.dev/api/caching#Schema
 */
export function convertGoogleSchema(value: unknown): Json {
  if (!isObject(value)) return value;
  const { type, nullable, properties, propertyOrdering, items, anyOf, format, example, ...rest } = nameInCamelCase(
    value,
  ) as Record<string, unknown>;
  for (const bound of BOUNDS) if (bound in rest) rest[bound] = convertBound(rest[bound]);
  if (nullable === true && Array.isArray(rest['enum'])) rest['enum'] = [...(rest['enum'] as unknown[]), null];
  const lowerCase = convertType(type);
  return {
    ...(lowerCase !== undefined && { type: nullable === true ? [lowerCase, 'null'] : lowerCase }),
    ...rest,
    // `enum` as a format only marks that `enum` is given.
    ...(format !== undefined && format !== 'enum' && { format }),
    ...(example !== undefined && { examples: [example] }),
    ...(isObject(properties) && { properties: convertProperties(properties, propertyOrdering) }),
    ...(items !== undefined && { items: convertGoogleSchema(items) }),
    ...(Array.isArray(anyOf) && { anyOf: convertAlternatives(anyOf, nullable === true && lowerCase === undefined) }),
  };
}

function convertType(type: unknown): unknown {
  if (typeof type !== 'string') return type;
  return type === 'TYPE_UNSPECIFIED' ? undefined : type.toLowerCase();
}

function convertBound(value: unknown): unknown {
  return typeof value === 'string' && /^\d+$/.test(value) ? parseJsonExactly(BigInt(value).toString()) : value;
}

function convertProperties(properties: Readonly<Record<string, unknown>>, ordering: unknown): Json {
  const first = Array.isArray(ordering)
    ? ordering.filter((name) => typeof name === 'string' && name in properties)
    : [];
  const names = new Set([...(first as string[]), ...Object.keys(properties)]);
  return Object.fromEntries([...names].map((name) => [name, convertGoogleSchema(properties[name])]));
}

function convertAlternatives(alternatives: readonly unknown[], isNullable: boolean): Json {
  return [...alternatives.map(convertGoogleSchema), ...(isNullable ? [{ type: 'null' }] : [])];
}
