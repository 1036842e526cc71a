import { z } from 'zod';
import type { TokenCount } from '../tokens.js';
import { checkRequest, decidePlain, parseRequest, refuse } from '../decide.js';
import type { Decision } from '../decision.js';
import { invalidRequest, notFound } from '../errors.js';
import type { ProviderCall } from '../provider-call.js';
import type { KeptBatch } from '../stores.js';
import { keepFile, pageOf } from './files.js';

const createSchema = z.object({
  input_file_id: z.string(),
  endpoint: z.enum([
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/embeddings',
    '/v1/responses',
    '/v1/moderations',
    '/v1/images/generations',
  ]),
  completion_window: z.literal('24h'),
  metadata: z.record(z.string(), z.string()).nullish(),
});

const lineSchema = z.object({
  custom_id: z.string(),
  method: z.literal('POST'),
  url: z.string(),
  body: z.record(z.string(), z.unknown()),
});

/**
 * `POST /v1/batches`. A batch is validated when it is made, and worked off when it is next asked for; with the metadata
 * `sim-polls` it is shown in progress that many times before. Each line is a call of its own in `/served`, with the
 * request id `<batch>/<custom_id>`.
 */
export function decideBatch(call: ProviderCall): Decision {
  const request = parseRequest(call, createSchema);
  if ('status' in request) return refuse(call, request);
  const { input_file_id: inputFileId, endpoint, metadata } = request.value;
  const file = call.stores.files.get(inputFileId);
  if (file?.purpose !== 'batch') return refuse(call, invalidRequest('No such batch file.', 'input_file_id'));
  const { batches } = call.stores;
  const id = batches.newId('batch');
  const createdAt = Math.floor(call.nowMs / 1000);
  const polls = Number(metadata?.['sim-polls'] ?? 0) || 0;
  const kept = { id, endpoint, inputFileId, createdAt, metadata: metadata ?? null, polls, result: {} };
  return decidePlain(call, batchObject(batches.put({ ...kept, status: 'validating' })));
}

/** `GET /v1/batches/:id` */
export function decideBatchState(call: ProviderCall): Decision {
  const batch = call.stores.batches.get(call.id);
  if (!batch) return refuse(call, notFound('Batch', call.id));
  return decidePlain(call, batchObject(advance(call, batch)));
}

/** `GET /v1/batches`, newest first. Asking for the list advances nothing. */
export function decideBatchList(call: ProviderCall): Decision {
  return decidePlain(call, pageOf(call, call.stores.batches.list().reverse(), batchObject));
}

/** `POST /v1/batches/:id/cancel` */
export function decideBatchCancellation(call: ProviderCall): Decision {
  const batch = call.stores.batches.get(call.id);
  if (!batch) return refuse(call, notFound('Batch', call.id));
  if (isOver(batch)) return refuse(call, { ...invalidRequest(`The batch is ${batch.status}.`), status: 409 });
  const cancelledAt = Math.floor(call.nowMs / 1000);
  const result = { cancelling_at: cancelledAt, cancelled_at: cancelledAt };
  const cancelled = call.stores.batches.put({ ...batch, status: 'cancelled', result });
  return decidePlain(call, { ...batchObject(cancelled), status: 'cancelling', cancelled_at: null });
}

function isOver({ status }: KeptBatch): boolean {
  return status !== 'validating' && status !== 'in_progress';
}

function advance(call: ProviderCall, batch: KeptBatch): KeptBatch {
  if (isOver(batch)) return batch;
  const next: KeptBatch =
    batch.polls > 0 ? { ...batch, status: 'in_progress', polls: batch.polls - 1 } : workOff(call, batch);
  return call.stores.batches.put(next);
}

interface Line {
  readonly isFailed: boolean;
  readonly tokens: TokenCount | undefined;
  readonly text: string;
}

function workOff(call: ProviderCall, batch: KeptBatch): KeptBatch {
  const input = call.stores.files.get(batch.inputFileId);
  const at = Math.floor(call.nowMs / 1000);
  if (!input) return { ...batch, status: 'failed', result: { failed_at: at } };
  const texts = input.bytes
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const lines = texts.map((text, index) => answerLine(call, batch, text, index));
  const keep = (kind: string, wanted: readonly Line[]): string | undefined => {
    if (wanted.length === 0) return undefined;
    const bytes = Buffer.from(wanted.map(({ text }) => `${text}\n`).join(''));
    return keepFile(call, { name: `${batch.id}_${kind}.jsonl`, purpose: 'batch_output', bytes }).id;
  };
  const failed = lines.filter(({ isFailed }) => isFailed);
  const done = lines.filter(({ isFailed }) => !isFailed);
  const result = {
    in_progress_at: at,
    finalizing_at: at,
    completed_at: at,
    output_file_id: keep('output', done),
    error_file_id: keep('error', failed),
    request_counts: { total: lines.length, completed: done.length, failed: failed.length },
    usage: sumUsage(done),
  };
  return { ...batch, status: 'completed', result };
}

function answerLine(call: ProviderCall, batch: KeptBatch, text: string, index: number): Line {
  const id = `batch_req_${batch.id}_${index}`;
  const parsed = parseLine(text);
  if (!parsed || parsed.url !== batch.endpoint) {
    const error = { code: 'invalid_request', message: 'The line is no request for the endpoint of the batch.' };
    return write({ id, custom_id: parsed?.custom_id ?? null, response: null, error }, undefined);
  }
  const requestId = `${batch.id}/${parsed.custom_id}`;
  const { status, payload, tokens } = call.decideNested(`POST ${parsed.url}`, parsed.body, requestId);
  const body: unknown = 'body' in payload ? JSON.parse(payload.body.toString()) : null;
  const response = { status_code: status, request_id: requestId, body };
  return write({ id, custom_id: parsed.custom_id, response, error: null }, status < 400 ? tokens : undefined);
}

function write(line: object, tokens: TokenCount | undefined): Line {
  return { isFailed: tokens === undefined, tokens, text: JSON.stringify(line) };
}

function parseLine(text: string): z.infer<typeof lineSchema> | undefined {
  try {
    const checked = checkRequest(JSON.parse(text), lineSchema);
    return 'value' in checked ? checked.value : undefined;
  } catch {
    return undefined;
  }
}

function sumUsage(lines: readonly Line[]): object {
  const sum = (kind: keyof TokenCount) => lines.reduce((total, { tokens }) => total + (tokens?.[kind] ?? 0), 0);
  const [input, output] = [sum('prompt'), sum('completion')];
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: sum('cached') },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: sum('reasoning') },
    total_tokens: input + output,
  };
}

function batchObject({ id, endpoint, inputFileId, createdAt, metadata, status, result }: KeptBatch): object {
  return {
    id,
    object: 'batch',
    endpoint,
    errors: null,
    input_file_id: inputFileId,
    completion_window: '24h',
    status,
    created_at: createdAt,
    expires_at: createdAt + 86_400,
    metadata,
    request_counts: { total: 0, completed: 0, failed: 0 },
    ...result,
  };
}
