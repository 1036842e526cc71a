import { refuse, type Refusal } from '../http-error.js';
import { ANSWER_CAP_FIELDS } from './answer-cap.js';
import { END_USER_FIELDS, endUserPlaces, endUserSplices, type EndUserSetting } from './end-user.js';
import { decodeKey, MeteredKeys, readJsonBody, type JsonBody } from './json-request.js';
import { scanObject, spliceBytes, type Range } from './json-scanner.js';

/** A request for content: what is called stands in the path. */
export interface GeminiRequest {
  readonly dialect: 'gemini';
  readonly bytes: Buffer;
  readonly model: string;
  readonly streamed: boolean;
  readonly endUserPlaces: ReadonlyMap<string, Range> | undefined;
}

/** Google reads a field in both spellings, so neither may stand beside the other. */
const METERED = new MeteredKeys('model', ...ANSWER_CAP_FIELDS.gemini, ...END_USER_FIELDS.gemini);

/** https://ai.google.dev/api/generate-content */
export function readGeminiBody(
  bytes: Buffer,
  { model, streamed }: { readonly model: string; readonly streamed: boolean },
): GeminiRequest | Refusal {
  const body = readJsonBody(bytes, METERED);
  if ('refused' in body) return body;
  const twice = findTwice(bytes, body);
  if (twice !== undefined) return refuse('duplicate_field', twice);
  return { dialect: 'gemini', bytes, model, streamed, endUserPlaces: endUserPlaces('gemini', body.scan.values) };
}

const NONE: ReadonlySet<string> = new Set();

/** Attack: two caps in one config, of which we read the smaller and Google the larger. */
function findTwice(bytes: Buffer, { fields, scan }: JsonBody): string | undefined {
  return ANSWER_CAP_FIELDS.gemini.find((name) => {
    const [config, range] = [fields[name], scan.values.get(name)];
    if (typeof config !== 'object' || config === null || range === undefined) return false;
    const members = scanObject(bytes, NONE, decodeKey, range.start);
    return members !== undefined && members.count !== Object.keys(config).length;
  });
}

/** The bytes for a provider of the same dialect: all but the labels are the caller's own. */
export function editGeminiRequest({ bytes, endUserPlaces: values }: GeminiRequest, setting: EndUserSetting): Buffer {
  return values === undefined
    ? bytes
    : spliceBytes(bytes, endUserSplices({ dialect: 'gemini', bytes, values, setting }));
}
