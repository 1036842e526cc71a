import { MeteredKeys, readJsonBody } from '../dialects/json-request.js';
import { spliceBytes, type ObjectScan, type Splice } from '../dialects/json-scanner.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { planBatch, planByAccount, type PlannedCall } from './accounts.js';
import { answerList } from './answer-list.js';
import { callerMetadataSchema, isOwnBatch, writeBatchMetadata } from './batch-metadata.js';
import type { BatchNote, StoredMetadata } from './batch-metadata.js';
import { batchCostOf, type JobCost } from './job-money.js';
import { readInputNote } from './batch-reach.js';
import type { BatchRecord } from './batch-store.js';
import { BATCH_OPERATIONS, isBatchEndpoint, type BatchSubmission } from './batch-submission.js';
import { openConversation, type Conversation } from './conversation.js';
import { jsonBody } from './exchange.js';
import { answerShown, namedThing, namesOf, pathOf, showingOf } from './kept-call.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import type { KeptThing } from './sealed-id.js';
import { parseThing, showBatch } from './show-things.js';

const KEYS = new MeteredKeys('input_file_id', 'endpoint', 'metadata');

interface Order {
  readonly plan: PlannedCall;
  readonly input: KeptThing;
  readonly cost: JobCost;
  /** As the caller gave it. */
  readonly metadata: BatchNote['metadata'];
  readonly scan: ObjectScan;
}

/** https://platform.openai.com/docs/api-reference/batch/create */
export async function createBatch(call: KeptCall, tools: KeptTools): KeptAnswer {
  const order = readOrder(call);
  if (isRefusal(order)) return order;
  const { plan, input } = order;
  const names = new Map([[input.rawId, call.sealer.seal(input)]]);
  let leaseIds: readonly string[] | undefined;
  const reserve = async (): Promise<Refusal | undefined> => {
    const reserved = await tools.billing.reserve(storedOrder(call, order, []).record, order.cost);
    if (isRefusal(reserved)) return reserved;
    leaseIds = reserved;
    return undefined;
  };
  const conversation = await openConversation({ ...plan, operation: 'batches', reserve }, tools, {
    outlivesCaller: true,
    names,
  });
  const { record, bytes } = storedOrder(call, order, leaseIds ?? []);
  if (isRefusal(conversation)) {
    if (leaseIds !== undefined) tools.billing.drop(record);
    return conversation;
  }
  try {
    await tools.billing.expect(record);
  } catch (error) {
    tools.billing.drop(record);
    await conversation.fail('spool_unavailable', 'provider-failed', String(error));
    return undefined;
  }
  const body = await conversation.ask({ method: 'POST', path: '/batches', body: jsonBody(bytes) });
  await noteOutcome(conversation, body, { tools, record });
  return answerShown(conversation, body, (batch) => showBatch(batch, showingOf(call, input)));
}

/** What is not known to have been refused may be at work, and is looked for in the provider's list. */
async function noteOutcome(
  { providerStatus = 0 }: Conversation,
  body: Buffer | undefined,
  { tools, record }: { readonly tools: KeptTools; readonly record: BatchRecord },
): Promise<void> {
  if (body === undefined && providerStatus >= 400 && providerStatus < 500 && providerStatus !== 408) {
    tools.billing.drop(record);
    return;
  }
  const rawBatchId = body === undefined ? undefined : parseThing(body)?.['id'];
  await tools.billing.submitted(record, typeof rawBatchId === 'string' ? rawBatchId : undefined);
}

function readOrder(call: KeptCall): Order | Refusal {
  const { known, sealer, nowMs } = call;
  const json = readJsonBody(known.body, KEYS);
  if (isRefusal(json)) return json;
  const { input_file_id: inputFileId, endpoint, metadata = null } = json.fields;
  const input = sealer.open(inputFileId, ['batch-input']);
  const judged = readInputNote(input?.parentId);
  if (input === undefined || judged === undefined) {
    return refuse('not_found', 'input_file_id', 'No such input of a batch of yours.');
  }
  if (!isBatchEndpoint(endpoint)) return refuse('invalid_request', 'endpoint', 'It is none that a batch can ask for.');
  if (judged.endpoint !== endpoint)
    return refuse('invalid_request', 'endpoint', 'The lines of the file ask for another.');
  const given = callerMetadataSchema.safeParse(metadata);
  if (!given.success)
    return refuse('invalid_request', 'metadata', 'The metadata must be texts of at most 512 characters.');
  const plan = planBatch(known, input, BATCH_OPERATIONS[endpoint], nowMs);
  if (isRefusal(plan)) return plan;
  const cost = batchCostOf(plan, judged.reach);
  if (isRefusal(cost)) return cost;
  const order = { plan, input, cost, metadata: given.data, scan: json.scan };
  // One for the wallet and one for each budget, if all are granted.
  const mostLeases = [cost.jobId, ...cost.budgetIds];
  const stored = writeBatchMetadata(sealer, noteOf(order, mostLeases));
  return stored === undefined ? refuse('invalid_request', 'metadata', 'The metadata is too long.') : order;
}

function noteOf({ plan, input, metadata }: Order, leaseIds: readonly string[]): BatchNote {
  return { submission: submissionOf(plan, leaseIds), metadata, input: input.parentId ?? '' };
}

/** What the provider is sent, and what is kept here to bill it. */
function storedOrder(
  { sealer, known }: KeptCall,
  order: Order,
  leaseIds: readonly string[],
): { readonly record: BatchRecord; readonly bytes: Buffer } {
  const note = noteOf(order, leaseIds);
  const stored = writeBatchMetadata(sealer, note) ?? {};
  return {
    record: { submission: note.submission, mark: stored['pingtoken'] ?? '', rawBatchId: null, isReserving: false },
    bytes: editOrder(known.body, order.scan, { input: order.input, stored }),
  };
}

/** What is to be billed when a job is over, as things stand when it is sent. */
export function submissionOf(plan: PlannedCall, leaseIds: readonly string[]): BatchSubmission {
  const { account, member, catalogue, operation, model, admittedAt, priceCardVersionId } = plan;
  const [{ targetId, provider, credentialId, upstreamModel, costCardVersionId }] = plan.attempts;
  return {
    submissionId: plan.requestId,
    tenantId: account.tenant.id,
    apiKeyId: account.apiKey.id,
    memberId: member.id,
    config: catalogue.position,
    // Of a plan for a batch it is that of its lines.
    operation: operation === 'passthrough' || operation === 'count-tokens' ? 'batches' : operation,
    model,
    upstreamModel,
    targetId,
    providerId: provider.id,
    credentialId,
    admittedAt,
    priceCardVersionId,
    costCardVersionId,
    leaseIds: [...leaseIds],
  };
}

function editOrder(
  body: Buffer,
  { values, bodyStart }: ObjectScan,
  { input, stored }: { readonly input: KeptThing; readonly stored: StoredMetadata },
): Buffer {
  const splices: Splice[] = [];
  const file = values.get('input_file_id');
  if (file !== undefined) splices.push({ ...file, bytes: Buffer.from(JSON.stringify(input.rawId)) });
  const text = JSON.stringify(stored);
  const metadata = values.get('metadata');
  if (metadata !== undefined) splices.push({ ...metadata, bytes: Buffer.from(text) });
  else splices.push({ start: bodyStart, end: bodyStart, bytes: Buffer.from(`"metadata":${text},`) });
  return spliceBytes(
    body,
    splices.sort((one, other) => one.start - other.start),
  );
}

/** https://platform.openai.com/docs/api-reference/batch/retrieve */
export function showOneBatch(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askBatch(call, tools, { method: 'GET', action: '' });
}

/** https://platform.openai.com/docs/api-reference/batch/cancel */
export function cancelBatch(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askBatch(call, tools, { method: 'POST', action: '/cancel' });
}

async function askBatch(
  call: KeptCall,
  tools: KeptTools,
  { method, action }: { readonly method: 'GET' | 'POST'; readonly action: string },
): KeptAnswer {
  const thing = namedThing(call, ['batch']);
  if (isRefusal(thing)) return thing;
  const plan = planByAccount(call.known, thing, 'batches', call.nowMs);
  if (isRefusal(plan)) return plan;
  const conversation = await openConversation(plan, tools, { names: namesOf(call, thing) });
  if (isRefusal(conversation)) return conversation;
  const body = await conversation.ask({ method, path: pathOf('batches', thing, action) });
  return answerShown(conversation, body, (batch) => showBatch(batch, showingOf(call, thing)));
}

/** https://platform.openai.com/docs/api-reference/batch/list */
export function listBatches(call: KeptCall, tools: KeptTools): KeptAnswer {
  return answerList(call, tools, {
    path: '/batches',
    kinds: ['batch'],
    limits: { most: 100, usual: 20, pageSize: 100 },
    passed: [],
    pick: (batch, showing) =>
      isOwnBatch(showing.sealer, showing.account.providerId, batch['metadata']) ? showBatch(batch, showing) : undefined,
  });
}
