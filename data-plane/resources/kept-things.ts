import type { WithBody } from '../authenticate.js';
import { refuse, type Refusal } from '../http-error.js';
import { cancelBatch, createBatch, listBatches, showOneBatch } from './batches.js';
import { deleteFile, downloadFile, listFiles, showOneFile, uploadFile } from './files.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import type { KeptAction, KeptEndpoint } from './kept-endpoint.js';
import { cancelResponse, deleteResponse, listInputItems, showResponse } from './responses.js';
import { idSealerOf } from './sealed-id.js';
import { addPart, cancelUpload, completeUpload, createUpload } from './uploads.js';

const ACTIONS: Readonly<Record<KeptAction, (call: KeptCall, tools: KeptTools) => KeptAnswer>> = {
  'upload-file': uploadFile,
  'list-files': listFiles,
  'show-file': showOneFile,
  'delete-file': deleteFile,
  'download-file': downloadFile,
  'create-upload': createUpload,
  'add-part': addPart,
  'complete-upload': completeUpload,
  'cancel-upload': cancelUpload,
  'create-batch': createBatch,
  'list-batches': listBatches,
  'show-batch': showOneBatch,
  'cancel-batch': cancelBatch,
  'show-response': showResponse,
  'delete-response': deleteResponse,
  'cancel-response': cancelResponse,
  'list-input-items': listInputItems,
};

/** Serves a call about what providers keep; without a key of the tenant there is nothing that could be told apart. */
export async function serveKeptThing(
  known: WithBody,
  endpoint: KeptEndpoint,
  tools: KeptTools,
): Promise<Refusal | undefined> {
  const sealer = idSealerOf(known.account.tenant);
  if (sealer === undefined)
    return refuse('not_found', null, 'Files, batches and stored responses are not offered yet.');
  return ACTIONS[endpoint.action]({ known, endpoint, sealer, nowMs: Date.now() }, tools);
}
