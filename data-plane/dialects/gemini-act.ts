import { refuse, type Refusal } from '../http-error.js';
import { decodeKey, MeteredKeys, readJsonBody } from './json-request.js';
import { END_USER_FIELDS, endUserPlaces, endUserSplices, type EndUserSetting } from './end-user.js';
import { scanList, scanObject, spliceBytes, type Range, type Splice } from './json-scanner.js';

/** What Google's callers ask for besides an answer; the path names the act after the model. https://ai.google.dev/api */
export const GEMINI_ACTS = ['countTokens', 'embedContent', 'batchEmbedContents'] as const;
export type GeminiAct = (typeof GEMINI_ACTS)[number];

/** As a body names a model. */
export function modelResource(model: string): string {
  return model.startsWith('models/') ? model : `models/${model}`;
}

/** Behind the provider's base URL. */
export function geminiPath(upstreamModel: string, act: GeminiAct): string {
  return `/models/${encodeURIComponent(upstreamModel.replace(/^models\//, ''))}:${act}`;
}

/** A request for an act, whose body names the model a second time. */
export interface GeminiActRequest {
  readonly dialect: 'gemini';
  readonly act: GeminiAct;
  readonly bytes: Buffer;
  readonly model: string;
  readonly streamed: false;
  /** Where the body names it. */
  readonly modelPlaces: readonly Range[];
  /** Where it speaks of the end user, in each of its requests that does. */
  readonly endUserPlaces: readonly ReadonlyMap<string, Range>[];
}

const METERED = new MeteredKeys('model');
const WANTED: ReadonlySet<string> = new Set(['model', ...END_USER_FIELDS.gemini]);
/** Where requests stand inside the request, in both spellings that Google reads. */
const NESTED: Readonly<Record<GeminiAct, readonly string[]>> = {
  countTokens: ['generateContentRequest', 'generate_content_request'],
  embedContent: [],
  batchEmbedContents: ['requests'],
};

/**
 * Reads a request without taking it apart: all that has to be known are the places where it names its model.
 *
 * Attack: the path names a cheap model and `requests[1].model` a dear one, or names it twice. Every place must say what the
 * path says, and each of them is replaced before it is sent.
 */
export function readGeminiAct(
  bytes: Buffer,
  { model, act }: { readonly model: string; readonly act: GeminiAct },
): GeminiActRequest | Refusal {
  const body = readJsonBody(bytes, METERED);
  if ('refused' in body) return body;
  const nested = NESTED[act].filter((name) => (body.fields[name] ?? null) !== null);
  if (nested.length > 1) return refuse('duplicate_field', nested[0]);
  const modelPlaces: Range[] = [];
  const endUser: ReadonlyMap<string, Range>[] = [];
  const objects: { readonly value: unknown; readonly start: number; readonly field: string }[] = [
    { value: body.fields, start: 0, field: '' },
  ];
  const [name] = nested;
  const range = name === undefined ? undefined : scanObject(bytes, new Set([name]), decodeKey)?.values.get(name);
  if (name !== undefined && range !== undefined) objects.push(...nestedObjects(bytes, body.fields[name], range, name));
  for (const each of objects) {
    const found = findPlaces(bytes, each, model);
    if ('refused' in found) return found;
    if (found.model !== undefined) modelPlaces.push(found.model);
    if (found.endUser !== undefined) endUser.push(found.endUser);
  }
  return { dialect: 'gemini', bytes, model, streamed: false, act, modelPlaces, endUserPlaces: endUser };
}

function nestedObjects(bytes: Buffer, value: unknown, range: Range, name: string) {
  if (!Array.isArray(value)) return [{ value, start: range.start, field: name }];
  const items = scanList(bytes, range.start) ?? [];
  return value.map((item: unknown, at) => ({
    value: item,
    start: items[at]?.start ?? bytes.length,
    field: `${name}[${at}]`,
  }));
}

interface Places {
  readonly model: Range | undefined;
  readonly endUser: ReadonlyMap<string, Range> | undefined;
}

function findPlaces(
  bytes: Buffer,
  { value, start, field }: { readonly value: unknown; readonly start: number; readonly field: string },
  model: string,
): Places | Refusal {
  if (typeof value !== 'object' || value === null) return refuse('invalid_request', field);
  const scan = scanObject(bytes, WANTED, decodeKey, start);
  if (scan === undefined) return refuse('invalid_request', field);
  if (scan.count !== Object.keys(value).length) return refuse('duplicate_field', field);
  const endUser = endUserPlaces('gemini', scan.values);
  const named = 'model' in value ? value.model : null;
  if (named === null) return { model: undefined, endUser };
  if (named === model || named === modelResource(model)) return { model: scan.values.get('model'), endUser };
  const path = field === '' ? 'model' : `${field}.model`;
  return refuse('invalid_request', path, `The field "${path}" must name the model that the path names.`);
}

/** The bytes for a provider of the same dialect: all but the model's names and the labels are the caller's own. */
export function editGeminiAct(request: GeminiActRequest, upstreamModel: string, setting: EndUserSetting): Buffer {
  const { bytes, modelPlaces } = request;
  const name = Buffer.from(JSON.stringify(modelResource(upstreamModel)));
  const splices: Splice[] = modelPlaces.map((place) => ({ ...place, bytes: name }));
  for (const values of request.endUserPlaces) {
    splices.push(...endUserSplices({ dialect: 'gemini', bytes, values, setting }));
  }
  splices.sort((one, other) => one.start - other.start);
  return spliceBytes(bytes, splices);
}
