import { END_USER_FIELDS, endUserSplices, pseudonymOf, type EndUserSetting } from '../dialects/end-user.js';
import { decodeKey, isModelName, MeteredKeys, readJsonBody } from '../dialects/json-request.js';
import { scanObject, spliceBytes, type Range, type Splice } from '../dialects/json-scanner.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';

/** What a message is judged by. */
export interface MessageRules {
  /** The alias that the session was opened with, and what the provider calls it. */
  readonly model: string;
  readonly upstreamModel: string;
  readonly endUsers: EndUserSetting;
  /** The alias that writes down what the caller says; undefined as long as none was named. */
  readonly transcriber: string | undefined;
  /** @returns what the session's provider calls a model that the caller may have its words written down by */
  findTranscriber(model: string): string | Refusal;
}

export interface CheckedMessage {
  /** For the provider. */
  readonly bytes: Buffer;
  /** The alias that it names for writing down what the caller says, if it does. */
  readonly transcriber: string | undefined;
  /** What stands in it for the values of a response's metadata, and for which. */
  readonly pseudonyms: readonly (readonly [pseudonym: string, value: string])[];
}

export type MessageRefusal = Refusal & {
  /** By which the caller knows its message; null where it gave none. */
  readonly eventId: string | null;
};

const EVENT = new MeteredKeys('type', 'event_id', 'session', 'response');
const SESSION = new Set([
  'model',
  'prompt',
  'tracing',
  'audio',
  'input_audio_transcription',
  ...END_USER_FIELDS.openai,
]);
const RESPONSE = new Set(['model', 'prompt', 'tracing', ...END_USER_FIELDS.openai]);

/**
 * Reads a message of the caller, text or binary alike: a provider may parse either. It goes on byte for byte, but for the
 * model's name, what says who the end user is, and tracing, which would write the conversation into a log of our account
 * there. Refused is what names another model than the one that was admitted, what is kept in our account, and what cannot
 * be read, for it cannot be judged. https://platform.openai.com/docs/api-reference/realtime-client-events
 *
 * The rules go by the members that a message has and not by its type, of which the provider may know more than we do.
 */
export function checkCallerMessage(bytes: Buffer, rules: MessageRules): CheckedMessage | MessageRefusal {
  if (isAudioOnly(bytes)) return { bytes, transcriber: undefined, pseudonyms: [] };
  const body = readJsonBody(bytes, EVENT);
  if (isRefusal(body)) return { ...body, eventId: null };
  const { fields, scan } = body;
  const checker = new Checker(bytes, rules);
  const session = scan.values.get('session');
  const response = scan.values.get('response');
  const refused =
    (session === undefined ? undefined : checker.session({ range: session, value: fields['session'] })) ??
    (response === undefined ? undefined : checker.settings(RESPONSE, 'response', response, fields['response']));
  const { event_id: eventId } = fields;
  if (refused !== undefined && isRefusal(refused)) {
    return { ...refused, eventId: typeof eventId === 'string' ? eventId : null };
  }
  return { bytes: checker.edited(), transcriber: checker.transcriber, pseudonyms: checker.pseudonyms };
}

const AUDIO_KEYS: ReadonlySet<string> = new Set(['type', 'event_id', 'audio']);
const AUDIO_TYPE = Buffer.from('"input_audio_buffer.append"');

/** Nearly every message: sound, and nothing else that could say anything. It is not worth parsing. */
function isAudioOnly(bytes: Buffer): boolean {
  const scan = scanObject(bytes, AUDIO_KEYS, decodeKey);
  const type = scan?.values.get('type');
  if (scan?.count !== scan?.values.size || type === undefined) return false;
  return bytes.subarray(type.start, type.end).equals(AUDIO_TYPE);
}

type JsonObject = Readonly<Record<string, unknown>>;

/** A member of a message: where it stands, and what it says. */
interface Place {
  readonly range: Range;
  readonly value: unknown;
}

type Members = ReadonlyMap<string, Place>;

class Checker {
  readonly #splices: Splice[] = [];
  readonly pseudonyms: (readonly [string, string])[] = [];
  transcriber: string | undefined;

  constructor(
    private readonly bytes: Buffer,
    private readonly rules: MessageRules,
  ) {}

  edited(): Buffer {
    return spliceBytes(
      this.bytes,
      this.#splices.toSorted((one, other) => one.start - other.start),
    );
  }

  session({ range, value }: Place): Refusal | undefined {
    const members = this.settings(SESSION, 'session', range, value);
    if (members === undefined || isRefusal(members)) return members;
    const preview = members.get('input_audio_transcription');
    return (
      this.#transcription(preview, 'session.input_audio_transcription') ??
      this.#descend(members.get('audio'), 'session.audio', 'input', (input) =>
        this.#descend(input, 'session.audio.input', 'transcription', (transcription) =>
          this.#transcription(transcription, 'session.audio.input.transcription'),
        ),
      )
    );
  }

  /** What a session and a response have in common. @returns the members that are there, for more to be looked at */
  settings(wanted: ReadonlySet<string>, name: string, range: Range, value: unknown): Members | Refusal | undefined {
    const members = openObject(this.bytes, { range, value }, wanted, name);
    if (members === undefined || isRefusal(members)) return members;
    const model = members.get('model');
    if (model !== undefined) {
      const { model: alias, upstreamModel } = this.rules;
      if (model.value !== alias && model.value !== upstreamModel) {
        return refuse('invalid_request', `${name}.model`, 'The model of a session cannot be changed.');
      }
      this.#put(model, upstreamModel);
    }
    const prompt = members.get('prompt')?.value ?? null;
    if (prompt !== null) {
      return refuse('not_found', `${name}.prompt`, 'Prompts that are stored with the provider cannot be used.');
    }
    const tracing = members.get('tracing');
    if (tracing !== undefined) this.#put(tracing, null);
    this.#hideEndUser(members);
    return members;
  }

  #hideEndUser(members: Members): void {
    const values = new Map([...members].map(([key, { range }]) => [key, range]));
    const { bytes } = this;
    const { pseudonymKey } = this.rules.endUsers;
    const metadata = members.get('metadata')?.value;
    if (pseudonymKey !== null && typeof metadata === 'object' && metadata !== null) {
      for (const value of Object.values(metadata)) {
        if (typeof value === 'string') this.pseudonyms.push([pseudonymOf(pseudonymKey, value), value]);
      }
    }
    this.#splices.push(...endUserSplices({ dialect: 'openai', bytes, values, setting: this.rules.endUsers }));
  }

  /** It is a model of its own, with a price of its own, so the caller must be allowed to use it. */
  #transcription(place: Place | undefined, name: string): Refusal | undefined {
    if (place === undefined) return undefined;
    const members = openObject(this.bytes, place, MODEL_KEY, name);
    if (members === undefined || isRefusal(members)) return members;
    const model = members.get('model');
    const field = `${name}.model`;
    const chosen = this.transcriber ?? this.rules.transcriber;
    if (model === undefined && chosen !== undefined) return undefined;
    if (!isModelName(model?.value)) return refuse('invalid_request', field, 'Name the model that transcribes.');
    const alias = model.value;
    // What it reports later does not say which model it was, and what is under way would be billed as the other one.
    if (chosen !== undefined && chosen !== alias) {
      return refuse('invalid_request', field, 'The model that transcribes cannot be changed in a session.');
    }
    const upstreamModel = this.rules.findTranscriber(alias);
    if (typeof upstreamModel !== 'string') return { ...upstreamModel, param: field };
    this.transcriber = alias;
    this.#put(model, upstreamModel);
    return undefined;
  }

  #descend(
    place: Place | undefined,
    name: string,
    key: string,
    then: (member: Place | undefined) => Refusal | undefined,
  ): Refusal | undefined {
    if (place === undefined) return undefined;
    const members = openObject(this.bytes, place, new Set([key]), name);
    return members === undefined || isRefusal(members) ? members : then(members.get(key));
  }

  #put({ range, value }: Place, wanted: string | null): void {
    if (value !== wanted) this.#splices.push({ ...range, bytes: Buffer.from(JSON.stringify(wanted)) });
  }
}

const MODEL_KEY: ReadonlySet<string> = new Set(['model']);

/**
 * Attack: `{"model":"cheap","model":"dear"}`, or the same with `MODEL`, where one reader takes the first and another the
 * last. @returns undefined for what is no object, which the provider may judge
 */
function openObject(
  bytes: Buffer,
  { range, value }: Place,
  wanted: ReadonlySet<string>,
  name: string,
): Members | Refusal | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const fields = value as JsonObject;
  const keys = Object.keys(fields);
  const scan = scanObject(bytes, wanted, decodeKey, range.start);
  const isAmbiguous = keys.some((key) => !wanted.has(key) && wanted.has(key.toUpperCase().toLowerCase()));
  if (scan?.count !== keys.length || isAmbiguous) return refuse('duplicate_field', name);
  return new Map([...scan.values].map(([key, found]) => [key, { range: found, value: fields[key] }]));
}
