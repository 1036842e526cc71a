import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TokenCount } from './answer.js';
import { KEPT_BODY_BYTES, readBody, type Body } from './body.js';
import { decideChat, decideEmbeddings, decidePlain, refuse, type Decision, type DecisionContext } from './decide.js';
import { deliver, type Progress } from './deliver.js';
import { bodyTooLarge, invalidRequest, missingKey, modelNotFound, unknownUrl } from './errors.js';
import type { FaultBook } from './fault-book.js';
import { describeModel, findModel, MODELS, type ProviderPath } from './models.js';
import type { Receptions } from './received.js';
import type { CallStart } from './record-ring.js';
import type { Served } from './served.js';

/** The longest JSON body that is accepted, bytes. Other bodies may have any length, as they are not held. */
const JSON_BODY_BYTES = 64 * 1024 * 1024;
const REQUEST_ID_CHARACTERS = 128;

/** Everything the simulator remembers. */
export interface Books {
  readonly served: Served;
  readonly receptions: Receptions;
  readonly faults: FaultBook;
}

/**
 * Answers calls to the provider's own paths. A call is counted when it has been received whole, before its answer
 * goes out; one whose caller hung up earlier is not counted. Calls without `x-request-id` get an id `sim-<number>`;
 * an id longer than 128 characters counts by its first 128.
 */
export function createProvider({ served, receptions, faults }: Books) {
  let callNumber = 0;
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url = '', httpVersion, rawHeaders } = request;
    const target = findTarget(method, url);
    const json = target.path === '/v1/chat/completions' || target.path === '/v1/embeddings';
    const body = await readBody(request, json ? JSON_BODY_BYTES : KEPT_BODY_BYTES);
    if (!body) return;
    callNumber += 1;
    const header = request.headers['x-request-id'];
    const requestId = (typeof header === 'string' ? header.slice(0, REQUEST_ID_CHARACTERS) : '') || `sim-${callNumber}`;
    receptions.add({ requestId, method, url, httpVersion, rawHeaders, body });
    const context = { callNumber, nowMs: Date.now(), takeFaults: faults.take };
    const decision = decideTarget(target, request, body, json, context);
    const start = { requestId, path: target.path, model: decision.model };
    const progress = watch(served, start, response, decision);
    await deliver(response, requestId, decision, progress);
  };
}

interface Target {
  readonly path: ProviderPath;
  readonly method: string;
  readonly pathname: string;
  /** The last segment of `/v1/models/:id`. */
  readonly model: string;
}

/** Which of the provider's paths a request line means; `/v1` may be left out. */
function findTarget(method: string, url: string): Target {
  const pathname = url.split('?', 1)[0] ?? '';
  const bare = pathname.startsWith('/v1/') ? pathname.slice(3) : pathname;
  const model = bare.startsWith('/models/') ? bare.slice('/models/'.length) : '';
  const path = pathOf(`${method} ${model ? '/models/:id' : bare}`);
  return { path, method, pathname, model };
}

function pathOf(requestLine: string): ProviderPath {
  switch (requestLine) {
    case 'POST /chat/completions':
      return '/v1/chat/completions';
    case 'POST /embeddings':
      return '/v1/embeddings';
    case 'GET /models':
      return '/v1/models';
    case 'GET /models/:id':
      return '/v1/models/:id';
    case 'GET /files':
      return '/v1/files';
    case 'POST /audio/transcriptions':
      return '/v1/audio/transcriptions';
    default:
      return 'unknown';
  }
}

function decideTarget(
  target: Target,
  request: IncomingMessage,
  body: Body,
  json: boolean,
  context: DecisionContext,
): Decision {
  if (!/^bearer +\S/i.test(request.headers.authorization ?? '')) return refuse(missingKey());
  if (json && body.length > JSON_BODY_BYTES) return refuse(bodyTooLarge(JSON_BODY_BYTES));
  switch (target.path) {
    case '/v1/chat/completions':
      return decideChat(body, context);
    case '/v1/embeddings':
      return decideEmbeddings(body, context);
    case '/v1/models':
      return decidePlain({ object: 'list', data: MODELS.map(describeModel) }, '', context);
    case '/v1/models/:id': {
      const model = findModel(target.model);
      return model ? decidePlain(describeModel(model), '', context) : refuse(modelNotFound(target.model));
    }
    case '/v1/files':
      return decidePlain({ object: 'list', data: [], has_more: false, first_id: null, last_id: null }, '', context);
    case '/v1/audio/transcriptions':
      return decideTranscription(request, body, context);
    case 'unknown':
      return refuse(unknownUrl(target.method, target.pathname));
  }
}

/** Directives are read from the first MiB of the multipart body, whichever field they are in. */
function decideTranscription(request: IncomingMessage, body: Body, context: DecisionContext): Decision {
  if (!/^multipart\/form-data\b/i.test(request.headers['content-type'] ?? '')) {
    return refuse(invalidRequest('The body must be multipart/form-data.'));
  }
  const text = body.bytes.includes('[[sim') ? body.bytes.toString('latin1') : '';
  return decidePlain(
    { text: `A simulated transcript of ${body.length} bytes, naïve but certain.`, bytes: body.length },
    text,
    context,
  );
}

/** Opens a call in the books, and closes it when its answer has been handed over or its connection is gone. */
function watch(served: Served, start: CallStart, response: ServerResponse, decision: Decision): Progress {
  const call = served.begin(start);
  const progress: Progress = { chunksSent: 0, completionTokens: 0, toldUsage: false, cutBy: undefined };
  let open = true;
  const settle = (finished: boolean): void => {
    if (!open) return;
    open = false;
    const outcome = progress.cutBy ?? (!finished ? 'aborted' : decision.status >= 400 ? 'error' : 'completed');
    served.end(call, start, {
      status: response.headersSent ? decision.status : 0,
      outcome,
      tokens: outcome === 'completed' ? decision.tokens : handedOver(decision.tokens, progress),
      chunksSent: progress.chunksSent,
      usage: !progress.toldUsage ? 'none' : decision.faults.usage === 'zero' ? 'zero' : 'reported',
    });
  };
  response.once('finish', () => {
    settle(true);
  });
  response.once('close', () => {
    settle(false);
  });
  // The caller may have hung up in the very turn in which its body ended; then no event is still to come.
  if (response.destroyed) settle(false);
  return progress;
}

/** What a provider has spent on an answer that was cut off: the whole prompt, and the completion as far as it went. */
function handedOver(tokens: TokenCount, { completionTokens }: Progress): TokenCount {
  return { ...tokens, completion: completionTokens, reasoning: Math.min(tokens.reasoning, completionTokens) };
}
