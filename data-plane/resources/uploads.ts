import { MeteredKeys, readJsonBody } from '../dialects/json-request.js';
import { spliceBytes } from '../dialects/json-scanner.js';
import { boundaryOf, readForm } from '../dialects/multipart-form.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { planByAccount } from './accounts.js';
import { openConversation, type Question } from './conversation.js';
import { jsonBody } from './exchange.js';
import { filePrefix, isFileName } from './file-name.js';
import { planStorage } from './files.js';
import { answerShown, namedThing, namesOf, pathOf, relayForm, showingOf } from './kept-call.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import type { KeptThing } from './sealed-id.js';
import { showPart, showUpload, type Json, type Showing } from './show-things.js';

const CREATE_KEYS = new MeteredKeys('filename', 'purpose');
const COMPLETE_KEYS = new MeteredKeys('part_ids');

/** https://platform.openai.com/docs/api-reference/uploads/create */
export async function createUpload(call: KeptCall, tools: KeptTools): KeptAnswer {
  const { body } = call.known;
  const json = readJsonBody(body, CREATE_KEYS);
  if (isRefusal(json)) return json;
  const { filename, purpose } = json.fields;
  const nameRange = json.scan.values.get('filename');
  if (!isFileName(filename) || nameRange === undefined)
    return refuse('invalid_request', 'filename', 'A name is needed.');
  // The lines of a batch are judged and edited as one file, which the parts of an upload are not.
  if (purpose === 'batch') return refuse('unsupported_field', 'purpose', 'Send the input of a batch to /v1/files.');
  const plan = planStorage(call);
  if (isRefusal(plan)) return plan;
  const [{ provider, credentialId }] = plan.attempts;
  const prefix = filePrefix(call.sealer, provider.id, { kind: 'file', model: plan.model, parentId: undefined });
  const bytes = spliceBytes(body, [{ ...nameRange, bytes: Buffer.from(JSON.stringify(prefix + filename)) }]);
  const conversation = await openConversation(plan, tools);
  if (isRefusal(conversation)) return conversation;
  const answer = await conversation.ask({ method: 'POST', path: '/uploads', body: jsonBody(bytes) });
  const showing = showingOf(call, { providerId: provider.id, credentialId, model: plan.model });
  return answerShown(conversation, answer, (upload) => showUpload(upload, showing));
}

/** https://platform.openai.com/docs/api-reference/uploads/add-part */
export async function addPart(call: KeptCall, tools: KeptTools): KeptAnswer {
  const { body: bytes, request } = call.known;
  const contentType = request.headers['content-type'] ?? '';
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) return refuse('unsupported_media_type', null, 'The body must be multipart/form-data.');
  const parts = readForm(bytes, boundary);
  if (isRefusal(parts)) return parts;
  const upload = namedThing(call, ['upload']);
  if (isRefusal(upload)) return upload;
  const plan = planByAccount(call.known, upload, 'batches', call.nowMs);
  if (isRefusal(plan)) return plan;
  const show = (part: Json): Json => showPart(part, showingOf(call, upload), upload);
  return relayForm({ plan, path: pathOf('uploads', upload, '/parts'), form: { bytes, contentType }, show }, tools);
}

/** https://platform.openai.com/docs/api-reference/uploads/complete */
export function completeUpload(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askUpload(call, tools, {
    action: '/complete',
    body: (upload) => {
      const bytes = openPartIds(call, upload);
      return isRefusal(bytes) ? bytes : jsonBody(bytes);
    },
    show: showUpload,
  });
}

/** https://platform.openai.com/docs/api-reference/uploads/cancel */
export function cancelUpload(call: KeptCall, tools: KeptTools): KeptAnswer {
  return askUpload(call, tools, { action: '/cancel', body: () => undefined, show: showUpload });
}

function openPartIds({ known, sealer }: KeptCall, upload: KeptThing): Buffer | Refusal {
  const json = readJsonBody(known.body, COMPLETE_KEYS);
  if (isRefusal(json)) return json;
  const { part_ids: partIds } = json.fields;
  const range = json.scan.values.get('part_ids');
  if (!Array.isArray(partIds) || range === undefined) return refuse('invalid_request', 'part_ids', 'A list is needed.');
  const rawIds = [];
  for (const id of partIds) {
    const part = sealer.open(id, ['part']);
    if (part?.parentId !== upload.rawId) return refuse('not_found', 'part_ids', 'No such part of the upload.');
    rawIds.push(part.rawId);
  }
  return spliceBytes(known.body, [{ ...range, bytes: Buffer.from(JSON.stringify(rawIds)) }]);
}

interface UploadQuestion {
  readonly action: string;
  readonly body: (upload: KeptThing) => Question['body'] | Refusal;
  readonly show: (answer: Json, showing: Showing, upload: KeptThing) => Json;
}

async function askUpload(call: KeptCall, tools: KeptTools, question: UploadQuestion): KeptAnswer {
  const upload = namedThing(call, ['upload']);
  if (isRefusal(upload)) return upload;
  const body = question.body(upload);
  if (body !== undefined && isRefusal(body)) return body;
  const plan = planByAccount(call.known, upload, 'batches', call.nowMs);
  if (isRefusal(plan)) return plan;
  const conversation = await openConversation(plan, tools, { names: namesOf(call, upload) });
  if (isRefusal(conversation)) return conversation;
  const answer = await conversation.ask({ method: 'POST', path: pathOf('uploads', upload, question.action), body });
  return answerShown(conversation, answer, (thing) => question.show(thing, showingOf(call, upload), upload));
}
