import { isUtf8 } from 'node:buffer';
import type { Usage } from '@pingtoken/shared/rate-card';
import { refuse, type Refusal } from '../http-error.js';
import { END_USER_FIELDS, hideEndUser, type EndUserSetting } from './end-user.js';
import { invalidField, isModelName } from './json-request.js';
import { spliceBytes, type Range, type Splice } from './json-scanner.js';
import { boundaryOf, readForm, type FormPart } from './multipart-form.js';
import { assumedUsage } from './operations/assumed-usage.js';
import type { ReportingOperation } from './operations/read-usage.js';

/**
 * A request in OpenAI's dialect that is a form: files, and fields beside them.
 * https://platform.openai.com/docs/api-reference/audio/createTranscription
 */
export interface FormRequest {
  readonly dialect: 'openai';
  readonly bodyKind: 'multipart';
  readonly bytes: Buffer;
  /** As the caller spelt it: it names the boundary. */
  readonly contentType: string;
  readonly model: string;
  readonly streamed: boolean;
  /** None of these operations has an option for it. */
  readonly asksForUsage: true;
  readonly assumedUsage: Usage | undefined;
  readonly modelPlace: Range;
  /** What is said of the end user. */
  readonly endUser: readonly FormPart[];
}

/** What decides what is metered, or names the end user: each may be there once, spelt as it is here. */
const METERED: ReadonlySet<string> = new Set(['model', 'stream', 'n', ...END_USER_FIELDS.openai]);
/** RFC 7578, 4.6: it would change how all the other fields read. */
const CHARSET_FIELD = '_charset_';
const MAX_FIELD_BYTES = 4_096;

export function readFormRequest(
  bytes: Buffer,
  contentType: string,
  operation: ReportingOperation,
): FormRequest | Refusal {
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) return refuse('invalid_request', null, 'The content type names no boundary we can read.');
  const parts = readForm(bytes, boundary);
  if ('refused' in parts) return parts;
  const fields = meteredFields(parts, bytes);
  if ('refused' in fields) return fields;
  const modelPart = fields.get('model');
  const model = modelPart?.text;
  if (modelPart === undefined || !isModelName(model)) return invalidField('model');
  const stream = fields.get('stream')?.text ?? 'false';
  if (!FLAG.test(stream)) return invalidField('stream');
  return {
    dialect: 'openai',
    bodyKind: 'multipart',
    bytes,
    contentType,
    model,
    streamed: IS_TRUE.test(stream),
    asksForUsage: true,
    assumedUsage: assumedUsage(operation, { n: fields.get('n')?.text }),
    modelPlace: modelPart.part.content,
    endUser: [...fields].flatMap(([name, { part }]) => (END_USER_FIELDS.openai.has(name) ? [part] : [])),
  };
}

/** Python's `str(True)` among them. */
const FLAG = /^(?:true|false|1|0)$/i;
const IS_TRUE = /^(?:true|1)$/i;

interface MeteredField {
  readonly part: FormPart;
  readonly text: string;
}

function meteredFields(parts: readonly FormPart[], bytes: Buffer): ReadonlyMap<string, MeteredField> | Refusal {
  const fields = new Map<string, MeteredField>();
  for (const part of parts) {
    const { name, content } = part;
    // Readers that build lists and objects from names take `model[]` and `model.0` for the model too.
    const [base = ''] = name.split(/[.[\]]/, 1);
    const field = base.toLowerCase();
    if (field === CHARSET_FIELD) return refuse('unsupported_field', CHARSET_FIELD);
    if (!METERED.has(field)) continue;
    if (name !== field)
      return refuse('duplicate_field', field, `Spell the field "${field}" without brackets and in lower case.`);
    if (fields.has(field)) return refuse('duplicate_field', field);
    const value = bytes.subarray(content.start, content.end);
    if (part.isFile || !part.isPlainText || value.length > MAX_FIELD_BYTES || !isUtf8(value))
      return invalidField(field);
    fields.set(field, { part, text: value.toString() });
  }
  return fields;
}

/** The bytes for the provider: every one but the model's name and the end user is the caller's own. */
export function editFormRequest(request: FormRequest, upstreamModel: string, setting: EndUserSetting): Buffer {
  const { bytes, model, modelPlace, endUser } = request;
  const splices: Splice[] = [];
  if (upstreamModel !== model) splices.push({ ...modelPlace, bytes: Buffer.from(upstreamModel) });
  for (const { content, whole } of endUser) {
    const pseudonym = hideEndUser(bytes.toString('utf8', content.start, content.end), setting);
    if (pseudonym === undefined) splices.push({ ...whole, bytes: NOTHING });
    else splices.push({ ...content, bytes: Buffer.from(pseudonym) });
  }
  splices.sort((one, other) => one.start - other.start);
  return spliceBytes(bytes, splices);
}

const NOTHING = Buffer.alloc(0);
