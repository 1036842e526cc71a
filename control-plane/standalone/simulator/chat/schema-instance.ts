type Schema = Readonly<Record<string, unknown>>;

/** Below this an instance holds only what is required, so that a schema that refers to itself comes to an end. */
const DEPTH_OF_OPTIONAL = 3;
const DEPTH_LIMIT = 24;

/**
 * A valid, deterministic instance of a JSON schema, or of Gemini's dialect of it with its types in capitals: the first
 * constant, enum value or alternative; of an object the required properties, or all where it says nothing of which are.
 * `pattern` is not minded.
 */
export function schemaInstance(schema: unknown): unknown {
  return instanceOf(schema, { root: isSchema(schema) ? schema : {}, name: 'value', depth: 0 });
}

interface Place {
  readonly root: Schema;
  /** Of the property that the instance is for. */
  readonly name: string;
  readonly depth: number;
}

function instanceOf(value: unknown, place: Place): unknown {
  if (!isSchema(value) || place.depth > DEPTH_LIMIT) return null;
  const schema = resolve(value, place.root);
  if ('const' in schema) return schema['const'];
  if (Array.isArray(schema['enum']) && schema['enum'].length > 0) return schema['enum'][0] as unknown;
  const alternatives = [schema['anyOf'], schema['oneOf']].find(Array.isArray);
  const deeper = { ...place, depth: place.depth + 1 };
  if (alternatives) return instanceOf(pickAlternative(alternatives, place.depth), deeper);
  switch (typeOf(schema)) {
    case 'object':
      return objectOf(schema, deeper);
    case 'array':
      return arrayOf(schema, deeper);
    case 'string':
      return stringOf(schema, place.name);
    case 'integer':
    case 'number':
      return numberOf(schema);
    case 'boolean':
      return true;
    default:
      return null;
  }
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Follows a local reference and joins the parts of `allOf`. */
function resolve(schema: Schema, root: Schema): Schema {
  const reference = schema['$ref'];
  if (typeof reference === 'string' && reference.startsWith('#')) {
    let found: unknown = root;
    for (const step of reference.split('/').slice(1)) found = isSchema(found) ? found[decodeStep(step)] : undefined;
    return isSchema(found) ? resolve(found, root) : {};
  }
  const parts = schema['allOf'];
  if (!Array.isArray(parts)) return schema;
  return parts.filter(isSchema).reduce<Schema>((joined, part) => join(joined, resolve(part, root)), schema);
}

function join(one: Schema, other: Schema): Schema {
  const required = [one['required'], other['required']].flatMap((names): unknown[] =>
    Array.isArray(names) ? names : [],
  );
  const properties = { ...(one['properties'] as object | undefined), ...(other['properties'] as object | undefined) };
  return { ...one, ...other, properties, ...(required.length > 0 && { required }) };
}

function decodeStep(step: string): string {
  return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
}

/** The first one; deep inside a recursion one that ends it, if there is one. */
function pickAlternative(alternatives: readonly unknown[], depth: number): unknown {
  const plain = alternatives.find((each) => isSchema(each) && !('$ref' in each) && typeOf(each) !== 'object');
  return depth > DEPTH_OF_OPTIONAL ? (plain ?? alternatives[0]) : alternatives[0];
}

function typeOf(schema: Schema): string {
  const type: unknown = Array.isArray(schema['type']) ? schema['type'][0] : schema['type'];
  if (typeof type === 'string') return type.toLowerCase();
  if ('properties' in schema) return 'object';
  return 'items' in schema ? 'array' : 'string';
}

function objectOf(schema: Schema, place: Place): object {
  const properties = isSchema(schema['properties']) ? schema['properties'] : {};
  const all = place.depth <= DEPTH_OF_OPTIONAL ? Object.keys(properties) : [];
  const names = Array.isArray(schema['required']) ? schema['required'].map(String) : all;
  return Object.fromEntries(names.map((name) => [name, instanceOf(properties[name] ?? {}, { ...place, name })]));
}

function arrayOf(schema: Schema, place: Place): unknown[] {
  const wanted = place.depth <= DEPTH_OF_OPTIONAL ? 1 : 0;
  const length = Math.min(Math.max(numeric(schema['minItems']) ?? wanted, 0), numeric(schema['maxItems']) ?? 100);
  return Array.from({ length }, () => instanceOf(schema['items'] ?? {}, place));
}

const FORMATS: Readonly<Record<string, string>> = {
  'date-time': '2026-01-02T03:04:05Z',
  date: '2026-01-02',
  time: '03:04:05Z',
  duration: 'P1D',
  email: 'simulator@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  uuid: '00000000-0000-4000-8000-000000000000',
};

function stringOf(schema: Schema, name: string): string {
  const format = schema['format'];
  const text = (typeof format === 'string' ? FORMATS[format] : undefined) ?? `simulated ${name}`;
  return text.padEnd(numeric(schema['minLength']) ?? 0, '.').slice(0, numeric(schema['maxLength']) ?? Infinity);
}

function numberOf(schema: Schema): number {
  const step = numeric(schema['multipleOf']) ?? 1;
  const low = numeric(schema['minimum']) ?? (numeric(schema['exclusiveMinimum']) ?? -Infinity) + step;
  const high = numeric(schema['maximum']) ?? (numeric(schema['exclusiveMaximum']) ?? Infinity) - step;
  const wanted = Math.min(Math.max(7, low), high);
  return low > 7 ? Math.ceil(wanted / step) * step : Math.floor(wanted / step) * step;
}

/** Gemini's schemas give counts as texts. */
function numeric(value: unknown): number | undefined {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined;
}
