import { isObject, parseJsonExactly, stringifyExactly } from '../dialects/chat/json.js';
import type { AccountOf } from './accounts.js';
import { readBatchMetadata } from './batch-metadata.js';
import { readFileName } from './file-name.js';
import type { IdSealer, KeptThing } from './sealed-id.js';

/**
 * What providers keep, as callers see it: under sealed ids and by the names that the callers gave. All else stays as the
 * provider said it.
 */
export interface Showing {
  readonly sealer: IdSealer;
  readonly account: AccountOf;
}

export type Json = Readonly<Record<string, unknown>>;

/** @returns undefined where the bytes are no JSON object */
export function parseThing(bytes: Buffer): Json | undefined {
  try {
    const value = parseJsonExactly(bytes.toString());
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export const writeThing: (value: unknown) => string = stringifyExactly;

/** @param known what the caller's own id said of it, where it named one */
export function showFile(file: Json, { sealer, account }: Showing, known?: KeptThing): Json {
  const { id, filename } = file;
  const note = readFileName(sealer, account.providerId, filename);
  const unknown = { kind: 'file', model: account.model, parentId: undefined } as const;
  const { kind, model, parentId } = known ?? note ?? unknown;
  const thing = { ...account, kind, model, parentId };
  return {
    ...file,
    id: sealAs(sealer, id, thing),
    ...(filename !== undefined && { filename: note?.name ?? hideParent(filename, sealer, thing) }),
  };
}

/** An output file is named after its batch. */
function hideParent(filename: unknown, sealer: IdSealer, thing: Omit<KeptThing, 'rawId'>): unknown {
  const { parentId } = thing;
  if (typeof filename !== 'string' || parentId === undefined || thing.kind !== 'batch-output') return filename;
  const batchId = sealer.seal({ ...thing, kind: 'batch', rawId: parentId, parentId: undefined });
  return filename.replaceAll(parentId, batchId);
}

/** https://platform.openai.com/docs/api-reference/uploads/object */
export function showUpload(upload: Json, showing: Showing): Json {
  const { sealer, account } = showing;
  const { id, filename, file } = upload;
  return {
    ...upload,
    id: sealAs(sealer, id, { ...account, kind: 'upload' }),
    ...(filename !== undefined && { filename: readFileName(sealer, account.providerId, filename)?.name ?? filename }),
    ...(isObject(file) && { file: showFile(file, showing) }),
  };
}

/** https://platform.openai.com/docs/api-reference/uploads/part-object */
export function showPart(part: Json, { sealer, account }: Showing, upload: KeptThing): Json {
  const { id } = part;
  return {
    ...part,
    id: sealAs(sealer, id, { ...account, kind: 'part', parentId: upload.rawId }),
    upload_id: sealer.seal(upload),
  };
}

/** https://platform.openai.com/docs/api-reference/batch/object */
export function showBatch(batch: Json, { sealer, account }: Showing): Json {
  const { id, endpoint, input_file_id: input, output_file_id: output, error_file_id: failed, metadata } = batch;
  const note = readBatchMetadata(sealer, metadata);
  const ofBatch = { ...account, model: note?.submission.model ?? account.model };
  const parentId = typeof id === 'string' ? id : undefined;
  const inputNote = note?.input ?? (typeof endpoint === 'string' ? endpoint : undefined);
  const made = { ...ofBatch, kind: 'batch-output', parentId } as const;
  return {
    ...batch,
    id: sealAs(sealer, id, { ...ofBatch, kind: 'batch' }),
    ...(input !== undefined && {
      input_file_id: sealAs(sealer, input, { ...ofBatch, kind: 'batch-input', parentId: inputNote }),
    }),
    ...(output !== undefined && { output_file_id: sealAs(sealer, output, made) }),
    ...(failed !== undefined && { error_file_id: sealAs(sealer, failed, made) }),
    metadata: note?.metadata ?? null,
  };
}

/** A member that holds no id stays what it is: null, as long as there is nothing to name. */
function sealAs(sealer: IdSealer, rawId: unknown, thing: Omit<KeptThing, 'rawId'>): unknown {
  return typeof rawId === 'string' ? sealer.seal({ ...thing, rawId }) : rawId;
}
