import { z } from 'zod';
import { decidePlain, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, notFound } from '../errors.js';
import { readForm } from '../multipart.js';
import type { ProviderCall } from '../provider-call.js';
import type { KeptFile, KeptUpload } from '../stores.js';
import { fileObject, keepFile } from './files.js';

const createSchema = z.object({
  filename: z.string().min(1),
  purpose: z.string().min(1),
  bytes: z.int().min(0),
  mime_type: z.string().min(1),
});

/** `POST /v1/uploads` */
export function decideUpload(call: ProviderCall): Decision {
  const request = parseRequest(call, createSchema);
  if ('status' in request) return refuse(call, request);
  const { filename: name, purpose, bytes } = request.value;
  const { uploads } = call.stores;
  const createdAt = Math.floor(call.nowMs / 1000);
  const id = uploads.newId('upload');
  return show(call, uploads.put({ id, name, purpose, bytes, createdAt, status: 'pending', parts: new Map() }));
}

/** `POST /v1/uploads/:id/parts` */
export function decideUploadPart(call: ProviderCall): Decision {
  const upload = findPending(call);
  if (!upload) return refuse(call, notFound('Upload', call.id));
  const form = readForm(call);
  if ('status' in form) return refuse(call, form);
  const [data] = form.value.files('data');
  if (!data) return refuse(call, invalidRequest("Missing required parameter: 'data'.", 'data'));
  const id = call.stores.uploads.newId('part');
  call.stores.uploads.put({ ...upload, parts: new Map([...upload.parts, [id, data.bytes]]) });
  const createdAt = Math.floor(call.nowMs / 1000);
  return decidePlain(call, { id, object: 'upload.part', created_at: createdAt, upload_id: upload.id });
}

/** `POST /v1/uploads/:id/complete`: the parts in the order that the request names make a file. */
export function decideUploadCompletion(call: ProviderCall): Decision {
  const upload = findPending(call);
  if (!upload) return refuse(call, notFound('Upload', call.id));
  const request = parseRequest(call, z.object({ part_ids: z.array(z.string()).min(1) }));
  if ('status' in request) return refuse(call, request);
  const parts = request.value.part_ids.map((id) => upload.parts.get(id));
  if (!parts.every((part) => part !== undefined)) {
    return refuse(call, invalidRequest('A part is not of this upload.', 'part_ids'));
  }
  const bytes = Buffer.concat(parts);
  if (bytes.length !== upload.bytes) {
    return refuse(call, invalidRequest(`The parts have ${bytes.length} bytes, not ${upload.bytes}.`, 'part_ids'));
  }
  const file = keepFile(call, { name: upload.name, purpose: upload.purpose, bytes });
  return show(call, call.stores.uploads.put({ ...upload, status: 'completed', parts: new Map() }), file);
}

/** `POST /v1/uploads/:id/cancel` */
export function decideUploadCancellation(call: ProviderCall): Decision {
  const upload = findPending(call);
  if (!upload) return refuse(call, notFound('Upload', call.id));
  return show(call, call.stores.uploads.put({ ...upload, status: 'cancelled', parts: new Map() }));
}

function findPending({ stores, id }: ProviderCall): KeptUpload | undefined {
  const upload = stores.uploads.get(id);
  return upload?.status === 'pending' ? upload : undefined;
}

function show(call: ProviderCall, upload: KeptUpload, file?: KeptFile): Decision {
  return decidePlain(call, {
    id: upload.id,
    object: 'upload',
    bytes: upload.bytes,
    created_at: upload.createdAt,
    expires_at: upload.createdAt + 3600,
    filename: upload.name,
    purpose: upload.purpose,
    status: upload.status,
    file: file ? fileObject(file) : null,
  });
}
