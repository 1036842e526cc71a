/**
 * JSON between two dialects. What is translated is parsed and written anew, and a 64-bit integer in a tool's arguments or in
 * a schema must not become a double on the way, so numbers that a double would alter are kept by their text.
 * https://github.com/tc39/proposal-json-parse-with-source, which Node has and the compiler's library does not know yet.
 */
interface ExactJson {
  parse(text: string, revive: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
}
const exactJson = JSON as unknown as ExactJson;

/** @throws SyntaxError when the text is not JSON */
export function parseJsonExactly(text: string): unknown {
  return exactJson.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? exactJson.rawJSON(source) : value,
  );
}

export function stringifyExactly(value: unknown): string {
  return JSON.stringify(value);
}

/** @returns whether a value is a JSON object: no list, and no number that is kept by its text */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !exactJson.isRawJSON(value);
}

/** A number that was kept by its text as the nearest double, for the fields that are no more exact than that. */
export function plainNumber(value: unknown): unknown {
  return exactJson.isRawJSON(value) ? Number(value.rawJSON) : value;
}
