import { isObject, parseJsonExactly, stringifyExactly } from '../dialects/chat/json.js';

const ORGANISATION = /\b(?:org|proj)[-_][A-Za-z0-9]{6,}/g;

/** A vendor that shows only the ends of a key shows this much of its beginning. */
const SHOWN_CHARACTERS = 7;
/** Shorter secrets are looked for whole. */
const LONG_SECRET = 16;

/** Takes our credential, whole or masked, and our account's name out of what a provider says of an error. */
export function cleanErrorText(text: string, secret: string): string {
  if (secret === '') return text.replace(ORGANISATION, '***');
  const whole = text.replaceAll(secret, '***').replace(ORGANISATION, '***');
  return secret.length < LONG_SECRET ? whole : maskFrom(whole, secret.slice(0, SHOWN_CHARACTERS));
}

/**
 * The data of an error event as it may go on. What has to go may hide behind JSON's escapes, so the texts are looked at as
 * they read.
 * @returns the very same text where nothing had to go
 */
export function cleanErrorData(data: string, secret: string): string {
  let changes = 0;
  const clean = (text: string): string => {
    const cleaned = cleanErrorText(text, secret);
    if (cleaned !== text) changes += 1;
    return cleaned;
  };
  try {
    const json = stringifyExactly(mapTexts(parseJsonExactly(data), clean));
    return changes > 0 ? json : data;
  } catch {
    // No JSON, or so deep that it cannot be walked.
    return cleanErrorText(data, secret);
  }
}

function mapTexts(value: unknown, map: (text: string) => string): unknown {
  if (typeof value === 'string') return map(value);
  if (Array.isArray(value)) return value.map((item: unknown) => mapTexts(item, map));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [map(key), mapTexts(item, map)]));
}

/** Replaces each word that begins so, as far as it goes. */
function maskFrom(text: string, beginning: string): string {
  let masked = '';
  let at = 0;
  for (let found = text.indexOf(beginning); found !== -1; found = text.indexOf(beginning, at)) {
    const length = /^[^\s"'`,;]*/.exec(text.slice(found))?.[0].length ?? 0;
    masked += `${text.slice(at, found)}***`;
    at = found + length;
  }
  return masked + text.slice(at);
}
