import { decide, decidePlain, gatherFaults, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, notFound } from '../errors.js';
import { readForm } from '../multipart.js';
import { jsonPayload } from '../payload.js';
import type { ProviderCall } from '../provider-call.js';
import type { KeptFile } from '../stores.js';

/** `POST /v1/files`. Directives are read from the first MiB of the file that is no batch: a batch's lines have their own. */
export function decideFileUpload(call: ProviderCall): Decision {
  const form = readForm(call);
  if ('status' in form) return refuse(call, form);
  const [file] = form.value.files('file');
  const purpose = form.value.text('purpose');
  if (!file) return refuse(call, invalidRequest("Missing required parameter: 'file'.", 'file'));
  if (purpose === undefined) return refuse(call, invalidRequest("Missing required parameter: 'purpose'.", 'purpose'));
  const text = purpose === 'batch' ? '' : file.bytes.subarray(0, 1024 * 1024).toString('latin1');
  const faults = gatherFaults(call, text, null);
  if ('status' in faults) return refuse(call, faults);
  return decide(call, {
    faults: faults.value,
    answer: () => jsonPayload(fileObject(keepFile(call, { name: file.name, purpose, bytes: file.bytes }))),
  });
}

/** Keeps a file under a new id. */
export function keepFile(
  { stores, nowMs }: Pick<ProviderCall, 'stores' | 'nowMs'>,
  file: Pick<KeptFile, 'name' | 'purpose' | 'bytes'>,
): KeptFile {
  const id = stores.files.newId('file');
  return stores.files.put({ id, createdAt: Math.floor(nowMs / 1000), ...file });
}

/** A file as OpenAI shows it. */
export function fileObject({ id, name, purpose, bytes, createdAt }: KeptFile): object {
  const status = 'processed';
  return { id, object: 'file', bytes: bytes.length, created_at: createdAt, filename: name, purpose, status };
}

/** `GET /v1/files`: newest first unless `order=asc`, by `purpose`, `after` and `limit`. */
export function decideFileList(call: ProviderCall): Decision {
  const purpose = call.query.get('purpose');
  const files = call.stores.files.list().filter((file) => purpose === null || file.purpose === purpose);
  return decidePlain(call, pageOf(call, call.query.get('order') === 'asc' ? files : files.reverse(), fileObject));
}

/** One page of a list in OpenAI's shape, from the `after` and `limit` of the query. */
export function pageOf<T extends { readonly id: string }>(
  { query }: Pick<ProviderCall, 'query'>,
  things: readonly T[],
  show: (thing: T) => object,
): object {
  const after = query.get('after');
  const from = after === null ? 0 : things.findIndex(({ id }) => id === after) + 1;
  const limit = Number(query.get('limit') ?? 100) || 100;
  const page = things.slice(from, from + limit);
  const ends = { first_id: page[0]?.id ?? null, last_id: page.at(-1)?.id ?? null };
  return { object: 'list', data: page.map(show), has_more: from + limit < things.length, ...ends };
}

/** `GET /v1/files/:id` */
export function decideFile(call: ProviderCall): Decision {
  const file = call.stores.files.get(call.id);
  return file ? decidePlain(call, fileObject(file)) : refuse(call, notFound('File', call.id));
}

/** `GET /v1/files/:id/content` */
export function decideFileContent(call: ProviderCall): Decision {
  const file = call.stores.files.get(call.id);
  if (!file) return refuse(call, notFound('File', call.id));
  const faults = gatherFaults(call, '', null);
  if ('status' in faults) return refuse(call, faults);
  const payload = { body: file.bytes, contentType: 'application/octet-stream', tellsUsage: false };
  return decide(call, { faults: faults.value, answer: () => payload });
}

/** `DELETE /v1/files/:id` */
export function decideFileDeletion(call: ProviderCall): Decision {
  if (!call.stores.files.remove(call.id)) return refuse(call, notFound('File', call.id));
  return decidePlain(call, { id: call.id, object: 'file', deleted: true });
}
