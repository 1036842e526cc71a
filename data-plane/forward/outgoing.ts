import type { MeteredRequest, PassthroughTask } from '../admit/admit.js';
import { editAnthropicRequest } from '../dialects/anthropic-request.js';
import { insertAnswerCap } from '../dialects/answer-cap.js';
import type { ChatRequest } from '../dialects/chat/chat.js';
import { CHAT_DIALECTS, faultOf } from '../dialects/chat/chat-dialects.js';
import { parseJsonExactly, stringifyExactly } from '../dialects/chat/json.js';
import { COUNT_DIALECTS } from '../dialects/count-tokens.js';
import { hideEndUser, type EndUserSetting } from '../dialects/end-user.js';
import { editFormRequest } from '../dialects/form-request.js';
import { editGeminiAct, geminiPath } from '../dialects/gemini-act.js';
import { editGeminiRequest } from '../dialects/gemini-request.js';
import { editOpenAiRequest } from '../dialects/openai-request.js';
import type { Endpoint } from '../endpoints.js';
import { findStoredReferences, type StoredReference } from '../dialects/stored-references.js';
import { isRefusal, refuse, type Refusal } from '../http-error.js';
import type { PlannedAttempt, Routed } from '../route/route.js';
import type { AccountOf } from '../resources/accounts.js';
import { isSameAccount, openIds, type OpenedIds } from '../resources/opened-ids.js';
import { createResponseIdSealer } from '../resources/response-ids.js';
import { idSealerOf } from '../resources/sealed-id.js';
import { connectionTokens } from './answer-headers.js';
import { convertEmbeddings } from './convert-embeddings.js';
import { convertCount } from './count-tokens.js';
import type { Outgoing, Prepared } from './prepared-call.js';

/**
 * Makes what is sent, before anything is. The first way goes first that can say all that the caller said; where none can,
 * the caller is told what the first of them cannot.
 */
export function prepare(routed: Routed): Prepared | Refusal {
  if (routed.task.kind === 'passthrough') return { ...routed, outgoing: passedThrough(routed, routed.task) };
  const prepareAttempt = createPreparer(routed, routed.task.request);
  let refusal: Refusal | undefined;
  for (const attempt of routed.attempts) {
    const outgoing = prepareAttempt(attempt);
    if (!isRefusal(outgoing)) return first(routed, attempt, outgoing);
    refusal ??= outgoing;
  }
  return refusal ?? refuse('upstream_failed');
}

function first(routed: Routed, attempt: PlannedAttempt, outgoing: Outgoing): Prepared {
  if (routed.attempts[0] === attempt) return { ...routed, outgoing };
  return { ...routed, attempts: [attempt, ...routed.attempts.filter((each) => each !== attempt)], outgoing };
}

/** The same call, its answer held to so many tokens, whichever of its attempts comes to serve. */
export function capAnswer(prepared: Prepared, answerCap: number): Prepared | Refusal {
  if (prepared.task.kind === 'passthrough') return prepared;
  const capped = { ...prepared, answerCap };
  const outgoing = createPreparer(capped, prepared.task.request)(prepared.attempts[0]);
  return isRefusal(outgoing) ? outgoing : { ...capped, outgoing };
}

function passedThrough({ request, body }: Routed, { path, query }: PassthroughTask): Outgoing {
  const { connection, 'content-type': contentType, accept } = request.headers;
  const named = connectionTokens(connection);
  const headers: Record<string, string> = {};
  // What a provider needs of the caller's head to understand the body and to answer it.
  if (contentType !== undefined && named?.has('content-type') !== true) headers['content-type'] = contentType;
  if (accept !== undefined && named?.has('accept') !== true) headers['accept'] = accept;
  return { client: 'proxy', path: path + query, headers, body, translation: undefined };
}

/**
 * Makes what is sent for one attempt or another of a call: in the caller's own dialect byte for byte but for named splices,
 * in another one translated. What the caller said is read for translation once, and only where it is needed.
 */
export function createPreparer(routed: Routed, given: MeteredRequest): (attempt: PlannedAttempt) => Outgoing | Refusal {
  let asked: ChatRequest | Refusal | undefined;
  const references = storedReferences(routed, given);
  const opened = openedIds(routed, given, references);
  const [stored] = opened?.left ?? references.filter(({ isGiven }) => isGiven !== true);
  return (attempt) => {
    const bound = opened?.bound;
    if (bound !== undefined && !isSameAccount(bound.account, placeOf(attempt))) return refuseStored(bound.first);
    if (stored !== undefined && !isOwnAccount(routed, attempt)) return refuseStored(stored);
    const request = opened?.requestFor(placeOf(attempt)) ?? given;
    if (attempt.provider.dialect === request.dialect) return relayed(routed, request, attempt);
    if (routed.operation === 'embeddings') return convertEmbeddings(request, attempt);
    if (routed.operation === 'count-tokens') return convertCount(request, attempt);
    asked ??= readChat(request, routed);
    return isRefusal(asked) ? asked : translated(asked, request, attempt);
  };
}

function storedReferences({ operation }: Routed, request: MeteredRequest): readonly StoredReference[] {
  const isForm = request.dialect === 'openai' && request.bodyKind === 'multipart';
  if (isForm || operation === 'passthrough') return [];
  return findStoredReferences(request.dialect, operation, request.bytes);
}

/** What the tenant itself has had kept it knows by sealed ids. */
function openedIds(
  { account, endpoint }: Routed,
  request: MeteredRequest,
  references: readonly StoredReference[],
): OpenedIds | undefined {
  if (endpoint.name !== 'model-call') return undefined;
  if (references.length === 0 || request.dialect !== 'openai' || request.bodyKind !== 'json') return undefined;
  const sealer = idSealerOf(account.tenant);
  return sealer === undefined ? undefined : openIds(sealer, { request, operation: endpoint.operation }, references);
}

function placeOf({ provider, credentialId }: PlannedAttempt): Pick<AccountOf, 'providerId' | 'credentialId'> {
  return { providerId: provider.id, credentialId };
}

function isOwnAccount({ catalogue, account }: Routed, { credentialId }: PlannedAttempt): boolean {
  return catalogue.isOwnCredential(credentialId, account.tenant.id);
}

/** As if it were not there: whose it is, nobody may ask. */
function refuseStored({ field }: StoredReference): Refusal {
  return refuse('not_found', field, `What the field "${field}" names is not there.`);
}

/** A response is kept by the provider, in an account that others share; so is an answer that is spoken. */
function responseIdEditor(
  { account, model, operation }: Routed,
  { bytes }: MeteredRequest,
  { provider, credentialId }: PlannedAttempt,
): Outgoing['editAnswer'] {
  const isKept = operation === 'responses' || (operation === 'chat-completions' && bytes.includes(AUDIO_MARK));
  const sealer = isKept ? idSealerOf(account.tenant) : undefined;
  if (sealer === undefined) return undefined;
  return () => createResponseIdSealer(sealer, { providerId: provider.id, credentialId, model });
}

/** Answers are spoken only where the request says so. https://platform.openai.com/docs/guides/audio */
const AUDIO_MARK = Buffer.from('"audio"');

function relayed(routed: Routed, request: MeteredRequest, attempt: PlannedAttempt): Outgoing {
  const { upstreamModel } = attempt;
  const { dialect, streamed } = request;
  const { requestPath, requestHeaders } = CHAT_DIALECTS[dialect];
  const isForm = request.dialect === 'openai' && request.bodyKind === 'multipart';
  const contentType = isForm ? request.contentType : JSON_TYPE;
  const headers = { 'content-type': contentType, accept: acceptOf(routed), ...requestHeaders };
  return {
    client: isForm ? 'proxy' : 'undici',
    path: ownPath(routed.endpoint, upstreamModel) ?? requestPath({ upstreamModel, streamed }),
    headers: dialect === 'anthropic' ? { ...headers, ...versionHeaders(routed) } : headers,
    body: capped(edit(request, upstreamModel, routed.account.tenant), routed, upstreamModel),
    translation: undefined,
    editAnswer: dialect === 'openai' ? responseIdEditor(routed, request, attempt) : undefined,
  };
}

/** @returns undefined where the path is the dialect's one for chat */
function ownPath(endpoint: Endpoint, upstreamModel: string): string | undefined {
  if (endpoint.name === 'gemini-act') return geminiPath(upstreamModel, endpoint.act);
  if (endpoint.name === 'count-tokens') return COUNT_DIALECTS.anthropic.requestPath();
  return endpoint.name === 'model-call' ? endpoint.path : undefined;
}

const JSON_TYPE = 'application/json';

/** Sound, subtitles and plain text are no JSON. */
const ANY_ANSWER: ReadonlySet<string> = new Set(['speech', 'transcriptions', 'translations']);

function acceptOf({ operation, streamed }: Routed): string {
  if (streamed) return 'text/event-stream';
  return ANY_ANSWER.has(operation) ? '*/*' : 'application/json';
}

function edit(request: MeteredRequest, upstreamModel: string, setting: EndUserSetting): Buffer {
  switch (request.dialect) {
    case 'openai':
      return request.bodyKind === 'json'
        ? editOpenAiRequest(request, upstreamModel, setting)
        : editFormRequest(request, upstreamModel, setting);
    case 'anthropic':
      return editAnthropicRequest(request, upstreamModel, setting);
    case 'gemini':
      return 'act' in request ? editGeminiAct(request, upstreamModel, setting) : editGeminiRequest(request, setting);
  }
}

function capped(body: Buffer, { dialect, operation, answerCap }: Routed, upstreamModel: string): Buffer {
  return answerCap === undefined ? body : insertAnswerCap(body, { dialect, operation, upstreamModel }, answerCap);
}

/** Which form of the API the body is written in, and which of its previews it uses: without them it means something else. */
function versionHeaders({ request }: Routed): Readonly<Record<string, string>> {
  const kept: Record<string, string> = {};
  for (const name of ['anthropic-version', 'anthropic-beta']) {
    const value = request.headers[name];
    if (typeof value === 'string' && VERSION.test(value)) kept[name] = value;
  }
  return kept;
}

const VERSION = /^[\w.,: -]{1,1000}$/;

function readChat(request: MeteredRequest, { account, answerCap }: Routed): ChatRequest | Refusal {
  const { dialect, bytes, model, streamed } = request;
  const read = CHAT_DIALECTS[dialect].readRequest(parseJsonExactly(bytes.toString()), { model, streamed });
  if ('unreadable' in read) return refuse('invalid_request', read.unreadable.field, read.unreadable.message);
  const asked = showsThoughts(hidesEndUser(read, account.tenant));
  return answerCap === undefined ? asked : { ...asked, maxOutputTokens: answerCap };
}

function hidesEndUser({ endUser, ...request }: ChatRequest, setting: EndUserSetting): ChatRequest {
  const pseudonym = endUser === undefined ? undefined : hideEndUser(endUser, setting);
  return pseudonym === undefined ? request : { ...request, endUser: pseudonym };
}

/** Who asks for thought, and has no word for whether to see it, sees it: some vendors show it only where they are told to. */
function showsThoughts(request: ChatRequest): ChatRequest {
  const { reasoning } = request;
  if (reasoning === undefined || reasoning.isVisible !== undefined || reasoning.effort === 'none') return request;
  return { ...request, reasoning: { ...reasoning, isVisible: true } };
}

function translated(
  request: ChatRequest,
  { dialect: from }: MeteredRequest,
  { upstreamModel, provider, dropsUnsupported }: PlannedAttempt,
): Outgoing | Refusal {
  const target = CHAT_DIALECTS[provider.dialect];
  const { body, unsupported } = target.writeRequest(request, upstreamModel);
  const [fault] = [...(request.inexpressible ?? []), ...unsupported.map((feature) => faultOf(feature, from))];
  if (fault !== undefined && !dropsUnsupported) return refuse('unsupported_field', fault.field, fault.message);
  return {
    client: 'undici',
    path: target.requestPath({ upstreamModel, streamed: request.streamed }),
    headers: {
      'content-type': JSON_TYPE,
      accept: request.streamed ? 'text/event-stream' : JSON_TYPE,
      ...target.requestHeaders,
    },
    body: Buffer.from(stringifyExactly(body)),
    translation: { provider: target, caller: CHAT_DIALECTS[from], request },
  };
}
