import { boundaryOf, readForm, type FormPart } from '../dialects/multipart-form.js';
import { spliceBytes, type Splice } from '../dialects/json-scanner.js';
import type { AnswerEditor, Outgoing } from '../forward/prepared-call.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import { planByAccount, planByModel, planEverywhere, type PlannedCall } from './accounts.js';
import { readBatchInput } from './batch-input.js';
import { endOf } from './batch-lookup.js';
import { readBatchMetadata } from './batch-metadata.js';
import { writeInputNote } from './batch-reach.js';
import { openConversation, type Conversation } from './conversation.js';
import { filePrefix, isFileName, readFileName, type FileNote } from './file-name.js';
import { answerShown, namedThing, relayForm, namesOf, pathOf, showingOf } from './kept-call.js';
import type { KeptAnswer, KeptCall, KeptTools } from './kept-call.js';
import { answerList } from './answer-list.js';
import { createResponseIdSealer } from './response-ids.js';
import type { KeptKind, KeptThing } from './sealed-id.js';
import { parseThing, showFile, type Json } from './show-things.js';

const FILE_KINDS: readonly KeptKind[] = ['file', 'batch-input', 'batch-output'];

/** Names the model whose provider is to keep a file that names none itself. */
const MODEL_HEADER = 'x-pingtoken-model';

interface Upload {
  readonly plan: PlannedCall;
  readonly note: FileNote;
  readonly edits: readonly Splice[];
}

/** https://platform.openai.com/docs/api-reference/files/create */
export async function uploadFile(call: KeptCall, tools: KeptTools): KeptAnswer {
  const { body, request } = call.known;
  const form = readUpload(body, request.headers['content-type'] ?? '');
  if (isRefusal(form)) return form;
  const upload = form.purpose === 'batch' ? await planInput(call, form) : planFile(call);
  if (isRefusal(upload)) return upload;
  const { plan, note, edits } = upload;
  const [{ provider, credentialId }] = plan.attempts;
  const prefix = Buffer.from(filePrefix(call.sealer, provider.id, note));
  const named = { start: form.nameStart, end: form.nameStart, bytes: prefix };
  const bytes = spliceBytes(
    body,
    [named, ...edits].sort((one, other) => one.start - other.start),
  );
  const contentType = request.headers['content-type'] ?? '';
  const showing = showingOf(call, { providerId: provider.id, credentialId, model: note.model });
  const show = (file: Json): Json => showFile(file, showing);
  return relayForm({ plan, path: '/files', form: { bytes, contentType }, show }, tools);
}

interface UploadForm {
  readonly purpose: string;
  readonly file: FormPart;
  /** Where the caller's name of the file begins. */
  readonly nameStart: number;
}

const FIELDS: ReadonlySet<string> = new Set(['file', 'purpose']);

/** Attack: a form of which we judge one file and the provider takes another. Each field is there once, plainly spelt. */
function readUpload(body: Buffer, contentType: string): UploadForm | Refusal {
  const boundary = boundaryOf(contentType);
  if (boundary === undefined) return refuse('unsupported_media_type', null, 'The body must be multipart/form-data.');
  const parts = readForm(body, boundary);
  if (isRefusal(parts)) return parts;
  const found = new Map<string, FormPart>();
  for (const part of parts) {
    const field = part.name
      .split(/[.[\]]/, 1)
      .join('')
      .toLowerCase();
    if (!FIELDS.has(field)) continue;
    if (field !== part.name || found.has(field)) return refuse('duplicate_field', field);
    found.set(field, part);
  }
  const [file, purpose] = [found.get('file'), found.get('purpose')];
  if (file?.isFile !== true) return refuse('invalid_request', 'file', 'A file is needed.');
  if (purpose === undefined || purpose.isFile) return refuse('invalid_request', 'purpose', 'A purpose is needed.');
  const nameStart = fileNameStart(body, file);
  if (nameStart === undefined) return refuse('invalid_request', 'file', 'The file needs a name, in plain form.');
  return { purpose: body.toString('utf8', purpose.content.start, purpose.content.end), file, nameStart };
}

const FILE_NAME = /;[ \t]*filename=("?)([^"\r\n]*)/i;

/** The part's head was read strictly: there is one such parameter at most, and no quote inside of it. */
function fileNameStart(body: Buffer, { whole, content }: FormPart): number | undefined {
  const head = body.toString('latin1', whole.start, content.start);
  const found = FILE_NAME.exec(head);
  if (found === null || /;[ \t]*filename\*=/i.test(head)) return undefined;
  const [matched, , name = ''] = found;
  return isFileName(name) ? whole.start + found.index + matched.length - name.length : undefined;
}

/** The lines of a batch's input say which model they are for, so its provider is that of the model. */
async function planInput({ known, nowMs }: KeptCall, { file }: UploadForm): Promise<Upload | Refusal> {
  const { start, end } = file.content;
  const input = await readBatchInput(known.body.subarray(start, end), {
    setting: known.account.tenant,
    limitsOf: (model) => known.catalogue.models.get(model),
  });
  if (isRefusal(input)) return input;
  const plan = planByModel(known, input, nowMs);
  if (isRefusal(plan)) return { ...plan, param: 'file' };
  const [{ upstreamModel, credentialId }] = plan.attempts;
  if (input.stored !== undefined && !known.catalogue.isOwnCredential(credentialId, known.account.tenant.id)) {
    const { line, field } = input.stored;
    return refuse('not_found', 'file', `Line ${line}: What the field "${field}" names is not there.`);
  }
  const edits = input.edits(upstreamModel);
  return {
    plan,
    note: { kind: 'batch-input', model: input.model, parentId: writeInputNote(input.endpoint, input.reach) },
    edits: edits.map((edit) => ({ ...edit, start: edit.start + start, end: edit.end + start })),
  };
}

function planFile(call: KeptCall): Upload | Refusal {
  const plan = planStorage(call);
  return isRefusal(plan) ? plan : { plan, note: { kind: 'file', model: plan.model, parentId: undefined }, edits: [] };
}

/** Where to keep what names no model: with the provider of the model that the caller names, else of the first one. */
export function planStorage({ known, nowMs }: KeptCall): PlannedCall | Refusal {
  const model = known.request.headers[MODEL_HEADER];
  if (typeof model !== 'string') {
    const plans = planEverywhere(known, nowMs);
    return isRefusal(plans) ? plans : plans[0];
  }
  const operation = known.catalogue.models.get(model)?.operations[0];
  if (operation === undefined) return refuse('model_not_found', MODEL_HEADER);
  const plan = planByModel(known, { model, operation }, nowMs);
  return isRefusal(plan) ? { ...plan, param: MODEL_HEADER } : plan;
}

/** https://platform.openai.com/docs/api-reference/files/retrieve */
export async function showOneFile(call: KeptCall, tools: KeptTools): KeptAnswer {
  const thing = namedThing(call, FILE_KINDS);
  if (isRefusal(thing)) return thing;
  const plan = planByAccount(call.known, thing, 'batches', call.nowMs);
  if (isRefusal(plan)) return plan;
  const conversation = await openConversation(plan, tools, { names: namesOf(call, thing) });
  if (isRefusal(conversation)) return conversation;
  const body = await conversation.ask({ method: 'GET', path: pathOf('files', thing) });
  return answerShown(conversation, body, (file) => showFile(file, showingOf(call, thing), thing));
}

const NOTHING = Buffer.alloc(0);

/** https://platform.openai.com/docs/api-reference/files/retrieve-contents */
export async function downloadFile(call: KeptCall, { meter, forwarder }: KeptTools): KeptAnswer {
  const thing = namedThing(call, FILE_KINDS);
  if (isRefusal(thing)) return thing;
  const plan = planByAccount(call.known, thing, 'batches', call.nowMs);
  if (isRefusal(plan)) return plan;
  const path = pathOf('files', thing, '/content');
  const common = { path, headers: {}, body: NOTHING, translation: undefined } as const;
  // The lines of an output are JSON, and may be answers that their provider has stored.
  const editAnswer = (): AnswerEditor => createResponseIdSealer(call.sealer, thing);
  const outgoing: Outgoing =
    thing.kind === 'batch-output' ? { ...common, client: 'undici', editAnswer } : { ...common, client: 'proxy' };
  const metered = await meter.begin({ ...plan, outgoing });
  if (isRefusal(metered)) return metered;
  forwarder.forward(metered);
  return undefined;
}

/** https://platform.openai.com/docs/api-reference/files/delete */
export async function deleteFile(call: KeptCall, tools: KeptTools): KeptAnswer {
  const thing = namedThing(call, FILE_KINDS);
  if (isRefusal(thing)) return thing;
  const plan = planByAccount(call.known, thing, 'batches', call.nowMs);
  if (isRefusal(plan)) return plan;
  const conversation = await openConversation(plan, tools, { names: namesOf(call, thing) });
  if (isRefusal(conversation)) return conversation;
  if (!(await isBilled(conversation, { call, tools, thing }))) return undefined;
  const body = await conversation.ask({ method: 'DELETE', path: pathOf('files', thing) });
  return answerShown(conversation, body, (file) => ({ ...file, id: call.endpoint.id }));
}

/**
 * Attack: delete the output of a batch before it is billed. It is billed now, by whichever data plane the caller found: what
 * there is to know of the submission is sealed in the batch, and events that are there already are none twice.
 * @returns false where the call has ended instead
 */
async function isBilled(
  conversation: Conversation,
  { call, tools, thing }: { readonly call: KeptCall; readonly tools: KeptTools; readonly thing: KeptThing },
): Promise<boolean> {
  const { rawId, parentId } = thing;
  if (thing.kind !== 'batch-output' || parentId === undefined) return true;
  const body = await conversation.ask({ method: 'GET', path: pathOf('batches', { rawId: parentId }) });
  if (body === undefined) return false;
  const batch = parseThing(body);
  if (batch?.['output_file_id'] !== rawId) return true;
  const note = readBatchMetadata(call.sealer, batch['metadata']);
  const output = { rawBatchId: parentId, outputFileId: rawId, endedAt: endOf(batch) };
  if (note !== undefined && (await tools.billing.bill(note.submission, output))) return true;
  await conversation.fail('upstream_failed', 'provider-failed', 'the batch of the file cannot be billed');
  return false;
}

/** https://platform.openai.com/docs/api-reference/files/list */
export function listFiles(call: KeptCall, tools: KeptTools): KeptAnswer {
  return answerList(call, tools, {
    path: '/files',
    kinds: FILE_KINDS,
    limits: { most: 10_000, usual: 10_000, pageSize: 1_000 },
    passed: ['purpose', 'order'],
    pick: (file, showing) => {
      const { sealer, account } = showing;
      const note = readFileName(sealer, account.providerId, file['filename']);
      return note === undefined ? undefined : showFile(file, showing);
    },
  });
}
