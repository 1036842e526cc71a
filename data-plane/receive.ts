import { randomFillSync } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { v7 } from 'uuid';
import type { Dialect } from '@pingtoken/shared/config-snapshot';
import { refuse, type Answer, type Refusal } from './http-error.js';

/** What a path and a method ask for. */
export type Endpoint =
  | { readonly name: 'chat-completions' | 'embeddings' | 'list-models' }
  | ContentEndpoint
  | { readonly name: 'show-model'; readonly model: string }
  | PassthroughEndpoint
  | ProbeEndpoint;

/** Gemini's callers say in the path what others say in the body. */
export interface ContentEndpoint {
  readonly name: 'generate-content';
  readonly model: string;
  readonly streamed: boolean;
}

export type ProbeName = 'healthz' | 'readyz' | 'metrics';
interface ProbeEndpoint {
  readonly name: ProbeName;
}

export interface PassthroughEndpoint {
  readonly name: 'passthrough';
  /** Names the provider. */
  readonly slug: string;
  /** Below the provider's base URL, from the first slash, exactly as the caller spelt it. */
  readonly path: string;
  /** With its question mark, or empty. */
  readonly query: string;
}

/** A request's head; nothing of its body has been asked for. */
export interface Received {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** UUIDv7: the call's id toward caller, provider and ledger. */
  readonly requestId: string;
  /** `performance.now()` */
  readonly receivedAt: number;
  readonly endpoint: Endpoint;
  /** What the caller speaks, told by its path. */
  readonly dialect: Dialect;
}

/** Why a head is not one that can be served; `allow` goes with a 405. */
export type HeadRefusal = Refusal & { readonly allow?: string };

export function isProbe(endpoint: Endpoint): endpoint is ProbeEndpoint {
  return endpoint.name === 'healthz' || endpoint.name === 'readyz' || endpoint.name === 'metrics';
}

const ID_RANDOM_BYTES = 16;
const randomPool = Buffer.alloc(ID_RANDOM_BYTES * 256);
let nextRandomAt = randomPool.length;

/** The randomness of many ids is drawn at once: a draw costs microseconds whatever its size. */
export function createRequestId(): string {
  if (nextRandomAt === randomPool.length) {
    randomFillSync(randomPool);
    nextRandomAt = 0;
  }
  nextRandomAt += ID_RANDOM_BYTES;
  return v7({ random: randomPool.subarray(nextRandomAt - ID_RANDOM_BYTES, nextRandomAt) });
}

/**
 * Reads the head only. Framing that two readers could understand differently is refused before anything is believed:
 * `Transfer-Encoding` beside `Content-Length` already by Node's parser, two `Host` headers and absolute-form targets here
 * (Node accepts both; a proxy in front may have judged the other one). RFC 9112, 3.2 and 6.3.
 */
export function receive({ request, response, requestId, dialect }: Answer): Received | HeadRefusal {
  const receivedAt = performance.now();
  const url = request.url ?? '';
  if (!url.startsWith('/')) return refuse('invalid_request', null, 'The request target must be a path.');
  if (hasTwoHosts(request.rawHeaders)) return refuse('invalid_request', null, 'More than one Host header.');
  const endpoint = findEndpoint(request.method ?? '', url);
  if ('refused' in endpoint) return endpoint;
  return { request, response, requestId, receivedAt, endpoint, dialect };
}

function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts > 1;
}

/** The dialect that a path belongs to; errors of paths that nobody has are told in OpenAI's. */
export function dialectOf(url: string): Dialect {
  if (url.startsWith(GEMINI_PREFIX) || GEMINI_ACTION.test(url)) return 'gemini';
  return url.startsWith('/v1/messages') || url.startsWith('/api/v1/messages') ? 'anthropic' : 'openai';
}

const GEMINI_PREFIX = '/v1beta/';
/** Google's client asks for content under `/v1` too, where the models are OpenAI's. */
const GEMINI_ACTION = /^(?:\/api)?\/v1\/models\/[^?]*:(?:generateContent|streamGenerateContent)(?:\?|$)/;
const CONTENT_PREFIXES = ['/v1beta/models/', '/v1/models/'];
const CHAT_COMPLETIONS: Endpoint = { name: 'chat-completions' };
const EMBEDDINGS: Endpoint = { name: 'embeddings' };
const LIST_MODELS: Endpoint = { name: 'list-models' };
const PASSTHROUGH_PREFIX = '/passthrough/';
const MODEL_PREFIX = '/v1/models/';

function findEndpoint(method: string, url: string): Endpoint | HeadRefusal {
  const queryAt = url.indexOf('?');
  const spelt = queryAt === -1 ? url : url.slice(0, queryAt);
  if (spelt.startsWith(PASSTHROUGH_PREFIX)) return passthroughEndpoint(spelt, queryAt === -1 ? '' : url.slice(queryAt));
  const path = spelt.startsWith('/api/v1/') ? spelt.slice('/api'.length) : spelt;
  switch (path) {
    case '/v1/chat/completions':
    case '/v1/messages':
      return allow(method, 'POST', CHAT_COMPLETIONS);
    case '/v1/embeddings':
      return allow(method, 'POST', EMBEDDINGS);
    case '/v1/models':
      return allow(method, 'GET', LIST_MODELS);
    case '/healthz':
    case '/readyz':
    case '/metrics':
      return allow(method, 'GET', { name: path.slice(1) as ProbeName });
    default:
      if (dialectOf(path) === 'gemini') return contentEndpoint(method, path, url.slice(spelt.length));
      return path.startsWith(MODEL_PREFIX) ? modelEndpoint(method, path) : refuse('unknown_path');
  }
}

function allow(method: string, allowed: string, endpoint: Endpoint): Endpoint | HeadRefusal {
  return method === allowed ? endpoint : { ...refuse('method_not_allowed'), allow: allowed };
}

/** Aliases may hold slashes, so the rest of the path is one name. */
function modelEndpoint(method: string, path: string): Endpoint | HeadRefusal {
  try {
    return allow(method, 'GET', {
      name: 'show-model',
      model: decodeURIComponent(path.slice(MODEL_PREFIX.length)),
    });
  } catch {
    return refuse('unknown_path');
  }
}

/** https://ai.google.dev/api/generate-content: `<model>:generateContent`, `<model>:streamGenerateContent?alt=sse` */
function contentEndpoint(method: string, path: string, query: string): Endpoint | HeadRefusal {
  const actionAt = path.lastIndexOf(':');
  const action = path.slice(actionAt + 1);
  const streamed = action === 'streamGenerateContent';
  const prefix = CONTENT_PREFIXES.find((each) => path.startsWith(each));
  if (prefix === undefined || actionAt === -1 || (!streamed && action !== 'generateContent')) {
    return refuse('unknown_path');
  }
  // Without it Google sends one growing JSON list, which no client of its own asks for.
  if (streamed && new URLSearchParams(query).get('alt') !== 'sse') {
    return refuse('invalid_request', 'alt', 'Streams are sent as server-sent events: add ?alt=sse.');
  }
  try {
    const model = decodeURIComponent(path.slice(prefix.length, actionAt));
    return allow(method, 'POST', { name: 'generate-content', model, streamed });
  } catch {
    return refuse('unknown_path');
  }
}

function passthroughEndpoint(path: string, query: string): Endpoint | HeadRefusal {
  const pathAt = path.indexOf('/', PASSTHROUGH_PREFIX.length);
  if (pathAt === -1) return refuse('unknown_path');
  return {
    name: 'passthrough',
    slug: path.slice(PASSTHROUGH_PREFIX.length, pathAt),
    path: path.slice(pathAt),
    query,
  };
}
